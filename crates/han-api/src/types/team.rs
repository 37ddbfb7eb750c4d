//! Teams as their members see them: the team, its members, invites and API keys.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use han_db::entities::{self, TeamMembership};
use han_db::queries::service_accounts::{self, MAX_ACCOUNTS};
use han_db::queries::{audit, plans, retention};
use han_types::sync::EXPIRY_WARNING_DAYS;
use han_types::{Feature, Limits, Role, Timestamp};

use crate::context::{database, operation};
use crate::error::Result;
use crate::loaders::PlanUsageOf;
use crate::site::site;
use crate::types::user::User;

/// The role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TeamRole {
    /// Also manages members, invites, keys and billing.
    Admin,
    /// Reads the sessions of the team and pushes their own.
    Member,
}

impl From<Role> for TeamRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }
}

impl From<TeamRole> for Role {
    fn from(role: TeamRole) -> Self {
        match role {
            TeamRole::Admin => Self::Admin,
            TeamRole::Member => Self::Member,
        }
    }
}

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PlanTier {
    /// One member, 100 sessions a month, content stored unencrypted.
    Free,
    /// Ten members, content stored encrypted.
    Pro,
    /// All features, unlimited. Every team has this plan if billing is not configured.
    Enterprise,
}

impl From<han_types::PlanTier> for PlanTier {
    fn from(tier: han_types::PlanTier) -> Self {
        match tier {
            han_types::PlanTier::Free => Self::Free,
            han_types::PlanTier::Pro => Self::Pro,
            han_types::PlanTier::Enterprise => Self::Enterprise,
        }
    }
}

/// Something that only some plans include.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PlanFeature {
    /// The audit log.
    AuditLog,
    /// Sessions are deleted after a number of days that the team chooses.
    CustomRetention,
}

impl From<Feature> for PlanFeature {
    fn from(feature: Feature) -> Self {
        match feature {
            Feature::AuditLog => Self::AuditLog,
            Feature::CustomRetention => Self::CustomRetention,
        }
    }
}

/// The state of a team's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PaymentState {
    /// The team has no subscription.
    None,
    /// A subscription was begun, but its first payment has not succeeded yet.
    Incomplete,
    /// The subscription has ended.
    Canceled,
    /// The subscription is paused: it bills nothing and gives no plan.
    Paused,
    /// Payments have failed for good. The plan has ended.
    Unpaid,
    /// A payment failed. The plan stays until `graceUntil`; pay in the billing portal.
    PaymentFailed,
    /// The subscription is in its trial.
    Trialing,
    /// The subscription is paid.
    Active,
}

impl From<han_types::PaymentState> for PaymentState {
    fn from(state: han_types::PaymentState) -> Self {
        match state {
            han_types::PaymentState::None => Self::None,
            han_types::PaymentState::Incomplete => Self::Incomplete,
            han_types::PaymentState::Canceled => Self::Canceled,
            han_types::PaymentState::Paused => Self::Paused,
            han_types::PaymentState::Unpaid => Self::Unpaid,
            han_types::PaymentState::PaymentFailed => Self::PaymentFailed,
            han_types::PaymentState::Trialing => Self::Trialing,
            han_types::PaymentState::Active => Self::Active,
        }
    }
}

/// The limits of a plan; null is unlimited.
#[derive(Clone, Debug, SimpleObject)]
pub struct PlanLimits {
    /// Members of the team.
    members: Option<u32>,
    /// New sessions of the team in a month.
    sessions_per_month: Option<u32>,
}

impl From<Limits> for PlanLimits {
    fn from(limits: Limits) -> Self {
        Self { members: limits.members, sessions_per_month: limits.sessions_per_month }
    }
}

/// What a team has used of its plan.
#[derive(Clone, Debug, SimpleObject)]
pub struct PlanUsage {
    /// Members who take a seat. If they are more than the limit, those who joined last can read, but not push.
    members: u32,
    /// Sessions that the team has pushed for the first time in this month (UTC). A deleted session still counts.
    sessions_this_month: u32,
    /// When the count of sessions begins at 0 again, RFC 3339 in UTC.
    resets_at: String,
    /// The limits of the plan.
    limits: PlanLimits,
}

/// How often a subscription is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum BillingInterval {
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
}

