//! GraphQL over HTTP (the draft of graphql.github.io/graphql-over-http): POST for any operation, GET for queries.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, FromRef, RawQuery, Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt as _;
use han_api::RequestContext;
use han_types::Actor;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::endpoint::Endpoint;
use super::format::{ResponseFormat, text_of};
use super::operation::{Operation, malformed, parse_query_string};
use super::socket;
use crate::authenticate::{Authenticate, Verified, authenticate};
use crate::budget::{Account, Answer, Hold, Resource};
use crate::headers::is_json;
use crate::listener::Connection;
use crate::problem::Problem;

/// `POST`: one operation, or a batch. The caller is authenticated before the body is read.
pub(super) async fn post<S>(
    State(state): State<S>,
    Verified(actor): Verified,
    connection: Option<Extension<Connection>>,
    request: Request,
) -> Result<Response, Problem>
where
    S: Authenticate,
    Endpoint: FromRef<S>,
{
    let endpoint = Endpoint::from_ref(&state);
    let headers = request.headers();
    let format = ResponseFormat::of(headers)?;
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body's type is not understood",
            "Content-Type must be application/json",
        ));
    }
    let account = account(&state, &endpoint, headers, connection.as_deref(), &actor)?;
    let (body, _held) = read(request.into_body(), endpoint.limits().request_bytes, &account).await?;
    let _running = Running::begin(&account).await?;
    let answer = Answer::of(&account);
    let context = state.context(actor).await?.with_answers(Arc::clone(&answer) as _);
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok(batch(&endpoint, format, context, answer, &body).await);
    }
    let schema = endpoint.schema();
    Ok(match Operation::parse(&body) {
        Ok(request) => {
            let response = schema.execute(han_api::request(request, context)).await;
            format.respond(schema, response, Some(answer)).await
        }
        Err(message) => format.refuse(&message),
    })
}

/// `GET`: a query, or the handshake of a WebSocket.
pub(super) async fn get<S>(
    State(state): State<S>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    connection: Option<Extension<Connection>>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem>
where
    S: Authenticate,
    Endpoint: FromRef<S>,
{
    let endpoint = Endpoint::from_ref(&state);
    if let Ok(socket) = socket {
        return socket::upgrade(state, endpoint, &headers, connection.map(|found| found.0), socket).await;
    }
    let actor = authenticate(&state, &method, &headers).await?;
    let format = ResponseFormat::of(&headers)?;
    let account = account(&state, &endpoint, &headers, connection.as_deref(), &actor)?;
    let _running = Running::begin(&account).await?;
    let answer = Answer::of(&account);
    let context = state.context(actor).await?.with_answers(Arc::clone(&answer) as _);
    let mut request = match parse_query_string(query.as_deref().unwrap_or_default()) {
        Ok(request) => request,
        Err(message) => return Ok(format.refuse(&message)),
    };
    let schema = endpoint.schema();
    Ok(match schema.is_query(&mut request) {
        Ok(true) => {
            let response = schema.execute(han_api::request(request, context)).await;
            format.respond(schema, response, Some(answer)).await
        }
        Ok(false) => {
            let message = "GET is for queries only: send this operation by POST";
            let mut response = format.error(StatusCode::METHOD_NOT_ALLOWED, message, "BAD_USER_INPUT");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Err(refused) => format.respond(schema, refused, None).await,
    })
}

/// The account of a caller, to whom the connection is charged from now on.
fn account<S: Authenticate>(
    state: &S,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    connection: Option<&Connection>,
    actor: &Actor,
) -> Result<Account, Problem> {
    let account = endpoint.budget().caller(state.client(headers, connection), actor);
    if let Some(connection) = connection {
        connection.belongs_to(&account, endpoint.budget())?;
    }
    Ok(account)
}

/// An operation in progress.
struct Running {
    _hold: Hold,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Running {
    async fn begin(account: &Account) -> Result<Self, Problem> {
        let hold = account.take(Resource::Operations, 1)?;
        Ok(Self { _hold: hold, _turn: account.turn().await? })
    }
}

/// Reads a body, which is charged to its sender from the first byte.
async fn read(body: Body, most: usize, account: &Account) -> Result<(Vec<u8>, Hold), Problem> {
    let mut hold = account.nothing(Resource::BytesIn);
    let (mut read, mut parts) = (Vec::new(), body.into_data_stream());
    while let Some(part) = parts.next().await {
        let part =
            part.map_err(|_| Problem::bad_request("the body was cut off before its end: send it again"))?;
        if read.len() + part.len() > most {
            return Err(Problem::too_large(
                "the body's bytes",
                most,
                "graphql_bytes",
                "ask for less, or in several requests",
            ));
        }
        hold.grow(part.len())?;
        read.extend_from_slice(&part);
    }
    Ok((read, hold))
}

/// Runs the operations of one body one after another. They are counted before any of them is read, and their responses
/// together may be as large as that of one operation.
async fn batch(
    endpoint: &Endpoint,
    format: ResponseFormat,
    context: RequestContext,
    answer: Arc<Answer>,
    body: &[u8],
) -> Response {
    let schema = endpoint.schema();
    let limits = schema.limits();
    let parts: Vec<&RawValue> = match serde_json::from_slice(body) {
        Ok(parts) => parts,
        Err(err) => return format.refuse(&malformed(&err)),
    };
    if parts.is_empty() || parts.len() > limits.batch {
        let message = format!("a batch has 1 to {} operations: send several requests", limits.batch);
        return format.error(StatusCode::BAD_REQUEST, &message, "LIMIT_EXCEEDED");
    }
    let mut requests = Vec::with_capacity(parts.len());
    for part in parts {
        match Operation::parse(part.get().as_bytes()) {
            Ok(request) => requests.push(request),
            Err(message) => return format.refuse(&message),
        }
    }
    let (mut responses, mut bytes) = (Vec::with_capacity(requests.len()), 0);
    for request in requests {
        let response = schema.execute(han_api::request(request, context.clone())).await;
        let mut text = text_of(schema, response).await;
        if bytes + text.len() > limits.response_bytes {
            text = text_of(schema, han_api::too_large(limits.response_bytes)).await;
        }
        bytes += text.len();
        responses.push(text);
    }
    format.respond_to_batch(&responses, answer)
}
