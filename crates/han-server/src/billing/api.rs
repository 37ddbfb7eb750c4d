//! The client of Stripe's API: the few calls that billing needs, with the fields that it reads. Each request names the
//! version of the API, has a deadline, follows no redirect and reads a limited response. What may succeed later is sent
//! again; a `POST` then has the same idempotency key, so that Stripe does it once (docs.stripe.com/api/idempotent_requests).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use han_types::{Entropy, Timestamp};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::time::sleep;

use crate::config::StripeConfig;
use crate::outbound;

/// The version of the API that the requests and responses here have (docs.stripe.com/api/versioning). The types of the
/// npm package `stripe` of the same version check the tests' requests and objects.
pub const API_VERSION: &str = "2026-10-28.endive";

/// The longest response that is read. A page of a hundred subscriptions has a few hundred kilobytes.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// How often a request is sent at most.
const ATTEMPTS: u32 = 3;

/// The longest wait before a request is sent again. If Stripe asks for a longer one, the request fails.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How many objects a page has: the most that Stripe allows.
const PAGE: &str = "100";

/// The most pages of a list that are read.
const MAX_PAGES: usize = 10_000;

/// The name of the metadata that names the team of a customer, a checkout session and a subscription.
pub const TEAM_METADATA: &str = "han_team_id";

/// Why Stripe could not be asked. The text has no secret: neither the key, nor what Stripe says in words, which may quote it.
#[derive(Debug, Error)]
pub enum StripeError {
    /// The address is not a URL.
    #[error("STRIPE_API_BASE is not a URL: {0}")]
    Address(String),
    /// TLS could not be set up.
    #[error(
        "TLS for Stripe could not be set up: {0}; install the system's CA certificates (package ca-certificates)"
    )]
    Tls(String),
    /// A call failed.
    #[error("{call}: {failure}")]
    Call {
        /// The method and the path.
        call: String,
        /// Why it failed.
        failure: Box<CallFailure>,
    },
    /// The account of the key never had this customer.
    #[error(
        "Stripe has no customer {0}, not even a deleted one: does STRIPE_SECRET_KEY belong to another account, or to test \
         mode?"
    )]
    UnknownCustomer(String),
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum CallFailure {
    /// Stripe could not be reached, or the connection failed.
    #[error("Stripe cannot be reached: {0}")]
    Transport(String),
    /// The response is too long.
    #[error("Stripe's response has more than {MAX_RESPONSE_BYTES} bytes")]
    TooLong,
    /// The response is not what Stripe documents.
    #[error("Stripe's response does not have the documented format ({0})")]
    Unreadable(String),
    /// Stripe refused the request, or failed.
    #[error(
        "Stripe answered {status} (type {kind}, code {code}, parameter {param}, request {request}){}", remedy(.status)
    )]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The kind of error, such as `invalid_request_error`.
        kind: String,
        /// Its code, such as `resource_missing`.
        code: String,
        /// The parameter that was refused.
        param: String,
        /// Stripe's id of the request, for the operator's dashboard.
        request: String,
        /// Whether it is the response of an earlier request with the same idempotency key.
        is_repeated: bool,
    },
}

fn remedy(status: &StatusCode) -> &'static str {
    match *status {
        StatusCode::UNAUTHORIZED => ": check STRIPE_SECRET_KEY",
        StatusCode::FORBIDDEN => {
            ": the key in STRIPE_SECRET_KEY lacks a permission (docs/BILLING.md lists them)"
        }
        StatusCode::TOO_MANY_REQUESTS => ": too many requests, try again later",
        _ => "",
    }
}

