//! Signing in through GitHub: OAuth's authorization-code flow with PKCE (RFC 6749, RFC 7636; GitHub's part is at
//! docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps). What GitHub is asked and how it
//! answers is in `github`; here is the course of it, as a browser sees it.
//!
//! An attempt's secret lies in a cookie and nowhere else; `state` and PKCE's verifier are made of it, so whoever
//! comes back without the cookie has neither. The database knows its hash, and that it was used.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_crypto::OpaqueToken;
use han_db::queries::sign_ins::{self, SIGN_IN_PREFIX, SIGN_IN_SECONDS};
use han_db::queries::token_families;
use han_http::Problem;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::github::Github;
use super::{page, return_to, tokens};
use crate::config::PublicUrl;
use crate::state::AppState;

/// Where signing in begins.
pub(crate) const PATH: &str = "/auth/github";

/// Where GitHub leads back to.
pub(crate) const CALLBACK: &str = "/auth/github/callback";

/// What the browser is shown beside a problem.
const AGAIN: &str = "<p><a href=\"/auth/github\">Sign in with GitHub</a></p>";

/// What both servers must agree on to the letter: where GitHub may lead back to.
pub(crate) fn redirect_uri(public_url: &PublicUrl) -> String {
    format!("{}{CALLBACK}", public_url.origin())
}

#[derive(Deserialize)]
pub(crate) struct Begin {
    return_to: Option<String>,
}

/// `GET /auth/github?return_to=…`: leads the browser to GitHub.
pub(crate) async fn begin(
    State(state): State<AppState>,
    headers: HeaderMap,
    wish: Result<Query<Begin>, QueryRejection>,
) -> Response {
    let started = async {
        let github = configured(&state)?;
        let wish = wish.ok().and_then(|Query(begin)| begin.return_to);
        let place = return_to::within(&state.public_url, wish.as_deref());
        let token = sign_ins::begin(&state.db, &place).await?;
        let attempt = Attempt::of(&token);
        Ok((github.consent_url(&attempt.state, &attempt.verifier), set_cookie(&state.public_url, &token)))
    };
    match started.await {
        Ok((location, cookie)) => {
            let headers =
                [(LOCATION, location), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
            (StatusCode::FOUND, headers).into_response()
        }
        Err(problem) => tell(problem, &headers, ""),
    }
}

#[derive(Default, Deserialize)]
pub(crate) struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// `GET /auth/github/callback`: whoever comes back from GitHub is signed in. A browser gets its cookie and is led
/// on; `Accept: application/json` gets a pair of tokens.
pub(crate) async fn callback(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<Callback>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let mut response = match come_back(&state, &headers, query).await {
        Ok(response) => response,
        Err(problem) => tell(problem, &headers, AGAIN),
    };
    // The attempt is over, however it went.
    if let Ok(gone) = HeaderValue::try_from(clear_cookie(&state.public_url)) {
        response.headers_mut().append(SET_COOKIE, gone);
    }
    response
}

async fn come_back(state: &AppState, headers: &HeaderMap, query: Callback) -> Result<Response, Problem> {
    let github = configured(state)?;
    let token = read_cookie(headers, &state.public_url).ok_or_else(begun_elsewhere)?;
    let attempt = Attempt::of(&token);
    let shown = query.state.unwrap_or_default();
    if !bool::from(shown.as_bytes().ct_eq(attempt.state.as_bytes())) {
        return Err(begun_elsewhere());
    }
    // From here on the attempt is used up: nothing can be tried twice.
    let place = sign_ins::finish(&state.db, &token.hash()).await?.ok_or_else(begun_elsewhere)?;
    if let Some(error) = query.error {
        return Err(github.refusal(&error));
    }
    let code = query.code.ok_or_else(begun_elsewhere)?;
    let person = github.person(code, attempt.verifier, state.clock.now()).await?;
    let signed_in = sign_ins::upsert_github_person(&state.db, &person).await?;
    let user = &signed_in.user;
    tracing::info!(user = %user.id, github_id = person.github_id, is_new = signed_in.is_new, "signed in by GitHub");
    let label = tokens::label(headers);
    if page::wants_json(headers) {
        let refresh = token_families::begin(&state.db, &user.id, label).await?;
        return tokens::pair(state, &refresh, None);
    }
    let cookie = tokens::open_browser(state, &user.id, label).await?;
    // The path alone: it was checked when the attempt began, and says nothing of a host.
    let headers = [(LOCATION, place), (SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

fn configured(state: &AppState) -> Result<&Github, Problem> {
    state.github.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_configured",
            "This server has no GitHub sign-in",
            "this server has no GitHub sign-in: its operator sets HAN_GITHUB_CLIENT_ID and \
             HAN_GITHUB_CLIENT_SECRET, or makes a link with `han-server login-link`",
        )
    })
}

fn begun_elsewhere() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "sign_in_over",
        "The sign-in is over",
        "this sign-in was not begun in this browser, is complete already, or took longer than ten minutes: begin again",
    )
}

fn tell(problem: Problem, headers: &HeaderMap, more: &str) -> Response {
    if page::wants_json(headers) { problem.into_response() } else { page::of_problem(problem, more) }
}

/// What one attempt shows to GitHub. Hashes of the cookie's token under different names: none tells another, nor the
/// token.
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
        // 43 characters: the shortest verifier that PKCE takes (RFC 7636, section 4.1).
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

/// `Lax`: it must come along when GitHub leads back, which is a navigation from another site.
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
    // Two of one name: one of them was put there by somebody else.
    match (found.next(), found.next()) {
        (Some(only), None) => OpaqueToken::parse(SIGN_IN_PREFIX, only).ok(),
        _ => None,
    }
}
