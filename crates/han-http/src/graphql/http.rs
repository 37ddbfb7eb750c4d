//! GraphQL over HTTP (the draft of graphql.github.io/graphql-over-http): POST for any operation, GET for queries.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, FromRef, RawQuery, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use han_api::RequestContext;
use serde_json::value::RawValue;

use super::endpoint::Endpoint;
use super::format::{ResponseFormat, json_of};
use super::operation::{Operation, malformed, parse_query_string};
use super::socket;
use crate::authenticate::{Authenticate, Verified, authenticate};
use crate::headers::is_json;
use crate::listener::Connection;
use crate::problem::Problem;

/// `POST`: one operation, or a batch. The caller is authenticated before the body is read.
pub(super) async fn post<S>(
    State(state): State<S>,
    Verified(actor): Verified,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem>
where
    S: Authenticate,
    Endpoint: FromRef<S>,
{
    let endpoint = Endpoint::from_ref(&state);
    let format = ResponseFormat::of(&headers)?;
    if !is_json(&headers) {
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
            endpoint.limits().request_bytes,
            "graphql_bytes",
            "ask for less, or in several requests",
        ),
        _ => Problem::bad_request("the body was cut off before its end: send it again"),
    })?;
    let context = state.context(actor).await?;
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok(batch(&endpoint, format, context, &body).await);
    }
    Ok(match Operation::parse(&body) {
        Ok(request) => format.respond(endpoint.schema().execute(han_api::request(request, context)).await),
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
        return socket::upgrade(state, endpoint, &headers, connection.map(|found| found.0), socket);
    }
    let actor = authenticate(&state, &method, &headers).await?;
    let format = ResponseFormat::of(&headers)?;
    let context = state.context(actor).await?;
    let mut request = match parse_query_string(query.as_deref().unwrap_or_default()) {
        Ok(request) => request,
        Err(message) => return Ok(format.refuse(&message)),
    };
    Ok(match endpoint.schema().is_query(&mut request) {
        Ok(true) => format.respond(endpoint.schema().execute(han_api::request(request, context)).await),
        Ok(false) => {
            let message = "GET is for queries only: send this operation by POST";
            let mut response = format.error(StatusCode::METHOD_NOT_ALLOWED, message, "BAD_USER_INPUT");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Err(refused) => format.respond(refused),
    })
}

/// Runs the operations of one body one after another. They are counted before any of them is read.
async fn batch(
    endpoint: &Endpoint,
    format: ResponseFormat,
    context: RequestContext,
    body: &[u8],
) -> Response {
    let most = endpoint.schema().limits().batch;
    let parts: Vec<&RawValue> = match serde_json::from_slice(body) {
        Ok(parts) => parts,
        Err(err) => return format.refuse(&malformed(&err)),
    };
    if parts.is_empty() || parts.len() > most {
        let message = format!("a batch has 1 to {most} operations: send several requests");
        return format.error(StatusCode::BAD_REQUEST, &message, "LIMIT_EXCEEDED");
    }
    let mut requests = Vec::with_capacity(parts.len());
    for part in parts {
        match Operation::parse(part.get().as_bytes()) {
            Ok(request) => requests.push(request),
            Err(message) => return format.refuse(&message),
        }
    }
    let mut responses = Vec::with_capacity(requests.len());
    for request in requests {
        let response = endpoint.schema().execute(han_api::request(request, context.clone())).await;
        responses.push(json_of(&response));
    }
    format.respond_to_batch(responses)
}
