//! One socket, from its handshake to its end. A single task serves it: it sends a response, and takes the next one only
//! when the client has taken the last. So a slow client costs little memory; its subscriptions fall behind and report
//! that it must fetch again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::sink::SinkExt as _;
use han_api::{Live, RequestContext};
use han_types::RequestId;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};
use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::message::{self, ClientMessage, Close, Kind};
use super::source::{NotStarted, Outgoing, QueryResponse, Running, next_response};
use crate::authenticate::{AccessChanges as _, Affected, Authenticate, two_credentials};
use crate::budget::{Hold, Resource};
use crate::graphql::endpoint::Endpoint;
use crate::graphql::operation::Operation;
use crate::listener::Connection;

/// The most operations that one socket may have running.
const MAX_OPERATIONS: usize = 100;

/// The most queries and mutations of one socket that run at once; others wait for their turn.
const MAX_QUERIES: usize = 4;

/// The longest id of an operation, in bytes. Clients use UUIDs or numbers.
const MAX_ID_BYTES: usize = 128;

/// How long a socket waits after it has sent everything that its shared subscriptions had, and how many responses it
/// sends at once. A session that grows fast would otherwise cause one write per line for everyone who watches it; this
/// way it is about twenty-five writes per second, which is more than anyone can see.
const QUIET: Duration = Duration::from_millis(40);
const AT_ONCE: usize = 64;

/// How often an idle client is pinged, and after how many unanswered pings it counts as gone.
const PING_EVERY: Duration = Duration::from_secs(25);
const MAX_SILENT_PINGS: u32 = 2;

/// How long a client may take to accept a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the client may take to answer a closing frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many messages other than operations a client may send at once (pings, pongs, `complete`, operations that a limit
/// refused), and after how long it may send another one. A message costs little, but its answer may wait in a buffer.
const OTHER_MESSAGES: u32 = 200;
const OTHER_MESSAGE_EVERY: Duration = Duration::from_millis(50);

/// What is known of a socket from its handshake.
pub(super) struct Handshake<P> {
    pub(super) request_id: RequestId,
    /// Its credential, if it has one.
    pub(super) presented: Option<P>,
    /// The address of the client.
    pub(super) client: IpAddr,
    pub(super) connection: Option<Connection>,
    /// The socket itself.
    pub(super) hold: Hold,
}

/// A caller whose socket is authenticated.
struct Caller {
    context: Arc<RequestContext>,
    /// Dropped with the session, which ends its subscriptions.
    _ended: watch::Sender<bool>,
}

pub(super) struct Session<S: Authenticate> {
    state: S,
    endpoint: Endpoint,
    socket: WebSocket,
    /// The handshake's.
    request_id: RequestId,
    /// The handshake's credential, until it is verified.
    presented: Option<S::Presented>,
    caller: Option<Caller>,
    /// Opened before the credential is verified, so that no change is missed.
    access: S::AccessChanges,
    client: IpAddr,
    connection: Option<Connection>,
    /// The socket itself, which is charged to the caller once the socket is authenticated.
    hold: Hold,
    /// What was sent and may wait in the buffer.
    unflushed: Hold,
    /// Until when the messages other than operations are paid for.
    paid_until: Instant,
    queries: Arc<Semaphore>,
    running: Vec<Running>,
    /// Which operation is polled first for a response, so that each has its turn.
    first: usize,
    /// Until when shared subscriptions wait.
    quiet: Option<Instant>,
    silent_pings: u32,
}

impl<S: Authenticate> Session<S> {
    pub(super) fn new(
        state: S,
        endpoint: Endpoint,
        socket: WebSocket,
        handshake: Handshake<S::Presented>,
    ) -> Self {
        let Handshake { request_id, presented, client, connection, hold } = handshake;
        Self {
            access: state.access_changes(),
            state,
            endpoint,
            socket,
            request_id,
            presented,
            caller: None,
            client,
            connection,
            unflushed: hold.account().nothing(Resource::BytesOut),
            hold,
            paid_until: Instant::now(),
            queries: Arc::new(Semaphore::new(MAX_QUERIES)),
            running: Vec::new(),
            first: 0,
            quiet: None,
            silent_pings: 0,
        }
    }

