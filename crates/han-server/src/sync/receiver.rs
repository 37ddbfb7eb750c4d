//! The door of the sync protocol: `POST /api/sync/sessions` and `GET /api/sync/status`. Asks who it is, whether they
//! may, and how much it is; what was taken in whole is finished even where the client has gone.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONNECTION, EXPECT};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use han_db::queries::identity::Resolved;
use han_db::queries::ingest::{self, Outcome};
use han_http::Problem;
use han_types::Capability;
use han_types::sync::{BatchError, BatchErrorCode, PushResponse, PushResult, SyncStatus};
use serde::Deserialize;
use tokio::task::JoinError;
use tracing::Instrument as _;

use crate::admission::{Priority, Saturated};
use crate::auth::middleware::Caller;
use crate::state::AppState;
use crate::sync::body::{self, Encoding};
use crate::sync::memory::{Reservation, taken_to_store};
use crate::sync::request::{Push, PushedBatch};
use crate::sync::transformer::{Prepared, Transformer, Unprepared};

/// How many batches of a push are prepared ahead of the one that is being stored.
const PREPARED_AHEAD: usize = 2;

/// How many batches of a push lie prepared at once: those, and the one that is being stored.
pub(crate) const BATCHES_AT_ONCE: usize = PREPARED_AHEAD + 1;

/// How long the whole body of a push may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(300);

/// How many bytes are read and thrown away of a push whose sender has not said who they are.
const UNREAD_OF_STRANGERS: usize = 1 << 20;

const SYNC_WRITE: (Capability, &str) = (Capability::SyncWrite, "sync:write");
const READ: (Capability, &str) = (Capability::Read, "read");

/// `POST /api/sync/sessions`.
pub(crate) async fn push(State(state): State<AppState>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let limits = &state.config.limits;
    let (problem, unread) = match Caller::of(&state, &parts.method, &parts.headers).await {
        Ok(caller) => match accept(&state, caller, &parts.headers, &mut body).await {
            Ok(answer) => return Json(answer).into_response(),
            Err(problem) => (problem, limits.body_bytes.saturating_mul(4)),
        },
        Err(problem) => (problem, UNREAD_OF_STRANGERS),
    };
    // A connection closed under a client that still sends would cost it the answer. Who asked whether to send at all
    // has its answer.
    if !parts.headers.contains_key(EXPECT) {
        body::discard(body, unread).await;
    }
    ([(CONNECTION, "close")], problem).into_response()
}

