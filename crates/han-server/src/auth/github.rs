//! The client of GitHub's OAuth and REST API. Every request has a deadline, follows no redirect and reads a limited
//! response; every failure becomes a problem that names the remedy.

use std::future::Future;
use std::pin::Pin;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use han_db::jobs::Standing;
use han_db::queries::github_accounts::GithubUser;
use han_db::queries::sign_ins::GithubPerson;
use han_http::Problem;
use han_types::{Timestamp, is_visible};
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    TokenResponse as _, TokenUrl,
};
use reqwest::Url;
use reqwest::header::{ACCEPT, LOCATION};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::config::GithubConfig;
use crate::outbound;

/// The longest response that is read; GitHub's have a few kilobytes.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// The longest name that is stored, in characters.
const MAX_NAME: usize = 100;

/// The longest `Retry-After` that is passed on, in seconds.
const MAX_RETRY_AFTER: i64 = 3600;

/// An OAuth app at GitHub with its HTTP client.
pub(crate) struct Github {
    config: GithubConfig,
    redirect_uri: RedirectUrl,
    authorize: AuthUrl,
    token: TokenUrl,
    api: Url,
    http: reqwest::Client,
}

/// Why GitHub cannot be set up.
#[derive(Debug, Error)]
pub enum GithubError {
    /// A configured address is not a URL.
    #[error("the address of GitHub (HAN_GITHUB_URL, HAN_GITHUB_API_URL) is not a URL: {0}")]
    Address(String),
    /// TLS could not be set up.
    #[error(
        "TLS for GitHub could not be set up: {0}; install the system's CA certificates (package ca-certificates)"
    )]
    Tls(reqwest::Error),
}

