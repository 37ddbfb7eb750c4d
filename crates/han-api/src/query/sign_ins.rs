//! The sign-ins of the caller.

use async_graphql::{Context, Object};
use han_db::queries::sign_ins;

use crate::context::{caller, database, manager};
use crate::error::Result;
use crate::types::sign_in::SignIn;

#[derive(Debug, Default)]
pub(crate) struct SignInQuery;

/// The sign-ins of the caller.
#[Object]
impl SignInQuery {
    /// All sign-ins of the user that the credential belongs to, most recently seen first. `FORBIDDEN` for an API key.
    async fn my_sessions(&self, ctx: &Context<'_>) -> Result<Vec<SignIn>> {
        let actor = manager(caller(ctx)?.actor(), "list its owner's sign-ins: sign in as a person")?;
        let rows = sign_ins::live(database(ctx)?, &actor.user_id).await?;
        Ok(rows.into_iter().map(|row| SignIn::new(row, &actor.credential)).collect())
    }
}
