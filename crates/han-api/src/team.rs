//! What the fields about teams share: the caller's scope in a named team, checks of names and addresses, and the errors of
//! changes that were refused.

use std::sync::Arc;

use async_graphql::Context;
use han_db::Db;
use han_db::entities::TeamMembership;
use han_db::queries::memberships;
use han_db::queries::memberships::Resolved;
use han_db::queries::teams::TeamChange;
use han_types::{Actor, Capability, GlobalId, Membership, PlanRefusal, Role, Scope, is_visible};

use crate::context::{caller, database};
use crate::error::{ApiError, Result};
pub(crate) use crate::site::site;
use crate::site::{BillingPages, ONLY_ADMINS_CAN};
use crate::types::team::Team;

/// The longest accepted name, in bytes.
const MAX_NAME: usize = 100;

/// The longest accepted address, in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const MAX_EMAIL: usize = 254;

pub(crate) const ONLY_ADMINS: ApiError = ApiError::Forbidden(ONLY_ADMINS_CAN);

/// The caller, who must be signed in as a person: a key cannot manage teams.
pub(crate) fn person<'a>(ctx: &Context<'a>) -> Result<&'a Actor> {
    let actor = caller(ctx)?.actor();
    if actor.capabilities.allow(Capability::Manage) {
        return Ok(actor);
    }
    Err(ApiError::Forbidden("manage teams: an API key cannot, so sign in as a person"))
}

/// The scope of an actor in the team that an argument names, read from the database.
pub(crate) async fn scope_in(db: &Db, actor: &Actor, team_id: &str) -> Result<Resolved> {
    let found = match GlobalId::raw("Team", team_id).parse() {
        Ok(team_id) => memberships::scope_in(db, actor, &team_id).await?,
        // A malformed id is an unknown team.
        Err(_) => None,
    };
    found.ok_or(ApiError::NotFound("team"))
}

/// The scope of a signed-in person in the team that an argument names.
pub(crate) async fn manage<'a>(ctx: &Context<'a>, team_id: &str) -> Result<(&'a Db, Scope)> {
    let actor = person(ctx)?;
    let db = database(ctx)?;
    Ok((db, scope_in(db, actor, team_id).await?.scope))
}

/// The pages where teams pay, and the scope of an admin in the team that an argument names.
pub(crate) async fn billing(ctx: &Context<'_>, team_id: &str) -> Result<(Arc<dyn BillingPages>, Scope)> {
    let (_, scope) = manage(ctx, team_id).await?;
    if scope.role() != Role::Admin {
        return Err(ONLY_ADMINS);
    }
    let pages = site(ctx).billing.ok_or(ApiError::Unsupported(
        "this server has no billing: every team has the plan Enterprise, and nothing has to be paid",
    ))?;
    Ok((pages, scope))
}

/// The teams that a credential gives access to, oldest membership first: all teams of a user, or the one that the
/// credential is bound to.
pub(crate) async fn teams_of(db: &Db, actor: &Actor) -> Result<Vec<TeamMembership>> {
    Ok(memberships::of_actor(db, actor).await?)
}

/// A team as the member of a resolved scope sees it.
pub(crate) fn of_scope(resolved: Resolved) -> Team {
    let scope = &resolved.scope;
    let membership =
        Membership { team_id: scope.team_id().clone(), user_id: scope.user_id().clone(), role: scope.role() };
    Team::new(TeamMembership { membership, policy: scope.policy(), team: resolved.team })
}

/// The error of a change that was not made. `what` names the object that may not exist.
pub(crate) fn changed(change: TeamChange, what: &'static str) -> Result<()> {
    match change {
        TeamChange::Done => Ok(()),
        TeamChange::NotAllowed => Err(ONLY_ADMINS),
        TeamChange::NotFound => Err(ApiError::NotFound(what)),
        TeamChange::LastAdmin => {
            Err(conflict("the team would be left without an admin: make another member one first"))
        }
    }
}

/// The error of what the team's plan does not allow.
pub(crate) fn over_plan(refusal: PlanRefusal) -> ApiError {
    ApiError::PlanLimit(refusal.to_string())
}

pub(crate) fn conflict(problem: impl ToString) -> ApiError {
    ApiError::Conflict(problem.to_string())
}

/// A valid name, trimmed.
pub(crate) fn name<'a>(argument: &'static str, name: &'a str) -> Result<&'a str> {
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > MAX_NAME || !trimmed.chars().all(is_visible) {
        let problem = format!("it must have 1 to {MAX_NAME} bytes and no control or direction character");
        return Err(ApiError::bad(argument, problem));
    }
    Ok(trimmed)
}

/// A plausible mail address, trimmed.
pub(crate) fn email(email: &str) -> Result<&str> {
    let trimmed = email.trim();
    let has_parts = trimmed.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !has_parts || trimmed.len() > MAX_EMAIL || trimmed.chars().any(|c| !is_visible(c) || c.is_whitespace())
    {
        return Err(ApiError::bad("email", "it must be an address such as ada@example.com"));
    }
    Ok(trimmed)
}
