//! `GET /api/sync/teams/{team_id}/audit`: the audit log of a team as NDJSON, for an admin.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use han_db::queries::audit::{self, Entry, Event};
use han_http::Problem;
use han_types::{Capability, Feature, Role};
use serde::Deserialize;

use super::{malformed_path, malformed_query};
use crate::audit::AuditExport;
use crate::auth::middleware::Caller;
use crate::ndjson;
use crate::state::AppState;

const READ: (Capability, &str) = (Capability::Read, "read");

/// Which entries are exported.
#[derive(Deserialize)]
pub(crate) struct AuditQuery {
    /// Those after the one with this number.
    #[serde(default)]
    after: u32,
}

/// `GET /api/sync/teams/{team_id}/audit`.
pub(crate) async fn export(
    State(state): State<AppState>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(team) = path.map_err(malformed_path)?;
    let Query(AuditQuery { after }) = query.map_err(malformed_query)?;
    caller.may(&[READ])?;
    let resolved = caller.scope(&state, Some(&team)).await?;
    if resolved.scope.role() != Role::Admin {
        return Err(Problem::admins_only("only an admin of the team may export its audit log"));
    }
    resolved.scope.policy().require(Feature::AuditLog).map_err(|refusal| {
        let title = "The team's plan does not allow this";
        Problem::new(StatusCode::FORBIDDEN, "plan_limit", title, refusal.to_string())
    })?;
    let entry = Entry::new(Event::AuditExported).with("after", after);
    audit::record(&resolved.scope, &state.db, entry).await?;
    let name = format!("{}-audit", resolved.team.slug);
    let export = AuditExport::new(state.db.clone(), resolved.team.id, resolved.team.slug, after.into());
    let chunks = stream::try_unfold(export, |mut export| async move {
        let chunk = export.chunk().await;
        let chunk = chunk.inspect_err(
            |error| tracing::error!(%error, "an export of an audit log failed: it has no end"),
        )?;
        Ok::<_, crate::audit::AuditExportError>(chunk.map(|chunk| (Bytes::from(chunk), export)))
    });
    Ok(ndjson::download(&name, chunks))
}
