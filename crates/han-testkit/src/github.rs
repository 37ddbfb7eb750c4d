//! A fake GitHub at the HTTP level that behaves as GitHub's documentation states: the web flow of OAuth apps
//! (docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps) and the API calls that follow it. It
//! has one app and one user at the browser, and injects faults.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A GitHub account.
#[derive(Clone, Debug)]
pub struct GithubAccount {
    /// The account's numeric id.
    pub id: i64,
    /// Its user name.
    pub login: String,
    /// Its email addresses: address, primary, verified.
    pub emails: Vec<(String, bool, bool)>,
    /// The organizations with an active membership.
    pub orgs: Vec<String>,
}

impl GithubAccount {
    /// An account with one verified primary email address.
    #[must_use]
    pub fn new(id: i64, login: &str) -> Self {
        Self {
            id,
            login: login.to_owned(),
            emails: vec![(format!("{login}@example.com"), true, true)],
            orgs: Vec::new(),
        }
    }
}

/// A fault of GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GithubFault {
    /// Every response is 503 with an HTML page.
    Down,
    /// The API's primary rate limit is exceeded until this time, in seconds since the epoch.
    RateLimited(i64),
    /// The API's secondary rate limit is exceeded for this many seconds.
    SecondaryLimit(u64),
    /// Connections are accepted but never get a response.
    Silent,
    /// Every response is 200 with an HTML page.
    Pages,
    /// Every response is a redirect to another server.
    Redirects,
    /// The API does not return email addresses.
    NoEmails,
    /// The organizations block the app.
    BlockedApp,
}

/// The fake server. Dropping it stops it.
#[derive(Debug)]
pub struct FakeGithub {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Github>>;

#[derive(Debug, Default)]
struct Github {
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    signed_in: Option<GithubAccount>,
    denies: bool,
    fault: Option<GithubFault>,
    issued: u64,
    codes: HashMap<String, Grant>,
    tokens: HashMap<String, Grant>,
    requests: Vec<String>,
}

#[derive(Clone, Debug)]
struct Grant {
    account: GithubAccount,
    redirect_uri: String,
    challenge: Option<String>,
    scopes: Vec<String>,
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Github> {
    shared.lock().unwrap()
}

impl FakeGithub {
    /// Starts a server with the app `client_id`.
    pub async fn start(client_id: &str, client_secret: &str) -> Self {
        let github = Github {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            ..Github::default()
        };
        let shared: Shared = Arc::new(Mutex::new(github));
        let api = Router::new()
            .route("/user", get(user))
            .route("/user/emails", get(emails))
            .route("/user/memberships/orgs/{org}", get(membership))
            .layer(from_fn_with_state(Arc::clone(&shared), api_rules));
        let router = Router::new()
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(access_token))
            .nest("/api/v3", api)
            .layer(from_fn_with_state(Arc::clone(&shared), inject_fault))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    /// Its URL. As on an Enterprise Server, the API is under `/api/v3`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the app's callback URL, as on its settings page.
    pub fn set_callback(&self, redirect_uri: &str) {
        lock(&self.shared).redirect_uri = redirect_uri.to_owned();
    }

    /// Changes the app's secret.
    pub fn set_secret(&self, client_secret: &str) {
        lock(&self.shared).client_secret = client_secret.to_owned();
    }

    /// Sets the account that is signed in at the browser.
    pub fn sign_in(&self, account: GithubAccount) {
        lock(&self.shared).signed_in = Some(account);
    }

    /// Sets whether the user at the browser denies the app access.
    pub fn set_denies(&self, denies: bool) {
        lock(&self.shared).denies = denies;
    }

    /// Changes the organizations of an account that has signed in before.
    pub fn set_orgs(&self, id: i64, orgs: &[&str]) {
        let orgs: Vec<String> = orgs.iter().map(|org| (*org).to_owned()).collect();
        let mut github = lock(&self.shared);
        let github = &mut *github;
        for grant in github.tokens.values_mut().filter(|grant| grant.account.id == id) {
            grant.account.orgs.clone_from(&orgs);
        }
        if let Some(account) = github.signed_in.as_mut().filter(|account| account.id == id) {
            account.orgs = orgs;
        }
    }