    /// Serves the socket until it ends: why to close it, or `None` if the client has gone.
    pub(super) async fn run(&mut self) -> Option<Close> {
        let stopping = self.endpoint.lifecycle().stopping.clone();
        let limits = *self.endpoint.limits();
        let init_deadline = Instant::now() + limits.socket_init;
        let mut ping = every(PING_EVERY);
        let mut recheck = every(limits.socket_recheck);
        loop {
            let expiry = self.expiry();
            let is_authenticated = self.caller.is_some();
            let quiet = self.quiet.filter(|until| *until > Instant::now());
            let Self { socket, running, first, access, .. } = self;
            let step = tokio::select! {
                () = stopping.cancelled() => return Some(Close::restart()),
                message = socket.recv() => match message {
                    Some(Ok(message)) => Step::Message(message),
                    Some(Err(_)) | None => return self.broken(),
                },
                (at, outgoing) = next_response(running, *first, quiet.is_none()), if !running.is_empty() => {
                    Step::Response(at, outgoing)
                }
                () = sleep_until(quiet.unwrap_or(init_deadline)), if quiet.is_some() => continue,
                () = sleep_until(init_deadline), if !is_authenticated => {
                    return Some(Close::new(4408, "Connection initialisation timeout"));
                }
                () = sleep_until(expiry.unwrap_or(init_deadline)), if expiry.is_some() => Step::Recheck,
                affected = access.next() => Step::Access(affected),
                _ = recheck.tick(), if is_authenticated => Step::Recheck,
                _ = ping.tick() => Step::Ping,
            };
            // Rare steps are boxed: their state would be held by each of thousands of idle sockets.
            let done = match step {
                Step::Response(at, outgoing) => self.send_ready(at, outgoing).await,
                Step::Message(message) => Box::pin(self.handle_message(message)).await,
                Step::Recheck => Box::pin(self.recheck()).await,
                Step::Access(affected) => self.access_changed(affected).await,
                Step::Ping => self.ping().await,
            };
            if let Err(close) = done {
                return Some(close);
            }
        }
    }

    /// Why to close a socket that cannot be read any longer: `None` if its client has gone.
    fn broken(&self) -> Option<Close> {
        let is_over = self.connection.as_ref().is_some_and(Connection::is_over_limit);
        (is_over && self.caller.is_none())
            .then(|| Close::new(1009, "Message too big: authenticate first, with a short connection_init"))
    }

    /// Counts a message other than an operation.
    fn count_message(&mut self) -> Result<(), Close> {
        let now = Instant::now();
        self.paid_until = self.paid_until.max(now) + OTHER_MESSAGE_EVERY;
        if self.paid_until - now > OTHER_MESSAGE_EVERY * OTHER_MESSAGES {
            return Err(Close::new(1008, "Too many messages: send pings and others less often"));
        }
        Ok(())
    }

