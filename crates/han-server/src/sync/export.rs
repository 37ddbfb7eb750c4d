//! `GET /api/sync/teams/{team_id}/export` and `…/sessions/{session_id}/export`: a team's sessions as NDJSON, the caller's
//! own, or one session. The body is written while it is read, a page of lines at a time.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::stream;
use han_crypto::to_hex;
use han_db::DbError;
use han_db::queries::audit::{self, Entry, Event};
use han_db::queries::export::{Export, Part, Selection};
use han_db::queries::memberships::Resolved;
use han_db::queries::{deletion, service_accounts, sessions};
use han_http::Problem;
use han_types::export::{
    EXPORT_VERSION, ExportEnd, ExportHead, ExportLine, ExportRecord, ExportUser, OwnerKind,
};
use han_types::{Capability, Role, SessionId};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{malformed_path, malformed_query};
use crate::auth::middleware::Caller;
use crate::ndjson::{self, append};
use crate::state::AppState;

const READ: (Capability, &str) = (Capability::Read, "read");

/// Which sessions of the team are exported.
#[derive(Deserialize)]
pub(crate) struct ExportQuery {
    /// Only the caller's own.
    #[serde(default)]
    own: bool,
}

/// `GET /api/sync/teams/{team_id}/export`.
pub(crate) async fn team(
    State(state): State<AppState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(team) = path.map_err(malformed_path)?;
    let Query(query) = query.map_err(malformed_query)?;
    caller.may(&[READ])?;
    let resolved = caller.scope(&state, Some(&team)).await?;
    if !query.own && resolved.scope.role() != Role::Admin {
        return Err(Problem::admins_only(
            "only an admin of the team may export all of its sessions: add ?own=true to export your own",
        ));
    }
    respond(&state, resolved, if query.own { Selection::Own } else { Selection::Team }).await
}

/// `GET /api/sync/teams/{team_id}/sessions/{session_id}/export`.
pub(crate) async fn session(
    State(state): State<AppState>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((team, session)) = path.map_err(malformed_path)?;
    caller.may(&[READ])?;
    let resolved = caller.scope(&state, Some(&team)).await?;
    let id = existing_session(&state, &resolved, &session).await?;
    respond(&state, resolved, Selection::Session(id)).await
}

/// The id of a session of the team.
///
/// # Errors
/// 410 if it was deleted, 404 if there is none.
pub(crate) async fn existing_session(
    state: &AppState,
    resolved: &Resolved,
    session: &str,
) -> Result<SessionId, Problem> {
    let missing = || Problem::not_found("the team has no such session: check its id");
    let id: SessionId = session.parse().map_err(|_| missing())?;
    let tx = state.db.read(&resolved.scope, "sessions.exists").await?;
    if sessions::exists(&tx, &id).await? {
        return Ok(id);
    }
    if deletion::was_deleted(&tx, &id).await? {
        return Err(Problem::gone(
            "this session was deleted from the team, and cannot be pushed or read again",
        ));
    }
    Err(missing())
}

async fn respond(state: &AppState, resolved: Resolved, selection: Selection) -> Result<Response, Problem> {
    let Resolved { scope, team } = resolved;
    let name = match &selection {
        Selection::Session(id) => format!("{}-{id}", team.slug),
        Selection::Team | Selection::Own => team.slug.clone(),
    };
    tracing::info!(team = %team.id, user = %scope.user_id(), ?selection, "an export begins");
    let entry = match &selection {
        Selection::Team => Entry::new(Event::TeamExported),
        Selection::Own => Entry::new(Event::OwnExported),
        Selection::Session(id) => Entry::new(Event::SessionExported).about_session(id),
    };
    audit::record(&scope, &state.db, entry).await?;
    let export = Export::new(scope, state.db.clone(), selection);
    let users = export.owners().await?;
    let programs = service_accounts::all_ids(&state.db, &team.id).await?;
    let user = |user: han_db::entities::User| ExportUser {
        kind: if programs.contains(&user.id) { OwnerKind::Service } else { OwnerKind::Person },
        id: user.id.to_string(),
        name: user.username,
    };
    let head = ExportHead {
        version: EXPORT_VERSION,
        team_id: team.id.to_string(),
        team: team.slug,
        exported_at: state.clock.now().to_rfc3339(),
        users: users.into_iter().map(user).collect(),
    };
    let writer = Writer { export, head: Some(head), hash: Sha256::new(), end: ExportEnd::default() };
    let chunks = stream::try_unfold(Some(writer), |writer: Option<Writer>| async move {
        let Some(writer) = writer else { return Ok(None) };
        let chunk = writer.chunk().await.map(Some);
        chunk.inspect_err(|error| tracing::error!(%error, "an export failed: it has no end marker"))
    });
    Ok(ndjson::download(&name, chunks))
}

/// Why an export ended early. The client sees a response that is cut off.
#[derive(Debug, Error)]
enum ExportError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("a record cannot be written: {0}")]
    Record(#[from] serde_json::Error),
}

/// Writes the records of an export.
struct Writer {
    export: Export,
    /// Until it is written.
    head: Option<ExportHead>,
    hash: Sha256,
    end: ExportEnd,
}

impl Writer {
    /// The next bytes, and the writer unless they are the last.
    async fn chunk(mut self) -> Result<(Bytes, Option<Self>), ExportError> {
        let mut out = Vec::new();
        if let Some(head) = self.head.take() {
            append(&mut out, &ExportRecord::Export(head))?;
            return Ok((self.counted(out), Some(self)));
        }
        match self.export.next().await? {
            Some(Part::Session(session)) => {
                self.end.sessions += 1;
                append(&mut out, &ExportRecord::Session(*session))?;
            }
            Some(Part::Transcript(transcript)) => {
                self.end.transcripts += 1;
                append(&mut out, &ExportRecord::Transcript(transcript))?;
            }
            Some(Part::Lines(lines)) => {
                self.end.lines += lines.len() as u64;
                for line in &lines {
                    let message: &RawValue = serde_json::from_str(&line.text)?;
                    let line = u64::try_from(line.line).unwrap_or_default();
                    append(&mut out, &ExportRecord::Line(ExportLine { line, message }))?;
                }
            }
            None => {
                self.end.sha256 = to_hex(&self.hash.finalize());
                append(&mut out, &ExportRecord::End(self.end))?;
                return Ok((out.into(), None));
            }
        }
        Ok((self.counted(out), Some(self)))
    }

    /// Adds bytes to the count and to the hash.
    fn counted(&mut self, bytes: Vec<u8>) -> Bytes {
        self.hash.update(&bytes);
        self.end.bytes += bytes.len() as u64;
        bytes.into()
    }
}
