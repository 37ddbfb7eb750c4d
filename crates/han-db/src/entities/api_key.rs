//! API keys, as requests bring them and as their owners list them. The key itself is stored nowhere.

use han_crypto::TokenHash;
use han_types::{ApiKeyId, Capabilities, TeamId, Timestamp, UserId};

use super::{TeamMembership, User};

/// An API key as it is stored.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// The team it is bound to.
    pub team_id: TeamId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it may be used for.
    pub capabilities: Capabilities,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen, to within [`USE_RECORDED_EVERY_SECONDS`](crate::queries::credentials::USE_RECORDED_EVERY_SECONDS).
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// An API key with the membership of its owner in its team, read at one moment.
#[derive(Clone, Debug)]
pub struct MemberKey {
    /// The key, live or not.
    pub key: ApiKey,
    /// The membership of its owner; `None` if it has ended.
    pub membership: Option<TeamMembership>,
}

/// A key as its owner and the team's admins see it.
#[derive(Clone, Debug)]
pub struct ListedApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// `read`, `sync:write`, separated by spaces.
    pub scopes: String,
    /// Whose it is.
    pub owner: User,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen, coarsely.
    pub last_used_at: Option<Timestamp>,
    /// Whether a rotation has put another in its place, this one living on for a while.
    pub is_replaced: bool,
}