    /// Gives back what the socket holds, sends the closing frame, and waits a short while for the client's.
    pub(super) async fn finish(mut self, close: Option<Close>) {
        self.running.clear();
        self.hold.clear();
        let Some(Close { code, reason }) = close else { return };
        tracing::debug!(code, reason, "closing a socket");
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if timeout(CLOSE_TIMEOUT, self.socket.send(frame)).await.is_ok_and(|sent| sent.is_ok()) {
            let _ =
                timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = self.socket.recv().await {} }).await;
        }
    }

    async fn handle_message(&mut self, message: Message) -> Result<(), Close> {
        self.silent_pings = 0;
        if let Some(connection) = &self.connection {
            connection.message_is_complete();
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Close::new(4400, "Invalid message: binary")),
            // The library answers pings and closing frames; the latter end the stream.
            Message::Ping(_) | Message::Pong(_) => return self.count_message(),
            Message::Close(_) => return Ok(()),
        };
        let ClientMessage { kind, id, payload } =
            serde_json::from_str(text.as_str()).map_err(Close::invalid)?;
        if !matches!(kind, Kind::Subscribe) {
            self.count_message()?;
        }
        let id = || id.ok_or_else(|| Close::new(4400, "Invalid message: it has no id"));
        match kind {
            Kind::ConnectionInit => {
                let payload = payload.map(|raw| serde_json::from_str::<Option<_>>(raw.get()));
                self.init(payload.transpose().map_err(Close::invalid)?.flatten().unwrap_or_default()).await
            }
            Kind::Ping => self.send(message::pong(payload)).await,
            Kind::Pong => Ok(()),
            Kind::Subscribe => {
                let operation =
                    serde_json::from_str(payload.map_or("null", RawValue::get)).map_err(Close::invalid)?;
                self.subscribe(id()?, operation).await
            }
            Kind::Complete => {
                let id = id()?;
                self.running.retain(|running| running.id != id);
                Ok(())
            }
        }
    }

    /// `connection_init`: authenticates the socket.
    async fn init(&mut self, payload: Map<String, Value>) -> Result<(), Close> {
        if self.caller.is_some() {
            return Err(Close::new(4429, "Too many initialisation requests"));
        }
        let given = self.state.presented_in_init(&payload).map_err(Close::refused)?;
        if given.is_some() && self.presented.is_some() {
            return Err(Close::new(4400, two_credentials().detail()));
        }
        let presented = given.or_else(|| self.presented.take());
        let presented = presented.ok_or_else(|| Close::new(4401, "Unauthorized: no credential"))?;
        let verified = self.state.verify_on_socket(&presented, &self.request_id, self.client).await;
        let actor = verified.map_err(Close::refused)?;
        let account = self.endpoint.budget().caller(self.client, &actor);
        self.hold.move_to(&account).map_err(Close::busy)?;
        self.unflushed.move_to(&account).map_err(Close::busy)?;
        if let Some(connection) = &self.connection {
            connection.belongs_to(&account, self.endpoint.budget()).map_err(Close::busy)?;
            connection.limit_unfinished(usize::MAX);
        }
        let context = self.state.context(actor).await.map_err(Close::refused)?;
        self.caller = Some(caller(&self.state, context));
        self.send(message::connection_ack()).await
    }

    async fn subscribe(&mut self, id: String, operation: Operation) -> Result<(), Close> {
        let Some(caller) = &self.caller else { return Err(Close::new(4401, "Unauthorized")) };
        if id.len() > MAX_ID_BYTES {
            return Err(Close::new(4400, format!("Invalid message: id may have {MAX_ID_BYTES} bytes")));
        }
        if self.running.len() >= MAX_OPERATIONS {
            let message = format!("a socket runs at most {MAX_OPERATIONS} operations: complete one first");
            return self.send(message::error(&id, &message)).await;
        }
        if self.running.iter().any(|running| running.id == id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        if let Err(problem) = self.state.count_operation(self.client, caller.context.actor()) {
            self.count_message()?;
            return self.send(message::busy(&id, problem.detail())).await;
        }
        let request = match operation.into_request() {
            Ok(request) => request,
            Err(message) => return self.send(message::error(&id, &message)).await,
        };
        // Started before the next message is read: a client that subscribes and then queries receives every change to
        // what the query returned.
        let schema = self.endpoint.schema();
        let account = self.hold.account();
        let turn = account.message_turn().await;
        let started = Running::start(id.clone(), request, schema, &caller.context, &self.queries, account);
        drop(turn);
        // A client may have sent many messages at once.
        yield_now().await;
        match started {
            Ok(running) => {
                self.running.push(running);
                Ok(())
            }
            Err(NotStarted::Busy(refusal)) => {
                self.count_message()?;
                self.send(message::busy(&id, &refusal.to_string())).await
            }
            Err(NotStarted::Refused(response)) => self.send(message::refused(&id, &response)?).await,
        }
    }

    /// Sends a response, and whatever else is ready, in one go.
    async fn send_ready(&mut self, at: usize, outgoing: Option<Outgoing>) -> Result<(), Close> {
        let is_quiet = self.quiet.is_some_and(|until| until > Instant::now());
        let mut next = Some((at, outgoing));
        let (mut left, mut was_shared) = (AT_ONCE, false);
        while let Some((at, outgoing)) = next {
            was_shared |= matches!(outgoing, Some(Outgoing::Shared(_)));
            self.send_response(at, outgoing).await?;
            left -= 1;
            next = match left {
                0 => None,
                // Polled without a waker: what is not ready is polled again with the others, or after the quiet time.
                _ => next_response(&mut self.running, self.first, !is_quiet).now_or_never(),
            };
        }
        // If more is ready than goes at once, it is next.
        if was_shared && left > 0 {
            self.quiet = Some(Instant::now() + QUIET);
        }
        taken(timeout(SEND_TIMEOUT, self.socket.flush()).await)?;
        self.unflushed.clear();
        Ok(())
    }

    /// Sends an operation's response, or that it has ended. It may wait in the buffer to be flushed.
    async fn send_response(&mut self, at: usize, outgoing: Option<Outgoing>) -> Result<(), Close> {
        self.first = at + 1;
        let Some(Running { id, .. }) = self.running.get(at) else { return Ok(()) };
        match outgoing {
            Some(Outgoing::Shared(response)) => {
                reconnect_if_unavailable(&response)?;
                self.unflushed.grow(response.get().len()).map_err(Close::busy)?;
                let text = message::next(id, &response)?;
                drop(response);
                self.feed_message(Message::text(text)).await
            }
            Some(Outgoing::Own(response)) => {
                reconnect_if_unavailable(&response)?;
                self.unflushed.grow(response.get().len()).map_err(Close::busy)?;
                let text = message::next(id, &response)?;
                drop(response);
                self.feed_message(Message::text(text)).await
            }
            Some(Outgoing::Query(QueryResponse { response, permit, held })) => {
                self.unflushed.grow(response.get().len()).map_err(Close::busy)?;
                let text = message::next(id, &response)?;
                drop(response);
                self.send_message(Message::text(text)).await?;
                drop((permit, held));
                Ok(())
            }
            None => {
                let Running { id, .. } = self.running.swap_remove(at);
                self.send(message::complete(&id)).await
            }
        }
    }

    /// When to recheck because the credential ends, by the program's clock.
    fn expiry(&self) -> Option<Instant> {
        let end = self.caller.as_ref()?.context.actor().expires_at?;
        let millis = u64::try_from(end.0.saturating_sub(self.endpoint.clock().now().0)).unwrap_or(0);
        // The end of a sliding session moves: it is enough to look at it now and then.
        Some(Instant::now() + Duration::from_millis(millis.clamp(1000, 86_400_000)))
    }

    async fn access_changed(&mut self, affected: Affected) -> Result<(), Close> {
        match affected {
            Affected::User(user_id)
                if self.caller.as_ref().is_none_or(|caller| caller.context.actor().user_id != *user_id) =>
            {
                Ok(())
            }
            _ => Box::pin(self.recheck()).await,
        }
    }

    /// Closes the socket of a caller who may no longer see what it shows.
    async fn recheck(&mut self) -> Result<(), Close> {
        let Some(caller) = &self.caller else { return Ok(()) };
        if self.state.still_holds(&caller.context).await {
            return Ok(());
        }
        Err(Close::new(4403, "Forbidden: the credential or the membership has ended or changed"))
    }

    async fn ping(&mut self) -> Result<(), Close> {
        if self.silent_pings >= MAX_SILENT_PINGS {
            return Err(Close::new(4408, "Timeout: no answer to pings"));
        }
        self.silent_pings += 1;
        self.send_message(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, message: Value) -> Result<(), Close> {
        self.send_message(Message::text(message.to_string())).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), Close> {
        taken(timeout(SEND_TIMEOUT, self.socket.send(message)).await)?;
        self.unflushed.clear();
        Ok(())
    }

    /// As [`Session::send_message`], but it may wait for the next flush.
    async fn feed_message(&mut self, message: Message) -> Result<(), Close> {
        taken(timeout(SEND_TIMEOUT, self.socket.feed(message)).await)
    }
}

/// A subscription that an outage of the database has ended takes the socket with it: the client comes back, subscribes and
/// fetches again.
fn reconnect_if_unavailable(response: &RawValue) -> Result<(), Close> {
    if han_api::is_unavailable(response) { Err(Close::restart()) } else { Ok(()) }
}

fn taken<E>(sent: Result<Result<(), E>, Elapsed>) -> Result<(), Close> {
    match sent {
        Ok(Ok(())) => Ok(()),
        // The client is no longer there to read the code.
        Ok(Err(_)) => Err(Close::new(1001, "Going away")),
        Err(_) => Err(Close::new(1008, "Too slow: messages were not taken")),
    }
}

/// What a socket's task does next.
enum Step {
    Message(Message),
    /// The operation at that place has a response, or has ended.
    Response(usize, Option<Outgoing>),
    Access(Affected),
    Recheck,
    Ping,
}

/// Gives a context the means to end its subscriptions: with the session, and when the rights no longer hold.
fn caller<S: Authenticate>(state: &S, context: RequestContext) -> Caller {
    let (ended, has_ended) = watch::channel(false);
    let recheck = {
        let (state, context) = (state.clone(), context.clone());
        move || -> BoxFuture<'static, bool> {
            let (state, context) = (state.clone(), context.clone());
            Box::pin(async move { state.still_holds(&context).await })
        }
    };
    let context = context.with_live(Live::new(has_ended, Arc::new(recheck)));
    Caller { context: Arc::new(context), _ended: ended }
}

/// Ticks of `period`, the first after one period. Late ticks are not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
