//! Teams as their members see them: the team, its members, invites and API keys.

use async_graphql::{Enum, ID, Object, SimpleObject};
use han_db::queries::api_keys::KeyRow;
use han_db::queries::identity::TeamMembership;
use han_db::queries::invites::InviteRow;
use han_db::queries::teams::MemberRow;
use han_types::{Plans, Role};

use crate::types::user::User;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TeamRole {
    /// Looks after members, invites, keys and billing, too.
    Admin,
    /// Reads the team's sessions and pushes their own.
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
    /// One member, 100 sessions a month, content in clear.
    Free,
    /// Ten members, sealed content.
    Pro,
    /// Everything, unlimited: what every team has where no billing is configured.
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

/// A team, as a member of it sees it.
#[derive(Clone, Debug)]
pub struct Team {
    found: TeamMembership,
    plan: han_types::PlanTier,
}

impl Team {
    pub(crate) fn new(found: TeamMembership, plans: Plans) -> Self {
        let plan = plans.effective(found.team.plan_tier);
        Self { found, plan }
    }
}

/// A team of the caller's.
#[Object]
impl Team {
    /// The global id, `Team:<id>`.
    async fn id(&self) -> ID {
        ID(format!("Team:{}", self.found.team.id))
    }

    /// The raw id, as the sync protocol's `team_id` has it.
    async fn team_id(&self) -> &str {
        self.found.team.id.as_str()
    }

    /// Its name in addresses and on command lines. It stays when the team is renamed.
    async fn slug(&self) -> &str {
        &self.found.team.slug
    }

    /// The name shown.
    async fn name(&self) -> &str {
        &self.found.team.name
    }

    /// What the caller may do in it.
    async fn role(&self) -> TeamRole {
        self.found.membership.role.into()
    }

    /// The plan that binds.
    async fn plan(&self) -> PlanTier {
        self.plan.into()
    }

    /// How many members the plan allows; null for any number.
    async fn seats(&self) -> Option<u32> {
        self.plan.max_members()
    }

    /// When it was made, RFC 3339 in UTC.
    async fn created_at(&self) -> String {
        self.found.team.created_at.to_rfc3339()
    }
}

/// A member of a team.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMember {
    /// Who.
    user: User,
    /// What they may do.
    role: TeamRole,
    /// Since when, RFC 3339 in UTC.
    joined_at: String,
}

impl From<MemberRow> for TeamMember {
    fn from(row: MemberRow) -> Self {
        Self { user: User::new(row.user), role: row.role.into(), joined_at: row.joined_at.to_rfc3339() }
    }
}

/// An invite that nobody has used yet. Its code was shown once, to who made it.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamInvite {
    /// Its id, for revoking it.
    id: ID,
    /// Whom it is meant for. Whoever has the link may use it.
    email: String,
    /// When it was made, RFC 3339 in UTC.
    created_at: String,
    /// When it ends, RFC 3339 in UTC.
    expires_at: String,
    /// Who made it.
    invited_by: User,
}

impl From<InviteRow> for TeamInvite {
    fn from(row: InviteRow) -> Self {
        Self {
            id: ID(row.id.into()),
            email: row.email,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            invited_by: User::new(row.invited_by),
        }
    }
}

/// A new invite and its code, which is shown this once.
#[derive(Clone, Debug, SimpleObject)]
pub struct Invitation {
    /// The invite.
    pub(crate) invite: TeamInvite,
    /// What `acceptInvite` takes. Whoever has it may join.
    pub(crate) code: String,
    /// A page that accepts it, to be sent to the person.
    pub(crate) url: String,
}

/// A live API key. The key itself was shown once, when it was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKey {
    /// Its id, for revoking and rotating it.
    id: ID,
    /// What its owner calls it.
    name: String,
    /// What it may be used for: `read`, `sync:write`.
    scopes: Vec<String>,
    /// Whose it is.
    owner: User,
    /// When it was made, RFC 3339 in UTC.
    created_at: String,
    /// When it ends, RFC 3339 in UTC; null for never.
    expires_at: Option<String>,
    /// When it was last used, to within five minutes, RFC 3339 in UTC; null for not yet.
    last_used_at: Option<String>,
    /// Whether it was rotated and only lives out its grace.
    replaced: bool,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: ID(row.id.into()),
            name: row.name,
            scopes: row.scopes.split_ascii_whitespace().map(str::to_owned).collect(),
            owner: User::new(row.owner),
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.map(han_types::Timestamp::to_rfc3339),
            last_used_at: row.last_used_at.map(han_types::Timestamp::to_rfc3339),
            replaced: row.is_replaced,
        }
    }
}

/// A new API key, which is shown this once.
#[derive(Clone, Debug, SimpleObject)]
pub struct NewApiKey {
    /// What is kept of it.
    pub(crate) api_key: ApiKey,
    /// The key itself: `han_key_…`. It is stored nowhere.
    pub(crate) secret: String,
}
