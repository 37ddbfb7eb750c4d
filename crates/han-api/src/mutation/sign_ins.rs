//! Signing out elsewhere.

use async_graphql::{Context, ID, Object};
use han_db::queries::sign_ins;

use crate::context::{caller, database, manager};
use crate::error::{ApiError, Result};
use crate::types::sign_in::Place;

#[derive(Debug, Default)]
pub(crate) struct SignInMutation;

/// Signing out elsewhere.
#[Object]
impl SignInMutation {
    /// Signs the person behind the credential out in one place, at once: its cookie or its tokens are good for
    /// nothing any more, and its open sockets are cut. API keys may not.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One of `mySessions`.")] id: ID,
    ) -> Result<bool> {
        let actor = manager(caller(ctx)?.actor(), "sign its owner out: sign in yourself")?;
        let gone = ApiError::NotFound("sign-in of yours");
        let place: Place = id.parse().map_err(|()| gone.clone())?;
        if sign_ins::revoke(database(ctx)?, &actor.user_id, place.means, &place.id).await? {
            Ok(true)
        } else {
            Err(gone)
        }
    }
}
