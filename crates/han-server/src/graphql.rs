//! GraphQL over HTTP (the draft of graphql.github.io/graphql-over-http): POST for any operation, GET for queries.
//! The schema is han-api's; here is only the transport. Subscriptions are in `subscriptions`.

use async_graphql::{PathSegment, Request, Response as Answer, Value, Variables};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use han_api::RequestContext;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use crate::auth::csrf;
use crate::auth::middleware::Caller;
use crate::listener::Connection;
use crate::problem::Problem;
use crate::state::AppState;
use crate::subscriptions;

/// Where GraphQL is spoken.
pub(crate) const PATH: &str = "/graphql";

/// The most bytes of an operation's variables: values take much more memory than their text.
const MAX_VARIABLES_BYTES: usize = 64 << 10;

/// In which form a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `application/graphql-response+json`: the status tells whether the request was good.
    GraphQl,
    /// `application/json`: 200 for whatever could be read.
    Json,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// The form that `Accept` prefers (RFC 9110, section 12.5.1); JSON where it does not say.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best: Option<(f32, Self)> = None;
        let mut says = false;
        for range in
            values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty())
        {
            says = true;
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
                "application/graphql-response+json" => Self::GraphQl,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, form));
            }
        }
        match best {
            Some((_, form)) => Ok(form),
            None if !says => Ok(Self::Json),
            None => Err(Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "not_acceptable",
                "The answer cannot have that form",
                "Accept must allow application/graphql-response+json or application/json",
            )),
        }
    }
}

/// `POST /graphql`.
pub(crate) async fn post(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let form = Form::of(&headers)?;
    if !csrf::is_json(&headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body's type is not understood",
            "Content-Type must be application/json",
        ));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(
            "the body's bytes",
            state.config.limits.graphql_bytes,
            "graphql_bytes",
            "ask for less, or in several requests",
        ),
        _ => Problem::bad_request("the body was cut off before its end: send it again"),
    })?;
    let context = context(&state, caller).await?;
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok(batch(&state, form, context, &body).await);
    }
    Ok(match Operation::parse(&body) {
        Ok(request) => answer(form, state.schema.execute(han_api::request(request, context)).await),
        Err(message) => refuse(form, &message),
    })
}

/// `GET /graphql`: a query, or a WebSocket's handshake.
pub(crate) async fn get(
    State(state): State<AppState>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    connection: Option<axum::Extension<Connection>>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    if let Ok(socket) = socket {
        return subscriptions::upgrade(state, &headers, connection.map(|found| found.0), socket);
    }
    let caller = Caller::of(&state, &method, &headers).await?;
    let form = Form::of(&headers)?;
    let context = context(&state, caller).await?;
    let parsed = async_graphql::http::parse_query_string(query.as_deref().unwrap_or_default());
    let mut request =
        match parsed.map_err(|err| format!("the query string is malformed: {err}")).and_then(with_query) {
            Ok(request) => request,
            Err(message) => return Ok(refuse(form, &message)),
        };
    Ok(match state.schema.is_query(&mut request) {
        Ok(true) => answer(form, state.schema.execute(han_api::request(request, context)).await),
        Ok(false) => {
            let mut response = errors(
                form,
                StatusCode::METHOD_NOT_ALLOWED,
                "GET is for queries only: send this operation by POST",
            );
            response.headers_mut().insert(ALLOW, axum::http::HeaderValue::from_static("POST"));
            response
        }
        Err(refused) => answer(form, refused),
    })
}

/// `GET /graphiql`, in development only.
pub(crate) async fn graphiql() -> impl IntoResponse {
    let page = async_graphql::http::GraphiQLSource::build()
        .endpoint(PATH)
        .subscription_endpoint(PATH)
        .title("Han Teams")
        .finish();
    // The page loads its script from elsewhere, which no other page may.
    let policy = "default-src 'self' https: 'unsafe-inline' 'unsafe-eval' data: blob: ws: wss:; frame-ancestors 'none'";
    ([(axum::http::header::CONTENT_SECURITY_POLICY, policy)], Html(page))
}

async fn context(state: &AppState, caller: Caller) -> Result<RequestContext, Problem> {
    let resolved = han_db::queries::identity::scope_for(&state.db, &caller.0).await?;
    let context = RequestContext::new(caller.0);
    Ok(match resolved {
        Some(resolved) => context.with_scope(resolved.scope, Some(resolved.team.name)),
        None => context,
    })
}

