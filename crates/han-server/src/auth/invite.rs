//! The page of an invite link. Like a sign-in link it shows a button first, because mail programs and chats fetch links
//! to preview them; only the button uses the invite, for the user who is signed in in this browser.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use han_crypto::OpaqueToken;
use han_db::queries::invites::{self, Accepted, INVITE_PREFIX};
use han_db::queries::{memberships, teams};
use han_types::Credential;
use serde::Deserialize;

use super::form::SmallForm;
use super::login_link::MAX_FORM_BYTES;
use super::middleware::Presented;
use super::{csrf, oauth};
use crate::page::{self, html};
use crate::state::AppState;
use han_http::Problem;

/// The path of invite links.
pub(crate) const PATH: &str = "/invite";

const INCOMPLETE: (&str, &str) = ("This link is incomplete", "<p>Copy the whole link of the invite.</p>");

#[derive(Deserialize)]
pub(crate) struct CodeField {
    #[serde(default)]
    code: String,
}

/// `GET /invite?code=…`: shows the team, who invites, and the button. An invite that is no longer valid has the button, too:
/// it says why when it is pressed.
pub(crate) async fn show(
    State(state): State<AppState>,
    query: Result<Query<CodeField>, QueryRejection>,
) -> Result<Response, Problem> {
    let code = query.map(|Query(query)| query.code).unwrap_or_default();
    // Only text in the format of a code goes into the page.
    let Ok(parsed) = OpaqueToken::parse(INVITE_PREFIX, &code) else {
        return Ok(html(StatusCode::BAD_REQUEST, INCOMPLETE.0, INCOMPLETE.1));
    };
    let invitation = match invites::page(&state.db, &parsed).await? {
        Some(invite) => format!(
            "<p><strong>{}</strong> invites you to the team <strong>{}</strong>.</p>",
            page::escape(&invite.inviter),
            page::escape(&invite.team)
        ),
        None => String::new(),
    };
    Ok(html(
        StatusCode::OK,
        "You are invited to a team",
        &format!(
            "{invitation}<p>As a member you see the sessions of the team, and may push your own.</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"code\" value=\"{code}\">\
             <button>Join the team</button></form>"
        ),
    ))
}

/// `POST /invite`: adds the signed-in user to the team, makes it the active team, and redirects to the dashboard.
pub(crate) async fn accept(
    State(state): State<AppState>,
    headers: HeaderMap,
    SmallForm(form): SmallForm<CodeField, MAX_FORM_BYTES>,
) -> Result<Response, Problem> {
    let code = form.map(|form| form.code).unwrap_or_default();
    let presented = Presented::read(&state, &headers)?;
    let Some(presented @ Presented::Cookie(_)) = presented else { return Ok(sign_in_first(&state, &code)) };
    // A form cannot be JSON, which other requests with a cookie must be, but it can prove its origin.
    csrf::same_origin(&headers, state.public_url.origin(), true)?;
    let actor = match presented.verify(&state, &state.request_ids.of(&headers)).await {
        Ok(actor) => actor,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            return Ok(sign_in_first(&state, &code));
        }
        Err(problem) => return Err(problem),
    };
    let (status, (title, message)) = match invites::accept(&state.db, &actor, &code).await? {
        Accepted::Done(team) | Accepted::AlreadyMember(team) => {
            tracing::info!(team = %team.id, user = %actor.user_id, "an invite was accepted");
            let resolved = memberships::scope_in(&state.db, &actor, &team.id).await?;
            if let (Some(resolved), Credential::WebSession { id, .. }) = (resolved, &actor.credential) {
                teams::switch(&resolved.scope, &state.db, id).await?;
            }
            return Ok((StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response());
        }
        Accepted::Malformed => (StatusCode::BAD_REQUEST, INCOMPLETE),
        Accepted::Unknown => (
            StatusCode::NOT_FOUND,
            ("There is no such invite", "<p>Check that you have copied the whole link.</p>"),
        ),
        Accepted::Ended => (
            StatusCode::GONE,
            (
                "This invite has ended",
                "<p>It was used or revoked, or has expired after its 24 hours. Ask for another.</p>",
            ),
        ),
        Accepted::Full(_) => (
            StatusCode::CONFLICT,
            (
                "The team is full",
                "<p>Its plan allows no more members. Ask the person who invited you; the invite stays valid.</p>",
            ),
        ),
        Accepted::Locked(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            (
                "Too many attempts",
                "<p>You have opened too many invalid invites. Try again in 15 minutes.</p>",
            ),
        ),
    };
    Ok(html(status, title, message))
}

/// After signing in, the user returns to the invite's button. Only text in the format of a code goes into the page.
fn sign_in_first(state: &AppState, code: &str) -> Response {
    let how = match OpaqueToken::parse(INVITE_PREFIX, code) {
        Ok(_) => oauth::how_to_sign_in(state, &format!("{PATH}?code={code}")),
        Err(_) => String::new(),
    };
    html(StatusCode::UNAUTHORIZED, "Sign in first", &format!("<p>The invite stays valid.</p>{how}"))
}
