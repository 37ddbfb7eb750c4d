//! API keys as credentials. The checksum of a key refuses typos and invented keys without a database query.

use han_crypto::{ApiKeyToken, TokenHash};
use han_db::entities::ApiKey;
use han_db::queries::memberships::Resolved;
use han_db::queries::{api_keys, audit, memberships};
use han_types::{Actor, Credential, Origin, RequestId};

use crate::rates;
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
    let hash = hash_of(text)?;
    let key = api_keys::by_hash(&state.db, &hash).await?.ok_or_else(refused)?;
    check(state, &key, &hash, request_id).await?;
    record_use(state, &key);
    Ok(actor_of(&key, request_id))
}

/// The actor of an API key that pushes, and what it may touch; `None` if its user is no longer a member of the key's
/// team. The database is asked once, or not at all if it was asked a few seconds ago ([`api_keys::for_push`]).
pub(crate) async fn verify_for_push(
    state: &AppState,
    text: &str,
    request_id: &RequestId,
) -> Result<(Actor, Option<Resolved>), Problem> {
    let hash = hash_of(text)?;
    let found = api_keys::for_push(&state.db, &hash).await?.ok_or_else(refused)?;
    check(state, &found.key, &hash, request_id).await?;
    record_use(state, &found.key);
    let actor = actor_of(&found.key, request_id);
    let resolved = memberships::scope_of_key(&found, &actor);
    Ok((actor, resolved))
}

fn refused() -> Problem {
    Problem::bad_credential(REFUSED)
}

fn hash_of(text: &str) -> Result<TokenHash, Problem> {
    ApiKeyToken::parse(text).map(|token| token.hash()).map_err(|_| refused())
}

/// Checks that a key may be used now. The use of one that has ended is recorded, once in a while: somebody may have found
/// it.
async fn check(
    state: &AppState,
    key: &ApiKey,
    hash: &TokenHash,
    request_id: &RequestId,
) -> Result<(), Problem> {
    // The key was found by its hash; this comparison takes constant time.
    if key.hash != *hash {
        return Err(refused());
    }
    if key.is_live(state.clock.now()) {
        return Ok(());
    }
    let origin = Origin::of_request(request_id.clone(), rates::client());
    if let Err(error) = audit::key_refused(&state.db.on_behalf_of(origin), key).await {
        tracing::error!(%error, api_key = %key.id, "the use of an ended API key could not be recorded");
    }
    Err(refused())
}

fn actor_of(key: &ApiKey, request_id: &RequestId) -> Actor {
    Actor {
        user_id: key.user_id.clone(),
        credential: Credential::ApiKey { id: key.id.clone(), team_id: key.team_id.clone() },
        capabilities: key.capabilities,
        expires_at: key.expires_at,
        request_id: request_id.clone(),
        client: None,
    }
}

/// Records a use of the key if that is due. In the background: a failure here must not fail the request.
fn record_use(state: &AppState, key: &ApiKey) {
    if !api_keys::use_is_due(key, state.clock.now()) {
        return;
    }
    let (db, key) = (state.db.clone(), key.clone());
    state.lifecycle.tasks.spawn(async move {
        if let Err(error) = api_keys::touch(&db, &key).await {
            tracing::warn!(%error, api_key = %key.id, "the last use of an API key could not be recorded");
        }
    });
}