impl StripeError {
    fn failure(&self) -> Option<&CallFailure> {
        match self {
            Self::Call { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// Whether an object that the request names does not exist, and which parameter named it.
    pub(super) fn missing(&self) -> Option<&str> {
        match self.failure() {
            Some(CallFailure::Refused { code, param, .. }) if code == "resource_missing" => Some(param),
            _ => None,
        }
    }

    /// Whether only this customer is concerned: calls for others may succeed.
    pub(super) fn is_of_customer(&self) -> bool {
        matches!(self, Self::UnknownCustomer(_))
            || matches!(self.failure(), Some(CallFailure::Unreadable(_) | CallFailure::TooLong))
    }

    /// Whether another idempotency key may help: Stripe itself failed, with a response that it repeats for the same key, or
    /// it has repeated a response.
    fn needs_other_key(&self) -> bool {
        matches!(self.failure(),
            Some(CallFailure::Refused { status, is_repeated, .. }) if status.is_server_error() || *is_repeated)
    }
}

/// A list of Stripe: one page of it.
#[derive(Debug, Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

/// What a list contains.
trait Listed: DeserializeOwned {
    fn id(&self) -> &str;
}

/// The state of a subscription, as Stripe documents it (docs.stripe.com/api/subscriptions/object).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Trialing,
    Active,
    /// A payment failed; Stripe tries again.
    PastDue,
    /// Stripe has given up on a payment, and the subscription remains.
    Unpaid,
    Paused,
    /// The first payment has not succeeded yet.
    Incomplete,
    /// The first payment did not succeed in time.
    IncompleteExpired,
    Canceled,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

/// A subscription.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) status: Status,
    /// Seconds since the epoch, as all times of Stripe.
    pub(super) created: i64,
    pub(super) cancel_at: Option<i64>,
    #[serde(default)]
    pub(super) cancel_at_period_end: bool,
    pub(super) items: Items,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
}

/// The items of a subscription.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Items {
    pub(super) data: Vec<Item>,
}

/// An item of a subscription: a price and how often it is paid.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Item {
    pub(super) price: Price,
    pub(super) quantity: Option<u32>,
    pub(super) current_period_start: i64,
    pub(super) current_period_end: i64,
}

/// A price.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Price {
    pub(super) id: String,
    pub(super) lookup_key: Option<String>,
}

/// The id of an object, or the object itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Reference {
    Id(String),
    Object { id: String },
}

impl Reference {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Object { id } => id,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Invoice {
    id: String,
    created: i64,
    due_date: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Created {
    id: String,
}

#[derive(Debug, Deserialize)]
struct FoundCustomer {
    /// Only of one that was deleted.
    #[serde(default)]
    deleted: bool,
}

#[derive(Debug, Deserialize)]
struct WithUrl {
    url: String,
}

/// An element of a list of subscriptions. One that cannot be read does not hide the others.
#[derive(Debug)]
pub(super) struct ListedSubscription {
    pub(super) id: String,
    pub(super) customer: Option<String>,
    pub(super) subscription: Option<Subscription>,
}

impl From<Value> for ListedSubscription {
    fn from(element: Value) -> Self {
        Self {
            id: element["id"].as_str().unwrap_or_default().to_owned(),
            customer: Reference::deserialize(&element["customer"])
                .ok()
                .map(|customer| customer.id().to_owned()),
            subscription: Subscription::deserialize(element).ok(),
        }
    }
}

impl Listed for Invoice {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorOfStripe,
}

#[derive(Default, Deserialize)]
struct ErrorOfStripe {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    param: Option<String>,
}

/// A subscription, and since when it has an unpaid invoice.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    pub(super) subscription: Subscription,
    /// If a payment failed: when the oldest unpaid invoice was made, or was due.
    pub(super) unpaid_since: Option<Timestamp>,
}

/// What a checkout session sells.
pub(super) struct Checkout<'a> {
    pub(super) customer: &'a str,
    pub(super) team_id: &'a str,
    pub(super) price: &'a str,
    pub(super) success_url: &'a str,
    pub(super) cancel_url: &'a str,
}

/// A request that failed, and whether it may be sent again.
struct Failure {
    why: CallFailure,
    again: bool,
    wait: Option<Duration>,
}

impl From<CallFailure> for Failure {
    fn from(why: CallFailure) -> Self {
        Self { why, again: false, wait: None }
    }
}

type Parameters<'a> = &'a [(&'a str, &'a str)];

/// The client.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    secret_key: SecretString,
    retry_delay: Duration,
    entropy: Arc<dyn Entropy>,
}

impl Client {
    pub(super) fn new(config: &StripeConfig, entropy: Arc<dyn Entropy>) -> Result<Self, StripeError> {
        let base = Url::parse(&format!("{}/", config.api_base))
            .map_err(|error| StripeError::Address(error.to_string()))?;
        let http = outbound::client(config.timeout, base.scheme() == "http");
        Ok(Self {
            http: http.map_err(|error| StripeError::Tls(error.to_string()))?,
            base,
            secret_key: config.secret_key.clone(),
            retry_delay: config.retry_delay,
            entropy,
        })
    }

