//! Queries for users and teams: the caller, their teams, and the members, invites and keys of a team.

use async_graphql::{Context, ID, Object};
use han_db::page::MAX_PAGE;
use han_db::queries::audit::{self, AuditCursor};
use han_db::queries::{api_keys, invites, memberships, teams, users};
use han_types::{Feature, Role};

use crate::connection;
use crate::context::{caller, database};
use crate::error::{ApiError, Result};
use crate::optional_id::OptionalId;
use crate::team::{self, ONLY_ADMINS};
use crate::types::audit::{AuditConnection, AuditLogFilter};
use crate::types::team::{ApiKey, Team, TeamInvite, TeamMember};
use crate::types::user::User;

#[derive(Debug, Default)]
pub(crate) struct TeamsQuery;

/// The number of members that a page may hold.
fn member_rows(first: Option<i32>) -> usize {
    first.map_or(MAX_PAGE, |first| usize::try_from(first).unwrap_or(0))
}

/// Users and teams.
#[Object]
impl TeamsQuery {
    /// The user that the credential belongs to.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        Ok(users::by_id(database(ctx)?, &caller.actor().user_id).await?.map(User::new))
    }

    /// The caller's teams, oldest membership first; for an API key, its one team.
    async fn my_teams(&self, ctx: &Context<'_>) -> Result<Option<Vec<Team>>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        let teams = team::teams_of(database(ctx)?, caller.actor()).await?;
        Ok(Some(teams.into_iter().map(Team::new).collect()))
    }

    /// The team whose sessions this credential gives access to; null for a user without a team.
    async fn active_team(&self, ctx: &Context<'_>) -> Result<Option<Team>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        let found = memberships::scope_for(database(ctx)?, caller.actor()).await?;
        Ok(found.map(team::of_scope))
    }

    /// The caller's team with this slug.
    async fn team(&self, ctx: &Context<'_>, slug: String) -> Result<Option<Team>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        let teams = team::teams_of(database(ctx)?, caller.actor()).await?;
        let found = teams.into_iter().find(|found| found.team.slug == slug);
        Ok(found.map(Team::new))
    }

    /// The members of a team, oldest membership first.
    #[graphql(complexity = "1 + member_rows(first).saturating_mul(child_complexity)")]
    async fn team_members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id, global or raw.")] team_id: ID,
        #[graphql(desc = "The last member of the previous page: a user's id, global or raw.")]
        after: OptionalId<ID>,
        #[graphql(desc = "The number of members, 1 to 500. The default is 500.")] first: Option<i32>,
    ) -> Result<Option<Vec<TeamMember>>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        let first = match first {
            None => MAX_PAGE,
            Some(first) => usize::try_from(first)
                .ok()
                .filter(|first| (1..=MAX_PAGE).contains(first))
                .ok_or_else(|| ApiError::bad("first", format!("ask for 1 to {MAX_PAGE}")))?,
        };
        let after = after.raw("User").map(|id| id.parse()).transpose();
        let after = after.map_err(|error| ApiError::bad("after", error))?;
        let db = database(ctx)?;
        let scope = team::scope_in(db, caller.actor(), &team_id).await?.scope;
        let members = teams::members(&scope, db, after.as_ref(), first).await?;
        Ok(Some(members.into_iter().map(Into::into).collect()))
    }

    /// The open invites of a team, newest first. Only for admins.
    async fn team_invites(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id, global or raw.")] team_id: ID,
    ) -> Result<Option<Vec<TeamInvite>>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        if scope.role() != Role::Admin {
            return Err(ONLY_ADMINS);
        }
        Ok(Some(invites::open(&scope, db).await?.into_iter().map(Into::into).collect()))
    }

    /// The audit log of a team, the latest entry first. Admins see all entries, members what they did themselves.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id, global or raw.")] team_id: ID,
        #[graphql(desc = "The cursor of the last entry of the previous page.")] after: Option<String>,
        #[graphql(desc = "The number of entries, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(desc = "Only entries that match.")] filter: Option<AuditLogFilter>,
    ) -> Result<Option<AuditConnection>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        let request = connection::page::<AuditCursor>(after.as_deref(), first)?;
        let filter = filter.unwrap_or_default().filter()?;
        let db = database(ctx)?;
        let resolved = team::scope_in(db, caller.actor(), &team_id).await?;
        resolved.scope.policy().require(Feature::AuditLog).map_err(team::over_plan)?;
        let page = audit::page(&resolved.scope, db, &filter, &request).await?;
        Ok(Some(AuditConnection::new(&resolved.team.id, page, request.after.is_some())))
    }

    /// The valid API keys of a team, newest first: all of them for an admin, their own for a member.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id, global or raw.")] team_id: ID,
    ) -> Result<Option<Vec<ApiKey>>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let now = db.clock().now();
        Ok(Some(api_keys::list(&scope, db).await?.into_iter().map(|row| ApiKey::new(row, now)).collect()))
    }
}
