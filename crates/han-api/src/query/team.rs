//! People and teams at the root: who I am.

use async_graphql::{Context, Object};
use han_db::queries::identity;

use crate::context::{caller, database};
use crate::error::Result;
use crate::types::user::User;

#[derive(Debug, Default)]
pub(crate) struct TeamQuery;

/// People and teams.
#[Object]
impl TeamQuery {
    /// The person behind the credential.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let caller = caller(ctx)?;
        caller.readable()?;
        Ok(identity::user(database(ctx)?, &caller.actor().user_id).await?.map(User::new))
    }
}