async fn accept(
    state: &AppState,
    caller: Caller,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<PushResponse, Problem> {
    caller.may(&[SYNC_WRITE])?;
    let resolved = caller.scope(state, None).await?;
    let encoding = Encoding::of(headers)?;
    let priority = Priority::of(state.config.plans.effective(resolved.team.plan_tier));
    let mut memory = state.memory.reservation(resolved.team.id.clone(), priority);
    let read = body::read(headers, body, &state.config.limits, &mut memory);
    let bytes = tokio::time::timeout(BODY_DEADLINE, read)
        .await
        .map_err(|_| Problem::unavailable("the body took too long to arrive: send smaller batches"))??;
    // From here on the push is accepted.
    let accepted = take_in(state.clone(), caller, resolved, encoding, bytes, memory);
    state.lifecycle.tasks.spawn(accepted.in_current_span()).await.map_err(lost)?
}

/// `GET /api/sync/status?team_id=`.
pub(crate) async fn status(
    State(state): State<AppState>,
    caller: Caller,
    asked: Result<Query<StatusQuery>, QueryRejection>,
) -> Result<Json<SyncStatus>, Problem> {
    let Query(asked) = asked
        .map_err(|rejection| Problem::bad_request(format!("the query string: {}", rejection.body_text())))?;
    caller.may(&[SYNC_WRITE, READ])?;
    let resolved = caller.scope(&state, asked.team_id.as_deref()).await?;
    let transcripts = ingest::status(&resolved.scope, &state.db).await?;
    Ok(Json(SyncStatus { team_id: resolved.team.id.to_string(), transcripts }))
}

#[derive(Deserialize)]
pub(crate) struct StatusQuery {
    team_id: Option<String>,
}

async fn take_in(
    state: AppState,
    caller: Caller,
    resolved: Resolved,
    encoding: Encoding,
    bytes: Vec<u8>,
    mut memory: Reservation,
) -> Result<PushResponse, Problem> {
    let limits = state.config.limits;
    let parse = move || {
        let body = body::text(encoding, bytes, &limits, &mut memory)?;
        let push = Push::parse(body, &limits)?;
        Ok::<_, Problem>((push, memory))
    };
    let (push, mut memory) = blocking(parse).await.map_err(lost)??;
    let longest_line = push.longest_line().min(limits.line_bytes);
    let taken = taken_to_store(push.body.len(), longest_line, push.most_lines(BATCHES_AT_ONCE));
    memory.grow_to_store(taken).await?;
    let resolved = match &push.team_id {
        Some(named) if *named != resolved.team.id.as_str() => caller.scope(&state, Some(named)).await?,
        _ => resolved,
    };
    let transformer = Transformer {
        body: Arc::clone(&push.body),
        keys: state.db.keys().team(&state.db, resolved.scope.team_id()).await?,
        entropy: Arc::clone(&state.entropy),
        seals: state.config.plans.effective(resolved.team.plan_tier).seals_content(),
        max_line_bytes: limits.line_bytes,
        max_lines: limits.lines_per_batch,
    };
    let sessions = store_all(&state, &resolved, transformer, push.batches).await?;
    drop(memory);
    Ok(PushResponse { sessions })
}

/// Stores batch after batch, in the order they came, while the next ones are prepared.
async fn store_all(
    state: &AppState,
    resolved: &Resolved,
    transformer: Transformer,
    batches: Vec<PushedBatch>,
) -> Result<Vec<PushResult>, Problem> {
    let seals = transformer.seals;
    let priority = Priority::of(state.config.plans.effective(resolved.team.plan_tier));
    let mut prepared = std::pin::pin!(
        futures_util::stream::iter(batches)
            .map(|pushed| {
                let transformer = transformer.clone();
                let named = Named::of(&pushed);
                async move { (named, blocking(move || transformer.prepare(pushed)).await) }
            })
            .buffered(PREPARED_AHEAD)
    );
    let mut results = Vec::new();
    let mut stored_any = false;
    let mut database_away = false;
    while let Some((named, prepared)) = prepared.next().await {
        let Prepared { batch, rejected } = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(Unprepared::Refused(error))) => {
                results.push(named.refused(error));
                continue;
            }
            Ok(Err(Unprepared::Failed(error))) => {
                tracing::error!(%error, session = %named.session_id, "a batch could not be sealed");
                results.push(named.refused(failed()));
                continue;
            }
            Err(lost) => {
                tracing::error!(error = %lost, session = %named.session_id, "a batch could not be prepared");
                results.push(named.refused(failed()));
                continue;
            }
        };
        if database_away {
            results.push(named.refused(not_stored()));
            continue;
        }
        let turn = match state.stores.admit(1, priority).await {
            Ok(turn) => turn,
            Err(Saturated) if !stored_any => {
                return Err(Problem::unavailable("the server is storing as much as it can: try again"));
            }
            Err(Saturated) => {
                results.push(named.refused(not_stored()));
                continue;
            }
        };
        let stored = ingest::store(&resolved.scope, &state.db, seals, batch).await;
        drop(turn);
        match stored {
            Ok(Outcome::Stored { stored, duplicates, first_line, next_offset }) => {
                stored_any = true;
                let rejected = rejected
                    .into_iter()
                    .map(|mut line| {
                        line.line += first_line;
                        line
                    })
                    .collect();
                results.push(PushResult {
                    session_id: named.session_id,
                    transcript: named.transcript,
                    stored,
                    duplicates,
                    rejected,
                    next_offset,
                    error: None,
                });
            }
            Ok(Outcome::Refused(error)) => results.push(named.refused(error)),
            Err(error) if error.is_unavailable() && !stored_any => return Err(error.into()),
            Err(error) if error.is_unavailable() => {
                tracing::warn!(%error, "the database went away in the middle of a push");
                database_away = true;
                results.push(named.refused(not_stored()));
            }
            Err(error) => {
                tracing::error!(%error, session = %named.session_id, "a batch could not be stored");
                results.push(named.refused(failed()));
            }
        }
    }
    Ok(results)
}

/// What an answer calls a batch by, however malformed its names are.
struct Named {
    session_id: String,
    transcript: String,
    offset: u64,
}

impl Named {
    fn of(pushed: &PushedBatch) -> Self {
        Self {
            session_id: pushed.session_id.clone(),
            transcript: pushed.transcript.clone().unwrap_or_else(|| "main".to_owned()),
            offset: pushed.offset.unwrap_or(0),
        }
    }

    fn refused(self, error: BatchError) -> PushResult {
        PushResult {
            session_id: self.session_id,
            transcript: self.transcript,
            stored: 0,
            duplicates: 0,
            rejected: Vec::new(),
            next_offset: error.offset.unwrap_or(self.offset),
            error: Some(error),
        }
    }
}

fn not_stored() -> BatchError {
    BatchError {
        code: BatchErrorCode::Unavailable,
        message: "the server could not store this batch; nothing of it is stored: send it again later"
            .to_owned(),
        offset: None,
    }
}

/// What would fail again is not to be sent again and again.
fn failed() -> BatchError {
    BatchError {
        code: BatchErrorCode::Failed,
        message: "the server failed over this batch, and nothing of it is stored; its log says why under the answer's \
                  x-request-id. Sending it again helps only once that is mended"
            .to_owned(),
        offset: None,
    }
}

/// Runs work for the processor where it holds up nobody else, with its log lines in the request's span.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await
}

fn lost(error: JoinError) -> Problem {
    tracing::error!(%error, "a push was lost in the middle");
    Problem::internal()
}