impl From<BillingInterval> for han_types::BillingInterval {
    fn from(interval: BillingInterval) -> Self {
        match interval {
            BillingInterval::Monthly => Self::Monthly,
            BillingInterval::Yearly => Self::Yearly,
        }
    }
}

impl From<PlanTier> for han_types::PlanTier {
    fn from(plan: PlanTier) -> Self {
        match plan {
            PlanTier::Free => Self::Free,
            PlanTier::Pro => Self::Pro,
            PlanTier::Enterprise => Self::Enterprise,
        }
    }
}

/// A team, as one of its members sees it.
#[derive(Clone, Debug)]
pub struct Team {
    found: TeamMembership,
}

impl Team {
    pub(crate) fn new(found: TeamMembership) -> Self {
        Self { found }
    }
}

/// A team of the caller.
#[Object]
impl Team {
    /// The global id, `Team:<id>`.
    async fn id(&self) -> ID {
        ID(format!("Team:{}", self.found.team.id))
    }

    /// The raw id: `team_id` in the sync protocol.
    async fn team_id(&self) -> &str {
        self.found.team.id.as_str()
    }

    /// Its name in URLs and on command lines. It does not change when the team is renamed.
    async fn slug(&self) -> &str {
        &self.found.team.slug
    }

    /// The display name.
    async fn name(&self) -> &str {
        &self.found.team.name
    }

    /// The role of the caller.
    async fn role(&self) -> TeamRole {
        self.found.membership.role.into()
    }

    /// The plan that is in effect.
    async fn plan(&self) -> PlanTier {
        self.found.policy.plan().into()
    }

    /// The number of members that the plan allows; null for any number.
    async fn seats(&self) -> Option<u32> {
        self.found.policy.limits().members
    }

    /// What the plan includes besides what every plan includes.
    async fn plan_features(&self) -> Vec<PlanFeature> {
        self.found.policy.features().map(Into::into).collect()
    }

    /// What the team has used of its plan.
    async fn plan_usage(&self, ctx: &Context<'_>) -> Result<Option<PlanUsage>> {
        let key = PlanUsageOf(self.found.team.id.clone());
        let usage = match operation(ctx)? {
            Some(op) => op.loader().load_one(key).await?,
            // A user's first team: the operation began without one.
            None => plans::usage(database(ctx)?, &[key.0]).await?.pop().map(|(_, usage)| usage),
        };
        Ok(usage.map(|usage| PlanUsage {
            members: usage.members,
            sessions_this_month: usage.sessions,
            resets_at: usage.month.ends_at.to_rfc3339(),
            limits: self.found.policy.limits().into(),
        }))
    }

    /// The state of its payments.
    async fn payment_state(&self) -> PaymentState {
        self.found.team.payment.state.into()
    }

    /// When its subscription ends, RFC 3339 in UTC; null unless it was cancelled.
    async fn cancels_at(&self) -> Option<String> {
        self.found.team.payment.cancels_at.map(Timestamp::to_rfc3339)
    }

    /// Until when it keeps its plan although a payment failed, RFC 3339 in UTC; null if none failed.
    async fn grace_until(&self) -> Option<String> {
        self.found.team.payment.grace_until.map(Timestamp::to_rfc3339)
    }

    /// Whether the team has a billing portal for the caller (`createBillingPortalSession`): for an admin of a team that has
    /// begun a subscription. Opening it takes a person who signed in; an API key may not.
    async fn billing_portal(&self, ctx: &Context<'_>) -> bool {
        self.found.membership.role == Role::Admin
            && self.found.team.payment.has_subscribed
            && site(ctx).billing.is_some()
    }

    /// When it was created, RFC 3339 in UTC.
    async fn created_at(&self) -> String {
        self.found.team.created_at.to_rfc3339()
    }

    /// Its service accounts, oldest first. They are no members.
    #[graphql(complexity = "1 + MAX_ACCOUNTS * child_complexity")]
    async fn service_accounts(&self, ctx: &Context<'_>) -> Result<Vec<ServiceAccount>> {
        let accounts = service_accounts::list(database(ctx)?, &self.found.team.id).await?;
        Ok(accounts.into_iter().map(Into::into).collect())
    }

    /// For how many days the content of a session is kept after its last line has arrived; null: without end. It does not
    /// apply while the plan does not include it.
    async fn retention_days(&self, ctx: &Context<'_>) -> Result<Option<i64>> {
        Ok(retention::of_team(database(ctx)?, &self.found.team.id).await?)
    }

