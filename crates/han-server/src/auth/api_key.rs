//! API keys as credentials. The checksum of a key refuses typos and invented keys without a database query.

use han_crypto::ApiKeyToken;
use han_db::queries::api_keys;
use han_types::{Actor, Credential, RequestId};

use crate::state::AppState;
use han_http::Problem;

const REFUSED: &str =
    "the API key is unknown, revoked or expired: create another with `han-server key create`";

/// Whether a bearer token has the prefix of an API key.
pub(crate) fn looks_like_one(token: &str) -> bool {
    token.starts_with(ApiKeyToken::PREFIX)
}

/// The actor of an API key.
pub(crate) async fn verify(state: &AppState, text: &str, request_id: &RequestId) -> Result<Actor, Problem> {
    let token = ApiKeyToken::parse(text).map_err(|_| Problem::bad_credential(REFUSED))?;
    let hash = token.hash();
    let key = api_keys::by_hash(&state.db, &hash)
        .await?
        // The index has found the row by hash; this comparison takes constant time.
        .filter(|key| key.hash == hash && key.is_live(state.clock.now()))
        .ok_or_else(|| Problem::bad_credential(REFUSED))?;
    let actor = Actor {
        user_id: key.user_id.clone(),
        credential: Credential::ApiKey { id: key.id.clone(), team_id: key.team_id.clone() },
        capabilities: key.capabilities,
        expires_at: key.expires_at,
        request_id: request_id.clone(),
    };
    // In the background: a failure here must not fail the request.
    let db = state.db.clone();
    state.lifecycle.tasks.spawn(async move {
        if let Err(error) = api_keys::touch(&db, &key).await {
            tracing::warn!(%error, api_key = %key.id, "the last use of an API key could not be recorded");
        }
    });
    Ok(actor)
}