    // ---- calls ----------------------------------------------------------------------------------------------

    /// Makes the customer of a team. `previous` is one that no longer exists. All calls for the same give the same
    /// customer, for a day at least: they have the same idempotency key, and therefore must have the same parameters.
    /// Stripe repeats a failure for the same key as long. After one, the key is another; after two, that of the minute, so
    /// that a team can always try again.
    pub(super) async fn create_customer(
        &self,
        team_id: &str,
        slug: &str,
        previous: Option<&str>,
        now: Timestamp,
    ) -> Result<String, StripeError> {
        let description = format!("Han team {slug}");
        let team = format!("metadata[{TEAM_METADATA}]");
        let parameters = [("description", description.as_str()), (team.as_str(), team_id)];
        let base = format!("han-customer-{team_id}-{}", previous.unwrap_or("first"));
        for attempt in 1..ATTEMPTS {
            match self.post::<Created>(&["customers"], &parameters, &format!("{base}-{attempt}")).await {
                Err(error) if error.needs_other_key() => {}
                made => return made.map(|customer| customer.id),
            }
        }
        let key = format!("{base}-at-{}", now.seconds() / 60);
        self.post::<Created>(&["customers"], &parameters, &key).await.map(|customer| customer.id)
    }

    /// Makes a page where a customer subscribes to a price, and gives its URL.
    pub(super) async fn create_checkout(&self, checkout: &Checkout<'_>) -> Result<String, StripeError> {
        let metadata = format!("metadata[{TEAM_METADATA}]");
        let of_subscription = format!("subscription_data[metadata][{TEAM_METADATA}]");
        let parameters = [
            ("mode", "subscription"),
            ("customer", checkout.customer),
            ("client_reference_id", checkout.team_id),
            ("line_items[0][price]", checkout.price),
            ("line_items[0][quantity]", "1"),
            ("success_url", checkout.success_url),
            ("cancel_url", checkout.cancel_url),
            (metadata.as_str(), checkout.team_id),
            (of_subscription.as_str(), checkout.team_id),
        ];
        let made: WithUrl = self.post(&["checkout", "sessions"], &parameters, &self.new_key()).await?;
        Ok(made.url)
    }

    /// Makes a page of the billing portal for a customer, and gives its URL.
    pub(super) async fn create_portal(
        &self,
        customer: &str,
        return_url: &str,
    ) -> Result<String, StripeError> {
        let parameters = [("customer", customer), ("return_url", return_url)];
        let made: WithUrl = self.post(&["billing_portal", "sessions"], &parameters, &self.new_key()).await?;
        Ok(made.url)
    }

    /// The id of the active price with a lookup key.
    pub(super) async fn price(&self, lookup_key: &str) -> Result<Option<String>, StripeError> {
        let parameters = [("lookup_keys[]", lookup_key), ("active", "true"), ("limit", "1")];
        let found: List<Price> = self.get(&["prices"], &parameters).await?;
        Ok(found.data.into_iter().next().map(|price| price.id))
    }

    /// The subscriptions of a customer, in all states. One that was deleted at Stripe may have none.
    ///
    /// # Errors
    /// [`StripeError::UnknownCustomer`] if the account never had the customer. With the key of another account, every
    /// customer would seem to pay for nothing: only of one that exists, or did, is that believed.
    pub(super) async fn subscriptions_of(&self, customer: &str) -> Result<Vec<Subscribed>, StripeError> {
        let listed = self.list_of(customer).await;
        match &listed {
            Ok(found) if found.is_empty() => {}
            Err(error) if error.missing() == Some("customer") => {}
            _ => return listed,
        }
        let is_deleted = self.is_deleted(customer).await?;
        listed.or_else(|error| if is_deleted { Ok(Vec::new()) } else { Err(error) })
    }

    /// Whether a customer was deleted.
    ///
    /// # Errors
    /// [`StripeError::UnknownCustomer`] if the account never had it.
    pub(super) async fn is_deleted(&self, customer: &str) -> Result<bool, StripeError> {
        match self.get::<FoundCustomer>(&["customers", customer], &[]).await {
            Ok(found) => Ok(found.deleted),
            Err(error) if error.missing().is_some() => Err(StripeError::UnknownCustomer(customer.to_owned())),
            Err(error) => Err(error),
        }
    }

