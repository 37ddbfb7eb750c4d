//! The tokens of programs (RFC 6749, section 5.1): short access tokens, and refresh tokens to get the next pair. Signing
//! out ends both.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use han_crypto::OpaqueToken;
use han_db::Db;
use han_db::queries::token_families::{self, IssuedToken, REFRESH_PREFIX, Refreshed};
use han_db::queries::{credentials, sign_ins};
use han_http::headers::is_json;
use han_types::{Actor, Credential, RequestId, TeamId, UserId};
use serde::Deserialize;
use serde_json::json;

use super::middleware::Caller;
use super::{cookie, jwt};
use crate::rates;
use crate::state::AppState;
use han_http::Problem;

const EXPIRED: &str = "the access token is malformed or expired: get a new one";

/// The actor of an access token. If the token belongs to a sign-in, that costs a query, so that signing out ends it at
/// once.
pub(crate) async fn verify(state: &AppState, text: &str, request_id: &RequestId) -> Result<Actor, Problem> {
    let actor = state.jwt.verify(text, request_id).ok_or_else(|| Problem::bad_credential(EXPIRED))?;
    let has_sign_in = matches!(actor.credential, Credential::Jwt { family: Some(_), .. });
    if has_sign_in && !credentials::is_live(&state.db, &actor).await? {
        return Err(Problem::bad_credential(EXPIRED));
    }
    Ok(actor)
}

/// The response with an access token and a refresh token.
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

const REMEDY: &str = "send {\"refresh_token\": \"…\"} as Content-Type: application/json";

/// A body that was read no further than a small body may be long.
fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|_| Problem::bad_request(REMEDY))
}

fn body_of(headers: &HeaderMap, body: &[u8]) -> Result<RefreshBody, Problem> {
    if !is_json(headers) {
        return Err(Problem::bad_request(REMEDY));
    }
    // The parse error is omitted: it may quote the token.
    serde_json::from_slice(body).map_err(|_| Problem::bad_request(REMEDY))
}

/// `POST /auth/refresh`: uses a refresh token and returns the next pair.
pub(crate) async fn refresh(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let request = body_of(&headers, &read(body)?)?;
    let refused =
        || Problem::bad_credential("the refresh token is unknown or its sign-in has ended: sign in again");
    let token = OpaqueToken::parse(REFRESH_PREFIX, &request.refresh_token).map_err(|_| refused())?;
    match token_families::refresh(&state.db_of_request(&headers), &token.hash()).await? {
        Refreshed::Issued(next) => pair(&state, &next, request.team_id.as_ref()),
        Refreshed::Reused(family) => {
            tracing::warn!(%family, "a refresh token was used twice: its sign-in was ended");
            Err(Problem::bad_credential(
                "this refresh token was used before, so somebody else may have a copy: the sign-in and all its tokens \
                 were ended, sign in again",
            ))
        }
        Refreshed::Refused => Err(refused()),
    }
}

/// `POST /auth/logout`: ends the sign-in of the request's credential: the session of a cookie, or a refresh token with all
/// its access tokens. A refresh token in the body ends its own sign-in.
pub(crate) async fn logout(
    State(state): State<AppState>,
    method: Method,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = read(body)?;
    let named = if body.is_empty() { None } else { body_of(&headers, &body).ok() };
    let has_cookie = cookie::read(&headers, &state.public_url)?.is_some();
    if has_cookie || headers.contains_key(AUTHORIZATION) || named.is_none() {
        let caller = Caller::of(&state, &method, &headers).await?;
        let Some((means, id)) = sign_ins::place_of(&caller.0.credential) else {
            return Err(Problem::bad_request(
                "this credential does not belong to a sign-in, so it cannot be signed out: revoke an API key instead",
            ));
        };
        sign_ins::revoke(&state.db_of_actor(&caller.0), &caller.0.user_id, means, id).await?;
    }
    // The token is sufficient, and a guess reveals nothing (RFC 7009, section 2.2).
    if let Some(token) = named.and_then(|named| OpaqueToken::parse(REFRESH_PREFIX, &named.refresh_token).ok())
    {
        token_families::revoke_by_token(&state.db_of_request(&headers), &token.hash()).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if has_cookie && let Ok(value) = cookie::clear(&state.public_url).try_into() {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    Ok(response)
}

/// Opens a browser session for a user who has just signed in; returns the `Set-Cookie` header.
pub(crate) async fn open_browser(
    state: &AppState,
    db: &Db,
    user_id: &UserId,
    label: &str,
) -> Result<String, Problem> {
    let token = sign_ins::open_web_session(db, user_id, label).await?;
    rates::note_valid(state, token.expose());
    Ok(cookie::set(&state.public_url, &token))
}

/// The name of the client: its `User-Agent`.
pub(crate) fn label(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("")
}
