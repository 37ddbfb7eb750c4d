//! Errors as clients see them: RFC 9457 problem details (`application/problem+json`). What is internal goes to the
//! log once, never into an answer; the answer's `x-request-id` leads to it.

use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use han_db::DbError;
use serde_json::{Map, Value};

/// How long a client should wait after a 503, in seconds.
pub(crate) const RETRY_SECONDS: u32 = 2;

/// A problem: what was wrong and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the type `urn:han:problem:<code>`. `title` is the same for every problem of the type, `detail`
    /// speaks of this one and tells the remedy.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// Adds a member for programs, such as `limit`.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// For people: what was wrong and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    // The problems that more than one route answers with.

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request is malformed", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here", detail)
    }

    /// No credential came with the request.
    pub(crate) fn no_credential() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Sign in first",
            "send `Authorization: Bearer` with an API key or access token, or sign in to this site",
        )
        .header(WWW_AUTHENTICATE, r#"Bearer realm="han""#)
    }

    /// A credential came and is not good (any more). Does not say which: unknown, ended and revoked look alike.
    pub(crate) fn bad_credential(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credential", "The credential is not valid", detail)
            .header(WWW_AUTHENTICATE, r#"Bearer realm="han", error="invalid_token""#)
    }

    /// The credential is good, but not for this.
    pub(crate) fn insufficient_scope(scope: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The credential may not be used for this",
            format!("this needs the scope {scope}: use an API key that has it"),
        )
        .with("scope", scope)
    }

    pub(crate) fn cross_site(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross_site", "The request comes from another site", detail)
    }

    /// More than a limit allows. `variable` configures the limit.
    pub(crate) fn too_large(what: &str, limit: usize, variable: &str, remedy: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is larger than this server takes",
            format!("{what} may have at most {limit} ({variable}): {remedy}"),
        )
        .with("limit", limit)
        .with("limit_name", variable)
    }

    pub(crate) fn unsupported_encoding(found: &str) -> Self {
        let shown: String = found.chars().filter(|c| !c.is_control()).take(40).collect();
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "The body's encoding is not understood",
            format!("Content-Encoding is {shown:?}: send gzip, zstd, or no encoding"),
        )
        .header(ACCEPT_ENCODING, "gzip, zstd, identity")
    }

    /// The server cannot serve this now and may soon.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot serve this right now",
            detail,
        )
        .header(RETRY_AFTER, RETRY_SECONDS)
    }

    /// Something is wrong here, not there. Log the detail before.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
            "the server's log tells more under this answer's x-request-id",
        )
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(%error, "the database is not available");
            return Self::unavailable("the database cannot be reached: try again");
        }
        tracing::error!(%error, "a request failed in the database");
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:han:problem:{}", self.code).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        body.extend(self.members);
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}
