//! One-time sign-in links. A link opens a page with a button, because mail programs and chats fetch links to preview
//! them; only the button uses the link.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use han_crypto::OpaqueToken;
use han_db::queries::login_links;
use han_db::queries::login_links::LOGIN_LINK_PREFIX;
use serde::Deserialize;

use super::form::SmallForm;
use super::{cookie, csrf, return_to};
use crate::config::PublicUrl;
use crate::page::{self, html};
use crate::rates;
use crate::state::AppState;
use han_http::Problem;

/// The path of sign-in links.
pub(crate) const PATH: &str = "/auth/login-link";

/// The longest form that is accepted, in bytes.
pub(crate) const MAX_FORM_BYTES: usize = 1024;

/// The sign-in link of a token.
pub(crate) fn url(base: &PublicUrl, token: &OpaqueToken) -> String {
    format!("{}{PATH}?token={}", base.origin(), token.expose())
}

#[derive(Deserialize)]
pub(crate) struct TokenField {
    #[serde(default)]
    token: String,
}

/// `GET /auth/login-link?token=…`: shows the account and the button. A link that is no longer valid has the button, too: it
/// says so when it is pressed.
pub(crate) async fn page(
    State(state): State<AppState>,
    query: Result<Query<TokenField>, QueryRejection>,
) -> Result<Response, Problem> {
    let token = query.map(|Query(query)| query.token).unwrap_or_default();
    // Only text in the format of a token goes into the page.
    let Ok(parsed) = OpaqueToken::parse(LOGIN_LINK_PREFIX, &token) else {
        return Ok(html(
            StatusCode::BAD_REQUEST,
            "This link is incomplete",
            "<p>Copy the whole sign-in link.</p>",
        ));
    };
    let account = match login_links::account(&state.db, &parsed.hash()).await? {
        Some(name) => format!("<p>You will be signed in as <strong>{}</strong>.</p>", page::escape(&name)),
        None => String::new(),
    };
    Ok(html(
        StatusCode::OK,
        "Sign in on this computer?",
        &format!(
            "{account}<p>The link signs in this browser. It can be used once.</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <button>Sign in</button></form>"
        ),
    ))
}

/// `POST /auth/login-link`: uses the link, opens a session and redirects to where the browser was going, else to the
/// dashboard.
pub(crate) async fn redeem(
    State(state): State<AppState>,
    headers: HeaderMap,
    SmallForm(form): SmallForm<TokenField, MAX_FORM_BYTES>,
) -> Result<Response, Problem> {
    // Another site must not sign a user in as somebody else (login CSRF).
    csrf::same_origin(&headers, state.public_url.origin(), false)?;
    let token = form.and_then(|form| OpaqueToken::parse(LOGIN_LINK_PREFIX, &form.token).ok());
    let opened = match token {
        Some(token) => login_links::redeem(&state.db_of_request(&headers), &token.hash()).await?,
        None => None,
    };
    let Some(opened) = opened else {
        return Ok(html(
            StatusCode::GONE,
            "This link has ended",
            "<p>It was used already, or has expired after its 15 minutes.</p>\
             <p>Create another with <code>han-server login-link</code>.</p>",
        ));
    };
    tracing::info!(user = %opened.user_id, "a user signed in by link");
    rates::note_valid(&state, opened.token.expose());
    let target = return_to::kept(&state.public_url, &headers);
    let cookies = [cookie::set(&state.public_url, &opened.token), return_to::forget(&state.public_url)];
    let cookies = AppendHeaders(cookies.map(|cookie| (SET_COOKIE, cookie)));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, target)], cookies).into_response())
}
