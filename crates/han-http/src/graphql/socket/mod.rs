//! GraphQL over WebSocket: the `graphql-transport-ws` protocol (github.com/enisdenjo/graphql-ws, PROTOCOL.md), with its
//! close codes. This file takes the handshake.
//!
//! * `session`: one socket from its handshake to its end; `source`: the operations that run on it.
//! * `message`: what both sides send, and close codes.

mod message;
mod session;
mod source;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::response::Response;

use super::endpoint::Endpoint;
use crate::authenticate::Authenticate;
use crate::listener::Connection;
use crate::problem::Problem;
use message::Close;
use session::Session;

/// The only subprotocol that is supported.
const PROTOCOL: &str = "graphql-transport-ws";

/// The bytes of a socket's read buffer; the library's 128 KiB would be held by each of thousands of sockets.
const READ_BUFFER: usize = 1 << 10;

/// The bytes of a socket's write buffer: responses that are ready together are written together. A longer one is written
/// by itself.
const WRITE_BUFFER: usize = 4 << 10;

/// Takes a handshake. Its credential is read and approved now, and verified when the client sends `connection_init`.
///
/// # Errors
/// If the credential is malformed or not approved, or too many sockets have not authenticated yet.
pub(super) fn upgrade<S: Authenticate>(
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
    let unauthenticated =
        Arc::clone(endpoint.unauthenticated_sockets()).try_acquire_owned().map_err(|_| {
            Problem::unavailable("too many sockets wait for their clients to say who they are: try again")
        })?;
    let limit = endpoint.limits().request_bytes;
    // Most sockets are idle: their buffers are small, and grow for a larger message.
    let socket = socket.read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let socket = socket.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let is_supported = socket.selected_protocol().is_some();
    let task = endpoint.lifecycle().tasks.token();
    Ok(socket.on_upgrade(move |socket| async move {
        // A shutdown waits for the closing handshake, and the listener must not count the connection as idle.
        let _task = task;
        let _busy = connection.map(|connection| connection.busy());
        let mut session = Session::new(state, endpoint, socket, request_id, presented, unauthenticated);
        let close = if is_supported {
            session.run().await
        } else {
            Some(Close::new(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        Box::pin(session.finish(close)).await;
    }))
}
