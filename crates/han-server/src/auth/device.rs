//! Signing in on command lines: the device authorization grant (RFC 8628). A program asks for a code, its owner
//! approves it in a browser that is signed in, and the program fetches its tokens.

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use han_crypto::OpaqueToken;
use han_db::queries::device_logins::{
    self, DEVICE_PREFIX, DEVICE_SECONDS, POLL_SECONDS, Polled, WaitingLogin, read_user_code, show_user_code,
};
use han_db::queries::identity;
use han_types::{Actor, Credential};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::middleware::Presented;
use super::{csrf, page, tokens};
use crate::address::ClientAddress;
use crate::observe::request_id;
use crate::problem::Problem;
use crate::state::AppState;

/// Where a person approves; short enough to be typed.
pub(crate) const PATH: &str = "/auth/device";

/// The grant's name (RFC 8628, section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 4096;

#[derive(Default, Deserialize)]
struct CodeForm {
    client_id: Option<String>,
}

/// `POST /auth/device/code` (section 3.1): a program asks for its two codes. `client_id` is what it calls itself;
/// there are no secrets of clients, and none are registered.
pub(crate) async fn code(
    State(state): State<AppState>,
    ClientAddress(address): ClientAddress,
    body: Bytes,
) -> Result<Response, Problem> {
    let Some(client) = form::<CodeForm>(&body).and_then(|form| form.client_id).filter(|id| is_name(id))
    else {
        return Ok(error(
            "invalid_request",
            "client_id must name the program, in 1 to 64 letters, digits, . _ -",
        ));
    };
    let begun = device_logins::begin(&state.db, &client, &address.to_string()).await?;
    let Some(login) = begun else {
        return Err(Problem::unavailable("too many programs wait to be let in: try again in a few minutes"));
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

/// Whatever a program calls itself is shown to whoever approves it, so it may not be a sentence.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

#[derive(Default, Deserialize)]
struct TokenForm {
    grant_type: Option<String>,
    device_code: Option<String>,
}

/// `POST /auth/device/token` (section 3.4): the program asks whether it was approved.
pub(crate) async fn token(State(state): State<AppState>, body: Bytes) -> Result<Response, Problem> {
    let Some(asked) = form::<TokenForm>(&body) else {
        return Ok(error("invalid_request", "the body must be a form: grant_type, device_code, client_id"));
    };
    if asked.grant_type.as_deref() != Some(GRANT) {
        return Ok(error("unsupported_grant_type", "grant_type must be that of the device flow (RFC 8628)"));
    }
    let unknown = || error("invalid_grant", "the device code is unknown, or its tokens were fetched already");
    let device = asked.device_code.and_then(|code| OpaqueToken::parse(DEVICE_PREFIX, &code).ok());
    let Some(device) = device else { return Ok(unknown()) };
    Ok(match device_logins::poll(&state.db, &device.hash()).await? {
        Polled::Approved(refresh) => tokens::pair(&state, &refresh, None)?,
        Polled::Pending => {
            error("authorization_pending", "nobody has approved yet: ask again after the interval")
        }
        Polled::SlowDown => error("slow_down", "asked too soon: wait five seconds longer from now on"),
        Polled::Denied => error("access_denied", "the sign-in was refused in the browser"),
        Polled::Expired => error("expired_token", "nobody approved in time: begin again"),
        Polled::Unknown => unknown(),
    })
}

/// An error as RFC 6749, section 5.2, has it: the shape that clients of this grant know.
fn error(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// A form (`application/x-www-form-urlencoded`) has the syntax of a query.
fn form<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_FORM_BYTES)?;
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Query::<T>::try_from_uri(&uri).ok().map(|Query(form)| form)
}

#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    user_code: Option<String>,
}

/// `GET /auth/device?user_code=…`: shows what would be approved; without a code, asks for it.
pub(crate) async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let typed = asked.ok().and_then(|Query(asked)| asked.user_code).unwrap_or_default();
    let code = read_user_code(&typed);
    let Some(actor) = signed_in(&state, &headers).await? else {
        return Ok(sign_in_first(&state, code.as_deref()));
    };
    let Some(code) = code else {
        let wrong = if typed.is_empty() { "" } else { "<p>That is no code of ours.</p>" };
        return Ok(page::html(StatusCode::OK, &format!("{wrong}{ASK}")));
    };
    match device_logins::waiting(&state.db, &code).await? {
        Some(login) => confirm(&state, &actor, &login).await,
        None => Ok(nothing_waits()),
    }
}

