//! Connections: each is charged to its peer, and is closed when it is idle or when its client takes too little of what
//! it is sent, whatever protocol it speaks.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::budget::{Account, Budget, Hold, Level, Refusal, Resource, lock};

/// The bytes that a client must take while a connection waits for it: in `Timeouts::idle` while the program has
/// finished a response, and in [`STALLED`] while the connection takes nothing more.
const PROGRESS: usize = 16 << 10;

/// How long a connection may take nothing more, or less than [`PROGRESS`], while there is something to write.
const STALLED: Duration = Duration::from_secs(15);

/// The connection of a request. [`serve`](crate::serve) adds it to the extensions of each request.
#[derive(Clone, Debug)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    /// Requests whose handlers run.
    in_flight: AtomicUsize,
    /// Since when the connection has not been of use to its client: changes with its requests, and with what its
    /// client takes of their responses.
    idle_since: Mutex<Instant>,
    /// Whether it was closed from here, and the task to wake then.
    is_closed: AtomicBool,
    reader: AtomicWaker,
    /// The connection itself; taken when it is closed.
    hold: Mutex<Option<Hold>>,
    /// What has arrived of a request head or of a message that is not complete.
    unfinished: Mutex<Hold>,
    /// The most bytes of it.
    most_unfinished: AtomicUsize,
    /// Whether a request of it was refused for its rate.
    was_refused: AtomicBool,
}

impl Connection {
    /// The address at the other end: of a client, or of a proxy.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Notes that a request was refused because its client sends too many. Returns whether it is the first one of this
    /// connection.
    #[must_use]
    pub fn note_refusal(&self) -> bool {
        !self.0.was_refused.swap(true, Ordering::Relaxed)
    }

    /// Charges the connection to a caller who has authenticated on it. Behind a proxy, a connection belongs to no
    /// caller.
    ///
    /// # Errors
    /// If the caller has too many connections.
    pub fn belongs_to(&self, caller: &Account, budget: &Budget) -> Result<(), Refusal> {
        if budget.is_behind_proxy() {
            return Ok(());
        }
        match &mut *lock(&self.0.hold) {
            Some(hold) => hold.move_to(caller)?,
            None => return Ok(()),
        }
        lock(&self.0.unfinished).move_to(caller)
    }

    /// Counts a handler as running until the returned value is dropped: meanwhile the connection is not idle. What has
    /// arrived before is its request.
    pub(crate) fn busy(&self) -> Busy {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        self.message_is_complete();
        Busy(Arc::clone(&self.0))
    }

    /// Begins the count of unfinished bytes again.
    pub(crate) fn message_is_complete(&self) {
        lock(&self.0.unfinished).clear();
    }

    /// Limits the bytes of an unfinished head or message.
    pub(crate) fn limit_unfinished(&self, most: usize) {
        self.0.most_unfinished.store(most, Ordering::Relaxed);
    }

    /// Whether a head or message was longer than allowed.
    pub(crate) fn is_over_limit(&self) -> bool {
        lock(&self.0.unfinished).amount() > self.0.most_unfinished.load(Ordering::Relaxed)
    }

