//! GraphQL over WebSocket: the `graphql-transport-ws` protocol (github.com/enisdenjo/graphql-ws, PROTOCOL.md), with
//! its close codes. One task serves a socket, and one each of its operations. An operation makes its next answer only
//! after the last one was taken, so a slow client costs little memory: it falls behind on the broadcast channel and is
//! told to fetch anew. And it holds up nobody else: what an operation holds or loads for many, it does not hold while
//! it waits for its client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_graphql::{Request, Response as Answer};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::poll;
use futures_util::stream::{BoxStream, StreamExt as _};
use han_api::{Live, RequestContext};
use han_db::changes::DbChangeEvent;
use han_db::queries::identity::{self, Resolved};
use han_types::{Actor, Scope};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::auth::csrf;
use crate::auth::middleware::{Presented, bearer_token, two_credentials};
use crate::graphql::Operation;
use crate::listener::Connection;
use crate::problem::Problem;
use crate::server::REQUEST_DEADLINE;
use crate::state::AppState;

/// The only subprotocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";

/// The most operations that one socket may have running.
const MAX_OPERATIONS: usize = 100;

/// The most queries and mutations of one socket that run at once; others wait for their turn.
const MAX_QUERIES: usize = 4;

/// The longest id of an operation. Clients use UUIDs or numbers.
const MAX_ID_BYTES: usize = 128;

/// The most sockets that are open without their clients having said who they are.
pub(crate) const MAX_UNKNOWN_SOCKETS: usize = 1_000;

/// What a socket reads at once, in bytes; the library's 128 KiB would be held by each of thousands.
const READ_BUFFER: usize = 4 << 10;

/// How often an idle peer is asked whether it is there, and after how many silent intervals it is not.
const PING_EVERY: Duration = Duration::from_secs(25);
const MAX_SILENT_PINGS: u32 = 2;

/// How long a peer may take to accept a message.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

/// Why a socket is closed. Codes from 4400 are the protocol's, 1012 is in IANA's WebSocket registry.
#[derive(Clone, Debug)]
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        // A control frame holds 125 bytes, two of them the code (RFC 6455, section 5.5).
        let mut reason: String = reason.into();
        while reason.len() > 123 {
            reason.pop();
        }
        Self(code, reason)
    }

    fn restart() -> Self {
        Self::new(1012, "Service Restart")
    }
}

