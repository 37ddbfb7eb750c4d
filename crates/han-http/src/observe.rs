//! Request ids and request logging: each request has an id that its response and its log lines share, one line in the
//! log, and response headers that restrict what a browser does with the response.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use han_types::{Clock, Entropy};
use tracing::Instrument as _;

/// The header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the ids of requests that have none.
#[derive(Clone)]
pub struct RequestIds {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds").finish_non_exhaustive()
    }
}

impl RequestIds {
    /// Ids that begin with the time, so that they sort by it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    fn next(&self) -> String {
        han_types::new_row_id(&*self.clock, &*self.entropy)
    }
}

/// Gives a request its id, runs it in a span of its own, and logs its status and duration. The query string is not
/// logged: that of a sign-in link contains a token.
pub async fn observe(State(ids): State<RequestIds>, request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| ids.next());
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    let begun = Instant::now();
    let mut response = async {
        let response = next.run(request).await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(status = response.status().as_u16(), millis, "answered");
        response
    }
    .instrument(span)
    .await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The id that the client or a proxy gave the request, if it is safe to log.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    ((8..=64).contains(&id.len()) && plain).then(|| id.to_owned())
}