    async fn list_of(&self, customer: &str) -> Result<Vec<Subscribed>, StripeError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let (page, has_more) = self.subscriptions(Some(customer), after.as_deref()).await?;
            after = page.last().map(|last| last.id.clone());
            for ListedSubscription { id, subscription, .. } in page {
                let Some(subscription) = subscription else {
                    return Err(failed(
                        &Method::GET,
                        &["subscriptions"],
                        CallFailure::Unreadable(word(Some(id))),
                    ));
                };
                all.push(self.with_invoices(subscription).await?);
            }
            if !has_more || after.is_none() {
                return Ok(all);
            }
        }
    }

    /// A page of subscriptions in all states, and whether there are more.
    pub(super) async fn subscriptions(
        &self,
        customer: Option<&str>,
        after: Option<&str>,
    ) -> Result<(Vec<ListedSubscription>, bool), StripeError> {
        let mut parameters = vec![("status", "all")];
        parameters.extend(customer.map(|customer| ("customer", customer)));
        let page: List<Value> = self.page(&["subscriptions"], &parameters, after).await?;
        Ok((page.data.into_iter().map(Into::into).collect(), page.has_more))
    }

    /// Reads since when a subscription has an unpaid invoice, if a payment failed.
    pub(super) async fn with_invoices(&self, subscription: Subscription) -> Result<Subscribed, StripeError> {
        let mut unpaid_since = None;
        if subscription.status == Status::PastDue {
            let parameters = [("subscription", subscription.id.as_str()), ("status", "open")];
            let open: Vec<Invoice> = self.all(&["invoices"], &parameters).await?;
            let since = |invoice: &Invoice| invoice.created.max(invoice.due_date.unwrap_or_default());
            unpaid_since = open.iter().map(since).min().map(seconds);
        }
        Ok(Subscribed { subscription, unpaid_since })
    }

    /// Cancels a subscription at once. One that has ended already is left as it is.
    pub(super) async fn cancel(&self, subscription: &str) -> Result<(), StripeError> {
        let done = self.send::<Created>(&Method::DELETE, &["subscriptions", subscription], &[], None).await;
        match done {
            Err(error) if error.missing().is_some() => Ok(()),
            done => done.map(|_| ()),
        }
    }

    // ---- requests -------------------------------------------------------------------------------------------

    async fn all<T: Listed>(&self, path: &[&str], parameters: Parameters<'_>) -> Result<Vec<T>, StripeError> {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..MAX_PAGES {
            let after = all.last().map(|last| last.id().to_owned());
            let page: List<T> = self.page(path, parameters, after.as_deref()).await?;
            let is_last = !page.has_more || page.data.is_empty();
            all.extend(page.data);
            if is_last {
                return Ok(all);
            }
        }
        Err(failed(&Method::GET, path, CallFailure::TooLong))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: Parameters<'_>,
        after: Option<&str>,
    ) -> Result<List<T>, StripeError> {
        let mut parameters = parameters.to_vec();
        parameters.push(("limit", PAGE));
        parameters.extend(after.map(|after| ("starting_after", after)));
        self.get(path, &parameters).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: Parameters<'_>,
    ) -> Result<T, StripeError> {
        self.send(&Method::GET, path, parameters, None).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: Parameters<'_>,
        key: &str,
    ) -> Result<T, StripeError> {
        self.send(&Method::POST, path, parameters, Some(key)).await
    }

    /// A new idempotency key.
    fn new_key(&self) -> String {
        let mut random = [0u8; 16];
        self.entropy.fill(&mut random);
        format!("han-{}", han_crypto::to_hex(&random))
    }

    /// Sends a request, and sends it again if it may succeed then.
    async fn send<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &[&str],
        parameters: Parameters<'_>,
        key: Option<&str>,
    ) -> Result<T, StripeError> {
        let failed = |failure| failed(method, path, failure);
        let mut attempt = 1;
        loop {
            let Failure { why, again, wait } = match self.once(method, path, parameters, key).await {
                Ok(body) => {
                    let read = serde_json::from_slice(&body);
                    // The error says where, but does not quote the response.
                    return read.map_err(|error| {
                        failed(CallFailure::Unreadable(format!(
                            "{:?} in line {}, column {}",
                            error.classify(),
                            error.line(),
                            error.column()
                        )))
                    });
                }
                Err(failure) => failure,
            };
            let wait = wait.unwrap_or_else(|| self.backoff(attempt));
            if !again || attempt >= ATTEMPTS || wait > MAX_WAIT {
                return Err(failed(why));
            }
            tracing::debug!(error = %failed(why), attempt, "a request to Stripe failed and is sent again");
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Twice as long each time, and up to twice that at random, so that replicas do not ask at the same moment.
    fn backoff(&self, attempt: u32) -> Duration {
        let mut random = [0u8; 1];
        self.entropy.fill(&mut random);
        let base = self.retry_delay * 2u32.saturating_pow(attempt - 1);
        base + base * u32::from(random[0]) / 255
    }

    async fn once(
        &self,
        method: &Method,
        path: &[&str],
        parameters: Parameters<'_>,
        key: Option<&str>,
    ) -> Result<Vec<u8>, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let mut request = self.http.request(method.clone(), self.with_query(url, method, parameters));
        if *method == Method::POST {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form(&self.base, parameters));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request =
            request.bearer_auth(self.secret_key.expose_secret()).header("stripe-version", API_VERSION);
        let response = request.send().await.map_err(transport)?;
        read(response).await
    }

    fn with_query(&self, mut url: Url, method: &Method, parameters: Parameters<'_>) -> Url {
        if *method != Method::POST && !parameters.is_empty() {
            url.set_query(Some(&form(&self.base, parameters)));
        }
        url
    }
}

