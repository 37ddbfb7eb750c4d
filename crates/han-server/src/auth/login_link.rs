//! One-time sign-in links. A link opens a page with a button, because mail programs and chats
//! fetch links to preview them: only the button uses the link up.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use han_crypto::OpaqueToken;
use han_db::queries::identity::{self, LOGIN_LINK_PREFIX};
use han_http::Problem;
use serde::Deserialize;

use super::page::html;
use super::{cookie, csrf};
use crate::config::PublicUrl;
use crate::state::AppState;

/// Where links lead.
pub(crate) const PATH: &str = "/auth/login-link";

/// The longest form that is read, in bytes.
pub(crate) const MAX_FORM_BYTES: usize = 1024;

/// The link itself.
pub(crate) fn url(base: &PublicUrl, token: &OpaqueToken) -> String {
    format!("{}{PATH}?token={}", base.origin(), token.expose())
}

#[derive(Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    token: String,
}

/// `GET /auth/login-link?token=…`: asks for the click, whether or not the link is still good.
pub(crate) async fn page(form: Result<Query<Form>, QueryRejection>) -> Response {
    let token = form.map(|Query(form)| form.token).unwrap_or_default();
    // Only what has the shape of a token is put into the page.
    if OpaqueToken::parse(LOGIN_LINK_PREFIX, &token).is_err() {
        return html(
            StatusCode::BAD_REQUEST,
            "<p>This sign-in link is not complete. Copy the whole link.</p>",
        );
    }
    html(
        StatusCode::OK,
        &format!(
            "<p>Sign in to Han Teams on this computer?</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <button>Sign in</button></form>"
        ),
    )
}

/// `POST /auth/login-link`: uses the link up, opens a session and leads to the dashboard.
pub(crate) async fn redeem(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    // Nobody may be signed in as somebody else behind their back.
    csrf::same_origin(&headers, state.public_url.origin(), false)?;
    let token = form_token(&body).and_then(|token| OpaqueToken::parse(LOGIN_LINK_PREFIX, &token).ok());
    let opened = match token {
        Some(token) => identity::redeem_login_link(&state.db, &token.hash()).await?,
        None => None,
    };
    let Some(opened) = opened else {
        return Ok(html(
            StatusCode::GONE,
            "<p>This sign-in link was used already, or its 15 minutes are over.</p>\
             <p>Make another with <code>han-server login-link</code>.</p>",
        ));
    };
    tracing::info!(user = %opened.user_id, "signed in by link");
    let cookie = cookie::set(&state.public_url, &opened.token);
    Ok((StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response())
}

/// The token of a form (`application/x-www-form-urlencoded`), which has the syntax of a query.
fn form_token(body: &[u8]) -> Option<String> {
    let query = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_FORM_BYTES)?;
    let uri: Uri = format!("/?{query}").parse().ok()?;
    Query::<Form>::try_from_uri(&uri).ok().map(|Query(form)| form.token)
}
