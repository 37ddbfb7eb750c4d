//! The messages of `graphql-transport-ws`, and why a socket is closed.

use async_graphql::Response;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::budget::Refusal;
use crate::problem::Problem;

/// A client's message. The payload is parsed once its type is known.
#[derive(Deserialize)]
pub(super) struct ClientMessage<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(borrow, default)]
    pub(super) payload: Option<&'a RawValue>,
}

/// The type of a client's message.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Complete,
}

/// `next`: a response of an operation.
///
/// # Errors
/// If it cannot be serialized.
pub(super) fn next(id: &str, payload: &RawValue) -> Result<String, Close> {
    #[derive(Serialize)]
    struct Next<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        id: &'a str,
        payload: &'a RawValue,
    }
    serde_json::to_string(&Next { kind: "next", id, payload }).map_err(|_| Close::new(1011, "Internal error"))
}

/// `connection_ack`: the client is authenticated.
pub(super) fn connection_ack() -> Value {
    json!({ "type": "connection_ack" })
}

/// `complete`: the operation has ended.
pub(super) fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

/// `error`: the operation was not started.
pub(super) fn error(id: &str, message: &str) -> Value {
    let error = json!({ "message": message, "extensions": { "code": "BAD_USER_INPUT" } });
    json!({ "type": "error", "id": id, "payload": [error] })
}

/// `error`: a limit does not allow the operation now.
pub(super) fn busy(id: &str, refusal: &str) -> Value {
    let extensions = json!({ "code": "RATE_LIMITED" });
    json!({ "type": "error", "id": id, "payload": [{ "message": refusal, "extensions": extensions }] })
}

/// `error`: the schema does not run the operation. The response has errors only.
///
/// # Errors
/// If it cannot be serialized.
pub(super) fn refused(id: &str, response: &Response) -> Result<Value, Close> {
    let errors = serde_json::to_value(&response.errors).map_err(|_| Close::new(1011, "Internal error"))?;
    Ok(json!({ "type": "error", "id": id, "payload": errors }))
}

/// `pong`, with the payload of the ping.
pub(super) fn pong(payload: Option<&RawValue>) -> Value {
    match payload {
        Some(payload) => json!({ "type": "pong", "payload": payload }),
        None => json!({ "type": "pong" }),
    }
}

/// Why a socket is closed. Codes from 4400 are the protocol's; 1012 is in IANA's WebSocket registry.
#[derive(Clone, Debug)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Close {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        // A control frame holds 125 bytes, two of them the code (RFC 6455, section 5.5).
        let mut reason: String = reason.into();
        while reason.len() > 123 {
            reason.pop();
        }
        Self { code, reason }
    }

    /// The program stops.
    pub(super) fn restart() -> Self {
        Self::new(1012, "Service Restart")
    }

    /// The credential was refused, or could not be verified now.
    pub(super) fn refused(problem: Problem) -> Self {
        let is_temporary =
            problem.status().is_server_error() || problem.status() == StatusCode::TOO_MANY_REQUESTS;
        match is_temporary {
            true => Self::new(1013, format!("Try again later: {}", problem.detail())),
            false => Self::new(4403, format!("Forbidden: {}", problem.detail())),
        }
    }

    /// A limit does not allow what the socket needs.
    pub(super) fn busy(refusal: Refusal) -> Self {
        Self::new(1013, format!("Try again later: {refusal}"))
    }

    /// A message that is not the protocol's.
    pub(super) fn invalid(err: serde_json::Error) -> Self {
        Self::new(4400, format!("Invalid message: {err}"))
    }
}