/// Several operations in one body, one after another. They are counted before any of them is read.
async fn batch(state: &AppState, form: Form, context: RequestContext, body: &[u8]) -> Response {
    let most = state.schema.limits().batch;
    let parts: Vec<&RawValue> = match serde_json::from_slice(body) {
        Ok(parts) => parts,
        Err(err) => return refuse(form, &malformed(&err)),
    };
    if parts.is_empty() || parts.len() > most {
        let message = format!("a batch has 1 to {most} operations: send several requests");
        return errors_with(form, StatusCode::BAD_REQUEST, &message, "LIMIT_EXCEEDED");
    }
    let mut requests = Vec::with_capacity(parts.len());
    for part in parts {
        match Operation::parse(part.get().as_bytes()) {
            Ok(request) => requests.push(request),
            Err(message) => return refuse(form, &message),
        }
    }
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(body_of(&state.schema.execute(han_api::request(request, context.clone())).await));
    }
    respond(form, StatusCode::OK, Json::Array(answers).to_string())
}

/// A request as clients write it: whatever may be missing may also be null.
#[derive(Deserialize)]
pub(crate) struct Operation {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Box<RawValue>>,
    /// Nothing here understands any, but it has its type.
    #[serde(rename = "extensions")]
    _extensions: Option<Map<String, Json>>,
}

impl Operation {
    fn parse(body: &[u8]) -> Result<Request, String> {
        serde_json::from_slice::<Self>(body).map_err(|err| malformed(&err)).and_then(Self::into_request)
    }

    /// The request for the schema.
    ///
    /// # Errors
    /// Where there is no document, or what it is to be run with is malformed or too large.
    pub(crate) fn into_request(self) -> Result<Request, String> {
        let mut request = Request::new(self.query.unwrap_or_default());
        request.operation_name = self.operation_name;
        if let Some(variables) = self.variables {
            let text = variables.get();
            if text.len() > MAX_VARIABLES_BYTES {
                return Err(format!(
                    "`variables` have {} bytes and may have at most {MAX_VARIABLES_BYTES}: ask for less at once",
                    text.len()
                ));
            }
            let variables: Map<String, Json> =
                serde_json::from_str(text).map_err(|err| format!("`variables` must be an object: {err}"))?;
            request.variables = Variables::from_json(Json::Object(variables));
        }
        with_query(request)
    }
}

/// Every request names a document.
fn with_query(request: Request) -> Result<Request, String> {
    if request.query.trim().is_empty() {
        return Err("`query` is missing: it must hold a GraphQL document".to_owned());
    }
    Ok(request)
}

fn malformed(err: &serde_json::Error) -> String {
    format!("the body is not a GraphQL request: {err}")
}

fn answer(form: Form, answer: Answer) -> Response {
    let status = match form {
        Form::GraphQl if refused(&answer) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let text = if refused(&answer) {
        body_of(&answer).to_string()
    } else {
        match serde_json::to_string(&answer) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                return Problem::internal().into_response();
            }
        }
    };
    respond(form, status, text)
}

/// Whether nothing was run: errors of the request itself stand at no field.
fn refused(answer: &Answer) -> bool {
    let of_request = |path: &Vec<PathSegment>| path.is_empty();
    answer.data == Value::Null
        && !answer.errors.is_empty()
        && answer.errors.iter().all(|err| of_request(&err.path))
}

/// An answer's JSON; an operation that was not run has no `data` at all.
fn body_of(answer: &Answer) -> Json {
    let mut body = serde_json::to_value(answer).unwrap_or_default();
    if refused(answer)
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("data");
    }
    body
}

fn refuse(form: Form, message: &str) -> Response {
    errors(form, StatusCode::BAD_REQUEST, message)
}

fn errors(form: Form, status: StatusCode, message: &str) -> Response {
    errors_with(form, status, message, "BAD_USER_INPUT")
}

fn errors_with(form: Form, status: StatusCode, message: &str, code: &str) -> Response {
    respond(
        form,
        status,
        json!({ "errors": [{ "message": message, "extensions": { "code": code } }] }).to_string(),
    )
}

fn respond(form: Form, status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, form.content_type()), (CACHE_CONTROL, "no-store")], body).into_response()
}