/// Takes a handshake. A browser's cookie comes with whoever asks, so then the page must be this server's own.
pub(crate) fn upgrade(
    state: AppState,
    headers: &HeaderMap,
    connection: Option<Connection>,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let presented = Presented::read(&state, headers)?;
    if matches!(presented, Some(Presented::Cookie(_))) {
        csrf::check_socket(headers, state.public_url.origin())?;
    }
    let unknown = Arc::clone(&state.unknown_sockets).try_acquire_owned().map_err(|_| {
        Problem::unavailable("too many sockets wait for their clients to say who they are: try again")
    })?;
    let limit = state.config.limits.graphql_bytes;
    // Most of them are idle: small buffers, of which a larger message makes larger ones.
    let socket = socket.read_buffer_size(READ_BUFFER).write_buffer_size(0);
    let socket = socket.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let spoken = socket.selected_protocol().is_some();
    let token = state.tracker.token();
    Ok(socket.on_upgrade(move |socket| async move {
        // A shutdown waits for the closing handshake, and the listener must not call the connection idle.
        let _token = token;
        let _busy = connection.map(|connection| connection.busy());
        let mut session = Session::new(state, socket, presented, unknown);
        let close = if spoken {
            session.run().await
        } else {
            Some(Close::new(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        session.finish(close).await;
    }))
}

/// What a client says. Its payload is read once it is known what it is.
#[derive(Deserialize)]
struct ClientMessage<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Complete,
}

/// `next`: an answer of an operation.
#[derive(Serialize)]
struct Next<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    payload: &'a Answer,
}

/// One event of an operation: an answer, as it goes over the wire, or its end.
struct Event {
    id: Arc<str>,
    serial: u64,
    next: Option<String>,
}

/// An operation, which ends when this is dropped.
struct Running {
    serial: u64,
    _task: AbortOnDropHandle<()>,
}

/// A socket whose client has said who it is.
struct Authenticated {
    actor: Actor,
    context: RequestContext,
    /// Ends every subscription when the session does.
    _ended: watch::Sender<bool>,
}

struct Session {
    state: AppState,
    socket: WebSocket,
    presented: Option<Presented>,
    who: Option<Authenticated>,
    /// Whose rights change, from before its client said who it is.
    access: broadcast::Receiver<DbChangeEvent>,
    /// Given back once the client has said who it is.
    unknown: Option<OwnedSemaphorePermit>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    queries: Arc<Semaphore>,
    running: HashMap<Arc<str>, Running>,
    next_serial: u64,
    silent_pings: u32,
}

impl Session {
    fn new(
        state: AppState,
        socket: WebSocket,
        presented: Option<Presented>,
        unknown: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            access: state.access.subscribe(),
            state,
            socket,
            presented,
            who: None,
            unknown: Some(unknown),
            events: mpsc::channel(1),
            queries: Arc::new(Semaphore::new(MAX_QUERIES)),
            running: HashMap::new(),
            next_serial: 0,
            silent_pings: 0,
        }
    }

    /// Serves the socket to its end: how to close it, or `None` where its client has gone.
    async fn run(&mut self) -> Option<Close> {
        let stopping = self.state.stopping.clone();
        let limits = self.state.config.limits;
        let init_deadline = Instant::now() + limits.socket_init;
        let mut ping = every(PING_EVERY);
        let mut recheck = every(limits.socket_recheck);
        loop {
            let expiry = self.expiry();
            let step = tokio::select! {
                () = stopping.cancelled() => Err(Close::restart()),
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.hear(message).await,
                    Some(Err(_)) | None => return None,
                },
                Some(event) = self.events.1.recv() => self.tell(event).await,
                () = sleep_until(init_deadline), if self.who.is_none() => {
                    Err(Close::new(4408, "Connection initialisation timeout"))
                }
                () = sleep_until(expiry.unwrap_or(init_deadline)), if expiry.is_some() => self.recheck().await,
                event = self.access.recv() => self.access_changed(event).await,
                _ = recheck.tick(), if self.who.is_some() => self.recheck().await,
                _ = ping.tick() => self.ping().await,
            };
            if let Err(close) = step {
                return Some(close);
            }
        }
    }

    /// Says why and waits for the client to close, too, for a short while.
    async fn finish(mut self, close: Option<Close>) {
        self.running.clear();
        let Some(Close(code, reason)) = close else { return };
        tracing::debug!(code, reason, "closing a socket");
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if timeout(SEND_PATIENCE, self.socket.send(frame)).await.is_ok_and(|sent| sent.is_ok()) {
            let _ = timeout(Duration::from_secs(2), async {
                while let Some(Ok(_)) = self.socket.recv().await {}
            })
            .await;
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Close> {
        self.silent_pings = 0;
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Close::new(4400, "Invalid message: binary")),
            // The library answers pings and closing frames; the latter end the stream.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        let ClientMessage { kind, id, payload } = serde_json::from_str(text.as_str()).map_err(invalid)?;
        let id = || id.ok_or_else(|| Close::new(4400, "Invalid message: it has no id"));
        match kind {
            Kind::ConnectionInit => {
                let payload = payload.map(|raw| serde_json::from_str::<Option<_>>(raw.get()));
                self.init(payload.transpose().map_err(invalid)?.flatten().unwrap_or_default()).await
            }
            Kind::Ping => self.send(pong(payload)).await,
            Kind::Pong => Ok(()),
            Kind::Subscribe => {
                let operation =
                    serde_json::from_str(payload.map_or("null", RawValue::get)).map_err(invalid)?;
                self.subscribe(id()?, operation).await
            }
            Kind::Complete => {
                self.running.remove(id()?.as_str());
                Ok(())
            }
        }
    }

    /// `connection_init`: who is it?
    async fn init(&mut self, payload: Map<String, Value>) -> Result<(), Close> {
        if self.who.is_some() {
            return Err(Close::new(4429, "Too many initialisation requests"));
        }
        let given = payload.get("Authorization").or_else(|| payload.get("authorization"));
        let bearer = match given {
            None | Some(Value::Null) => None,
            Some(value) => {
                let token = value.as_str().and_then(bearer_token);
                let token =
                    token.ok_or_else(|| Close::new(4403, "Forbidden: Authorization must be Bearer"))?;
                Some(Presented::bearer(token))
            }
        };
        if bearer.is_some() && self.presented.is_some() {
            return Err(Close::new(4400, two_credentials().detail()));
        }
        let presented = bearer.or_else(|| self.presented.take());
        let presented = presented.ok_or_else(|| Close::new(4401, "Unauthorized: no credential"))?;
        let actor = presented.verify(&self.state).await.map_err(refused)?;
        let resolved =
            identity::scope_for(&self.state.db, &actor).await.map_err(|err| refused(err.into()))?;
        self.who = Some(authenticated(&self.state, actor, resolved));
        self.unknown = None;
        self.send(json!({ "type": "connection_ack" })).await
    }

    async fn subscribe(&mut self, id: String, operation: Operation) -> Result<(), Close> {
        let Some(who) = &self.who else { return Err(Close::new(4401, "Unauthorized")) };
        if id.len() > MAX_ID_BYTES {
            return Err(Close::new(4400, format!("Invalid message: id may have {MAX_ID_BYTES} bytes")));
        }
        if self.running.len() >= MAX_OPERATIONS {
            return self
                .error(&id, &format!("a socket runs at most {MAX_OPERATIONS} operations: complete one first"))
                .await;
        }
        let id: Arc<str> = id.into();
        let Entry::Vacant(free) = self.running.entry(Arc::clone(&id)) else {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        };
        let request = match operation.into_request() {
            Ok(request) => request,
            Err(message) => return self.error(&id, &message).await,
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        let mut request = han_api::request(request, who.context.clone());
        let answers = Answers { id, serial, events: self.events.0.clone() };
        let task = if self.state.schema.is_subscription(&mut request) {
            let mut events = self.state.schema.execute_stream(request, None);
            // Begun before the next message is heard: whoever asks for something after it was subscribed to hears of
            // every change to what is answered.
            let first = poll!(events.next());
            tokio::spawn(watch_events(events, first, answers).in_current_span())
        } else {
            let run = run_query(self.state.clone(), request, Arc::clone(&self.queries), answers);
            tokio::spawn(run.in_current_span())
        };
        let task = AbortOnDropHandle::new(task);
        free.insert(Running { serial, _task: task });
        Ok(())
    }

    /// Passes an operation's event on, unless the client has completed the operation meanwhile.
    async fn tell(&mut self, event: Event) -> Result<(), Close> {
        if self.running.get(&event.id).is_none_or(|running| running.serial != event.serial) {
            return Ok(());
        }
        match event.next {
            Some(next) => self.send_message(Message::text(next)).await,
            None => {
                self.running.remove(&event.id);
                self.send(json!({ "type": "complete", "id": &*event.id })).await
            }
        }
    }

    async fn error(&mut self, id: &str, message: &str) -> Result<(), Close> {
        let error = json!({ "message": message, "extensions": { "code": "BAD_USER_INPUT" } });
        self.send(json!({ "type": "error", "id": id, "payload": [error] })).await
    }

    /// When the credential ends, as far as the server's clock says now.
    fn expiry(&self) -> Option<Instant> {
        let end = self.who.as_ref()?.actor.expires_at?;
        let millis = u64::try_from(end.0.saturating_sub(self.state.clock.now().0)).unwrap_or(0);
        // A sliding session's end moves; looking again now and then is enough.
        Some(Instant::now() + Duration::from_millis(millis.clamp(1000, 86_400_000)))
    }

    /// Somebody's rights have changed, or nobody can say whose.
    async fn access_changed(&mut self, event: Result<DbChangeEvent, RecvError>) -> Result<(), Close> {
        match event {
            Ok(DbChangeEvent::Access(user_id))
                if self.who.as_ref().is_none_or(|who| who.actor.user_id != *user_id) =>
            {
                Ok(())
            }
            _ => self.recheck().await,
        }
    }

    /// Closes the socket of who may no longer see what it shows.
    async fn recheck(&mut self) -> Result<(), Close> {
        let Some(who) = &self.who else { return Ok(()) };
        match still_holds(&self.state, &who.actor, who.context.scope()).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Close::new(4403, "Forbidden: the credential or the membership has ended or changed"))
            }
            Err(error) => {
                tracing::warn!(%error, "a socket's credential could not be read again");
                Ok(())
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Close> {
        if self.silent_pings >= MAX_SILENT_PINGS {
            return Err(Close::new(4408, "Timeout: no answer to pings"));
        }
        self.silent_pings += 1;
        self.send_message(Message::Ping(axum::body::Bytes::new())).await
    }

    async fn send(&mut self, message: Value) -> Result<(), Close> {
        self.send_message(Message::text(message.to_string())).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), Close> {
        match timeout(SEND_PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Whoever is closed with this is no longer there to read it.
            Ok(Err(_)) => Err(Close::new(1001, "Going away")),
            Err(_) => Err(Close::new(1008, "Too slow: messages were not taken")),
        }
    }
}

/// Where an operation's answers go: one is on its way at a time.
struct Answers {
    id: Arc<str>,
    serial: u64,
    events: mpsc::Sender<Event>,
}

impl Answers {
    /// Whether anybody is there to take it.
    async fn send(&self, answer: &Answer) -> bool {
        match serde_json::to_string(&Next { kind: "next", id: &self.id, payload: answer }) {
            Ok(next) => self.event(Some(next)).await,
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                false
            }
        }
    }

    async fn event(&self, next: Option<String>) -> bool {
        self.events.send(Event { id: Arc::clone(&self.id), serial: self.serial, next }).await.is_ok()
    }
}

