//! The routes of the sync protocol: `POST /api/sync/sessions` and `GET /api/sync/status`. Authenticates, checks limits,
//! and stores. A push that was received as a whole is stored even if the client has disconnected.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONNECTION, EXPECT};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use han_db::entities::Team;
use han_db::queries::api_keys;
use han_db::queries::ingest::{self, Outcome, Preparer};
use han_db::queries::memberships::{self, Resolved};
use han_types::sync::{
    BatchError, BatchErrorCode, PushResponse, PushResult, SyncKey, SyncLimits, SyncStatus, SyncTeam,
};
use han_types::{Capability, Credential};
use serde::Deserialize;
use tracing::Instrument as _;

use super::malformed_query;
use crate::admission::Saturated;
use crate::auth::middleware::{Caller, Pushing};
use crate::billing::middleware;
use crate::blocking;
use crate::config::push_memory::{BATCHES_AT_ONCE, PREPARED_AHEAD, bytes_to_store};
use crate::state::AppState;
use crate::sync::body::{self, Encoding};
use crate::sync::memory_budget::Reservation;
use crate::sync::request::{Push, PushedBatch};
use crate::sync::transformer::{Prepared, Transformer, Unprepared};
use han_http::Problem;

/// How long the whole body of a push may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(300);

/// How many bytes of a push without a valid credential are read and discarded.
const UNAUTHENTICATED_BYTES: usize = 1 << 20;

const SYNC_WRITE: (Capability, &str) = (Capability::SyncWrite, "sync:write");
const READ: (Capability, &str) = (Capability::Read, "read");

/// `POST /api/sync/sessions`.
pub(crate) async fn push(State(state): State<AppState>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let limits = &state.config.limits;
    let (problem, unread) = match Pushing::of(&state, &parts.method, &parts.headers).await {
        Ok(pushing) => match accept(&state, pushing, &parts.headers, &mut body).await {
            Ok(answer) => return Json(answer).into_response(),
            Err(problem) => (problem, limits.body_bytes.saturating_mul(4)),
        },
        Err(problem) => (problem, UNAUTHENTICATED_BYTES),
    };
    // If the connection is closed while the client still sends, the client loses the response. A client that sent
    // `Expect` waits for the response before it sends.
    if !parts.headers.contains_key(EXPECT) {
        body::discard(body, unread).await;
    }
    ([(CONNECTION, "close")], problem).into_response()
}