/// Why a request to GitHub failed.
#[derive(Debug, Error)]
enum CallError {
    #[error("{0}")]
    Transport(#[from] reqwest::Error),
    #[error("{0}")]
    Request(#[from] oauth2::http::Error),
    #[error("the response has more than {MAX_RESPONSE_BYTES} bytes")]
    TooLong,
    #[error("the response has the status {0}")]
    Status(StatusCode),
    #[error("the response is a redirect to {0:?}")]
    Redirected(String),
    #[error("the response does not have the documented format")]
    Unreadable,
    #[error("GitHub's rate limit is exceeded; it resets in {seconds} s")]
    Limited { seconds: i64 },
}

#[derive(Deserialize)]
struct User {
    id: i64,
    login: String,
    avatar_url: Option<String>,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct Membership {
    state: String,
}

/// An error of GitHub's API.
#[derive(Deserialize)]
struct ErrorMessage {
    message: String,
}

impl Github {
    pub(crate) fn new(config: GithubConfig, redirect_uri: String) -> Result<Self, GithubError> {
        let bad = |err: oauth2::url::ParseError| GithubError::Address(err.to_string());
        let base = config.url.trim_end_matches('/');
        let authorize = AuthUrl::new(format!("{base}/login/oauth/authorize")).map_err(bad)?;
        let token = TokenUrl::new(format!("{base}/login/oauth/access_token")).map_err(bad)?;
        let api = Url::parse(&format!("{}/", config.api_url.trim_end_matches('/'))).map_err(bad)?;
        let is_plain = base.starts_with("http://") && api.scheme() == "http";
        let http = outbound::client(config.timeout, is_plain);
        let redirect_uri = RedirectUrl::new(redirect_uri).map_err(bad)?;
        Ok(Self { redirect_uri, authorize, token, api, http: http.map_err(GithubError::Tls)?, config })
    }

    /// The URL where GitHub asks the user for consent.
    pub(crate) fn consent_url(&self, state: &str, verifier: &str) -> String {
        let client = BasicClient::new(ClientId::new(self.config.client_id.clone()))
            .set_auth_uri(self.authorize.clone())
            .set_redirect_uri(self.redirect_uri.clone());
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.to_owned()));
        let mut request = client
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .set_pkce_challenge(challenge)
            .add_scope(Scope::new("user:email".to_owned()));
        if !self.config.allowed_orgs.is_empty() {
            request = request.add_scope(Scope::new("read:org".to_owned()));
        }
        request.url().0.into()
    }

    /// The user who gave consent, and the token to ask again with, if GitHub has to be asked again.
    ///
    /// # Errors
    /// A problem to show in the browser.
    pub(crate) async fn person(
        &self,
        code: String,
        verifier: String,
        now: Timestamp,
    ) -> Result<(GithubPerson, Option<SecretString>), Problem> {
        let token = self.exchange(code, verifier, now).await?;
        let user: User = self.get(&token, &["user"], now).await.map_err(|error| unavailable(&error))?;
        // GitHub numbers accounts from 1.
        if user.id <= 0 {
            return Err(unavailable(&CallError::Unreadable));
        }
        self.check_allowed(&token, &user.login, now).await?;
        let email = match self.get::<Vec<Email>>(&token, &["user", "emails"], now).await {
            Ok(emails) => {
                emails.into_iter().find(|email| email.primary && email.verified).map(|email| email.email)
            }
            // The app may lack access to addresses. An address is optional.
            Err(CallError::Status(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)) => None,
            Err(error) => return Err(unavailable(&error)),
        };
        let plain =
            |text: String| -> String { text.chars().filter(|c| is_visible(*c)).take(MAX_NAME).collect() };
        let person = GithubPerson {
            github_id: user.id,
            login: plain(user.login),
            avatar_url: user.avatar_url.filter(|url| url.starts_with("https://") && url.len() <= 1000),
            email: email.filter(|email| email.len() <= 320 && email.chars().all(is_visible)),
        };
        Ok((person, (!self.config.allowed_orgs.is_empty()).then_some(token)))
    }

    /// Whether a user who signed in through GitHub may still do so. Only a clear answer counts as a no; a user about whom
    /// GitHub cannot be asked, because it has no valid token any more, has to sign in again.
    pub(crate) async fn standing(&self, user: GithubUser, now: Timestamp) -> Standing {
        let (logins, orgs) = (&self.config.allowed_logins, &self.config.allowed_orgs);
        if self.config.is_open() || logins.iter().any(|name| name.eq_ignore_ascii_case(&user.login)) {
            return Standing::Admitted;
        }
        let Some(token) = user.token else { return Standing::Left };
        let token = SecretString::from(token.expose());
        let mut standing = Standing::Left;
        for org in orgs {
            match self.membership(&token, org, now).await {
                Standing::Admitted => return Standing::Admitted,
                Standing::Left => {}
                Standing::Unknown => standing = Standing::Unknown,
            }
        }
        standing
    }

    /// Whether the token's user is an active member of an organization
    /// (docs.github.com/en/rest/orgs/members#get-an-organization-membership-for-the-authenticated-user): 404 means that
    /// the user is not affiliated with it, 403 that the organization blocks the app. 401 with `Bad credentials` means that
    /// the token was revoked or has expired
    /// (docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#failed-login-limit).
    async fn membership(&self, token: &SecretString, org: &str, now: Timestamp) -> Standing {
        let asked = self.request(token, &["user", "memberships", "orgs", org], now).await;
        let (status, body) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = %chain(&error), org, "GitHub could not be asked for a membership");
                return Standing::Unknown;
            }
        };
        // A page of a proxy or of an outage is no answer of the API.
        let message = || serde_json::from_slice::<ErrorMessage>(&body).ok().map(|found| found.message);
        match status {
            StatusCode::OK => match serde_json::from_slice::<Membership>(&body) {
                Ok(membership) if membership.state == "active" => Standing::Admitted,
                Ok(_) => Standing::Left,
                Err(_) => Standing::Unknown,
            },
            StatusCode::NOT_FOUND if message().is_some() => Standing::Left,
            StatusCode::UNAUTHORIZED if message().as_deref() == Some("Bad credentials") => Standing::Left,
            _ => {
                tracing::warn!(%status, org, "GitHub did not say whether a user is a member");
                Standing::Unknown
            }
        }
    }

    /// Exchanges the code for a token.
    async fn exchange(
        &self,
        code: String,
        verifier: String,
        now: Timestamp,
    ) -> Result<SecretString, Problem> {
        let client = BasicClient::new(ClientId::new(self.config.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.config.client_secret.expose_secret().to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(self.token.clone())
            .set_redirect_uri(self.redirect_uri.clone());
        let http = TokenEndpoint { http: self.http.clone(), now };
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&http)
            .await;
        match answer {
            Ok(token) => Ok(token.access_token().secret().as_str().into()),
            Err(RequestTokenError::ServerResponse(error)) => Err(self.refused_token(error.error())),
            Err(RequestTokenError::Request(error)) => Err(unavailable(&error)),
            // The parse error may quote a token: it is not logged.
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                Err(unavailable(&CallError::Unreadable))
            }
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &[&str],
        now: Timestamp,
    ) -> Result<T, CallError> {
        let (status, body) = self.request(token, path, now).await?;
        if status != StatusCode::OK {
            return Err(CallError::Status(status));
        }
        serde_json::from_slice(&body).map_err(|_| CallError::Unreadable)
    }

    async fn request(
        &self,
        token: &SecretString,
        path: &[&str],
        now: Timestamp,
    ) -> Result<(StatusCode, Vec<u8>), CallError> {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let call = self
            .http
            .get(url)
            .bearer_auth(token.expose_secret())
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        read(call.send().await?, now).await
    }

    /// Checks that this account may sign in: by its name, or as an active member of an organization. If neither list is
    /// configured, every account may.
    async fn check_allowed(&self, token: &SecretString, login: &str, now: Timestamp) -> Result<(), Problem> {
        let (logins, orgs) = (&self.config.allowed_logins, &self.config.allowed_orgs);
        if (logins.is_empty() && orgs.is_empty())
            || logins.iter().any(|name| name.eq_ignore_ascii_case(login))
        {
            return Ok(());
        }
        for org in orgs {
            match self.get::<Membership>(token, &["user", "memberships", "orgs", org], now).await {
                Ok(membership) if membership.state == "active" => return Ok(()),
                // Not a member, an invitation that was not accepted, or an organization that blocks the app.
                Ok(_) | Err(CallError::Status(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        tracing::info!(login, "an account that is not on the allow list was refused");
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not_allowed",
            "The account may not sign in here",
            "only listed accounts and members of listed organizations may sign in to this server, and this GitHub \
             account is neither: ask the server's operator (HAN_GITHUB_ALLOWED_LOGINS, HAN_GITHUB_ALLOWED_ORGS), or \
             sign in with another account; if you are a member, the organization may have to approve this app first",
        ))
    }

    /// The error that GitHub sent instead of a code.
    pub(crate) fn refusal(&self, error: &str) -> Problem {
        if error == "access_denied" {
            return Problem::new(
                StatusCode::FORBIDDEN,
                "consent_refused",
                "Consent was refused",
                "you did not allow Han Teams to read your GitHub account, so you are not signed in: start again to \
                 sign in",
            );
        }
        self.misconfigured(error)
    }

    fn refused_token(&self, error: &BasicErrorResponseType) -> Problem {
        let code = error.as_ref();
        match code {
            "bad_verification_code" => Problem::new(
                StatusCode::BAD_REQUEST,
                "sign_in_over",
                "The sign-in is over",
                "GitHub reports that this sign-in was used already or took too long: start again",
            ),
            "unverified_user_email" => Problem::new(
                StatusCode::FORBIDDEN,
                "unverified_email",
                "The e-mail address is not verified",
                "GitHub signs in only users whose primary e-mail address is verified: verify it in GitHub's settings, \
                 then start again",
            ),
            _ => self.misconfigured(code),
        }
    }

    /// The operator must fix this: the log says how.
    fn misconfigured(&self, code: &str) -> Problem {
        let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect();
        tracing::error!(
            code,
            callback = self.redirect_uri.as_str(),
            "GitHub refuses this app: check GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET and the app's callback URL"
        );
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "github_refuses",
            "GitHub refuses this server",
            format!(
                "GitHub refuses this server's app ({code}): its operator must check its client id, its secret, and \
                 that its callback URL is {}",
                self.redirect_uri.as_str()
            ),
        )
    }
}

/// The HTTP client that the OAuth library uses for the token endpoint.
struct TokenEndpoint {
    http: reqwest::Client,
    now: Timestamp,
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl TokenEndpoint {
    /// GitHub sends errors with status 200; the library expects 400 (RFC 6749, section 5.2).
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let (parts, body) = request.into_parts();
        let mut call = self.http.request(parts.method, parts.uri.to_string()).body(body);
        for (name, value) in &parts.headers {
            call = call.header(name, value);
        }
        let (status, body) = read(call.send().await?, self.now).await?;
        if status.is_server_error() {
            return Err(CallError::Status(status));
        }
        let is_error =
            serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|v| v.get("error").is_some());
        let status = if is_error { StatusCode::BAD_REQUEST } else { status };
        let response = oauth2::http::Response::builder().status(status);
        Ok(response.header("content-type", "application/json").body(body)?)
    }
}