const ASK: &str = "<form action=\"/auth/device\"><p><label>The code that your command line shows:<br>\
     <input name=\"user_code\" autocomplete=\"off\" autocapitalize=\"characters\" size=\"12\" required></label></p>\
     <button>Go on</button></form>";

fn nothing_waits() -> Response {
    page::html(
        StatusCode::GONE,
        &format!("<p>Nothing waits under this code: it was used, has ended, or was mistyped.</p>{ASK}"),
    )
}

async fn confirm(state: &AppState, actor: &Actor, login: &WaitingLogin) -> Result<Response, Problem> {
    let user = identity::user(&state.db, &actor.user_id).await?;
    let name = user.map(|user| user.username).unwrap_or_default();
    let code = show_user_code(&login.user_code);
    let minutes = (state.clock.now().0 - login.created_at.0) / 60_000;
    let when = if minutes < 1 { "just now".to_owned() } else { format!("{minutes} min ago") };
    Ok(page::html(
        StatusCode::OK,
        &format!(
            "<p>A program asks to act as <strong>{}</strong>.</p><dl><dt>Code</dt><dd><code>{code}</code></dd>\
             <dt>It calls itself</dt><dd>{}</dd><dt>It asked from</dt><dd>{}, {when}</dd></dl>\
             <p>It could read and push the sessions of all your teams, and do there what you may do, until you sign \
             it out. <strong>Approve only if you have just started it yourself and it shows this code.</strong> \
             Nobody from Han Teams will ever send you a code.</p>\
             <form method=\"post\" action=\"{PATH}\"><input type=\"hidden\" name=\"user_code\" value=\"{code}\">\
             <button name=\"decision\" value=\"approve\">Approve</button> \
             <button name=\"decision\" value=\"deny\">Refuse</button></form>",
            page::escape(&name),
            page::escape(&login.client),
            page::escape(&login.asked_from),
        ),
    ))
}

#[derive(Default, Deserialize)]
struct Decision {
    user_code: Option<String>,
    decision: Option<String>,
}

/// `POST /auth/device`: the person's decision. The form comes from this server's own page or not at all.
pub(crate) async fn decide(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    csrf::same_origin(&headers, state.public_url.origin(), true)?;
    let asked: Decision = form(&body).unwrap_or_default();
    let code = asked.user_code.as_deref().and_then(read_user_code);
    let Some(actor) = signed_in(&state, &headers).await? else {
        return Ok(sign_in_first(&state, code.as_deref()));
    };
    let approves = match asked.decision.as_deref() {
        Some("approve") => true,
        Some("deny") => false,
        _ => return Err(Problem::bad_request("decision must be approve or deny")),
    };
    let decided = match code {
        Some(code) => device_logins::decide(&state.db, &code, approves.then_some(&actor.user_id)).await?,
        None => false,
    };
    if !decided {
        return Ok(nothing_waits());
    }
    tracing::info!(user = %actor.user_id, approves, "decided on a program's sign-in");
    let told = if approves {
        "<p>Done: the program is signed in. You can close this page and go back to it.</p>"
    } else {
        "<p>Refused: the program was not let in. You can close this page.</p>"
    };
    Ok(page::html(StatusCode::OK, told))
}

/// Whoever is signed in with this browser's cookie. A navigation from elsewhere (a link in a chat) may show the page:
/// it changes nothing, and no other site can read it.
async fn signed_in(state: &AppState, headers: &HeaderMap) -> Result<Option<Actor>, Problem> {
    let Some(presented @ Presented::Cookie(_)) = Presented::read(state, headers)? else { return Ok(None) };
    match presented.verify(state, &request_id(state, headers)).await {
        Ok(actor) if matches!(actor.credential, Credential::WebSession { .. }) => Ok(Some(actor)),
        Ok(_) => Ok(None),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn sign_in_first(state: &AppState, code: Option<&str>) -> Response {
    let back =
        code.map_or_else(|| PATH.to_owned(), |code| format!("{PATH}?user_code={}", show_user_code(code)));
    let how = page::sign_in(state, &back);
    page::html(
        StatusCode::UNAUTHORIZED,
        &format!("<p>Sign in to this site first: a program waits for your approval.</p>{how}"),
    )
}
