//! The HTTP client of the sync protocol: URLs, headers, compression, retries. Not here: files.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use han_types::sync::{PushResponse, SyncLimits, SyncStatus, SyncTeam};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::login::Login;
use crate::store::LoginStore;

/// The maximum number of attempts per request; with the pauses below, about two minutes.
pub(crate) const MAX_ATTEMPTS: u32 = 8;
/// The pause after the first failure; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that the client chooses itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that the client waits for. For a longer one, the push stops and the user retries.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The maximum size of a response: the status of about 300,000 transcripts.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// What a request has beside a single line, at most: names, metadata and syntax.
const AROUND_LINE: u64 = 64 << 10;
/// zstd's default: compresses transcripts about fivefold, faster than any uplink.
const ZSTD_LEVEL: i32 = 3;

/// Waits between attempts. Tests use one that only records the pauses.
pub trait Sleeper: Send + Sync {
    /// Returns after `pause`.
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Waits on tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSleeper;

impl Sleeper for TokioSleeper {
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// Chooses one of several teams.
pub trait ChooseTeam: Send + Sync {
    /// The index of a team; `None` if there is no one to ask.
    fn choose(&self, teams: &[SyncTeam]) -> Option<usize>;
}

/// Chooses no team.
#[derive(Clone, Copy, Debug, Default)]
struct NoChoice;

impl ChooseTeam for NoChoice {
    fn choose(&self, _: &[SyncTeam]) -> Option<usize> {
        None
    }
}

/// The server and the credential.
#[derive(Debug)]
pub struct ClientConfig {
    /// The server's address, optionally with a path before `/api`.
    pub url: String,
    /// The API key or access token.
    pub api_key: SecretString,
    /// The team to push to, by its id, global id or slug; by default, the credential's team.
    pub team: Option<String>,
}

/// A client of a team server's sync protocol.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    credential: Credential,
    team: Option<String>,
    sleeper: Arc<dyn Sleeper>,
    chooser: Arc<dyn ChooseTeam>,
}

/// The credential of requests.
#[derive(Clone)]
enum Credential {
    /// One API key or access token.
    Key(HeaderValue),
    /// A login, whose access tokens expire and are refreshed.
    Login(Login),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

/// The response to a push request.
#[derive(Debug)]
pub(crate) enum PushOutcome {
    /// The results of the batches.
    Answered(PushResponse),
    /// 413: the body exceeds a limit.
    TooLarge {
        /// The message of the response.
        detail: String,
        /// Whether the server refused it, and not a proxy before the server.
        by_server: bool,
    },
}

/// The part of a Han server's error that programs read: `application/problem+json` (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    limit: Option<u64>,
}

impl Problem {
    /// The problem in a body; `None` if no Han server wrote it.
    fn of(body: &[u8]) -> Option<Self> {
        let problem = serde_json::from_slice::<Self>(body).ok()?;
        problem.kind.starts_with("urn:han:problem:").then_some(problem)
    }
}

impl Client {
    /// A client of the server at `config.url`. Sends no request.
    ///
    /// # Errors
    /// [`Error::BadUrl`], [`Error::BadKey`], and [`Error::Tls`] for an https address on a machine without CA
    /// certificates.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let base = base_url(&config.url)?;
        let credential = Credential::Key(bearer(&config.api_key)?);
        Self::of(base, credential, config.team)
    }

    /// A client of the server at `url`, with its login in `store`. Sends no request.
    ///
    /// # Errors
    /// As for [`Client::new`]; [`Error::MissingKey`] if `store` has no login for the server.
    pub fn with_login(url: &str, store: LoginStore, team: Option<String>) -> Result<Self, Error> {
        let base = base_url(url)?;
        if store.get(base.as_str())?.is_none() {
            return Err(Error::MissingKey);
        }
        let credential = Credential::Login(Login::new(store, base.clone()));
        Self::of(base, credential, team)
    }

    fn of(base: Url, credential: Credential, team: Option<String>) -> Result<Self, Error> {
        Ok(Self {
            http: http_client(&base)?,
            base,
            credential,
            team,
            sleeper: Arc::new(TokioSleeper),
            chooser: Arc::new(NoChoice),
        })
    }

