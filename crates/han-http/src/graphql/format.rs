//! The form of a GraphQL response over HTTP: which of the two media types `Accept` asks for, and the status that goes
//! with it (graphql.github.io/graphql-over-http, section 6.4).

use async_graphql::{PathSegment, Response as GraphQlResponse, Value};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use crate::problem::Problem;

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

    /// The response to one operation.
    pub(super) fn respond(self, response: GraphQlResponse) -> Response {
        let status = match self {
            Self::GraphQl if was_refused(&response) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        let text = if was_refused(&response) {
            json_of(&response).to_string()
        } else {
            match serde_json::to_string(&response) {
                Ok(text) => text,
                Err(error) => {
                    tracing::error!(%error, "a response could not be serialized");
                    return Problem::internal().into_response();
                }
            }
        };
        self.with_body(status, text)
    }

    /// The response to a batch: its operations' responses, as [`json_of`] gives them.
    pub(super) fn respond_to_batch(self, responses: Vec<Json>) -> Response {
        self.with_body(StatusCode::OK, Json::Array(responses).to_string())
    }

    /// The response to a request that holds no operation, or none that may be run.
    pub(super) fn refuse(self, message: &str) -> Response {
        self.error(StatusCode::BAD_REQUEST, message, "BAD_USER_INPUT")
    }

    /// A response that consists of one error. `code` is its `extensions.code`.
    pub(super) fn error(self, status: StatusCode, message: &str, code: &str) -> Response {
        let body = json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
        self.with_body(status, body.to_string())
    }

    fn with_body(self, status: StatusCode, body: String) -> Response {
        let content_type = match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        };
        (status, [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], body).into_response()
    }
}

/// A response's JSON; that of an operation that was not run has no `data` at all.
pub(super) fn json_of(response: &GraphQlResponse) -> Json {
    let mut body = serde_json::to_value(response).unwrap_or_default();
    if was_refused(response)
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("data");
    }
    body
}

/// Whether nothing was run: errors of the request itself have no path.
fn was_refused(response: &GraphQlResponse) -> bool {
    let of_request = |path: &Vec<PathSegment>| path.is_empty();
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|err| of_request(&err.path))
}
