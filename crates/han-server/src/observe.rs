//! What every request leaves behind: an id that its answer and its log lines share, one line in the log, and the
//! headers that keep browsers careful.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use han_types::RequestId;
use tracing::Instrument as _;

use crate::state::AppState;

/// Names a request, in its answer and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request its id, runs it in a span of its own, and logs how it went. The query string is left out: a login
/// link's token stands there.
pub(crate) async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&state, request.headers());
    let header = HeaderValue::from_str(id.as_str()).ok();
    if let Some(id) = &header {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
    let span = tracing::info_span!("request", %id, method = %request.method(), route);
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

/// The id of a request: what a proxy or [`observe`] gave it, where it is one that can stand in a log, else a new one.
pub(crate) fn request_id(state: &AppState, headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|id| RequestId::given(id.to_str().ok()?));
    given.unwrap_or_else(|| RequestId::generate(&*state.clock, &*state.entropy))
}
