//! Where I am signed in.

use async_graphql::{Context, Object};
use han_db::queries::sign_ins;

use crate::context::{caller, database, manager};
use crate::error::Result;
use crate::types::sign_in::SignIn;

#[derive(Debug, Default)]
pub(crate) struct SignInQuery;

/// Where I am signed in.
#[Object]
impl SignInQuery {
    /// Everywhere that the person behind the credential is signed in, the one last seen first. API keys may not ask.
    async fn my_sessions(&self, ctx: &Context<'_>) -> Result<Vec<SignIn>> {
        let actor = manager(caller(ctx)?.actor(), "say where its owner is signed in: sign in yourself")?;
        let rows = sign_ins::live(database(ctx)?, &actor.user_id).await?;
        Ok(rows.into_iter().map(|row| SignIn::new(row, &actor.credential)).collect())
    }
}
