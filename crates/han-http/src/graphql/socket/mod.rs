//! GraphQL over WebSocket: the `graphql-transport-ws` protocol (github.com/enisdenjo/graphql-ws, PROTOCOL.md), with its
//! close codes. This file takes the handshake.
//!
//! * `session`: one socket from its handshake to its end; `source`: the operations that run on it.
//! * `message`: what both sides send, and close codes.

mod message;
mod session;
mod source;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::response::Response;

use super::endpoint::Endpoint;
use crate::authenticate::Authenticate;
use crate::budget::Resource;
use crate::listener::Connection;
use crate::problem::Problem;
use message::Close;
use session::{Handshake, Session};

/// The only subprotocol that is supported.
const PROTOCOL: &str = "graphql-transport-ws";

/// The bytes of a socket's read buffer; the library's 128 KiB would be held by each of thousands of sockets.
const READ_BUFFER: usize = 1 << 10;

/// The bytes of a socket's write buffer: responses that are ready together are written together. A longer one is written
/// by itself.
const WRITE_BUFFER: usize = 4 << 10;

/// The most bytes that a client may send before it is authenticated: a `connection_init` with its credential.
const FIRST_BYTES: usize = 4 << 10;

/// What the write buffer may hold beside one response: its frame, other messages, and answers to pings.
const WRITE_RESERVE: usize = 256 << 10;

/// Takes a handshake. Its credential is read and approved now, and verified when the client sends `connection_init`. If
/// it is valid now, too, the socket is the caller's from the beginning, and never competes with those of strangers.
///
/// # Errors
/// If the credential is malformed or not approved, or the client, the caller, or all clients that have not authenticated
/// have too many sockets.
pub(super) async fn upgrade<S: Authenticate>(
    state: S,
    endpoint: Endpoint,
    headers: &HeaderMap,
    connection: Option<Connection>,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let presented = state.presented(headers)?;
    let request_id = state.request_id(headers);
    if let Some(presented) = &presented {
        state.approve_socket(presented, headers)?;
    }
    let client = state.client(headers, connection.as_ref());
    let actor = match &presented {
        // A credential that is not valid is refused when the client sends `connection_init`.
        Some(presented) => state.verify(presented, &request_id).await.ok(),
        None => None,
    };
    let account = match &actor {
        Some(actor) => endpoint.budget().caller(client, actor),
        None => endpoint.budget().stranger(client),
    };
    let hold = account.take(Resource::Sockets, 1)?;
    if let Some(connection) = &connection {
        if actor.is_some() {
            connection.belongs_to(&account, endpoint.budget())?;
        }
        connection.limit_unfinished(FIRST_BYTES);
    }
    let limit = endpoint.limits().request_bytes;
    // Most sockets are idle: their buffers are small, and grow for a larger message.
    let socket = socket
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(endpoint.schema().limits().response_bytes + WRITE_RESERVE);
    let socket = socket.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let is_supported = socket.selected_protocol().is_some();
    let task = endpoint.lifecycle().tasks.token();
    Ok(socket.on_upgrade(move |socket| async move {
        // A shutdown waits for the closing handshake.
        let _task = task;
        let handshake = Handshake { request_id, presented, client, connection, hold };
        let mut session = Session::new(state, endpoint, socket, handshake);
        let close = if is_supported {
            session.run().await
        } else {
            Some(Close::new(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        Box::pin(session.finish(close)).await;
    }))
}