    /// Waits until nothing has happened on the connection for too long.
    pub(crate) async fn idle(&self, max_idle: Duration) {
        loop {
            let is_busy = self.0.in_flight.load(Ordering::Relaxed) > 0;
            let since = if is_busy { Instant::now() } else { *lock(&self.0.idle_since) };
            let end = since + max_idle;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// Closes it, and gives back what it holds at once.
    fn close(&self) {
        drop(lock(&self.0.hold).take());
        self.0.is_closed.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    fn is_unauthenticated(&self) -> bool {
        lock(&self.0.hold).as_ref().is_some_and(|hold| !hold.account().is_authenticated())
    }
}

/// A handler that runs.
#[derive(Debug)]
pub(crate) struct Busy(Arc<State>);

impl Drop for Busy {
    fn drop(&mut self) {
        *lock(&self.0.idle_since) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Admits connections.
pub(crate) struct Admission {
    budget: Budget,
    /// In the order of their arrival; also connections that have ended or authenticated since.
    newcomers: VecDeque<Weak<State>>,
}

impl Admission {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, newcomers: VecDeque::new() }
    }

    /// A connection from `peer`. If all peers that have not authenticated hold too many, the oldest of their connections
    /// gives its place to the new one: a client who signs in needs it for a moment only.
    ///
    /// # Errors
    /// If the peer has too many connections, or all others are in use by callers.
    pub(crate) fn admit(&mut self, peer: SocketAddr) -> Result<Connection, Refusal> {
        let account = self.budget.connection(peer.ip());
        let hold = loop {
            match account.take(Resource::Connections, 1) {
                Ok(hold) => break hold,
                Err(refusal) if matches!(refusal.level, Level::Unauthenticated | Level::Server) => {
                    // A proxy's connections carry the requests of many clients.
                    if self.budget.is_behind_proxy() || !self.close_oldest() {
                        return Err(refusal);
                    }
                }
                Err(refusal) => return Err(refusal),
            }
        };
        let state = Arc::new(State {
            peer,
            in_flight: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            is_closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            hold: Mutex::new(Some(hold)),
            unfinished: Mutex::new(account.nothing(Resource::BytesIn)),
            most_unfinished: AtomicUsize::new(usize::MAX),
            was_refused: AtomicBool::new(false),
        });
        // Most connections end long before their turn.
        if self.newcomers.len() >= 1024 && self.newcomers.len() == self.newcomers.capacity() {
            self.newcomers
                .retain(|state| state.upgrade().is_some_and(|state| Connection(state).is_unauthenticated()));
        }
        self.newcomers.push_back(Arc::downgrade(&state));
        Ok(Connection(state))
    }

    /// Closes the oldest connection whose peer has not authenticated.
    fn close_oldest(&mut self) -> bool {
        while let Some(state) = self.newcomers.pop_front() {
            if let Some(connection) = state.upgrade().map(Connection)
                && connection.is_unauthenticated()
            {
                connection.close();
                return true;
            }
        }
        false
    }
}

/// A TCP stream that is counted.
pub(crate) struct CountedStream {
    stream: TcpStream,
    state: Arc<State>,
    /// Bytes that the client has taken since `idle_since` was last moved.
    taken: usize,
    /// Fires when the client takes too little; `None` while nothing waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Bytes that it has taken meanwhile.
    taken_late: usize,
}

impl CountedStream {
    pub(crate) fn new(stream: TcpStream, connection: &Connection) -> Self {
        let state = Arc::clone(&connection.0);
        Self { stream, state, taken: 0, stalled: None, taken_late: 0 }
    }

    /// Counts what was written, and fails when the client takes too little.
    fn note_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            let bytes = *written.as_ref().unwrap_or(&0);
            self.taken += bytes;
            if self.taken >= PROGRESS {
                self.taken = 0;
                *lock(&self.state.idle_since) = Instant::now();
            }
            self.taken_late += bytes;
            if self.taken_late >= PROGRESS {
                self.stalled = None;
            }
            return Poll::Ready(written);
        }
        if self.stalled.is_none() {
            self.taken_late = 0;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take what it is sent")))
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.state.reader.register(cx.waker());
        if self.state.is_closed.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        // The body of a request is counted by its reader.
        if self.state.in_flight.load(Ordering::Relaxed) == 0 {
            let mut unfinished = lock(&self.state.unfinished);
            let grown = unfinished.grow(buf.filled().len() - before);
            let is_over = unfinished.amount() > self.state.most_unfinished.load(Ordering::Relaxed);
            if grown.is_err() || is_over {
                return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // It is called when everything was written.
        if flushed.is_ready() {
            self.stalled = None;
        }
        flushed
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
        self.note_write(cx, written)
    }
}
