//! Invites to a team. The code is stored hashed and not read back.

use han_types::{InviteId, Timestamp};

use super::User;

/// An open invite.
#[derive(Clone, Debug)]
pub struct TeamInvite {
    /// Its id.
    pub id: InviteId,
    /// Whom it is meant for. Any user who has the code may use it.
    pub email: String,
    /// The admin who made it.
    pub invited_by: User,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}
