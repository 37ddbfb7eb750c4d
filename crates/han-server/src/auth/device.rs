//! Signing in on command lines: the device authorization grant (RFC 8628). A program requests a code, its user approves
//! it in a signed-in browser, and the program fetches its tokens.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use han_crypto::OpaqueToken;
use han_db::queries::device_logins::{
    self, DEVICE_PREFIX, DEVICE_SECONDS, POLL_SECONDS, Polled, WaitingLogin, read_user_code, show_user_code,
};
use han_db::queries::users;
use han_types::{Actor, Credential};
use serde::Deserialize;
use serde_json::json;

use super::form::SmallForm;
use super::middleware::Presented;
use super::{csrf, oauth, tokens};
use crate::address::ClientAddress;
use crate::admission::{Priority, PrioritySemaphore};
use crate::page;
use crate::state::AppState;
use han_http::Problem;

/// The path of the approval page; short enough to be typed.
pub(crate) const PATH: &str = "/auth/device";

/// The grant type (RFC 8628, section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How many programs wait for their codes while another one's are made.
const WAITING: usize = 1_000;

/// How long a program waits for its codes while others ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest form that is accepted, in bytes.
const MAX_FORM_BYTES: usize = 4096;

/// The turns of programs that ask for codes: one at a time. Anyone may ask, from many addresses, so all of them together
/// take one connection of the database and a bounded queue.
pub(crate) fn turns() -> PrioritySemaphore {
    PrioritySemaphore::new(1, WAITING, PATIENCE)
}

#[derive(Deserialize)]
pub(crate) struct CodeForm {
    client_id: Option<String>,
}