async fn accept(
    state: &AppState,
    mut pushing: Pushing,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<PushResponse, Problem> {
    pushing.caller.may(&[SYNC_WRITE])?;
    let resolved = pushing.scope(state).await?;
    let encoding = Encoding::of(headers)?;
    middleware::may_push(&resolved)?;
    let priority = middleware::priority(resolved.scope.policy());
    let mut memory = state.memory.reservation(resolved.team.id.clone(), priority);
    let read = body::read(headers, body, &state.config.limits, &mut memory);
    let bytes = tokio::time::timeout(BODY_DEADLINE, read)
        .await
        .map_err(|_| Problem::unavailable("the body took too long to arrive: send smaller batches"))??;
    // From here on the push is accepted.
    let accepted = receive(state.clone(), pushing.caller, resolved, encoding, bytes, memory);
    let done = state.lifecycle.tasks.spawn(accepted.in_current_span()).await;
    done.map_err(|error| blocking::lost("a push", &error))?
}

/// `GET /api/sync/status?team_id=`.
pub(crate) async fn status(
    State(state): State<AppState>,
    caller: Caller,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Result<Json<SyncStatus>, Problem> {
    let Query(query) = query.map_err(malformed_query)?;
    caller.may(&[SYNC_WRITE, READ])?;
    let resolved = caller.scope(&state, query.team_id.as_deref()).await?;
    let transcripts = ingest::status(&resolved.scope, &state.db).await?;
    let named =
        |team: &Team| SyncTeam { id: team.id.to_string(), slug: team.slug.clone(), name: team.name.clone() };
    let teams = memberships::of_actor(&state.db, &caller.0).await?;
    let limits = &state.config.limits;
    let key = expiring_key(&state, &caller).await?;
    Ok(Json(SyncStatus {
        team_id: resolved.team.id.to_string(),
        team: Some(named(&resolved.team)),
        teams: teams.iter().map(|found| named(&found.team)).collect(),
        limits: Some(SyncLimits {
            line_bytes: limits.line_bytes as u64,
            body_bytes: limits.body_bytes as u64,
            decompressed_bytes: limits.decompressed_bytes as u64,
        }),
        key,
        transcripts,
    }))
}

/// The API key of the request, if it is one that expires.
async fn expiring_key(state: &AppState, Caller(actor): &Caller) -> Result<Option<SyncKey>, Problem> {
    let Credential::ApiKey { id, team_id } = &actor.credential else { return Ok(None) };
    let found = api_keys::expiry(&state.db, team_id, id).await?;
    Ok(found.map(|(name, end)| SyncKey {
        name,
        expires_at: end.to_rfc3339(),
        expires_in_days: state.clock.now().days_until(end),
    }))
}

#[derive(Deserialize)]
pub(crate) struct StatusQuery {
    team_id: Option<String>,
}

/// Parses and stores a push that was received as a whole.
async fn receive(
    state: AppState,
    caller: Caller,
    resolved: Resolved,
    encoding: Encoding,
    bytes: Vec<u8>,
    mut memory: Reservation,
) -> Result<PushResponse, Problem> {
    let limits = state.config.limits;
    let small = body::small_text(encoding, &bytes, &limits, &mut memory).await?;
    let size = small.as_ref().map_or(usize::MAX, Bytes::len);
    let parse = move || {
        let body = match small {
            Some(body) => body,
            None => body::text(encoding, bytes, &limits, &mut memory)?,
        };
        let push = Push::parse(&body, &limits)?;
        Ok::<_, Problem>((push, memory))
    };
    let (push, mut memory) = blocking::run_sized("the parsing of a push", size, parse).await??;
    let longest_line = push.longest_line().min(limits.line_bytes);
    let needed = bytes_to_store(push.body_bytes, longest_line, push.most_lines(BATCHES_AT_ONCE));
    memory.grow_to_store(needed).await?;
    let resolved = match &push.team_id {
        Some(named) if *named != resolved.team.id.as_str() => {
            let resolved = caller.scope(&state, Some(named)).await?;
            middleware::may_push(&resolved)?;
            resolved
        }
        _ => resolved,
    };
    let transformer = Transformer {
        preparer: Preparer::new(resolved.scope.policy()),
        max_line_bytes: limits.line_bytes,
        max_lines: limits.lines_per_batch,
    };
    let sessions = store_all(&state, &resolved, transformer, push.batches).await?;
    drop(memory);
    Ok(PushResponse { sessions })
}

/// Stores the batches in their order, while the next ones are prepared.
async fn store_all(
    state: &AppState,
    resolved: &Resolved,
    transformer: Transformer,
    batches: Vec<PushedBatch>,
) -> Result<Vec<PushResult>, Problem> {
    let priority = middleware::priority(resolved.scope.policy());
    let mut prepared = std::pin::pin!(
        futures_util::stream::iter(batches)
            .map(|pushed| {
                let transformer = transformer.clone();
                let named = BatchName::of(&pushed);
                let bytes = pushed.lines.iter().map(Bytes::len).sum();
                let prepare = move || transformer.prepare(pushed);
                async move { (named, blocking::run_sized("the preparation of a batch", bytes, prepare).await) }
            })
            .buffered(PREPARED_AHEAD)
    );
    let mut results = Vec::new();
    let mut stored_any = false;
    let mut database_unavailable = false;
    while let Some((named, prepared)) = prepared.next().await {
        let Prepared { batch, rejected } = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(Unprepared::Refused(error))) => {
                results.push(named.refused(error));
                continue;
            }
            Ok(Err(Unprepared::Failed(error))) => {
                tracing::error!(%error, session = %named.session_id, "a batch could not be prepared");
                results.push(named.refused(failed()));
                continue;
            }
            Err(blocking::Lost) => {
                results.push(named.refused(failed()));
                continue;
            }
        };
        if database_unavailable {
            results.push(named.refused(not_stored()));
            continue;
        }
        let turn = match state.stores.acquire(1, priority).await {
            Ok(turn) => turn,
            Err(Saturated) if !stored_any => {
                return Err(Problem::unavailable("too many batches are being stored: try again"));
            }
            Err(Saturated) => {
                results.push(named.refused(not_stored()));
                continue;
            }
        };
        let stored = ingest::store(&resolved.scope, &state.db, batch).await;
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
                tracing::warn!(%error, "the database became unavailable during a push");
                database_unavailable = true;
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

/// How the response identifies a batch: as sent, even if malformed.
struct BatchName {
    session_id: String,
    transcript: String,
    offset: u64,
}

impl BatchName {
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
        message:
            "the server is not able to store this batch now, and none of it is stored: send it again later"
                .to_owned(),
        offset: None,
    }
}

/// For a batch that would fail again: the client must not repeat it.
fn failed() -> BatchError {
    BatchError {
        code: BatchErrorCode::Failed,
        message:
            "storing this batch failed, and none of it is stored; the server's log has the reason under the \
                  x-request-id of this response. Send it again only after that is fixed"
                .to_owned(),
        offset: None,
    }
}
