//! GraphQL over WebSocket: the `graphql-transport-ws` protocol (github.com/enisdenjo/graphql-ws, PROTOCOL.md), with
//! its close codes. One task serves a socket. It reads the next message or event only after the last one was taken,
//! so a slow client costs no memory: it falls behind on the broadcast channel and is told to fetch anew.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Response as Answer;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};
use han_api::{Live, RequestContext};
use han_db::queries::identity::{self, Resolved};
use han_types::{Actor, TeamId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::csrf;
use crate::auth::middleware::{Presented, bearer_token, two_credentials};
use crate::graphql::Operation;
use crate::listener::Connection;
use crate::problem::Problem;
use crate::state::AppState;

/// The only subprotocol spoken.
const PROTOCOL: &str = "graphql-transport-ws";

/// The most operations that one socket may have running.
const MAX_OPERATIONS: usize = 100;

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
    let limit = state.config.limits.graphql_bytes;
    let socket = socket.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let spoken = socket.selected_protocol().is_some();
    let token = state.tracker.token();
    Ok(socket.on_upgrade(move |socket| async move {
        // A shutdown waits for the closing handshake, and the listener must not call the connection idle.
        let _token = token;
        let _busy = connection.map(|connection| connection.busy());
        let mut session = Session::new(state, socket, presented);
        let close = if spoken {
            session.run().await
        } else {
            Some(Close::new(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        session.finish(close).await;
    }))
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Operation,
    },
    Complete {
        id: String,
    },
}

/// One event of an operation: an answer, or its end.
struct Event {
    id: String,
    serial: u64,
    answer: Option<Box<Answer>>,
}

struct Running {
    serial: u64,
    cancel: CancellationToken,
}

/// A socket whose client has said who it is.
struct Authenticated {
    actor: Actor,
    team_id: Option<TeamId>,
    context: RequestContext,
    /// Ends every subscription when the session does.
    _ended: watch::Sender<bool>,
}

struct Session {
    state: AppState,
    socket: WebSocket,
    presented: Option<Presented>,
    who: Option<Authenticated>,
    operations: SelectAll<BoxStream<'static, Event>>,
    running: HashMap<String, Running>,
    next_serial: u64,
    silent_pings: u32,
}

impl Session {
    fn new(state: AppState, socket: WebSocket, presented: Option<Presented>) -> Self {
        Self {
            state,
            socket,
            presented,
            who: None,
            operations: SelectAll::new(),
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
                Some(event) = self.operations.next() => self.tell(event).await,
                () = sleep_until(init_deadline), if self.who.is_none() => {
                    Err(Close::new(4408, "Connection initialisation timeout"))
                }
                () = sleep_until(expiry.unwrap_or(init_deadline)), if expiry.is_some() => self.recheck().await,
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
        self.operations.clear();
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
        let message: ClientMessage = serde_json::from_str(text.as_str())
            .map_err(|err| Close::new(4400, format!("Invalid message: {err}")))?;
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload.unwrap_or_default()).await,
            ClientMessage::Ping { payload } => self.send(pong(payload)).await,
            ClientMessage::Pong {} => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload).await,
            ClientMessage::Complete { id } => {
                if let Some(running) = self.running.remove(&id) {
                    running.cancel.cancel();
                }
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
                Some(Presented::Bearer(token.to_owned()))
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
        self.send(json!({ "type": "connection_ack" })).await
    }

    async fn subscribe(&mut self, id: String, payload: Operation) -> Result<(), Close> {
        let Some(who) = &self.who else { return Err(Close::new(4401, "Unauthorized")) };
        if self.running.len() >= MAX_OPERATIONS {
            return self
                .error(&id, &format!("a socket runs at most {MAX_OPERATIONS} operations: complete one first"))
                .await;
        }
        let request = match payload.into_request() {
            Ok(request) => request,
            Err(message) => return self.error(&id, &message).await,
        };
        let serial = self.next_serial;
        let cancel = CancellationToken::new();
        match self.running.entry(id.clone()) {
            Entry::Occupied(_) => {
                return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
            }
            Entry::Vacant(free) => {
                free.insert(Running { serial, cancel: cancel.clone() });
            }
        }
        self.next_serial += 1;
        let answers = self.state.schema.execute_stream(han_api::request(request, who.context.clone()), None);
        let ended = (id.clone(), serial);
        let events = answers
            .map(move |answer| Event { id: id.clone(), serial, answer: Some(Box::new(answer)) })
            .chain(futures_util::stream::once(
                async move { Event { id: ended.0, serial: ended.1, answer: None } },
            ))
            .take_until(cancel.cancelled_owned());
        self.operations.push(events.boxed());
        Ok(())
    }

    /// Passes an operation's event on, unless the client has completed the operation meanwhile.
    async fn tell(&mut self, event: Event) -> Result<(), Close> {
        if self.running.get(&event.id).is_none_or(|running| running.serial != event.serial) {
            return Ok(());
        }
        match event.answer {
            Some(answer) => self.send(json!({ "type": "next", "id": event.id, "payload": *answer })).await,
            None => {
                self.running.remove(&event.id);
                self.send(json!({ "type": "complete", "id": event.id })).await
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

    /// Closes the socket of who may no longer see what it shows.
    async fn recheck(&mut self) -> Result<(), Close> {
        let Some(who) = &self.who else { return Ok(()) };
        match still_holds(&self.state, &who.actor, who.team_id.as_ref()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Close::new(4403, "Forbidden: the credential or the membership has ended")),
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

fn authenticated(state: &AppState, actor: Actor, resolved: Option<Resolved>) -> Authenticated {
    let (ended, listen) = watch::channel(false);
    let team_id = resolved.as_ref().map(|resolved| resolved.team.id.clone());
    let recheck = {
        let (state, actor, team_id) = (state.clone(), actor.clone(), team_id.clone());
        move || -> BoxFuture<'static, bool> {
            let (state, actor, team_id) = (state.clone(), actor.clone(), team_id.clone());
            Box::pin(async move { still_holds(&state, &actor, team_id.as_ref()).await.unwrap_or(true) })
        }
    };
    let mut context = RequestContext::new(actor.clone()).with_live(Live::new(listen, Arc::new(recheck)));
    if let Some(resolved) = resolved {
        context = context.with_scope(resolved.scope, Some(resolved.team.name));
    }
    Authenticated { actor, team_id, context, _ended: ended }
}

/// Whether the credential is still good and still leads to the same team.
async fn still_holds(
    state: &AppState,
    actor: &Actor,
    team_id: Option<&TeamId>,
) -> Result<bool, han_db::DbError> {
    if !identity::credential_is_live(&state.db, actor).await? {
        return Ok(false);
    }
    let Some(team_id) = team_id else { return Ok(true) };
    Ok(identity::scope_in(&state.db, actor, team_id).await?.is_some())
}

/// How a socket learns that it is not let in.
fn refused(problem: Problem) -> Close {
    let code = if problem.status().is_server_error() { 1013 } else { 4403 };
    Close::new(code, format!("Forbidden: {}", problem.detail()))
}

fn pong(payload: Option<Value>) -> Value {
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
