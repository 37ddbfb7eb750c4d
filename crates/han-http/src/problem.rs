//! Errors as REST clients see them: RFC 9457 problem details (`application/problem+json`). Internal detail goes to the
//! log once and never into a response; the response's `x-request-id` leads to it.

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use han_types::StorageError;
use serde_json::{Map, Value};

/// How long a client should wait after a 503, in seconds.
pub const RETRY_SECONDS: u32 = 2;

/// A problem: what was wrong and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the type `urn:han:problem:<code>`. `title` is the same for every problem of the type; `detail`
    /// describes this one and names the remedy.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// Adds a member that programs can read, such as `limit`.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.push((name, value));
        }
        self
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What was wrong and what to do, in words.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    // The problems that more than one route answers with.

    /// 400: the request does not have the form that the route expects.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "The request is malformed", detail)
    }

    /// 404: also for what belongs to another team.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here", detail)
    }

    /// 410: it was deleted, and stays deleted.
    #[must_use]
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", "This was deleted", detail)
    }

    /// 403: the user is a member of the team, but not an admin.
    #[must_use]
    pub fn admins_only(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "admins_only", "Only an admin may do this", detail)
    }

    /// 401: the request has no credential.
    #[must_use]
    pub fn no_credential() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Sign in first",
            "send `Authorization: Bearer` with an API key or access token, or sign in to this site",
        )
        .header(WWW_AUTHENTICATE, r#"Bearer realm="han""#)
    }

    /// 401: the credential is not valid, or no longer. Unknown, expired and revoked credentials get the same answer.
    #[must_use]
    pub fn bad_credential(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credential", "The credential is not valid", detail)
            .header(WWW_AUTHENTICATE, r#"Bearer realm="han", error="invalid_token""#)
    }

    /// 403: the credential is valid, but lacks this scope.
    #[must_use]
    pub fn insufficient_scope(scope: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The credential may not be used for this",
            format!("this needs the scope {scope}: use an API key that has it"),
        )
        .with("scope", scope)
    }

    /// 403: another site may have caused the request.
    #[must_use]
    pub fn cross_site(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross_site", "The request comes from another site", detail)
    }

    /// 413: more than a limit allows. `variable` is the name of the limit, or of the variable that configures it.
    #[must_use]
    pub fn too_large(what: &str, limit: usize, variable: &str, remedy: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is larger than this server takes",
            format!("{what} may have at most {limit} ({variable}): {remedy}"),
        )
        .with("limit", limit)
        .with("limit_name", variable)
    }

    /// 415: a `Content-Encoding` that is not decoded here.
    #[must_use]
    pub fn unsupported_encoding(found: &str) -> Self {
        let shown: String = found.chars().filter(|c| !c.is_control()).take(40).collect();
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "The body's encoding is not understood",
            format!("Content-Encoding is {shown:?}: send gzip, zstd, or no encoding"),
        )
        .header(ACCEPT_ENCODING, "gzip, zstd, identity")
    }

    /// 503: the same request may succeed soon.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot serve this right now",
            detail,
        )
        .header(RETRY_AFTER, RETRY_SECONDS)
    }

    /// 500: the server failed. Log the detail before.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
            "the server's log has more under this response's x-request-id",
        )
    }
}

impl<E: StorageError> From<E> for Problem {
    fn from(error: E) -> Self {
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
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}