/// The failure of a call.
fn failed(method: &Method, path: &[&str], failure: CallFailure) -> StripeError {
    StripeError::Call { call: format!("{method} /v1/{}", path.join("/")), failure: Box::new(failure) }
}

/// Parameters in the syntax of forms and queries.
fn form(base: &Url, parameters: Parameters<'_>) -> String {
    let mut url = base.clone();
    url.query_pairs_mut().clear().extend_pairs(parameters);
    url.query().unwrap_or_default().to_owned()
}

/// A failure of the connection. Stripe may or may not have done what was asked.
fn transport(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    Failure { why: CallFailure::Transport(text), again: true, wait: None }
}

/// The body of a response, or why there is none (docs.stripe.com/error-low-level).
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(CallFailure::TooLong.into());
        }
        body.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(body);
    }
    let found = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.error).unwrap_or_default();
    // A response that Stripe repeats stays what it is.
    let is_repeated = text(&headers, "idempotent-replayed") == Some("true");
    let again = match text(&headers, "stripe-should-retry") {
        _ if is_repeated => false,
        Some("true") => true,
        Some("false") => false,
        _ => {
            matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
        }
    };
    let wait = text(&headers, RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok());
    Err(Failure {
        why: CallFailure::Refused {
            status,
            kind: word(found.kind),
            code: word(found.code),
            param: word(found.param),
            request: word(text(&headers, "request-id").map(str::to_owned)),
            is_repeated,
        },
        again,
        wait: wait.map(Duration::from_secs),
    })
}

/// The prefixes of Stripe's secrets (docs.stripe.com/keys, docs.stripe.com/webhooks).
const SECRETS: [&str; 5] = ["sk_live", "sk_test", "rk_live", "rk_test", "whsec"];

/// A name of Stripe, such as a code, an id or a parameter, as it may be logged: without other characters, not too long, and
/// without anything that may be a secret.
fn word(text: Option<String>) -> String {
    let Some(text) = text else { return "-".to_owned() };
    let is_of_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '[' | ']');
    let name: String = text.chars().filter(is_of_name).take(60).collect();
    if SECRETS.iter().any(|secret| text.contains(secret) || name.contains(secret)) {
        return "(left out)".to_owned();
    }
    name
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let name: HeaderName = name.parse().ok()?;
    headers.get(name)?.to_str().ok()
}

/// A time of Stripe.
pub(super) fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_name_of_stripe_is_logged_without_secrets() {
        for (text, logged) in [
            ("resource_missing", "resource_missing"),
            ("items[0][price]", "items[0][price]"),
            ("risk_level", "risk_level"),
            ("metadata[sk_live_51Habc]", "(left out)"),
            ("whsec_abc", "(left out)"),
            ("sk\u{200b}_test_1", "(left out)"),
            ("a b\n\u{1b}[31mc", "ab[31mc"),
        ] {
            assert_eq!(word(Some(text.to_owned())), logged, "{text:?}");
        }
        assert_eq!(word(None), "-");
        assert_eq!(word(Some("x".repeat(500))).len(), 60);
    }
}
