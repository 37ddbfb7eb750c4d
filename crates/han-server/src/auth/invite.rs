//! The page that an invite's link leads to. Like a sign-in link it shows a button first, because mail programs and
//! chats fetch links to preview them; only the button uses the invite up, for whoever is signed in in this browser.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use han_crypto::OpaqueToken;
use han_db::queries::invites::{self, Accepted, INVITE_PREFIX};
use han_db::queries::{identity, teams};
use han_types::Credential;
use serde::Deserialize;

use super::csrf;
use super::login_link::MAX_FORM_BYTES;
use super::page::{self, html};
use crate::auth::middleware::Presented;
use crate::observe::request_id;
use crate::problem::Problem;
use crate::state::AppState;

/// Where links lead.
pub(crate) const PATH: &str = "/invite";

const INCOMPLETE: &str = "<p>This invite is not complete. Copy the whole link.</p>";

#[derive(Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    code: String,
}

/// `GET /invite?code=…`: asks for the click, whether or not the invite is still good.
pub(crate) async fn show(form: Result<Query<Form>, QueryRejection>) -> Response {
    let code = form.map(|Query(form)| form.code).unwrap_or_default();
    // Only what has the shape of a code is put into the page.
    if OpaqueToken::parse(INVITE_PREFIX, &code).is_err() {
        return html(StatusCode::BAD_REQUEST, INCOMPLETE);
    }
    html(
        StatusCode::OK,
        &format!(
            "<p>You are invited to a team.</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"code\" value=\"{code}\">\
             <button>Join it</button></form>"
        ),
    )
}

/// `POST /invite`: lets who is signed in into the team, and shows it to them.
pub(crate) async fn accept(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let presented = Presented::read(&state, &headers)?;
    let Some(presented @ Presented::Cookie(_)) = presented else { return Ok(sign_in_first(&state, &body)) };
    // A form cannot send the JSON that other requests by cookie must be; that it is this server's own, it can show.
    csrf::same_origin(&headers, state.public_url.origin(), true)?;
    let actor = match presented.verify(&state, &request_id(&state, &headers)).await {
        Ok(actor) => actor,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            return Ok(sign_in_first(&state, &body));
        }
        Err(problem) => return Err(problem),
    };
    let code = form_code(&body).unwrap_or_default();
    let (status, told) = match invites::accept(&state.db, state.config.plans, &actor, &code).await? {
        Accepted::Done(team) | Accepted::AlreadyMember(team) => {
            tracing::info!(team = %team.id, user = %actor.user_id, "an invite was accepted");
            let resolved = identity::scope_in(&state.db, &actor, &team.id).await?;
            if let (Some(resolved), Credential::WebSession { id, .. }) = (resolved, &actor.credential) {
                teams::switch(&resolved.scope, &state.db, id).await?;
            }
            return Ok((StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response());
        }
        Accepted::Malformed => (StatusCode::BAD_REQUEST, INCOMPLETE),
        Accepted::Unknown => (StatusCode::NOT_FOUND, "<p>There is no such invite. Check the link.</p>"),
        Accepted::Ended => (
            StatusCode::GONE,
            "<p>This invite was used or revoked, or its 24 hours are over. Ask for another.</p>",
        ),
        Accepted::Full(_) => (
            StatusCode::CONFLICT,
            "<p>The team has no room for another member. Tell who invited you; the invite is still good.</p>",
        ),
        Accepted::Locked(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "<p>Too many wrong invites came from you. Try again in a quarter of an hour.</p>",
        ),
    };
    Ok(html(status, told))
}

/// Who comes back signed in finds the invite's button again. Only what has the shape of a code is put into the page.
fn sign_in_first(state: &AppState, body: &[u8]) -> Response {
    let code = form_code(body).filter(|code| OpaqueToken::parse(INVITE_PREFIX, code).is_ok());
    let how = code.map(|code| page::sign_in(state, &format!("{PATH}?code={code}"))).unwrap_or_default();
    html(StatusCode::UNAUTHORIZED, &format!("<p>Sign in first; the invite is still good.</p>{how}"))
}

/// The code of a form (`application/x-www-form-urlencoded`), which has the syntax of a query.
fn form_code(body: &[u8]) -> Option<String> {
    let query = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_FORM_BYTES)?;
    let uri: Uri = format!("/?{query}").parse().ok()?;
    Query::<Form>::try_from_uri(&uri).ok().map(|Query(form)| form.code)
}
