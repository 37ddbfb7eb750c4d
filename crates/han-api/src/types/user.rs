//! A person. Who may see which person is decided where one is looked up: whoever shares a team, and oneself.

use std::sync::Arc;

use async_graphql::{ID, Object};
use han_db::queries::identity::UserRow;
use han_types::UserId;

use crate::context::Op;
use crate::error::Result;

/// A person.
#[derive(Clone, Debug)]
pub struct User(Arc<UserRow>);

impl User {
    /// A person that the caller may see.
    pub(crate) fn new(row: UserRow) -> Self {
        Self(Arc::new(row))
    }

    /// A person of the team, or one who pushed sessions to it; `None` for everybody else.
    pub(crate) async fn load(op: &Op, id: UserId) -> Result<Option<Self>> {
        Ok(op.loader().load_one(id).await?.map(Self::new))
    }
}

/// A person.
#[Object]
impl User {
    /// The global id, `User:<id>`.
    async fn id(&self) -> ID {
        ID(format!("User:{}", self.0.id))
    }

    /// The name they go by; not unique.
    async fn name(&self) -> Option<&str> {
        Some(&self.0.username)
    }

    /// Where their picture lies.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// Their address, where one is known.
    async fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }
}
