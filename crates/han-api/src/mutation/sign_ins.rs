//! Ending sign-ins.

use async_graphql::{Context, ID, Object};
use han_db::queries::sign_ins;
use han_types::Origin;

use crate::context::{caller, database, manager};
use crate::error::{ApiError, Result};
use crate::types::sign_in::SignInOrigin;

#[derive(Debug, Default)]
pub(crate) struct SignInMutation;

/// Sign-ins.
#[Object]
impl SignInMutation {
    /// Ends one sign-in of the user that the credential belongs to, at once: its cookie or tokens become invalid, and its
    /// open sockets are closed. `FORBIDDEN` for an API key.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id of one of `mySessions`.")] id: ID,
    ) -> Result<bool> {
        let actor = manager(caller(ctx)?.actor(), "sign its owner out: sign in yourself")?;
        let gone = ApiError::NotFound("sign-in of yours");
        let origin: SignInOrigin = id.parse().map_err(|()| gone.clone())?;
        let db = database(ctx)?.on_behalf_of(Origin::of_actor(actor));
        if sign_ins::revoke(&db, &actor.user_id, origin.means, &origin.id).await? {
            Ok(true)
        } else {
            Err(gone)
        }
    }
}
