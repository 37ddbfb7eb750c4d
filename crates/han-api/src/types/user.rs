//! Users. The lookups decide who may see a user: members of the same team, and the user.

use std::sync::Arc;

use async_graphql::{ID, Object};
use han_db::entities;
use han_types::UserId;

use crate::context::Op;
use crate::error::Result;

/// A user.
#[derive(Clone, Debug)]
pub struct User(Arc<entities::User>);

impl User {
    /// A user that the caller may see.
    pub(crate) fn new(row: entities::User) -> Self {
        Self(Arc::new(row))
    }

    /// A member of the team, or a user who pushed sessions to it; `None` for all others.
    pub(crate) async fn load(op: &Op, id: UserId) -> Result<Option<Self>> {
        Ok(op.loader().load_one(id).await?.map(Self::new))
    }
}

/// A user.
#[Object]
impl User {
    /// The global id, `User:<id>`.
    async fn id(&self) -> ID {
        ID(format!("User:{}", self.0.id))
    }

    /// The display name; not unique.
    async fn name(&self) -> Option<&str> {
        Some(&self.0.username)
    }

    /// The address of their picture.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// Their mail address, if it is known.
    async fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }
}
