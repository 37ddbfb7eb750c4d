//! GraphQL over WebSocket: the `graphql-transport-ws` protocol (github.com/enisdenjo/graphql-ws, PROTOCOL.md), with
//! its close codes. One task serves a socket. It waits for its operations' answers and takes the next one only after
//! the last was sent, so a slow client costs little memory: it falls behind and is told to fetch anew. And it holds up
//! nobody else: answers that many get alike are made elsewhere (`han_api::StartedOperation::Shared`), and whatever else loads
//! something has a task of its own, which does not wait for the client while it holds what others need.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::{Request, Response as Answer};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::sink::SinkExt as _;
use futures_util::stream::{BoxStream, StreamExt as _};
use han_api::{Live, RequestContext, SharedAnswer, StartedOperation};
use han_db::changes::DbChangeEvent;
use han_db::queries::identity::{self, Resolved};
use han_types::{Actor, RequestId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::auth::csrf;
use crate::auth::middleware::{Presented, bearer_token, two_credentials};
use crate::graphql::Operation;
use crate::listener::Connection;
use crate::observe::request_id;
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
const READ_BUFFER: usize = 1 << 10;

/// What is written at once, in bytes: answers that are ready together go together. Longer ones go by themselves.
const WRITE_BUFFER: usize = 4 << 10;

/// For how long a socket that was just told all there was of shared subscriptions is told nothing more of them, and how
/// many answers it is told at once. A session that grows fast would have everyone who watches written to for each line;
/// so it is some twenty-five times a second, which is more than anybody sees.
const QUIET: Duration = Duration::from_millis(40);
const AT_ONCE: usize = 64;

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
    let request_id = request_id(&state, headers);
    if matches!(presented, Some(Presented::Cookie(_))) {
        csrf::check_socket(headers, state.public_url.origin())?;
    }
    let unknown = Arc::clone(&state.unknown_sockets).try_acquire_owned().map_err(|_| {
        Problem::unavailable("too many sockets wait for their clients to say who they are: try again")
    })?;
    let limit = state.config.limits.graphql_bytes;
    // Most of them are idle: small buffers, of which a larger message makes larger ones.
    let socket = socket.read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let socket = socket.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let spoken = socket.selected_protocol().is_some();
    let token = state.tracker.token();
    Ok(socket.on_upgrade(move |socket| async move {
        // A shutdown waits for the closing handshake, and the listener must not call the connection idle.
        let _token = token;
        let _busy = connection.map(|connection| connection.busy());
        let mut session = Session::new(state, socket, request_id, presented, unknown);
        let close = if spoken {
            session.run().await
        } else {
            Some(Close::new(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        Box::pin(session.finish(close)).await;
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
    payload: &'a RawValue,
}

/// An operation, which ends when this is dropped.
struct Running {
    id: String,
    answers: Answers,
}

/// Where an operation's answers come from.
enum Answers {
    /// Made for many; polling it loads nothing.
    Shared(BoxStream<'static, SharedAnswer>),
    /// A subscription's own: one is on its way at a time.
    Own { answers: mpsc::Receiver<Box<RawValue>>, _task: AbortOnDropHandle<()> },
    /// A query's only one.
    Query(AbortOnDropHandle<Option<Answered>>),
    /// None comes any more.
    Done,
}

/// A query's answer. It has its turn until the client has taken it: a client that does not read has few of them
/// waiting.
struct Answered {
    answer: Box<RawValue>,
    turn: OwnedSemaphorePermit,
}

/// An answer on its way to the client.
enum Told {
    Shared(SharedAnswer),
    Own(Box<RawValue>),
    Query(Answered),
}

impl Answers {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        match self {
            Self::Shared(answers) => answers.poll_next_unpin(cx).map(|next| next.map(Told::Shared)),
            Self::Own { answers, .. } => answers.poll_recv(cx).map(|next| next.map(Told::Own)),
            Self::Query(task) => {
                let done = std::task::ready!(Pin::new(task).poll(cx));
                *self = Self::Done;
                // A task that was lost has no answer: its panic stands in the log.
                Poll::Ready(done.ok().flatten().map(Told::Query))
            }
            Self::Done => Poll::Ready(None),
        }
    }
}

/// A socket whose client has said who it is.
struct Authenticated {
    actor: Actor,
    context: Arc<RequestContext>,
    /// Ends every subscription when the session does.
    _ended: watch::Sender<bool>,
}

struct Session {
    state: AppState,
    socket: WebSocket,
    /// The handshake's.
    request_id: RequestId,
    presented: Option<Presented>,
    who: Option<Authenticated>,
    /// Whose rights change, from before its client said who it is.
    access: broadcast::Receiver<DbChangeEvent>,
    /// Given back once the client has said who it is.
    unknown: Option<OwnedSemaphorePermit>,
    queries: Arc<Semaphore>,
    running: Vec<Running>,
    /// Which of them is asked first for an answer, so that each has its turn.
    first: usize,
    /// Until when shared subscriptions wait.
    quiet: Option<Instant>,
    silent_pings: u32,
}

impl Session {
    fn new(
        state: AppState,
        socket: WebSocket,
        request_id: RequestId,
        presented: Option<Presented>,
        unknown: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            access: state.access.subscribe(),
            state,
            socket,
            request_id,
            presented,
            who: None,
            unknown: Some(unknown),
            queries: Arc::new(Semaphore::new(MAX_QUERIES)),
            running: Vec::new(),
            first: 0,
            quiet: None,
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
            let knows_who = self.who.is_some();
            let quiet = self.quiet.filter(|until| *until > Instant::now());
            let Self { socket, running, first, access, .. } = self;
            let step = tokio::select! {
                () = stopping.cancelled() => return Some(Close::restart()),
                message = socket.recv() => match message {
                    Some(Ok(message)) => Step::Heard(message),
                    Some(Err(_)) | None => return None,
                },
                (at, told) = next_answer(running, *first, quiet.is_none()), if !running.is_empty() => {
                    Step::Answer(at, told)
                }
                () = sleep_until(quiet.unwrap_or(init_deadline)), if quiet.is_some() => continue,
                () = sleep_until(init_deadline), if !knows_who => {
                    return Some(Close::new(4408, "Connection initialisation timeout"));
                }
                () = sleep_until(expiry.unwrap_or(init_deadline)), if expiry.is_some() => Step::Recheck,
                event = access.recv() => Step::Access(event),
                _ = recheck.tick(), if knows_who => Step::Recheck,
                _ = ping.tick() => Step::Ping,
            };
            // What is rare is boxed: its state would be held by each of thousands of idle sockets.
            let done = match step {
                Step::Answer(at, told) => self.tell_ready(at, told).await,
                Step::Heard(message) => Box::pin(self.hear(message)).await,
                Step::Recheck => Box::pin(self.recheck()).await,
                Step::Access(event) => self.access_changed(event).await,
                Step::Ping => self.ping().await,
            };
            if let Err(close) = done {
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
                let id = id()?;
                self.running.retain(|running| running.id != id);
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
        let actor = presented.verify(&self.state, &self.request_id).await.map_err(refused)?;
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
        if self.running.iter().any(|running| running.id == id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        let request = match operation.into_request() {
            Ok(request) => request,
            Err(message) => return self.error(&id, &message).await,
        };
        // Begun before the next message is heard: whoever asks for something after it was subscribed to hears of every
        // change to what is answered.
        let answers = match self.state.schema.begin(request, &who.context) {
            StartedOperation::Shared(answers) => Answers::Shared(answers),
            StartedOperation::Own(answers) => {
                let (sender, receiver) = mpsc::channel(1);
                let task = tokio::spawn(pass_on(answers, sender).in_current_span());
                Answers::Own { answers: receiver, _task: AbortOnDropHandle::new(task) }
            }
            StartedOperation::Query(request) => {
                let run = run_query(self.state.clone(), *request, Arc::clone(&self.queries));
                Answers::Query(AbortOnDropHandle::new(tokio::spawn(run.in_current_span())))
            }
        };
        self.running.push(Running { id, answers });
        Ok(())
    }

    /// Passes on what an operation gave, and whatever else is ready, in one go.
    async fn tell_ready(&mut self, at: usize, told: Option<Told>) -> Result<(), Close> {
        let is_quiet = self.quiet.is_some_and(|until| until > Instant::now());
        let mut next = Some((at, told));
        let (mut left, mut was_shared) = (AT_ONCE, false);
        while let Some((at, told)) = next {
            was_shared |= matches!(told, Some(Told::Shared(_)));
            self.tell(at, told).await?;
            left -= 1;
            next = match left {
                0 => None,
                // Nobody is woken by what is not ready: it is asked again, when the others are or after the quiet.
                _ => next_answer(&mut self.running, self.first, !is_quiet).now_or_never(),
            };
        }
        // Where more is ready than goes at once, it is next.
        if was_shared && left > 0 {
            self.quiet = Some(Instant::now() + QUIET);
        }
        taken(timeout(SEND_PATIENCE, self.socket.flush()).await)
    }

    /// Passes on what an operation gave, or that it has ended; it may wait to be flushed.
    async fn tell(&mut self, at: usize, told: Option<Told>) -> Result<(), Close> {
        self.first = at + 1;
        let Some(Running { id, .. }) = self.running.get(at) else { return Ok(()) };
        let next = |payload: &RawValue| {
            serde_json::to_string(&Next { kind: "next", id, payload })
                .map_err(|_| Close::new(1011, "Internal error"))
        };
        match told {
            Some(Told::Shared(answer)) => {
                let text = next(&answer)?;
                drop(answer);
                self.feed_message(Message::text(text)).await
            }
            Some(Told::Own(answer)) => {
                let text = next(&answer)?;
                drop(answer);
                self.feed_message(Message::text(text)).await
            }
            Some(Told::Query(Answered { answer, turn })) => {
                let text = next(&answer)?;
                drop(answer);
                self.send_message(Message::text(text)).await?;
                drop(turn);
                Ok(())
            }
            None => {
                let Running { id, .. } = self.running.swap_remove(at);
                self.send(json!({ "type": "complete", "id": id })).await
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
            _ => Box::pin(self.recheck()).await,
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
        taken(timeout(SEND_PATIENCE, self.socket.send(message)).await)
    }

    /// As [`Session::send_message`], but it may wait for the next flush.
    async fn feed_message(&mut self, message: Message) -> Result<(), Close> {
        taken(timeout(SEND_PATIENCE, self.socket.feed(message)).await)
    }
}

fn taken<E>(sent: Result<Result<(), E>, Elapsed>) -> Result<(), Close> {
    match sent {
        Ok(Ok(())) => Ok(()),
        // Whoever is closed with this is no longer there to read it.
        Ok(Err(_)) => Err(Close::new(1001, "Going away")),
        Err(_) => Err(Close::new(1008, "Too slow: messages were not taken")),
    }
}

/// What a socket's task does next.
enum Step {
    Heard(Message),
    /// The operation at that place gave an answer, or ended.
    Answer(usize, Option<Told>),
    Access(Result<DbChangeEvent, RecvError>),
    Recheck,
    Ping,
}

/// The next answer of any operation, or the end of one, with its place in the list; the one at `first` is asked first,
/// and those that are shared only where they may be.
async fn next_answer(running: &mut [Running], first: usize, shared: bool) -> (usize, Option<Told>) {
    poll_fn(|cx| {
        for at in 0..running.len() {
            let at = (first + at) % running.len();
            if !shared && matches!(running[at].answers, Answers::Shared(_)) {
                continue;
            }
            if let Poll::Ready(told) = running[at].answers.poll_next(cx) {
                return Poll::Ready((at, told));
            }
        }
        Poll::Pending
    })
    .await
}

fn written(answer: &Answer) -> Option<Box<RawValue>> {
    let written = serde_json::value::to_raw_value(answer);
    written.inspect_err(|error| tracing::error!(%error, "an answer could not be written")).ok()
}

/// Passes on what a subscription tells, to its end or until the task is aborted.
async fn pass_on(mut answers: BoxStream<'static, Answer>, to: mpsc::Sender<Box<RawValue>>) {
    while let Some(answer) = answers.next().await {
        let Some(answer) = written(&answer) else { return };
        if to.send(answer).await.is_err() {
            return;
        }
    }
}

/// Runs a query or a mutation.
async fn run_query(state: AppState, request: Request, queries: Arc<Semaphore>) -> Option<Answered> {
    let turn = queries.acquire_owned().await.ok()?;
    let answer = match timeout(REQUEST_DEADLINE, state.schema.execute(request)).await {
        Ok(answer) => answer,
        Err(_) => han_api::too_slow(),
    };
    Some(Answered { answer: written(&answer)?, turn })
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
    Authenticated { actor, context: Arc::new(context), _ended: ended }
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
