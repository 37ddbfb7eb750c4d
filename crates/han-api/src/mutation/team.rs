//! Changes to teams: their members, invites and keys. Callers must be signed in as a person; only a key that rotates
//! itself need not. han-db checks the caller's role, in the transaction that makes the change.

use async_graphql::{Context, ID, Object};
use han_db::queries::api_keys::{
    self, DEFAULT_DAYS, MAX_DAYS, MAX_GRACE_SECONDS, MAX_KEYS, Minted, Rotated, Which,
};
use han_db::queries::invites::{self, Accepted, Invited, MAX_OPEN_INVITES};
use han_db::queries::memberships;
use han_db::queries::teams::{self, TeamChange};
use han_types::{ApiKeyId, Credential, GlobalId, Origin, UserId};

use crate::context::{caller, database};
use crate::error::{ApiError, Result};
use crate::team;
use crate::types::team::{
    ApiKey, BillingInterval, Invitation, NewApiKey, PlanTier, Team, TeamMember, TeamRole,
};

/// A user with this many teams cannot create another.
const MAX_TEAMS: usize = 100;

/// The scopes of a key, in the order in which they are stored.
const SCOPES: [&str; 2] = ["read", "sync:write"];

#[derive(Debug, Default)]
pub(crate) struct TeamsMutation;

/// Teams, their members, invites and keys.
#[Object]
impl TeamsMutation {
    /// Creates a team, with the caller as its admin.
    async fn create_team(&self, ctx: &Context<'_>, name: String) -> Result<Option<Team>> {
        let (actor, db) = (team::person(ctx)?, database(ctx)?);
        let name = team::name("name", &name)?;
        if matches!(&actor.credential, Credential::Jwt { team_id: Some(_), .. }) {
            return Err(ApiError::Forbidden(
                "create teams: it is a token for one team, so sign in without a team",
            ));
        }
        if memberships::list(db, &actor.user_id).await?.len() >= MAX_TEAMS {
            return Err(team::conflict(format!("you are in {MAX_TEAMS} teams: leave one first")));
        }
        let acting = db.on_behalf_of(Origin::of_actor(actor));
        let made = teams::create_for_user(&acting, name, &actor.user_id).await?;
        let resolved = memberships::scope_in(db, actor, &made.id).await?.ok_or(ApiError::Internal)?;
        Ok(Some(team::of_scope(resolved)))
    }

    /// Renames a team. Only for admins.
    async fn rename_team(&self, ctx: &Context<'_>, team_id: ID, name: String) -> Result<Option<Team>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        team::changed(teams::rename(&scope, db, team::name("name", &name)?).await?, "team")?;
        let resolved = team::scope_in(db, team::person(ctx)?, &team_id).await?;
        Ok(Some(team::of_scope(resolved)))
    }

    /// Changes whether the audit log records that a member opens a session of another member: once an hour for each member
    /// and session. Replicas of the server know it within seconds. Only for admins.
    async fn set_audit_reads(&self, ctx: &Context<'_>, team_id: ID, enabled: bool) -> Result<Option<Team>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        team::changed(teams::set_audit_reads(&scope, db, enabled).await?, "team")?;
        let resolved = team::scope_in(db, team::person(ctx)?, &team_id).await?;
        Ok(Some(team::of_scope(resolved)))
    }

    /// Makes this the active team of the browser session. The session's open sockets are closed, so that they reconnect
    /// with the new team.
    async fn switch_team(&self, ctx: &Context<'_>, team_id: ID) -> Result<Option<Team>> {
        let actor = team::person(ctx)?;
        let Credential::WebSession { id, .. } = &actor.credential else {
            return Err(ApiError::Forbidden(
                "switch teams: only a browser session can, so name the team in the request or get a token for it",
            ));
        };
        let db = database(ctx)?;
        let resolved = team::scope_in(db, actor, &team_id).await?;
        if !teams::switch(&resolved.scope, db, id).await? {
            return Err(ApiError::Unauthenticated);
        }
        Ok(Some(team::of_scope(resolved)))
    }

