//! The two requests of the sync protocol over HTTP: addresses, headers, compression, retries. Knows nothing of files.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use han_types::sync::{PushResponse, SyncStatus};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::login::Login;
use crate::store::Store;

/// How often a request is made before giving up: with the pauses below, about two minutes of trying.
pub(crate) const MAX_ATTEMPTS: u32 = 8;
/// The pause after the first failure; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No pause of our own is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A `Retry-After` is honoured up to here. Whoever asks for more is told to come back by hand.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// An answer is read up to here: a status of some 300,000 transcripts.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// zstd's own default: transcripts shrink about fivefold, faster than any uplink takes them.
const ZSTD_LEVEL: i32 = 3;

/// How pauses are made; tests bring one that only counts.
pub trait Sleeper: Send + Sync {
    /// Comes back after `pause`.
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Pauses on tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSleeper;

impl Sleeper for TokioSleeper {
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// Which server, as whom.
#[derive(Debug)]
pub struct ClientConfig {
    /// The server's address, with or without a path in front of `/api`.
    pub url: String,
    /// The API key or access token.
    pub api_key: SecretString,
    /// The team to push to; without it, the credential's own.
    pub team: Option<String>,
}

/// A team server, as the sync protocol sees it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    credential: Credential,
    team: Option<String>,
    sleeper: Arc<dyn Sleeper>,
}

/// What requests are made with.
#[derive(Clone)]
enum Credential {
    /// One API key or access token.
    Key(HeaderValue),
    /// A login, whose access tokens end and are replaced.
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

/// What became of a push.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// The server's word on each batch.
    Answered(PushResponse),
    /// 413: the body is over the server's limit, in its own words.
    TooLarge(String),
}

impl Client {
    /// A client of the server at `config.url`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::BadUrl`], [`Error::BadKey`], and [`Error::Tls`] where an https address is given to a machine that
    /// has no CA certificates.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let base = base_url(&config.url)?;
        let credential = Credential::Key(bearer(&config.api_key)?);
        Ok(Self {
            http: http_client(&base)?,
            base,
            credential,
            team: config.team,
            sleeper: Arc::new(TokioSleeper),
        })
    }

    /// A client of the server at `url`, with the login that `store` keeps for it. Nothing is sent yet.
    ///
    /// # Errors
    /// As for [`Client::new`]; [`Error::NoKey`] where there is no such login.
    pub fn with_login(url: &str, store: Store, team: Option<String>) -> Result<Self, Error> {
        let base = base_url(url)?;
        if store.get(base.as_str())?.is_none() {
            return Err(Error::NoKey);
        }
        let credential = Credential::Login(Login::new(store, base.clone()));
        Ok(Self { http: http_client(&base)?, base, credential, team, sleeper: Arc::new(TokioSleeper) })
    }

    /// The same client, pausing by other means.
    #[must_use]
    pub fn with_sleeper(mut self, sleeper: Arc<dyn Sleeper>) -> Self {
        self.sleeper = sleeper;
        self
    }

    /// The team that was named, if one was.
    #[must_use]
    pub fn team(&self) -> Option<&str> {
        self.team.as_deref()
    }

    /// Whether the key would travel readable by others: plain http to anything but this machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        self.base.scheme() == "http" && !matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// `GET /api/sync/status`: how far each transcript has been taken in.
    ///
    /// # Errors
    /// Every [`Error`] that concerns a request.
    pub async fn status(&self) -> Result<SyncStatus, Error> {
        let mut url = self.endpoint("api/sync/status");
        if let Some(team) = &self.team {
            url.query_pairs_mut().append_pair("team_id", team);
        }
        let (status, body) = self.send(&Method::GET, &url, None).await?;
        accepted(&url, status, &body)
    }

