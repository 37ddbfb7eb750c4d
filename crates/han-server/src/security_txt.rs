//! `/.well-known/security.txt` (RFC 9116): whom to tell about a vulnerability of this server.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use han_http::Problem;

use crate::state::AppState;

/// The path of the file.
pub(crate) const PATH: &str = "/.well-known/security.txt";

/// For how long a copy of the file counts as current; the RFC recommends less than a year.
const VALID_SECONDS: i64 = 90 * 86_400;

/// `GET /.well-known/security.txt`: the contact, if one is configured.
pub(crate) async fn show(State(state): State<AppState>) -> Result<Response, Problem> {
    let Some(contact) = &state.config.http.security_contact else {
        return Err(Problem::not_found(
            "this server names no contact for vulnerabilities: its operator can set HAN_SECURITY_CONTACT",
        ));
    };
    let expires = state.clock.now().plus_seconds(VALID_SECONDS).to_rfc3339();
    let origin = state.public_url.origin();
    let text = format!(
        "Contact: {contact}\nExpires: {expires}\nPreferred-Languages: en\nCanonical: {origin}{PATH}\n"
    );
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
