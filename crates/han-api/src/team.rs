//! What the fields about teams have in common: which server this is, which team is meant, who may, and how what the
//! database answers becomes an error.

use std::sync::Arc;

use async_graphql::Context;
use han_db::Db;
use han_db::queries::identity::{self, Resolved, TeamMembership};
use han_db::queries::teams::TeamChange;
use han_types::{Actor, Capability, Credential, GlobalId, Membership, Plans, Scope};

use crate::context::{caller, database};
use crate::error::{ApiError, Result};
use crate::types::team::Team;

/// The server that the schema runs on.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where it is found, as an `Origin` header spells it: links begin with it.
    pub origin: String,
    /// The path of the page that accepts invites.
    pub invite_path: &'static str,
    /// Whether plans bind.
    pub plans: Plans,
}

impl Default for Site {
    fn default() -> Self {
        Self { origin: String::new(), invite_path: "/invite", plans: Plans { billing_configured: false } }
    }
}

/// The longest name taken, in bytes.
const MAX_NAME: usize = 100;

/// The longest address taken, in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const MAX_EMAIL: usize = 254;

pub(crate) const ONLY_ADMINS: ApiError =
    ApiError::Forbidden("do this: only an admin of the team may, so ask one");

pub(crate) fn site(ctx: &Context<'_>) -> Arc<Site> {
    ctx.data_opt::<Arc<Site>>().cloned().unwrap_or_default()
}

/// The caller, who must be a person: a key cannot look after teams.
pub(crate) fn person<'a>(ctx: &Context<'a>) -> Result<&'a Actor> {
    let actor = caller(ctx)?.actor();
    if actor.capabilities.allow(Capability::Manage) {
        return Ok(actor);
    }
    Err(ApiError::Forbidden("look after teams: sign in as a person, an API key cannot"))
}

/// The right of an actor to the team that an argument names, as the database has it now.
pub(crate) async fn scope_in(db: &Db, actor: &Actor, team_id: &str) -> Result<Resolved> {
    let found = match GlobalId::raw("Team", team_id).parse() {
        Ok(team_id) => identity::scope_in(db, actor, &team_id).await?,
        // What is no id is no team either.
        Err(_) => None,
    };
    found.ok_or(ApiError::NotFound("team"))
}

/// The right of a person to look after the team that an argument names.
pub(crate) async fn manage<'a>(ctx: &Context<'a>, team_id: &str) -> Result<(&'a Db, Scope)> {
    let actor = person(ctx)?;
    let db = database(ctx)?;
    Ok((db, scope_in(db, actor, team_id).await?.scope))
}

/// The teams that a credential may see, the oldest membership first: all of a person's, or the one that it is
/// bound to.
pub(crate) async fn teams_of(db: &Db, actor: &Actor) -> Result<Vec<TeamMembership>> {
    let mut teams = identity::memberships(db, &actor.user_id).await?;
    let bound = match &actor.credential {
        Credential::ApiKey { team_id, .. } => Some(team_id),
        Credential::Jwt { team_id, .. } => team_id.as_ref(),
        Credential::WebSession { .. } | Credential::Local | Credential::Operator => None,
    };
    if let Some(bound) = bound {
        teams.retain(|found| found.team.id == *bound);
    }
    Ok(teams)
}

/// A team as the holder of a right to it sees it.
pub(crate) fn seen(resolved: Resolved, plans: Plans) -> Team {
    let scope = &resolved.scope;
    let membership =
        Membership { team_id: scope.team_id().clone(), user_id: scope.user_id().clone(), role: scope.role() };
    Team::new(TeamMembership { membership, team: resolved.team }, plans)
}

/// What a change that was not made is to who asked for it. `what` is what was not found.
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

pub(crate) fn conflict(problem: impl ToString) -> ApiError {
    ApiError::Conflict(problem.to_string())
}

/// A name, without the space around it.
pub(crate) fn name<'a>(argument: &'static str, name: &'a str) -> Result<&'a str> {
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > MAX_NAME || trimmed.chars().any(char::is_control) {
        let problem = format!("it must have 1 to {MAX_NAME} bytes and no control character");
        return Err(ApiError::bad(argument, problem));
    }
    Ok(trimmed)
}

/// An address. Whether anybody reads it, only a letter could tell.
pub(crate) fn email(email: &str) -> Result<&str> {
    let trimmed = email.trim();
    let has_parts = trimmed.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !has_parts || trimmed.len() > MAX_EMAIL || trimmed.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(ApiError::bad("email", "it must be an address such as ada@example.com"));
    }
    Ok(trimmed)
}