/// Passes on what a subscription tells, to its end or until the task is aborted.
async fn watch_events(mut events: BoxStream<'static, Answer>, first: Poll<Option<Answer>>, answers: Answers) {
    let mut next = match first {
        Poll::Ready(next) => next,
        Poll::Pending => events.next().await,
    };
    while let Some(answer) = next {
        if !answers.send(&answer).await {
            return;
        }
        next = events.next().await;
    }
    answers.event(None).await;
}

/// Runs a query or a mutation.
async fn run_query(state: AppState, request: Request, queries: Arc<Semaphore>, answers: Answers) {
    // Held until the client has taken the answer: a client that does not read has few of them waiting.
    let Ok(_turn) = queries.acquire_owned().await else { return };
    let answer = match timeout(REQUEST_DEADLINE, state.schema.execute(request)).await {
        Ok(answer) => answer,
        Err(_) => han_api::too_slow(),
    };
    if answers.send(&answer).await {
        answers.event(None).await;
    }
}

fn authenticated(state: &AppState, actor: Actor, resolved: Option<Resolved>) -> Authenticated {
    let (ended, listen) = watch::channel(false);
    let scope = resolved.as_ref().map(|resolved| resolved.scope.clone());
    let recheck = {
        let (state, actor) = (state.clone(), actor.clone());
        move || -> BoxFuture<'static, bool> {
            let (state, actor, scope) = (state.clone(), actor.clone(), scope.clone());
            Box::pin(async move { still_holds(&state, &actor, scope.as_ref()).await.unwrap_or(true) })
        }
    };
    let mut context = RequestContext::new(actor.clone()).with_live(Live::new(listen, Arc::new(recheck)));
    if let Some(resolved) = resolved {
        context = context.with_scope(resolved.scope, Some(resolved.team.name));
    }
    Authenticated { actor, context, _ended: ended }
}

/// Whether the credential is still good and still leads to the same team, in the same role.
async fn still_holds(
    state: &AppState,
    actor: &Actor,
    scope: Option<&Scope>,
) -> Result<bool, han_db::DbError> {
    if !identity::credential_is_live(&state.db, actor).await? {
        return Ok(false);
    }
    let Some(scope) = scope else { return Ok(true) };
    let now = identity::scope_in(&state.db, actor, scope.team_id()).await?;
    Ok(now.is_some_and(|now| now.scope.role() == scope.role()))
}

/// How a socket learns that it is not let in.
fn refused(problem: Problem) -> Close {
    let code = if problem.status().is_server_error() { 1013 } else { 4403 };
    Close::new(code, format!("Forbidden: {}", problem.detail()))
}

fn invalid(err: serde_json::Error) -> Close {
    Close::new(4400, format!("Invalid message: {err}"))
}

fn pong(payload: Option<&RawValue>) -> Value {
    match payload {
        Some(payload) => json!({ "type": "pong", "payload": payload }),
        None => json!({ "type": "pong" }),
    }
}

/// Ticks of `period`, the first after one period. Late ones are not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