/// `POST /auth/device/code` (section 3.1): a program requests its two codes. It chooses its `client_id` itself: clients
/// are not registered and have no secret.
pub(crate) async fn code(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    SmallForm(form): SmallForm<CodeForm, MAX_FORM_BYTES>,
) -> Result<Response, Problem> {
    let Some(client) = form.and_then(|form| form.client_id).filter(|id| is_name(id)) else {
        return Ok(error(
            "invalid_request",
            "the body must be a form (application/x-www-form-urlencoded) whose client_id names the program in 1 to 64 \
             letters, digits, . _ -",
        ));
    };
    let busy = |_| Problem::unavailable("too many programs ask for codes: try again in a minute");
    let _turn = state.device_codes.acquire(1, Priority::Normal).await.map_err(busy)?;
    let begun = device_logins::begin(&state.db, &client, address).await?;
    let Some(login) = begun else {
        return Err(Problem::unavailable("no code could be made: try again"));
    };
    let user_code = show_user_code(&login.user_code);
    let page = format!("{}{PATH}", state.public_url.origin());
    let body = json!({
        "device_code": login.device_code.expose(),
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "verification_uri": page,
        "user_code": user_code,
        "expires_in": DEVICE_SECONDS,
        "interval": POLL_SECONDS,
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The approval page shows the name to the user, so it must not be able to form a sentence.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[derive(Deserialize)]
pub(crate) struct TokenForm {
    grant_type: Option<String>,
    device_code: Option<String>,
}

/// `POST /auth/device/token` (section 3.4): the program polls for its tokens.
pub(crate) async fn token(
    State(state): State<AppState>,
    headers: HeaderMap,
    SmallForm(form): SmallForm<TokenForm, MAX_FORM_BYTES>,
) -> Result<Response, Problem> {
    let Some(form) = form else {
        return Ok(error(
            "invalid_request",
            "the body must be a form (application/x-www-form-urlencoded) with grant_type, device_code and client_id",
        ));
    };
    if form.grant_type.as_deref() != Some(GRANT) {
        return Ok(error(
            "unsupported_grant_type",
            "grant_type must be the one of the device flow (RFC 8628)",
        ));
    }
    let unknown =
        || error("invalid_grant", "the device code is unknown, or its tokens have been fetched already");
    let device = form.device_code.and_then(|code| OpaqueToken::parse(DEVICE_PREFIX, &code).ok());
    let Some(device) = device else { return Ok(unknown()) };
    Ok(match device_logins::poll(&state.db_of_request(&headers), &device.hash()).await? {
        Polled::Approved(refresh) => tokens::pair(&state, &refresh, None)?,
        Polled::Pending => {
            error("authorization_pending", "the sign-in is not approved yet: ask again after the interval")
        }
        Polled::SlowDown => error("slow_down", "asked too soon: add five seconds to the interval"),
        Polled::Denied => error("access_denied", "the sign-in was refused in the browser"),
        Polled::Expired => error("expired_token", "the sign-in was not approved in time: start again"),
        Polled::Unknown => unknown(),
    })
}

/// An error in the format of RFC 6749, section 5.2, which clients of this grant expect.
fn error(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

#[derive(Deserialize)]
pub(crate) struct ShowQuery {
    user_code: Option<String>,
}

/// `GET /auth/device?user_code=…`: shows what the user would approve; without a code, asks for the code.
pub(crate) async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let typed = query.ok().and_then(|Query(query)| query.user_code).unwrap_or_default();
    let code = read_user_code(&typed);
    let Some(actor) = signed_in(&state, &headers).await? else {
        return Ok(sign_in_first(&state, code.as_deref()));
    };
    let Some(code) = code else {
        let wrong = if typed.is_empty() { "" } else { "<p class=\"error\">This code is not valid.</p>" };
        return Ok(page::html(StatusCode::OK, "Sign in on a command line", &format!("{wrong}{ASK}")));
    };
    match device_logins::waiting(&state.db, &code).await? {
        Some(login) => confirm(&state, &actor, &login).await,
        None => Ok(code_unknown()),
    }
}

const ASK: &str = "<form action=\"/auth/device\"><p><label>The code that your command line shows\
     <input name=\"user_code\" autocomplete=\"off\" autocapitalize=\"characters\" size=\"12\" required></label></p>\
     <button>Continue</button></form>";

fn code_unknown() -> Response {
    page::html(
        StatusCode::GONE,
        "This code is not in use",
        &format!(
            "<p>No program waits for approval with it: it was used already, has expired, or was mistyped.</p>{ASK}"
        ),
    )
}

async fn confirm(state: &AppState, actor: &Actor, login: &WaitingLogin) -> Result<Response, Problem> {
    let user = users::by_id(&state.db, &actor.user_id).await?;
    let name = user.map(|user| user.username).unwrap_or_default();
    let code = show_user_code(&login.user_code);
    let minutes = (state.clock.now().0 - login.created_at.0) / 60_000;
    let when = if minutes < 1 { "just now".to_owned() } else { format!("{minutes} min ago") };
    Ok(page::html(
        StatusCode::OK,
        "Approve this program?",
        &format!(
            "<p>It asks to act as <strong>{}</strong>.</p><dl><dt>Code</dt><dd><code>{code}</code></dd>\
             <dt>Its name</dt><dd>{}</dd><dt>Its address</dt><dd>{}, {when}</dd></dl>\
             <p>It will be able to read and push the sessions of all your teams, and to do anything that you may do \
             there, until you sign it out. <strong>Approve only if you have just started it yourself and it shows this \
             code.</strong> Han Teams never sends you a code.</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"user_code\" value=\"{code}\">\
             <button name=\"decision\" value=\"approve\">Approve</button> \
             <button class=\"plain\" name=\"decision\" value=\"deny\">Deny</button></form>",
            page::escape(&name),
            page::escape(&login.client),
            page::escape(&login.asked_from),
        ),
    ))
}

#[derive(Default, Deserialize)]
pub(crate) struct Decision {
    user_code: Option<String>,
    decision: Option<String>,
}

/// `POST /auth/device`: the user's decision. Only forms of this server's own page are accepted.
pub(crate) async fn decide(
    State(state): State<AppState>,
    headers: HeaderMap,
    SmallForm(form): SmallForm<Decision, MAX_FORM_BYTES>,
) -> Result<Response, Problem> {
    csrf::same_origin(&headers, state.public_url.origin(), true)?;
    let form = form.unwrap_or_default();
    let code = form.user_code.as_deref().and_then(read_user_code);
    let Some(actor) = signed_in(&state, &headers).await? else {
        return Ok(sign_in_first(&state, code.as_deref()));
    };
    let approves = match form.decision.as_deref() {
        Some("approve") => true,
        Some("deny") => false,
        _ => return Err(Problem::bad_request("decision must be approve or deny")),
    };
    let decided = match code {
        Some(code) => {
            let db = state.db_of_actor(&actor);
            device_logins::decide(&db, &code, approves.then_some(&actor.user_id)).await?
        }
        None => false,
    };
    if !decided {
        return Ok(code_unknown());
    }
    tracing::info!(user = %actor.user_id, approves, "a user decided on the sign-in of a program");
    let (title, message) = if approves {
        ("Approved", "<p>The program is signed in. You can close this page and return to the program.</p>")
    } else {
        ("Denied", "<p>The program is not signed in. You can close this page.</p>")
    };
    Ok(page::html(StatusCode::OK, title, message))
}

/// The user who is signed in with this browser's cookie. The page may be opened from another site (a link in a chat):
/// that changes nothing, and no other site can read the page.
async fn signed_in(state: &AppState, headers: &HeaderMap) -> Result<Option<Actor>, Problem> {
    let Some(presented @ Presented::Cookie(_)) = Presented::read(state, headers)? else { return Ok(None) };
    match presented.verify(state, &state.request_ids.of(headers)).await {
        Ok(actor) if matches!(actor.credential, Credential::WebSession { .. }) => Ok(Some(actor)),
        Ok(_) => Ok(None),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn sign_in_first(state: &AppState, code: Option<&str>) -> Response {
    let back =
        code.map_or_else(|| PATH.to_owned(), |code| format!("{PATH}?user_code={}", show_user_code(code)));
    let how = oauth::how_to_sign_in(state, &back);
    page::html(
        StatusCode::UNAUTHORIZED,
        "Sign in first",
        &format!("<p>A program waits for your approval.</p>{how}"),
    )
}
