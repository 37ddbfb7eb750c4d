//! What programs carry: short access tokens, refresh tokens to get the next with, and signing out, which ends both
//! (the pair is that of RFC 6749, section 5.1).

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use han_crypto::OpaqueToken;
use han_db::queries::identity;
use han_db::queries::sign_ins;
use han_db::queries::token_families::{self, IssuedToken, REFRESH_PREFIX, Refreshed};
use han_types::{Actor, Credential, RequestId, TeamId, UserId};
use serde::Deserialize;
use serde_json::json;

use super::middleware::Caller;
use super::{cookie, csrf, jwt};
use crate::problem::Problem;
use crate::state::AppState;

/// The longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 4096;

const ENDED: &str = "the access token is malformed or has ended: get a new one";

/// The actor behind an access token. One that came of a sign-in costs a read, so that signing out ends it at once.
pub(crate) async fn verify(state: &AppState, text: &str, request_id: &RequestId) -> Result<Actor, Problem> {
    let actor = state.jwt.verify(text, request_id).ok_or_else(|| Problem::bad_credential(ENDED))?;
    let of_sign_in = matches!(actor.credential, Credential::Jwt { family: Some(_), .. });
    if of_sign_in && !identity::credential_is_live(&state.db, &actor).await? {
        return Err(Problem::bad_credential(ENDED));
    }
    Ok(actor)
}

/// The pair that a program gets.
pub(crate) fn pair(
    state: &AppState,
    refresh: &IssuedToken,
    team_id: Option<&TeamId>,
) -> Result<Response, Problem> {
    let minted = state.jwt.mint_in(Some(&refresh.family), &refresh.user_id, team_id, &*state.entropy);
    let access = minted.map_err(|error| {
        tracing::error!(%error, "an access token could not be signed");
        Problem::internal()
    })?;
    let body = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": jwt::LIFETIME_SECONDS,
        "refresh_token": refresh.token.expose(),
        "refresh_token_expires_in": refresh.expires_at.seconds() - state.clock.now().seconds(),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
    #[serde(default)]
    team_id: Option<TeamId>,
}

fn body_of(headers: &HeaderMap, body: &[u8]) -> Result<RefreshBody, Problem> {
    let shape = "send {\"refresh_token\": \"…\"} as Content-Type: application/json";
    if !csrf::is_json(headers) || body.len() > MAX_BODY_BYTES {
        return Err(Problem::bad_request(shape));
    }
    // What the parser says is left out: it may quote the token.
    serde_json::from_slice(body).map_err(|_| Problem::bad_request(shape))
}

/// `POST /auth/refresh`: uses a refresh token up, and gives the next pair.
pub(crate) async fn refresh(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked = body_of(&headers, &body)?;
    let ended =
        || Problem::bad_credential("the refresh token is unknown or its sign-in has ended: sign in again");
    let token = OpaqueToken::parse(REFRESH_PREFIX, &asked.refresh_token).map_err(|_| ended())?;
    match token_families::refresh(&state.db, &token.hash()).await? {
        Refreshed::Issued(next) => pair(&state, &next, asked.team_id.as_ref()),
        Refreshed::Reused(family) => {
            tracing::warn!(%family, "a refresh token was used twice: its sign-in has been ended");
            Err(Problem::bad_credential(
                "this refresh token had been used before, so somebody else may hold it: everything of this sign-in \
                 has been ended, sign in again",
            ))
        }
        Refreshed::Refused => Err(ended()),
    }
}

/// `POST /auth/logout`: ends the sign-in that the request comes from, wherever it could still be used: the cookie, or
/// the refresh token with all access tokens that came of it. A refresh token in the body ends its own.
pub(crate) async fn logout(
    State(state): State<AppState>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let named = if body.is_empty() { None } else { body_of(&headers, &body).ok() };
    let has_cookie = cookie::read(&headers, &state.public_url)?.is_some();
    if has_cookie || headers.contains_key(AUTHORIZATION) || named.is_none() {
        let caller = Caller::of(&state, &method, &headers).await?;
        let Some((means, id)) = sign_ins::place_of(&caller.0.credential) else {
            return Err(Problem::bad_request(
                "only a sign-in can be signed out of, and this credential comes of none: revoke an API key instead",
            ));
        };
        sign_ins::revoke(&state.db, &caller.0.user_id, means, id).await?;
    }
    // Holding the token is all it takes, and whoever guesses learns nothing (RFC 7009, section 2.2).
    if let Some(token) = named.and_then(|named| OpaqueToken::parse(REFRESH_PREFIX, &named.refresh_token).ok())
    {
        token_families::revoke_by_token(&state.db, &token.hash()).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if has_cookie && let Ok(value) = cookie::clear(&state.public_url).try_into() {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    Ok(response)
}

/// Opens a browser session for somebody who has just proved who they are; gives the `Set-Cookie`.
pub(crate) async fn open_browser(state: &AppState, user_id: &UserId, label: &str) -> Result<String, Problem> {
    let token = sign_ins::open_web_session(&state.db, user_id, label).await?;
    Ok(cookie::set(&state.public_url, &token))
}

/// What the other end calls itself.
pub(crate) fn label(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("")
}
