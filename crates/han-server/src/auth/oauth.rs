//! Signing in through GitHub: OAuth's authorization-code flow with PKCE (RFC 6749, RFC 7636; GitHub's part is at
//! docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps). Requests to GitHub are in `github`;
//! here are the routes that the browser visits.
//!
//! The secret of an attempt is stored in a cookie only. `state` and the PKCE verifier are derived from it, so a browser
//! that returns without the cookie has neither. The database stores its hash, and whether it was used.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_crypto::OpaqueToken;
use han_db::queries::sign_ins::{self, SIGN_IN_PREFIX, SIGN_IN_SECONDS};
use han_db::queries::{github_accounts, token_families};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::github::Github;
use super::{return_to, tokens};
use crate::config::PublicUrl;
use crate::page;
use crate::state::AppState;
use han_http::Problem;

/// The path where signing in starts.
pub(crate) const PATH: &str = "/auth/github";

/// The path that GitHub redirects back to.
pub(crate) const CALLBACK: &str = "/auth/github/callback";

/// Follows an error on its page.
const TRY_AGAIN: &str = "<p><a class=\"button\" href=\"/auth/github\">Sign in with GitHub</a></p>";

/// The callback URL, exactly as it must be registered at GitHub.
pub(crate) fn redirect_uri(public_url: &PublicUrl) -> String {
    format!("{}{CALLBACK}", public_url.origin())
}

#[derive(Deserialize)]
pub(crate) struct BeginQuery {
    return_to: Option<String>,
}

/// `GET /auth/github?return_to=…`: redirects the browser to GitHub.
pub(crate) async fn begin(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<BeginQuery>, QueryRejection>,
) -> Response {
    let started = async {
        let github = configured(&state)?;
        let wanted = query.ok().and_then(|Query(query)| query.return_to);
        let target = return_to::within(&state.public_url, wanted.as_deref());
        let token = sign_ins::begin(&state.db, &target).await?;
        let attempt = Attempt::of(&token);
        Ok((github.consent_url(&attempt.state, &attempt.verifier), set_cookie(&state.public_url, &token)))
    };
    match started.await {
        Ok((location, cookie)) => {
            let headers =
                [(LOCATION, location), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
            (StatusCode::FOUND, headers).into_response()
        }
        Err(problem) => error_response(problem, &headers, ""),
    }
}

#[derive(Default, Deserialize)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// `GET /auth/github/callback`: signs in the user who returns from GitHub. A browser gets its cookie and is redirected
/// to its target; with `Accept: application/json` the response is a pair of tokens.
pub(crate) async fn callback(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<CallbackQuery>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let mut response = match finish(&state, &headers, query).await {
        Ok(response) => response,
        Err(problem) => error_response(problem, &headers, TRY_AGAIN),
    };
    // The attempt is over, whether it succeeded or not.
    if let Ok(cleared) = HeaderValue::try_from(clear_cookie(&state.public_url)) {
        response.headers_mut().append(SET_COOKIE, cleared);
    }
    response
}

async fn finish(state: &AppState, headers: &HeaderMap, query: CallbackQuery) -> Result<Response, Problem> {
    let github = configured(state)?;
    let token = read_cookie(headers, &state.public_url).ok_or_else(sign_in_over)?;
    let attempt = Attempt::of(&token);
    let shown = query.state.unwrap_or_default();
    if !bool::from(shown.as_bytes().ct_eq(attempt.state.as_bytes())) {
        return Err(sign_in_over());
    }
    // This uses the attempt: nothing can be tried twice.
    let target = sign_ins::finish(&state.db, &token.hash()).await?.ok_or_else(sign_in_over)?;
    if let Some(error) = query.error {
        return Err(github.refusal(&error));
    }
    let code = query.code.ok_or_else(sign_in_over)?;
    let (person, token) = github.person(code, attempt.verifier, state.clock.now()).await?;
    let db = state.db_of_request(headers);
    let signed_in = sign_ins::upsert_github_person(&db, &person).await?;
    let user = &signed_in.user;
    // Before the credentials are issued: what ends credentials compares with this sign-in.
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    github_accounts::signed_in(&state.db, &user.id, token).await?;
    tracing::info!(user = %user.id, github_id = person.github_id, is_new = signed_in.is_new, "a user signed in by GitHub");
    let label = tokens::label(headers);
    if page::wants_json(headers) {
        let refresh = token_families::begin(&db, &user.id, label).await?;
        return tokens::pair(state, &refresh, None);
    }
    let cookie = tokens::open_browser(state, &db, &user.id, label).await?;
    // A path without a host, checked when the attempt began.
    let headers = [(LOCATION, target), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

fn configured(state: &AppState) -> Result<&Github, Problem> {
    state.github.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_configured",
            "This server has no GitHub sign-in",
            "this server has no GitHub sign-in: its operator must set GITHUB_CLIENT_ID and \
             GITHUB_CLIENT_SECRET, or create a link with `han-server login-link`",
        )
    })
}