/// A response's status and body. Rate limits and redirects become errors.
async fn read(mut response: reqwest::Response, now: Timestamp) -> Result<(StatusCode, Vec<u8>), CallError> {
    let status = response.status();
    if status.is_redirection() {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        return Err(CallError::Redirected(location.chars().take(200).collect()));
    }
    if let Some(seconds) = limited(status, response.headers(), now) {
        return Err(CallError::Limited { seconds });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(CallError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// How many seconds GitHub asks to wait (docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api):
/// 403 or 429, with `retry-after` or an exhausted `x-ratelimit-remaining`.
fn limited(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let seconds = match (number(RETRY_AFTER.as_str()), number("x-ratelimit-remaining")) {
        (Some(seconds), _) => seconds,
        (None, Some(0)) => number("x-ratelimit-reset").map_or(60, |reset| reset - now.seconds()),
        // Without either header, GitHub asks to wait for a minute.
        (None, _) if status == StatusCode::TOO_MANY_REQUESTS => 60,
        (None, _) => return None,
    };
    Some(seconds.clamp(1, MAX_RETRY_AFTER))
}

fn unavailable(error: &CallError) -> Problem {
    tracing::warn!(error = %chain(error), "a request to GitHub failed");
    let (detail, seconds) = match error {
        CallError::Limited { seconds } => {
            let minutes = (seconds + 59) / 60;
            let unit = if minutes == 1 { "minute" } else { "minutes" };
            (
                format!("this server has exceeded GitHub's rate limit: start again in {minutes} {unit}"),
                *seconds,
            )
        }
        _ => (
            "GitHub cannot be reached or sends invalid responses: start again in a minute, and see githubstatus.com \
             if the problem persists"
                .to_owned(),
            60,
        ),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "github_unavailable", "GitHub is not available", detail)
        .header(RETRY_AFTER, seconds)
}

/// An error with its causes, which reqwest omits. URLs in it contain no secrets: codes and tokens are sent in bodies and
/// headers.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
