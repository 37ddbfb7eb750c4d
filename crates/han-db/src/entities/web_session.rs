//! Sessions of browsers.

use han_crypto::TokenHash;
use han_types::{TeamId, Timestamp, UserId, WebSessionId};

/// A browser's session as it is stored.
#[derive(Clone, Debug)]
pub struct WebSession {
    /// Its id.
    pub id: WebSessionId,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// Whose it is.
    pub user_id: UserId,
    /// The team last switched to.
    pub active_team_id: Option<TeamId>,
    /// When it was last seen, to within [`USE_RECORDED_EVERY_SECONDS`](crate::queries::credentials::USE_RECORDED_EVERY_SECONDS).
    pub last_seen_at: Timestamp,
    /// When it ends unless it is seen again.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl WebSession {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
