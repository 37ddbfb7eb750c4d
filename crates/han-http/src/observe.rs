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
use han_types::{Clock, Entropy, RequestId};
use tracing::Instrument as _;

/// The header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names requests: by the id that the client or a proxy gave, if it is safe to log, otherwise by a new one.
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
    /// New ids begin with the time of `clock`, so that they sort by it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// The id of the request with these headers. Inside of [`observe`] it is always the same.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap) -> RequestId {
        let given = headers.get(REQUEST_ID).and_then(|id| RequestId::given(id.to_str().ok()?));
        given.unwrap_or_else(|| RequestId::generate(&*self.clock, &*self.entropy))
    }
}

/// Gives a request its id (handlers find it in its headers), runs it in a span of its own, and logs its status and
/// duration. The query string is not logged: that of a sign-in link contains a token.
pub async fn observe(State(ids): State<RequestIds>, mut request: Request, next: Next) -> Response {
    let id = ids.of(request.headers());
    let header = HeaderValue::from_str(id.as_str()).ok();
    if let Some(id) = &header {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!("request", id = id.as_str(), method = %request.method(), route);
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
    if let Some(id) = header {
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