    /// `POST /api/sync/sessions` with this body.
    pub(crate) async fn push(&self, body: &str) -> Result<Pushed, Error> {
        let url = self.endpoint("api/sync/sessions");
        let compressed = zstd::bulk::compress(body.as_bytes(), ZSTD_LEVEL)
            .map_err(|error| Error::Protocol { detail: format!("zstd: {error}") })?;
        let (status, answer) = self.send(&Method::POST, &url, Some(compressed.into())).await?;
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Pushed::TooLarge(detail_of(&answer)));
        }
        accepted(&url, status, &answer).map(Pushed::Answered)
    }

    /// Waits as one waits after that many failures in a row.
    pub(crate) async fn pause(&self, detail: &str, failures: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
        tracing::warn!("{detail}; trying again in {} s", pause.as_secs());
        self.sleeper.sleep(pause).await;
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Asks until there is an answer that does not say "try again". Pushing twice stores once, so a lost answer is
    /// simply asked for again.
    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let mut failures = 0;
        let mut ended = None;
        loop {
            let (authorization, access) = self.authorization(ended.as_ref()).await?;
            let (detail, retry_after) = match self.send_once(method, url, authorization, body.clone()).await {
                // An access token ends every quarter of an hour, also between two requests of one push.
                Ok(answer)
                    if answer.status == StatusCode::UNAUTHORIZED && access.is_some() && ended.is_none() =>
                {
                    ended = access;
                    continue;
                }
                Ok(answer) if answer.status.is_redirection() => {
                    return Err(Error::Redirected { to: answer.location.unwrap_or_default() });
                }
                Ok(answer) if !try_again(answer.status) => return Ok((answer.status, answer.body)),
                Ok(Answer { status, retry_after, body, .. }) => {
                    let (status, detail) = (status.as_u16(), detail_of(&body));
                    if let Some(pause) = retry_after.filter(|pause| *pause > LONGEST_RETRY_AFTER) {
                        return Err(Error::ComeBackLater { status, seconds: pause.as_secs(), detail });
                    }
                    (format!("the server answers {status}: {detail}"), retry_after)
                }
                Err(error) => (chain(&error), None),
            };
            failures += 1;
            if failures == MAX_ATTEMPTS {
                return Err(Error::GaveUp { attempts: failures, detail });
            }
            match retry_after {
                Some(pause) => {
                    tracing::warn!("{detail}; trying again in {} s, as it asks", pause.as_secs());
                    self.sleeper.sleep(pause).await;
                }
                None => self.pause(&detail, failures).await,
            }
        }
    }

    /// What to authorize a request with, and the access token in it where that is a login's.
    async fn authorization(
        &self,
        ended: Option<&SecretString>,
    ) -> Result<(HeaderValue, Option<SecretString>), Error> {
        match &self.credential {
            Credential::Key(value) => Ok((value.clone(), None)),
            Credential::Login(login) => {
                let token = login.access(&self.http, ended, &*self.sleeper).await?;
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
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method.clone(), url.clone()).header(AUTHORIZATION, authorization);
        if let Some(body) = body {
            request =
                request.header(CONTENT_TYPE, "application/json").header(CONTENT_ENCODING, "zstd").body(body);
        }
        let mut response = request.send().await?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // Our servers give seconds; a date (RFC 9110, section 10.2.3) is answered with our own pause.
        let retry_after =
            header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let location = header(LOCATION).map(str::to_owned);
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(Answer { status, retry_after, location, body: body.freeze() })
    }
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    location: Option<String>,
    body: Bytes,
}

/// Statuses that speak of the moment, not of the request.
fn try_again(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn accepted<T: DeserializeOwned>(url: &Url, status: StatusCode, body: &[u8]) -> Result<T, Error> {
    match status {
        StatusCode::OK => {
            serde_json::from_slice(body).map_err(|error| Error::Protocol { detail: error.to_string() })
        }
        StatusCode::UNAUTHORIZED => Err(Error::Unauthorised { detail: detail_of(body) }),
        StatusCode::FORBIDDEN => Err(Error::Forbidden { detail: detail_of(body) }),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Err(Error::NotAServer { url: url.to_string(), status: status.as_u16() })
        }
        other => Err(Error::Refused { status: other.as_u16(), detail: detail_of(body) }),
    }
}

/// What an error's body says: problem+json's `detail` or `title` (RFC 9457), else the beginning of its text.
pub(crate) fn detail_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
    }
    let said =
        serde_json::from_slice::<Problem>(body).ok().and_then(|problem| problem.detail.or(problem.title));
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(800)]).into_owned());
    // It goes to a terminal: one line, no control sequences.
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    if said.trim().is_empty() { "it gives no reason".to_owned() } else { said.trim().to_owned() }
}

/// An error with everything beneath it, which reqwest's own text leaves out.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        text = format!("{text}: {cause}");
        beneath = cause.source();
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

/// A client that follows nobody and waits for nothing without end.
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
        // Where no CA certificates are installed (a bare container), plain http must work all the same.
        Err(_) if base.scheme() == "http" => builder().tls_certs_only([]).build(),
        built => built,
    };
    built.map_err(|error| Error::Tls { detail: chain(&error) })
}
