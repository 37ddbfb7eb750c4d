//! Deleting: `DELETE` of a session, of a member's sessions, of a team's data, of a team, and of an account; and the
//! requests, which are also the receipts. docs/SYNC.md has the routes. The work is han-db's part.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use han_db::queries::deletion_requests::{self, Cancelled, DeletionRequest, Requested, Target};
use han_db::queries::memberships::Resolved;
use han_http::Problem;
use han_types::{Capability, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::export::existing_session;
use super::{malformed_path, malformed_query};
use crate::auth::middleware::Caller;
use crate::state::AppState;

/// What confirms the deletion of an account.
const ACCOUNT: &str = "delete-my-account";

/// The most requests in a list.
const LISTED: u32 = 500;

/// What is repeated to confirm a deletion.
#[derive(Deserialize)]
pub(crate) struct Confirmation {
    confirm: Option<String>,
}

type PathOf<T> = Result<Path<T>, PathRejection>;
type Confirmed = Result<Query<Confirmation>, QueryRejection>;
type Answer = Result<(StatusCode, Json<Receipt>), Problem>;

/// A request, as clients see it.
#[derive(Serialize)]
pub(crate) struct Receipt {
    id: String,
    kind: &'static str,
    team_id: Option<String>,
    subject: String,
    requested_by: String,
    state: &'static str,
    requested_at: String,
    due_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    cancelled_at: Option<String>,
    sessions: u64,
    lines: u64,
}

impl From<DeletionRequest> for Receipt {
    fn from(request: DeletionRequest) -> Self {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        Self {
            state: request.state(),
            id: request.id,
            kind: request.kind.as_str(),
            team_id: request.team_id.map(|id| id.to_string()),
            subject: request.subject,
            requested_by: request.requested_by,
            requested_at: request.requested_at.to_rfc3339(),
            due_at: request.due_at.to_rfc3339(),
            started_at: time(request.started_at),
            finished_at: time(request.finished_at),
            cancelled_at: time(request.cancelled_at),
            sessions: request.sessions,
            lines: request.lines,
        }
    }
}

/// `DELETE /api/sync/teams/{team_id}/sessions/{session_id}`.
pub(crate) async fn session(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<(String, String)>,
) -> Answer {
    let Path((team, session)) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    let id = existing_session(&state, &resolved, &session).await?;
    request(&state, &resolved, Target::Session(id)).await
}

/// `DELETE /api/sync/teams/{team_id}/members/{user_id}/sessions`.
pub(crate) async fn member(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<(String, String)>,
    confirmed: Confirmed,
) -> Answer {
    let Path((team, user)) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    let id: UserId = user.parse().map_err(|_| no_member())?;
    check(confirmed, id.as_str(), "this deletes all sessions that the user has pushed to the team")?;
    request(&state, &resolved, Target::Member(id)).await
}

/// `DELETE /api/sync/teams/{team_id}/data`.
pub(crate) async fn data(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<String>,
    confirmed: Confirmed,
) -> Answer {
    let Path(team) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    check(confirmed, &resolved.team.slug, "this deletes all sessions of the team")?;
    request(&state, &resolved, Target::Data).await
}

/// `DELETE /api/sync/teams/{team_id}`.
pub(crate) async fn team(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<String>,
    confirmed: Confirmed,
) -> Answer {
    let Path(team) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    check(
        confirmed,
        &resolved.team.slug,
        "this destroys the keys of the team, and deletes everything that it has",
    )?;
    request(&state, &resolved, Target::Team).await
}

/// `DELETE /api/account`.
pub(crate) async fn account(State(state): State<AppState>, caller: Caller, confirmed: Confirmed) -> Answer {
    person(&caller)?;
    check(
        confirmed,
        ACCOUNT,
        "this deletes your account, and the sessions that you have pushed to any team",
    )?;
    let db = state.db_of_actor(&caller.0);
    let requested = deletion_requests::request_account(&db, &caller.0.user_id, due_at(&state)).await?;
    accepted(requested)
}

/// `GET /api/account/deletion`.
pub(crate) async fn of_account(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Receipt>, Problem> {
    person(&caller)?;
    let found = deletion_requests::of_account(&state.db, &caller.0.user_id).await?;
    found.map(|found| Json(found.into())).ok_or_else(no_request)
}

/// `DELETE /api/account/deletion`.
pub(crate) async fn cancel_account(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Receipt>, Problem> {
    person(&caller)?;
    let db = state.db_of_actor(&caller.0);
    cancelled(deletion_requests::cancel_account(&db, &caller.0.user_id).await?)
}

/// `GET /api/sync/teams/{team_id}/deletions`.
pub(crate) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<String>,
) -> Result<Json<Vec<Receipt>>, Problem> {
    let Path(team) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    let found = deletion_requests::of_team(&resolved.scope, &state.db, LISTED).await?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// `GET /api/sync/teams/{team_id}/deletions/{deletion_id}`.
pub(crate) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<(String, String)>,
) -> Result<Json<Receipt>, Problem> {
    let Path((team, id)) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    let found = deletion_requests::find(&resolved.scope, &state.db, &id).await?;
    found.map(|found| Json(found.into())).ok_or_else(no_request)
}

/// `DELETE /api/sync/teams/{team_id}/deletions/{deletion_id}`.
pub(crate) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    path: PathOf<(String, String)>,
) -> Result<Json<Receipt>, Problem> {
    let Path((team, id)) = path.map_err(malformed_path)?;
    let resolved = scope(&state, &caller, &team).await?;
    cancelled(deletion_requests::cancel(&resolved.scope, &state.db, &id).await?)
}

/// Only a person deletes: a key that leaks must not be able to.
fn person(caller: &Caller) -> Result<(), Problem> {
    if caller.0.capabilities.allow(Capability::Manage) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "people_only",
        "An API key may not do this",
        "only a person may delete, and see what is to be deleted: sign in, and use the cookie or an access token",
    ))
}

