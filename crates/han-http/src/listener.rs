//! Connections with a limited idle time. A connection without a request in flight must send a whole request head in
//! that time, however slowly its bytes arrive; an idle keep-alive connection is closed likewise.

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

/// Accepts connections and limits their idle time.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: TcpListener,
    max_idle: Duration,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener, max_idle: Duration) -> Self {
        Self { listener, max_idle }
    }
}

impl Listener for Connections {
    type Io = IdleLimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (IdleLimitedStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Responses are written whole; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        (IdleLimitedStream::new(stream, self.max_idle), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The connection of a request. [`serve`](crate::serve) adds it to the extensions of each request.
#[derive(Clone, Debug)]
pub struct Connection {
    in_flight: Arc<AtomicUsize>,
    peer: SocketAddr,
}

impl Connection {
    /// The address at the other end: of a client, or of a proxy.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Keeps the connection from counting as idle until the returned value is dropped.
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

/// A request or a socket in flight: its connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as in flight until its response has been made.
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
pub(crate) struct IdleLimitedStream {
    stream: TcpStream,
    in_flight: Arc<AtomicUsize>,
    max_idle: Duration,
    /// Fires when nothing has been in flight for too long; `None` while something is.
    idle: Option<Pin<Box<Sleep>>>,
}

impl IdleLimitedStream {
    fn new(stream: TcpStream, max_idle: Duration) -> Self {
        let idle = Some(Box::pin(tokio::time::sleep(max_idle)));
        Self { stream, in_flight: Arc::default(), max_idle, idle }
    }

    /// Idle time counts from the last byte of a response that the client has taken.
    fn note_write(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(n)) if *n > 0) {
            self.idle = None;
        }
    }

    /// Whether the connection has been idle for too long. Registers the task to be woken when that is so.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            self.idle = None;
            return false;
        }
        let max_idle = self.max_idle;
        let idle =
            self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + max_idle)));
        idle.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for IdleLimitedStream {
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

impl AsyncWrite for IdleLimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(&written);
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
        self.note_write(&written);
        written
    }
}