    /// The same client with another sleeper.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: Arc<dyn Sleeper>) -> Self {
        self.sleeper = sleeper;
        self
    }

    /// The same client, which asks `chooser` for the team if there are several and none was given.
    #[must_use]
    pub fn with_chooser(mut self, chooser: Arc<dyn ChooseTeam>) -> Self {
        self.chooser = chooser;
        self
    }

    /// Determines the team to push to, and gets its status. Later requests name that team. A credential for several teams
    /// does not determine one: the first of them may be the wrong one.
    ///
    /// # Errors
    /// [`Error::SeveralTeams`] if no team was given and none is chosen, [`Error::UnknownTeam`], and any [`Error`] of a
    /// request.
    pub(crate) async fn enter_team(&mut self) -> Result<SyncStatus, Error> {
        let mut status = self.status().await?;
        if self.team.is_none() && status.teams.len() > 1 {
            let chosen = self.chooser.choose(&status.teams).and_then(|index| status.teams.get(index));
            let Some(chosen) = chosen else {
                let teams = status.teams.into_iter().map(|team| team.slug).collect();
                return Err(Error::SeveralTeams { teams });
            };
            if chosen.id != status.team_id {
                self.team = Some(chosen.id.clone());
                status = self.status().await?;
            }
        }
        self.team = Some(status.team_id.clone());
        Ok(status)
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str()
    }

    /// The team to push to, if one was given.
    #[must_use]
    pub fn team(&self) -> Option<&str> {
        self.team.as_deref()
    }

    /// Whether the API key is sent unencrypted over a network: plain http to another host than localhost.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        self.base.scheme() == "http" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// `GET /api/sync/status`: how far each transcript has been stored.
    ///
    /// # Errors
    /// Any [`Error`] of a request.
    pub async fn status(&self) -> Result<SyncStatus, Error> {
        let mut url = self.endpoint("api/sync/status");
        if let Some(team) = &self.team {
            url.query_pairs_mut().append_pair("team_id", team);
        }
        let (status, body) = self.send(&Method::GET, &url, None).await?;
        if let (StatusCode::NOT_FOUND, Some(team)) = (status, &self.team)
            && Problem::of(&body).is_some()
        {
            return Err(Error::UnknownTeam { team: team.clone(), detail: detail_of(&body) });
        }
        parse_response(&url, status, &body)
    }

    /// `POST /api/sync/sessions` with this body.
    pub(crate) async fn push(&self, body: &str) -> Result<PushOutcome, Error> {
        let url = self.endpoint("api/sync/sessions");
        let compressed = zstd::bulk::compress(body.as_bytes(), ZSTD_LEVEL)
            .map_err(|error| Error::Protocol { detail: format!("zstd: {error}") })?;
        let (status, response) = self.send(&Method::POST, &url, Some(compressed.into())).await?;
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = detail_of(&response);
            // A proxy before the server may refuse the request, too. Its limit says nothing about the server's.
            let by_server = Problem::of(&response).is_some_and(|problem| problem.limit.is_some());
            return Ok(PushOutcome::TooLarge { detail, by_server });
        }
        parse_response(&url, status, &response).map(PushOutcome::Answered)
    }

    /// Waits after that many consecutive failures.
    pub(crate) async fn pause(&self, detail: &str, failures: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
        tracing::warn!("{detail}; retrying in {} s", pause.as_secs());
        self.sleeper.sleep(pause).await;
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Sends the request until the response is no retryable error. Requests are idempotent, so a request whose response
    /// is lost is sent again.
    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let mut failures = 0;
        let mut expired = None;
        loop {
            let (authorization, access) = self.authorization(expired.as_ref()).await?;
            let (detail, retry_after) = match self.send_once(method, url, authorization, body.clone()).await {
                // An access token expires after a quarter of an hour, also between two requests of one push.
                Ok(response)
                    if response.status == StatusCode::UNAUTHORIZED
                        && access.is_some()
                        && expired.is_none() =>
                {
                    expired = access;
                    continue;
                }
                Ok(response) if response.status.is_redirection() => {
                    return Err(Error::Redirected { to: response.location.unwrap_or_default() });
                }
                Ok(response) if !is_retryable(response.status) => {
                    return Ok((response.status, response.body));
                }
                Ok(HttpResponse { status, retry_after, body, .. }) => {
                    let (status, detail) = (status.as_u16(), detail_of(&body));
                    if let Some(pause) = retry_after.filter(|pause| *pause > LONGEST_RETRY_AFTER) {
                        return Err(Error::RetryLater { status, seconds: pause.as_secs(), detail });
                    }
                    (format!("the server responds with {status}: {detail}"), retry_after)
                }
                Err(error) => (error_chain(&error), None),
            };
            failures += 1;
            if failures == MAX_ATTEMPTS {
                return Err(Error::RetriesExhausted { attempts: failures, detail });
            }
            match retry_after {
                Some(pause) => {
                    tracing::warn!("{detail}; retrying in {} s (Retry-After)", pause.as_secs());
                    self.sleeper.sleep(pause).await;
                }
                None => self.pause(&detail, failures).await,
            }
        }
    }

    /// The `Authorization` header, and the access token in it if the credential is a login.
    async fn authorization(
        &self,
        expired: Option<&SecretString>,
    ) -> Result<(HeaderValue, Option<SecretString>), Error> {
        match &self.credential {
            Credential::Key(value) => Ok((value.clone(), None)),
            Credential::Login(login) => {
                let token = login.access(&self.http, expired, &*self.sleeper).await?;
                Ok((bearer(&token)?, Some(token)))
            }
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        authorization: HeaderValue,
        body: Option<Bytes>,
    ) -> reqwest::Result<HttpResponse> {
        let mut request = self.http.request(method.clone(), url.clone()).header(AUTHORIZATION, authorization);
        if let Some(body) = body {
            request =
                request.header(CONTENT_TYPE, "application/json").header(CONTENT_ENCODING, "zstd").body(body);
        }
        let mut response = request.send().await?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // han-server sends seconds; for a date (RFC 9110, section 10.2.3), the client chooses the pause.
        let retry_after =
            header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let location = header(LOCATION).map(str::to_owned);
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            let room = MAX_RESPONSE_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(HttpResponse { status, retry_after, location, body: body.freeze() })
    }
}