    /// Revokes every token of an account, as its owner can in GitHub's settings.
    pub fn revoke_tokens(&self, id: i64) {
        lock(&self.shared).tokens.retain(|_, grant| grant.account.id != id);
    }

    /// Sets the fault of all further requests.
    pub fn set_fault(&self, fault: Option<GithubFault>) {
        lock(&self.shared).fault = fault;
    }

    /// Expires every code that was issued.
    pub fn expire_codes(&self) {
        lock(&self.shared).codes.clear();
    }

    /// Every request so far: method and path.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared).requests.clone()
    }
}

async fn inject_fault(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let fault = {
        let mut github = lock(&shared);
        github.requests.push(format!("{} {path}", request.method()));
        github.fault
    };
    let is_api = path.starts_with("/api/");
    // Browsers still reach the consent page: faults concern requests of the server.
    if path.ends_with("/authorize") {
        return next.run(request).await;
    }
    match fault {
        Some(GithubFault::Down) => {
            (StatusCode::SERVICE_UNAVAILABLE, "<html>No server is currently available</html>").into_response()
        }
        Some(GithubFault::Silent) => std::future::pending().await,
        Some(GithubFault::Pages) => (StatusCode::OK, "<html>Unicorn!</html>").into_response(),
        Some(GithubFault::Redirects) => {
            (StatusCode::FOUND, [(LOCATION, "http://127.0.0.1:1/stolen")]).into_response()
        }
        Some(GithubFault::RateLimited(reset)) if is_api => {
            let headers = [
                (HeaderName::from_static("x-ratelimit-limit"), "5000".to_owned()),
                (HeaderName::from_static("x-ratelimit-remaining"), "0".to_owned()),
                (HeaderName::from_static("x-ratelimit-reset"), reset.to_string()),
            ];
            (StatusCode::FORBIDDEN, headers, Json(json!({"message": "API rate limit exceeded"})))
                .into_response()
        }
        Some(GithubFault::SecondaryLimit(seconds)) if is_api => {
            let message = "You have exceeded a secondary rate limit";
            let headers = [(RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(json!({ "message": message }))).into_response()
        }
        _ => next.run(request).await,
    }
}

/// Parses form fields, which have the syntax of a query.
fn fields(text: &str) -> HashMap<String, String> {
    let uri: Uri = format!("/?{text}").parse().unwrap();
    Query::try_from_uri(&uri).unwrap().0
}

/// The consent page, with the immediate answer of the user at the browser.
async fn authorize(State(shared): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Response {
    let mut github = lock(&shared);
    if query.get("client_id") != Some(&github.client_id) {
        return (StatusCode::NOT_FOUND, "<html>404</html>").into_response();
    }
    let registered = github.redirect_uri.clone();
    let wanted = query.get("redirect_uri").unwrap_or(&registered);
    let state = query.get("state").cloned().unwrap_or_default();
    let back = |to: &str, params: &str| {
        let location = format!("{to}?{params}&state={state}");
        (StatusCode::FOUND, [(LOCATION, location)]).into_response()
    };
    if *wanted != registered {
        let error = "error=redirect_uri_mismatch&error_description=The+redirect_uri+MUST+match+the+registered\
                     +callback+URL+for+this+application.";
        return back(&registered, error);
    }
    if github.denies {
        let error = "error=access_denied&error_description=The+user+has+denied+your+application+access.";
        return back(wanted, error);
    }
    let account = github.signed_in.clone().expect("an account must be signed in");
    let challenge = query.get("code_challenge").cloned();
    assert!(
        challenge.is_none() || query.get("code_challenge_method").map(String::as_str) == Some("S256"),
        "GitHub accepts S256 only"
    );
    let scopes = query.get("scope").map_or("", String::as_str).split([' ', ',']).map(str::to_owned).collect();
    github.issued += 1;
    let code = format!("{:020x}", github.issued);
    let grant = Grant { account, redirect_uri: wanted.clone(), challenge, scopes };
    github.codes.insert(code.clone(), grant);
    back(wanted, &format!("code={code}"))
}

/// The token endpoint. GitHub reports errors with status 200.
async fn access_token(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let form = fields(std::str::from_utf8(&body).unwrap());
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    let mut github = lock(&shared);
    let answer = if given("client_id") != github.client_id || given("client_secret") != github.client_secret {
        error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
    } else {
        // A code is used up by the first request, even by one that fails.
        match github.codes.remove(given("code")) {
            None => error("bad_verification_code", "The code passed is incorrect or expired."),
            Some(grant)
                if !given("redirect_uri").is_empty() && given("redirect_uri") != grant.redirect_uri =>
            {
                error("redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL.")
            }
            Some(grant) if grant.challenge.as_deref().is_some_and(|c| c != s256(given("code_verifier"))) => {
                error("bad_verification_code", "The code passed is incorrect or expired.")
            }
            Some(grant)
                if !grant.account.emails.iter().any(|(_, primary, verified)| *primary && *verified) =>
            {
                error("unverified_user_email", "The user must have a verified primary email.")
            }
            Some(grant) => {
                github.issued += 1;
                let token = format!("gho_{:036x}", github.issued);
                let scope = grant.scopes.join(",");
                github.tokens.insert(token.clone(), grant);
                json!({"access_token": token, "token_type": "bearer", "scope": scope})
            }
        }
    };
    let wants_json = headers.get(ACCEPT).is_some_and(|accept| accept.to_str().unwrap().contains("json"));
    if wants_json {
        return Json(answer).into_response();
    }
    let pairs: Vec<String> = answer
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap().replace(' ', "+")))
        .collect();
    ([(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")], pairs.join("&")).into_response()
}

fn error(code: &str, description: &str) -> Value {
    json!({"error": code, "error_description": description, "error_uri": "https://docs.github.com/apps"})
}

fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Rejects API requests without a user agent or without a valid token.
async fn api_rules(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.get(USER_AGENT).is_none() {
        return (StatusCode::FORBIDDEN, "Request forbidden by administrative rules.").into_response();
    }
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let grant = token.and_then(|token| lock(&shared).tokens.get(token).cloned());
    let Some(grant) = grant else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"}))).into_response();
    };
    request.extensions_mut().insert(grant);
    next.run(request).await
}

fn granted(request: &Request) -> &Grant {
    request.extensions().get().unwrap()
}

async fn user(request: Request) -> Response {
    let GithubAccount { id, login, .. } = &granted(&request).account;
    Json(json!({
        "id": id, "login": login, "type": "User", "email": null,
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
    }))
    .into_response()
}

async fn emails(State(shared): State<Shared>, request: Request) -> Response {
    let grant = granted(&request);
    let refused = lock(&shared).fault == Some(GithubFault::NoEmails);
    if refused || !grant.scopes.iter().any(|scope| scope == "user:email") {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found"}))).into_response();
    }
    let emails = grant.account.emails.iter().map(|(email, primary, verified)| {
        json!({"email": email, "primary": primary, "verified": verified, "visibility": null})
    });
    Json(emails.collect::<Value>()).into_response()
}

async fn membership(State(shared): State<Shared>, Path(org): Path<String>, request: Request) -> Response {
    let grant = granted(&request);
    if lock(&shared).fault == Some(GithubFault::BlockedApp) {
        let message = "Although you appear to have the correct authorization credentials, the organization has enabled \
                       OAuth App access restrictions";
        return (StatusCode::FORBIDDEN, Json(json!({ "message": message }))).into_response();
    }
    if !grant.scopes.iter().any(|scope| scope == "read:org") {
        let message = "You need at least read:org scope";
        return (StatusCode::FORBIDDEN, Json(json!({ "message": message }))).into_response();
    }
    if !grant.account.orgs.iter().any(|name| name.eq_ignore_ascii_case(&org)) {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found"}))).into_response();
    }
    Json(json!({"state": "active", "role": "member", "organization": {"login": org}})).into_response()
}
