//! Connections that may not be held open for nothing: one that has no request in flight must send a whole request
//! head before its time is over, however slowly its bytes trickle in. Idle keep-alive connections end likewise.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// Accepts connections and watches over them.
pub(crate) struct Connections {
    listener: TcpListener,
    patience: Duration,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener, patience: Duration) -> Self {
        Self { listener, patience }
    }
}

impl Listener for Connections {
    type Io = WatchedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WatchedStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are written whole; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        (WatchedStream::new(stream, self.patience), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What requests of one connection have in common.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    in_flight: Arc<AtomicUsize>,
    peer: SocketAddr,
}

impl Connection {
    /// Who is at the other end: a client, or a proxy.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Keeps the connection from counting as idle while the answer lives: a request, a socket.
    pub(crate) fn busy(&self) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.in_flight))
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Connections>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self { in_flight: Arc::clone(&stream.io().in_flight), peer: *stream.remote_addr() }
    }
}

/// While it lives, its connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as in flight until its answer has been made.
pub(crate) async fn count_requests(
    ConnectInfo(connection): ConnectInfo<Connection>,
    mut request: Request,
    next: Next,
) -> Response {
    let busy = connection.busy();
    // A handler that upgrades the connection keeps it busy itself.
    request.extensions_mut().insert(connection);
    let response = next.run(request).await;
    drop(busy);
    response
}

/// A TCP stream whose idle time is limited.
pub(crate) struct WatchedStream {
    stream: TcpStream,
    in_flight: Arc<AtomicUsize>,
    patience: Duration,
    /// Runs out when nothing has been in flight for too long; `None` while something is.
    idle: Option<Pin<Box<Sleep>>>,
}

impl WatchedStream {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        let idle = Some(Box::pin(tokio::time::sleep(patience)));
        Self { stream, in_flight: Arc::default(), patience, idle }
    }

    /// Time counts from the last byte of an answer that the client took.
    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(n)) if *n > 0) {
            self.idle = None;
        }
    }

    /// Whether the connection has been idle for too long. Registers to be woken when it will have been.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            self.idle = None;
            return false;
        }
        let patience = self.patience;
        let idle =
            self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        idle.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_overdue(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(&written);
        written
    }
}
