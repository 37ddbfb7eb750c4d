//! Signing a command line in: the device flow (RFC 8628) from its program's side, and the refreshing of what it brings.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::client::{Sleeper, base_url, chain, detail_of, http_client};
use crate::error::Error;
use crate::store::Store;

/// What the server is told this program is.
const CLIENT_ID: &str = "han-coordinator";
/// The grant's name (RFC 8628, section 3.4).
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
/// The wait where the server names none (section 3.2), and what `slow_down` adds (section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// An answer is read up to here.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How often in a row the server may not be reached.
const MAX_FAILURES: u32 = 5;

#[derive(Deserialize)]
struct Codes {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Pair {
    access_token: String,
    refresh_token: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Signs in to the server at `url`: prints on `out` where to approve, waits until somebody has, and keeps the login in
/// `store`.
///
/// # Errors
/// [`Error::LoginRefused`], [`Error::LoginExpired`], and whatever concerns a request or the store.
pub async fn login(
    url: &str,
    store: &Store,
    sleeper: &dyn Sleeper,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let base = base_url(url)?;
    let http = http_client(&base)?;
    let asked = format!("client_id={CLIENT_ID}");
    let (status, body) = post_form(&http, &base, "auth/device/code", asked).await?;
    let codes: Codes = match status {
        StatusCode::OK => parse(&body)?,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            return Err(Error::NotAServer { url: base.to_string(), status: status.as_u16() });
        }
        other => return Err(Error::Refused { status: other.as_u16(), detail: detail_of(&body) }),
    };
    let page = plain(codes.verification_uri_complete.as_ref().unwrap_or(&codes.verification_uri));
    let told = writeln!(
        out,
        "Open this page in a browser, check that it shows the code {}, and approve:\n\n  {page}\n",
        plain(&codes.user_code)
    );
    told.and_then(|()| out.flush()).map_err(|source| Error::Output { source })?;
    let pair = wait(&http, &base, &codes, sleeper).await?;
    store.put(base.as_str(), Some(&pair.refresh_token.into()))?;
    writeln!(out, "Signed in. The login is kept in {}.", store.path().display())
        .map_err(|source| Error::Output { source })
}

async fn wait(
    http: &reqwest::Client,
    base: &reqwest::Url,
    codes: &Codes,
    sleeper: &dyn Sleeper,
) -> Result<Pair, Error> {
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
            Ok(answer) => answer,
            // The connection may come back before the code ends.
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
        let refusal: Refusal = parse(&body)?;
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += INTERVAL,
            "access_denied" => return Err(Error::LoginRefused),
            "expired_token" => return Err(Error::LoginExpired),
            _ => return Err(Error::Refused { status: status.as_u16(), detail: detail_of(&body) }),
        }
    }
}

/// A login that is in use: its access token, and how to get the next.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    store: Store,
    base: reqwest::Url,
    access: Arc<tokio::sync::Mutex<Option<SecretString>>>,
}

impl Login {
    pub(crate) fn new(store: Store, base: reqwest::Url) -> Self {
        Self { store, base, access: Arc::default() }
    }

    /// The access token to use; `ended` is one that the server has just refused.
    pub(crate) async fn access(
        &self,
        http: &reqwest::Client,
        ended: Option<&SecretString>,
        sleeper: &dyn Sleeper,
    ) -> Result<SecretString, Error> {
        let mut access = self.access.lock().await;
        let is_ended =
            |token: &SecretString| ended.is_some_and(|e| e.expose_secret() == token.expose_secret());
        if let Some(token) = access.as_ref().filter(|token| !is_ended(token)) {
            return Ok(token.clone());
        }
        // The file is read each time: another process may have refreshed meanwhile, and each token is good once.
        let refresh = self.store.get(self.base.as_str())?.ok_or(Error::NoKey)?;
        let body = serde_json::json!({ "refresh_token": refresh.expose_secret() }).to_string();
        let mut failures = 0;
        let (status, body) = loop {
            match post(http, &self.base, "auth/refresh", "application/json", body.clone()).await {
                Ok((status, _)) if status.is_server_error() && failures < MAX_FAILURES => {}
                Ok(answer) => break answer,
                Err(error) if failures == MAX_FAILURES => return Err(error),
                Err(_) => {}
            }
            failures += 1;
            // Soon: the server takes the same token once more only for ten seconds.
            sleeper.sleep(Duration::from_secs(1)).await;
        };
        match status {
            StatusCode::OK => {
                let pair: Pair = parse(&body)?;
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
    let failed = |error: reqwest::Error| Error::GaveUp { attempts: 1, detail: chain(&error) };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
        return Err(Error::Redirected { to: to.unwrap_or_default().to_owned() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Error::Protocol { detail: "the answer is far too long".to_owned() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// What the parser says is left out: it may quote a token.
fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|_| Error::Protocol { detail: "the answer of a sign-in is not of its shape".to_owned() })
}

/// It goes to a terminal: no control sequences.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
