//! The session cookie of a browser: an opaque token of a session that the server stores and can end.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use han_crypto::OpaqueToken;
use han_db::queries::web_sessions;
use han_db::queries::web_sessions::WEB_SESSION_PREFIX;
use han_db::queries::web_sessions::WEB_SESSION_SECONDS;
use han_types::{Actor, Capabilities, Credential, RequestId};

use crate::config::PublicUrl;
use crate::state::AppState;
use han_http::Problem;

const REFUSED: &str = "the session has ended: sign in again";

/// The cookie's name. With https, its prefix makes browsers accept it only from this exact host
/// (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
pub(crate) fn name(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { "__Host-han_session" } else { "han_session" }
}

/// The session token of a request, if it has one.
///
/// # Errors
/// 400 if the request has more than one.
pub(crate) fn read(headers: &HeaderMap, public_url: &PublicUrl) -> Result<Option<String>, Problem> {
    let wanted = name(public_url);
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|b| *b == b';') {
            let Some((name, value)) = std::str::from_utf8(pair).ok().and_then(|pair| pair.split_once('='))
            else {
                continue;
            };
            if name.trim() != wanted || value.trim().is_empty() {
                continue;
            }
            if found.replace(value.trim().to_owned()).is_some() {
                return Err(Problem::bad_request("the request has two session cookies: send one"));
            }
        }
    }
    Ok(found)
}

/// The `Set-Cookie` header that gives a browser its session.
pub(crate) fn set(public_url: &PublicUrl, token: &OpaqueToken) -> String {
    format!(
        "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={WEB_SESSION_SECONDS}{}",
        name(public_url),
        token.expose(),
        secure(public_url)
    )
}

/// The `Set-Cookie` header that deletes the cookie.
pub(crate) fn clear(public_url: &PublicUrl) -> String {
    format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{}", name(public_url), secure(public_url))
}

fn secure(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { "; Secure" } else { "" }
}

/// The actor of a session token.
pub(crate) async fn verify(state: &AppState, text: &str, request_id: &RequestId) -> Result<Actor, Problem> {
    let refused = || Problem::bad_credential(REFUSED);
    let hash = OpaqueToken::parse(WEB_SESSION_PREFIX, text).map_err(|_| refused())?.hash();
    let session = web_sessions::by_hash(&state.db, &hash)
        .await?
        .filter(|session| session.hash == hash && session.is_live(state.clock.now()))
        .ok_or_else(refused)?;
    // If the session cannot be extended now, it ends at its present expiry.
    let expires_at = match web_sessions::touch(&state.db, &session).await {
        Ok(expires_at) => expires_at,
        Err(error) => {
            tracing::warn!(%error, "a session could not be extended");
            session.expires_at
        }
    };
    Ok(Actor {
        user_id: session.user_id,
        credential: Credential::WebSession { id: session.id, team_id: session.active_team_id },
        capabilities: Capabilities::PERSON,
        expires_at: Some(expires_at),
        request_id: request_id.clone(),
        client: None,
    })
}
