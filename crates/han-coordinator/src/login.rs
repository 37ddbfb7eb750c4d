//! Sign-in of the command line: the client side of the device flow (RFC 8628), and the refreshing of its tokens.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::client::{Sleeper, base_url, detail_of, error_chain, http_client};
use crate::error::Error;
use crate::store::LoginStore;

/// This program's client id at the server.
const CLIENT_ID: &str = "han-coordinator";
/// The grant type (RFC 8628, section 3.4).
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
/// The default polling interval (section 3.2), and the increment after `slow_down` (section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// The maximum size of a response.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// The maximum number of consecutive failed requests.
const MAX_FAILURES: u32 = 5;

#[derive(Deserialize)]
struct DeviceCode {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct TokenPair {
    access_token: String,
    refresh_token: String,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
}

/// Signs in to the server at `url`: writes the page for approval to `out`, waits for the approval, and saves the login
/// in `store`.
///
/// # Errors
/// [`Error::LoginRefused`], [`Error::LoginExpired`], and any error of a request or of the store.
pub async fn login(
    url: &str,
    store: &LoginStore,
    sleeper: &dyn Sleeper,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let base = base_url(url)?;
    let http = http_client(&base)?;
    let form = format!("client_id={CLIENT_ID}");
    let (status, body) = post_form(&http, &base, "auth/device/code", form).await?;
    let codes: DeviceCode = match status {
        StatusCode::OK => parse(&body)?,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            return Err(Error::WrongServer { url: base.to_string(), status: status.as_u16() });
        }
        other => return Err(Error::Refused { status: other.as_u16(), detail: detail_of(&body) }),
    };
    let page = without_control_characters(
        codes.verification_uri_complete.as_ref().unwrap_or(&codes.verification_uri),
    );
    let written = writeln!(
        out,
        "Open this page in a browser, check that it shows the code {}, and approve:\n\n  {page}\n",
        without_control_characters(&codes.user_code)
    );
    written.and_then(|()| out.flush()).map_err(|source| Error::Output { source })?;
    let pair = poll_for_tokens(&http, &base, &codes, sleeper).await?;
    store.put(base.as_str(), Some(&pair.refresh_token.into()))?;
    writeln!(out, "Signed in. The login is stored in {}.", store.path().display())
        .map_err(|source| Error::Output { source })
}

async fn poll_for_tokens(
    http: &reqwest::Client,
    base: &reqwest::Url,
    codes: &DeviceCode,
    sleeper: &dyn Sleeper,
) -> Result<TokenPair, Error> {
    let mut interval = codes.interval.map_or(INTERVAL, Duration::from_secs).max(Duration::from_secs(1));
    let mut left = Duration::from_secs(codes.expires_in);
    let mut failures = 0;
    loop {
        if left.is_zero() {
            return Err(Error::LoginExpired);
        }
        sleeper.sleep(interval).await;
        left = left.saturating_sub(interval);
        let form = format!("grant_type={GRANT}&device_code={}&client_id={CLIENT_ID}", codes.device_code);
        let (status, body) = match post_form(http, base, "auth/device/token", form).await {
            Ok((status, _)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                interval += INTERVAL;
                continue;
            }
            Ok(response) => response,
            // The connection may recover before the code expires.
            Err(error) => {
                failures += 1;
                if failures == MAX_FAILURES {
                    return Err(error);
                }
                continue;
            }
        };
        failures = 0;
        if status == StatusCode::OK {
            return parse(&body);
        }
        let refusal: TokenError = parse(&body)?;
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += INTERVAL,
            "access_denied" => return Err(Error::LoginRefused),
            "expired_token" => return Err(Error::LoginExpired),
            _ => return Err(Error::Refused { status: status.as_u16(), detail: detail_of(&body) }),
        }
    }
}

/// A login with its current access token.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    store: LoginStore,
    base: reqwest::Url,
    access: Arc<tokio::sync::Mutex<Option<SecretString>>>,
}

impl Login {
    pub(crate) fn new(store: LoginStore, base: reqwest::Url) -> Self {
        Self { store, base, access: Arc::default() }
    }

    /// The current access token. `expired` is a token that the server has refused; it is refreshed.
    pub(crate) async fn access(
        &self,
        http: &reqwest::Client,
        expired: Option<&SecretString>,
        sleeper: &dyn Sleeper,
    ) -> Result<SecretString, Error> {
        let mut access = self.access.lock().await;
        let is_expired =
            |token: &SecretString| expired.is_some_and(|e| e.expose_secret() == token.expose_secret());
        if let Some(token) = access.as_ref().filter(|token| !is_expired(token)) {
            return Ok(token.clone());
        }
        // The file is read each time, because another process may have refreshed, and each token is valid once.
        let refresh = self.store.get(self.base.as_str())?.ok_or(Error::MissingKey)?;
        let body = serde_json::json!({ "refresh_token": refresh.expose_secret() }).to_string();
        let mut failures = 0;
        let (status, body) = loop {
            match post(http, &self.base, "auth/refresh", "application/json", body.clone()).await {
                Ok((status, _)) if status.is_server_error() && failures < MAX_FAILURES => {}
                Ok(response) => break response,
                Err(error) if failures == MAX_FAILURES => return Err(error),
                Err(_) => {}
            }
            failures += 1;
            // A short pause, because the server accepts the same token again for ten seconds only.
            sleeper.sleep(Duration::from_secs(1)).await;
        };
        match status {
            StatusCode::OK => {
                let pair: TokenPair = parse(&body)?;
                self.store.put(self.base.as_str(), Some(&pair.refresh_token.into()))?;
                let token = SecretString::from(pair.access_token);
                *access = Some(token.clone());
                Ok(token)
            }
            StatusCode::UNAUTHORIZED => Err(Error::LoginEnded { detail: detail_of(&body) }),
            other => Err(Error::Refused { status: other.as_u16(), detail: detail_of(&body) }),
        }
    }
}

async fn post_form(
    http: &reqwest::Client,
    base: &reqwest::Url,
    path: &str,
    form: String,
) -> Result<(StatusCode, Vec<u8>), Error> {
    post(http, base, path, "application/x-www-form-urlencoded", form).await
}

async fn post(
    http: &reqwest::Client,
    base: &reqwest::Url,
    path: &str,
    content_type: &str,
    body: String,
) -> Result<(StatusCode, Vec<u8>), Error> {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    let request = http.post(url).header(CONTENT_TYPE, content_type).body(body);
    let failed = |error: reqwest::Error| Error::RetriesExhausted { attempts: 1, detail: error_chain(&error) };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
        return Err(Error::Redirected { to: to.unwrap_or_default().to_owned() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Error::Protocol { detail: format!("it has more than {MAX_RESPONSE_BYTES} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Parses a response. Drops the parser's message, which may contain a token.
fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| Error::Protocol { detail: "it is no valid JSON response of a sign-in".to_owned() })
}

/// Removes control sequences, for the terminal.
pub(crate) fn without_control_characters(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
