//! Users. Their number at GitHub, `users.github_id`, is read and written by `queries::sign_ins` alone.

use han_types::{Timestamp, UserId};

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The name shown; not unique.
    pub username: String,
    /// A picture, if there is one.
    pub avatar_url: Option<String>,
    /// An address, if one is known.
    pub email: Option<String>,
    /// When the person was first seen.
    pub created_at: Timestamp,
}