async fn scope(state: &AppState, caller: &Caller, team: &str) -> Result<Resolved, Problem> {
    person(caller)?;
    caller.scope(state, Some(team)).await
}

fn check(confirmed: Confirmed, wanted: &str, what: &str) -> Result<(), Problem> {
    let Query(Confirmation { confirm }) = confirmed.map_err(malformed_query)?;
    if confirm.as_deref() == Some(wanted) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        "confirmation_needed",
        "This must be confirmed",
        format!("{what}: confirm it with ?confirm={wanted}"),
    )
    .with("confirm", wanted))
}

fn due_at(state: &AppState) -> Timestamp {
    state.clock.now().plus_seconds(state.config.deletion.grace_seconds())
}

async fn request(state: &AppState, resolved: &Resolved, target: Target) -> Answer {
    accepted(deletion_requests::request(&resolved.scope, &state.db, &target, due_at(state)).await?)
}

fn accepted(requested: Requested) -> Answer {
    match requested {
        Requested::Stored(found) => Ok((StatusCode::ACCEPTED, Json(found.into()))),
        Requested::NotFound => Err(no_member()),
        Requested::NotAllowed => Err(Problem::admins_only(
            "only an admin of the team may delete what others have pushed, and the team",
        )),
        Requested::LastAdmin(slugs) => Err(Problem::new(
            StatusCode::CONFLICT,
            "last_admin",
            "A team needs another admin first",
            format!(
                "you are the only admin of {}: make another member an admin, or delete the team",
                slugs.join(", ")
            ),
        )),
    }
}

fn no_member() -> Problem {
    Problem::not_found("the team has no such session or member: check the id")
}

fn no_request() -> Problem {
    Problem::not_found("there is no such deletion: check its id")
}

fn cancelled(cancelled: Cancelled) -> Result<Json<Receipt>, Problem> {
    match cancelled {
        Cancelled::Done(found) => Ok(Json(found.into())),
        Cancelled::NotFound => Err(no_request()),
        Cancelled::NotAllowed => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not_yours",
            "Only who requested this may cancel it",
            "only who requested this deletion may cancel it: ask them",
        )),
        Cancelled::Begun => Err(Problem::new(
            StatusCode::CONFLICT,
            "begun",
            "The deletion has begun",
            "the grace period has ended, and the deletion has begun: it cannot be cancelled any more",
        )),
    }
}
