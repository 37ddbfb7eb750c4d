//! The form of a GraphQL response over HTTP: which of the two media types `Accept` asks for, and the status that goes
//! with it (graphql.github.io/graphql-over-http, section 6.4).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_graphql::{PathSegment, Response as GraphQlResponse, Value};
use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use han_api::{Code, HanSchema};
use http_body::{Frame, SizeHint};
use serde_json::json;

use crate::budget::Answer;
use crate::problem::{Problem, RETRY_SECONDS};

/// The media type that a client wants its response in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    /// `application/graphql-response+json`: the status says whether the request was valid.
    GraphQl,
    /// `application/json`: 200 for every request that could be read.
    Json,
}

impl ResponseFormat {
    /// The format that `Accept` prefers (RFC 9110, section 12.5.1); JSON if there is no such header.
    ///
    /// # Errors
    /// If `Accept` allows neither.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<(f32, Self)> = None;
        let mut has_ranges = false;
        for range in
            values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty())
        {
            has_ranges = true;
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
                "application/graphql-response+json" => Self::GraphQl,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, format));
            }
        }
        match best {
            Some((_, format)) => Ok(format),
            None if !has_ranges => Ok(Self::Json),
            None => Err(Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "The answer cannot have that form",
                "Accept must allow application/graphql-response+json or application/json",
            )),
        }
    }

    /// The response to one operation. `answer` holds its bytes until they are sent.
    pub(super) async fn respond(
        self,
        schema: &HanSchema,
        response: GraphQlResponse,
        answer: Option<Arc<Answer>>,
    ) -> Response {
        let status = match self {
            Self::GraphQl if is_busy(&response) => StatusCode::TOO_MANY_REQUESTS,
            Self::GraphQl if was_refused(&response) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        let text = text_of(schema, response).await;
        let mut response = self.with_body(status, HeldBody::new(text, answer));
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }

    /// The response to a batch: its operations' responses, as [`text_of`] gives them.
    pub(super) fn respond_to_batch(self, responses: &[String], answer: Arc<Answer>) -> Response {
        let text = format!("[{}]", responses.join(","));
        self.with_body(StatusCode::OK, HeldBody::new(text, Some(answer)))
    }

    /// The response to a request that holds no operation, or none that may be run.
    pub(super) fn refuse(self, message: &str) -> Response {
        self.error(StatusCode::BAD_REQUEST, message, "BAD_USER_INPUT")
    }

    /// A response that consists of one error. `code` is its `extensions.code`.
    pub(super) fn error(self, status: StatusCode, message: &str, code: &str) -> Response {
        let body = json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
        self.with_body(status, HeldBody::new(body.to_string(), None))
    }

    fn with_body(self, status: StatusCode, body: HeldBody) -> Response {
        let content_type = match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        };
        (status, [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], Body::new(body)).into_response()
    }
}

/// A response's JSON; that of an operation that was not run has no `data` at all.
pub(super) async fn text_of(schema: &HanSchema, response: GraphQlResponse) -> String {
    if was_refused(&response) {
        let mut body = serde_json::to_value(&response).unwrap_or_default();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("data");
        }
        return body.to_string();
    }
    Box::<str>::from(schema.to_json(response).await).into_string()
}

/// Whether a limit refused the operation that its caller, or others, will be below soon.
fn is_busy(response: &GraphQlResponse) -> bool {
    was_refused(response) && han_api::has_code(response, Code::RateLimited)
}

/// A body that holds the bytes of its response until they are sent. It goes out in parts, so that it lasts that long.
struct HeldBody {
    rest: Bytes,
    _answer: Option<Arc<Answer>>,
}

impl HeldBody {
    /// The bytes of a part.
    const PART: usize = 64 << 10;

    fn new(text: String, answer: Option<Arc<Answer>>) -> Self {
        Self { rest: text.into(), _answer: answer }
    }
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let part = self.rest.len().min(Self::PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Whether nothing was run: errors of the request itself have no path.
fn was_refused(response: &GraphQlResponse) -> bool {
    let of_request = |path: &Vec<PathSegment>| path.is_empty();
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|err| of_request(&err.path))
}