fn sign_in_over() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "sign_in_over",
        "The sign-in is over",
        "this sign-in was started in another browser, is complete already, or took longer than ten minutes: start again",
    )
}

/// What a page says about signing in; afterwards the user returns to `back`, a path of this site with its query.
pub(crate) fn how_to_sign_in(state: &AppState, back: &str) -> String {
    if state.github.is_none() {
        return "<p>Open a sign-in link in this browser. An administrator of the server creates one with \
             <code>han-server login-link</code>.</p>"
            .to_owned();
    }
    // `Url` encodes the value; only the query is used.
    let url = Url::parse_with_params(state.public_url.origin(), [("return_to", back)]).ok();
    let query = url.as_ref().and_then(Url::query).unwrap_or_default();
    format!("<p><a class=\"button\" href=\"{PATH}?{}\">Sign in with GitHub</a></p>", page::escape(query))
}

fn error_response(problem: Problem, headers: &HeaderMap, more: &str) -> Response {
    if page::wants_json(headers) { problem.into_response() } else { page::of_problem(problem, more) }
}

/// The values of one attempt that GitHub sees. Both are hashes of the cookie's token under different names: neither
/// reveals the other, or the token.
struct Attempt {
    state: String,
    verifier: String,
}

impl Attempt {
    fn of(token: &OpaqueToken) -> Self {
        let derive = |name: &str| {
            let mut hash = Sha256::new_with_prefix(name);
            hash.update(token.expose());
            URL_SAFE_NO_PAD.encode(hash.finalize())
        };
        // 43 characters: the shortest verifier that PKCE accepts (RFC 7636, section 4.1).
        Self { state: derive("han sign-in state:"), verifier: derive("han sign-in verifier:") }
    }
}

fn cookie_name(public_url: &PublicUrl) -> &'static str {
    if public_url.is_https() { "__Host-han_signin" } else { "han_signin" }
}

fn set_cookie(public_url: &PublicUrl, token: &OpaqueToken) -> String {
    cookie_text(public_url, token.expose(), SIGN_IN_SECONDS)
}

fn clear_cookie(public_url: &PublicUrl) -> String {
    cookie_text(public_url, "", 0)
}

/// `Lax`: the browser must send it when GitHub redirects back, which is a navigation from another site.
fn cookie_text(public_url: &PublicUrl, value: &str, seconds: i64) -> String {
    let secure = if public_url.is_https() { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}", cookie_name(public_url))
}

fn read_cookie(headers: &HeaderMap, public_url: &PublicUrl) -> Option<OpaqueToken> {
    let wanted = cookie_name(public_url);
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = pairs.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == wanted).then(|| value.trim())
    });
    // Of two cookies with this name, one was set by somebody else.
    match (found.next(), found.next()) {
        (Some(only), None) => OpaqueToken::parse(SIGN_IN_PREFIX, only).ok(),
        _ => None,
    }
}