    /// Whether the audit log records that a member opens a session of another member.
    async fn audit_reads(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(audit::records_reads(database(ctx)?, &self.found.team.id).await?)
    }
}

/// A user that is a program, such as a CI job.
#[derive(Clone, Debug, SimpleObject)]
pub struct ServiceAccount {
    /// The global id among users, `User:<id>`: `Session.owner` and `ApiKey.owner` have it, too.
    id: ID,
    /// Its name, unique in its team.
    name: String,
    /// When it was created, RFC 3339 in UTC.
    created_at: String,
}

impl From<service_accounts::ServiceAccount> for ServiceAccount {
    fn from(row: service_accounts::ServiceAccount) -> Self {
        Self { id: ID(format!("User:{}", row.id)), name: row.name, created_at: row.created_at.to_rfc3339() }
    }
}

/// A member of a team.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMember {
    /// The member.
    user: User,
    /// Their role.
    role: TeamRole,
    /// When they joined, RFC 3339 in UTC.
    joined_at: String,
}

impl From<entities::TeamMember> for TeamMember {
    fn from(row: entities::TeamMember) -> Self {
        Self { user: User::new(row.user), role: row.role.into(), joined_at: row.joined_at.to_rfc3339() }
    }
}

/// An unused invite. Its code was shown once, to its creator.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamInvite {
    /// The id that `revokeInvite` takes.
    id: ID,
    /// The address of the person who is invited. Anyone with the link can use it.
    email: String,
    /// When it was created, RFC 3339 in UTC.
    created_at: String,
    /// When it expires, RFC 3339 in UTC.
    expires_at: String,
    /// Its creator.
    invited_by: User,
}

impl From<entities::TeamInvite> for TeamInvite {
    fn from(row: entities::TeamInvite) -> Self {
        Self {
            id: ID(row.id.into()),
            email: row.email,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            invited_by: User::new(row.invited_by),
        }
    }
}

/// A new invite with its code, which is shown only once.
#[derive(Clone, Debug, SimpleObject)]
pub struct Invitation {
    /// The invite.
    pub(crate) invite: TeamInvite,
    /// The code that `acceptInvite` takes. Anyone who has it can join.
    pub(crate) code: String,
    /// The link to send to the person: a page that accepts the invite.
    pub(crate) url: String,
}

/// A valid API key. The key itself was shown once, when it was created.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKey {
    /// The id that `revokeApiKey` and `rotateApiKey` take.
    id: ID,
    /// The name that its owner gave it.
    name: String,
    /// What it allows: `read`, `sync:write`.
    scopes: Vec<String>,
    /// The user it belongs to.
    owner: User,
    /// When it was created, RFC 3339 in UTC.
    created_at: String,
    /// When it expires, RFC 3339 in UTC; null for never, as in keys that were created when keys did not expire by default.
    expires_at: Option<String>,
    /// How many days are left until it expires, the last one included; null for never.
    expires_in_days: Option<i64>,
    /// Whether it expires within 14 days.
    expires_soon: bool,
    /// When it was last used, to within five minutes, RFC 3339 in UTC; null if it was never used.
    last_used_at: Option<String>,
    /// Whether it was rotated and is in its grace period.
    replaced: bool,
}

impl ApiKey {
    pub(crate) fn new(row: entities::ListedApiKey, now: Timestamp) -> Self {
        let days = row.expires_at.map(|end| now.days_until(end));
        Self {
            id: ID(row.id.into()),
            name: row.name,
            scopes: row.scopes.split_ascii_whitespace().map(str::to_owned).collect(),
            owner: User::new(row.owner),
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.map(Timestamp::to_rfc3339),
            expires_in_days: days,
            expires_soon: days.is_some_and(|days| days <= EXPIRY_WARNING_DAYS),
            last_used_at: row.last_used_at.map(Timestamp::to_rfc3339),
            replaced: row.is_replaced,
        }
    }
}

/// A new API key, which is shown only once.
#[derive(Clone, Debug, SimpleObject)]
pub struct NewApiKey {
    /// What is stored about it.
    pub(crate) api_key: ApiKey,
    /// The key itself: `han_key_…`. It is not stored.
    pub(crate) secret: String,
}