struct HttpResponse {
    status: StatusCode,
    retry_after: Option<Duration>,
    location: Option<String>,
    body: Bytes,
}

/// Whether the server accepts a request with this line alone. `wire` is its JSON.
pub(crate) fn fits(limits: &SyncLimits, wire: &str) -> bool {
    let bytes = wire.len() as u64;
    if bytes > limits.line_bytes || bytes + AROUND_LINE > limits.decompressed_bytes {
        return false;
    }
    let as_sent =
        || zstd::bulk::compress(wire.as_bytes(), ZSTD_LEVEL).map_or(bytes, |body| body.len() as u64);
    bytes + AROUND_LINE <= limits.body_bytes || as_sent() + AROUND_LINE <= limits.body_bytes
}

/// Whether the status reports a temporary condition of the server.
fn is_retryable(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn parse_response<T: DeserializeOwned>(url: &Url, status: StatusCode, body: &[u8]) -> Result<T, Error> {
    match status {
        StatusCode::OK => {
            serde_json::from_slice(body).map_err(|error| Error::Protocol { detail: error.to_string() })
        }
        StatusCode::UNAUTHORIZED => Err(Error::Unauthorised { detail: detail_of(body) }),
        StatusCode::FORBIDDEN => Err(Error::Forbidden { detail: detail_of(body) }),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Err(Error::WrongServer { url: url.to_string(), status: status.as_u16() })
        }
        other => Err(Error::Refused { status: other.as_u16(), detail: detail_of(body) }),
    }
}

/// The message in an error's body: `detail` or `title` of problem+json (RFC 9457), else the start of its text.
pub(crate) fn detail_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Words {
        title: Option<String>,
        detail: Option<String>,
    }
    let text =
        serde_json::from_slice::<Words>(body).ok().and_then(|problem| problem.detail.or(problem.title));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(800)]).into_owned());
    // For the terminal: one line, no control sequences.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    if text.trim().is_empty() { "no reason given".to_owned() } else { text.trim().to_owned() }
}

/// The error's message with the messages of its sources, which reqwest omits.
pub(crate) fn error_chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(crate) fn base_url(text: &str) -> Result<Url, Error> {
    let bad = |reason: &str| Error::BadUrl { reason: reason.to_owned() };
    let url = Url::parse(text.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it is not an http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it contains a user name or password; the API key is the only credential"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it has a query or a fragment"));
    }
    Ok(url)
}

fn bearer(key: &SecretString) -> Result<HeaderValue, Error> {
    let key = key.expose_secret().trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::BadKey);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| Error::BadKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A client that follows no redirects and has timeouts.
pub(crate) fn http_client(base: &Url) -> Result<reqwest::Client, Error> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("han-coordinator/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(Duration::from_secs(120))
            .timeout(Duration::from_secs(600))
    };
    let built = match builder().build() {
        // Plain http must work on a machine without CA certificates (a minimal container).
        Err(_) if base.scheme() == "http" => builder().tls_certs_only([]).build(),
        built => built,
    };
    built.map_err(|error| Error::Tls { detail: error_chain(&error) })
}