    /// Invites a person: creates a link that one person can use to join, within 24 hours. No mail is sent: send the link
    /// yourself. It replaces an earlier invite for the same address. Only for admins.
    async fn invite_to_team(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        email: String,
    ) -> Result<Option<Invitation>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let site = team::site(ctx);
        match invites::create(&scope, db, team::email(&email)?).await? {
            Invited::Done(invite, code) => {
                tracing::info!(team = %scope.team_id(), by = %scope.user_id(), invite = %invite.id, "invited");
                let code = code.expose().to_owned();
                let url = format!("{}{}?code={code}", site.origin, site.invite_path);
                Ok(Some(Invitation { invite: invite.into(), code, url }))
            }
            Invited::NotAllowed => Err(team::ONLY_ADMINS),
            Invited::Full(refusal) => Err(team::over_plan(refusal)),
            Invited::TooMany => Err(team::conflict(format!(
                "{MAX_OPEN_INVITES} invites are open: revoke one, or wait until one has ended"
            ))),
        }
    }

    /// Revokes an open invite. Only for admins.
    async fn revoke_invite(&self, ctx: &Context<'_>, team_id: ID, invite_id: ID) -> Result<Option<bool>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let change = match invite_id.parse() {
            Ok(id) => invites::revoke(&scope, db, &id).await?,
            Err(_) => TeamChange::NotFound,
        };
        team::changed(change, "open invite")?;
        Ok(Some(true))
    }

    /// Joins the team of an invite.
    async fn accept_invite(&self, ctx: &Context<'_>, code: String) -> Result<Option<Team>> {
        let (actor, db) = (team::person(ctx)?, database(ctx)?);
        let joined = match invites::accept(db, actor, &code).await? {
            Accepted::Done(team) => team,
            Accepted::Malformed => {
                return Err(ApiError::bad(
                    "code",
                    "it is incomplete: a code is han_invite_ and 43 characters",
                ));
            }
            Accepted::Unknown => return Err(ApiError::NotFound("invite: check the code")),
            Accepted::Ended => {
                return Err(ApiError::NotFound(
                    "open invite: it was used, was revoked, or has expired after 24 hours; ask for another",
                ));
            }
            Accepted::AlreadyMember(_) => {
                return Err(team::conflict(
                    "you are a member of this team already; the invite remains valid",
                ));
            }
            Accepted::Full(refusal) => return Err(team::over_plan(refusal)),
            Accepted::Locked(until) => {
                let retry_after = until.seconds() - db.clock().now().seconds();
                return Err(ApiError::RateLimited { retry_after: retry_after.max(1) });
            }
        };
        tracing::info!(team = %joined.id, user = %actor.user_id, "an invite was accepted");
        let memberships = memberships::list(db, &actor.user_id).await?;
        let found = memberships.into_iter().find(|found| found.team.id == joined.id);
        Ok(found.map(Team::new))
    }

    /// Changes the role of a member. Only for admins; the last admin remains one.
    async fn set_member_role(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The user's id, global or raw.")] user_id: ID,
        role: TeamRole,
    ) -> Result<Option<TeamMember>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let user_id = member_id(&user_id)?;
        team::changed(teams::set_role(&scope, db, &user_id, role.into()).await?, "member")?;
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), member = %user_id, ?role, "role changed");
        Ok(teams::member(&scope, db, &user_id).await?.map(Into::into))
    }

    /// Removes a member from the team: their keys and sockets for it end at once; the sessions that they pushed remain. Only
    /// for admins.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The user's id, global or raw.")] user_id: ID,
    ) -> Result<Option<bool>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let user_id = member_id(&user_id)?;
        team::changed(teams::remove(&scope, db, &user_id).await?, "member")?;
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), member = %user_id, "member removed");
        Ok(Some(true))
    }

    /// Leaves a team. The last admin cannot leave.
    async fn leave_team(&self, ctx: &Context<'_>, team_id: ID) -> Result<Option<bool>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        team::changed(teams::leave(&scope, db).await?, "team")?;
        tracing::info!(team = %scope.team_id(), user = %scope.user_id(), "left the team");
        Ok(Some(true))
    }

    /// Creates a page at Stripe where the team subscribes to a plan, and returns its URL, which is valid for a day. Open it
    /// in the browser. The plan changes when the payment has succeeded. Only for admins.
    async fn create_checkout_session(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "`PRO` or `ENTERPRISE`.")] plan: PlanTier,
        interval: BillingInterval,
    ) -> Result<Option<String>> {
        let (pages, scope) = team::billing(ctx, &team_id).await?;
        if plan == PlanTier::Free {
            return Err(ApiError::bad(
                "plan",
                "choose PRO or ENTERPRISE: to return to FREE, cancel the subscription in the billing portal",
            ));
        }
        Ok(Some(pages.checkout(&scope, plan.into(), interval.into()).await?))
    }

    /// Creates a page at Stripe where the team changes its plan and how it pays, and sees its invoices, and returns its
    /// URL, which is valid for some minutes. Only for admins.
    async fn create_billing_portal_session(&self, ctx: &Context<'_>, team_id: ID) -> Result<Option<String>> {
        let (pages, scope) = team::billing(ctx, &team_id).await?;
        Ok(Some(pages.portal(&scope).await?))
    }

    /// Creates an API key for the caller. The response is the only time that the key is shown.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        name: String,
        #[graphql(desc = "What the key allows: `read`, `sync:write`. The default is both.")] scopes: Option<
            Vec<String>,
        >,
        #[graphql(desc = "The number of days until it expires, 1 to 3650. The default is 90.")]
        expires_in_days: Option<i32>,
    ) -> Result<Option<NewApiKey>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let name = team::name("name", &name)?;
        let scopes = key_scopes(scopes)?;
        let days = expires_in_days.map_or(DEFAULT_DAYS, i64::from);
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(ApiError::bad("expiresInDays", format!("it must be 1 to {MAX_DAYS}")));
        }
        let now = db.clock().now();
        let expires_at = now.plus_seconds(days * 86_400);
        match api_keys::create(&scope, db, name, &scopes, Some(expires_at)).await? {
            Minted::Done(row, token) => {
                tracing::info!(team = %scope.team_id(), user = %scope.user_id(), api_key = %row.id, "key created");
                Ok(Some(NewApiKey { api_key: ApiKey::new(*row, now), secret: token.expose().to_owned() }))
            }
            Minted::NotAllowed => Err(ApiError::NotFound("team")),
            Minted::TooMany => {
                Err(team::conflict(format!("you have {MAX_KEYS} keys for this team: revoke one first")))
            }
        }
    }

    /// Revokes an API key at once and closes its sockets. An admin may revoke any key of the team, a member their own.
    async fn revoke_api_key(&self, ctx: &Context<'_>, team_id: ID, key_id: ID) -> Result<Option<bool>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let change = match key_id.parse() {
            Ok(id) => api_keys::revoke(&scope, db, &id).await?,
            Err(_) => TeamChange::NotFound,
        };
        team::changed(change, "API key")?;
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), api_key = %*key_id, "key revoked");
        Ok(Some(true))
    }

    /// Replaces an API key by a new one, which is shown only in this response: the calling key, else `keyId`, else the
    /// caller's only key. The old key becomes invalid at once, or after `graceSeconds`.
    async fn rotate_api_key(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "Which of the caller's keys, if they have several. A calling key rotates itself.")]
        key_id: Option<ID>,
        #[graphql(desc = "For how many seconds the old key remains valid, up to a week. The default is 0.")]
        grace_seconds: Option<i32>,
    ) -> Result<Option<NewApiKey>> {
        let (actor, db) = (caller(ctx)?.actor(), database(ctx)?);
        let grace = i64::from(grace_seconds.unwrap_or(0));
        if !(0..=MAX_GRACE_SECONDS).contains(&grace) {
            return Err(ApiError::bad("graceSeconds", format!("it must be 0 to {MAX_GRACE_SECONDS}")));
        }
        let named: Option<ApiKeyId> = match key_id.as_ref().map(|id| id.parse()) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(ApiError::NotFound("API key")),
        };
        let which = match (&actor.credential, &named) {
            (Credential::ApiKey { id, .. }, Some(named)) if id != named => {
                return Err(ApiError::Forbidden("rotate another key than itself: sign in as a person"));
            }
            (Credential::ApiKey { id, .. }, _) => Which::Calling(id),
            (_, Some(named)) => Which::Named(named),
            (_, None) => Which::Only,
        };
        let scope = team::scope_in(db, actor, &team_id).await?.scope;
        match api_keys::rotate(&scope, db, which, grace).await? {
            Rotated::Done(row, token) => {
                tracing::info!(team = %scope.team_id(), user = %scope.user_id(), api_key = %row.id, "key rotated");
                let api_key = ApiKey::new(*row, db.clock().now());
                Ok(Some(NewApiKey { api_key, secret: token.expose().to_owned() }))
            }
            Rotated::NotFound => Err(ApiError::NotFound("API key of yours in this team")),
            Rotated::Several => Err(ApiError::bad(
                "keyId",
                "you have several keys for this team: name one of `apiKeys(teamId)`",
            )),
            Rotated::AlreadyRotated => Err(team::conflict(
                "this key was rotated before and is in its grace period: use the key that replaced it",
            )),
        }
    }
}

fn member_id(text: &str) -> Result<UserId> {
    GlobalId::raw("User", text).parse().map_err(|_| ApiError::NotFound("member"))
}

/// Scopes in canonical form: each once, separated by a space.
fn key_scopes(asked: Option<Vec<String>>) -> Result<String> {
    let Some(asked) = asked else { return Ok(SCOPES.join(" ")) };
    if asked.is_empty() || asked.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(ApiError::bad("scopes", format!("name one or more of {}", SCOPES.join(", "))));
    }
    let kept = SCOPES.into_iter().filter(|scope| asked.iter().any(|asked| asked == scope));
    Ok(kept.collect::<Vec<_>>().join(" "))
}
