//! How serving ends: with open sockets, half-open connections, and requests that do not end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use han_http::Lifecycle;
use han_http::serve::Timeouts;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{LONG, Program};

const HANDSHAKE: &[u8] =
    b"GET /graphql HTTP/1.1\r\nhost: 127.0.0.1:1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

#[tokio::test]
async fn open_sockets_are_closed_with_service_restart() {
    let program = Program::local().await;
    let mut authenticated = program.socket(&[]).await.unwrap();
    authenticated.send(json!({ "type": "connection_init" })).await;
    authenticated.next().await.unwrap();
    let mut silent = program.socket(&[]).await.unwrap();
    program.shutdown.cancel();
    assert_eq!(authenticated.next().await, Err(1012));
    assert_eq!(silent.next().await, Err(1012));
    program.stop().await;
}

#[tokio::test]
async fn a_client_that_ignores_the_closing_frame_delays_no_shutdown() {
    let program = Program::local().await;
    let mut wire = program.wire().await;
    wire.write_all(HANDSHAKE).await.unwrap();
    let mut accepted = [0u8; 12];
    wire.read_exact(&mut accepted).await.unwrap();
    assert_eq!(&accepted, b"HTTP/1.1 101");
    program.stop().await;
}

#[tokio::test]
async fn a_half_sent_request_ends_with_the_idle_time() {
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..LONG };
    let program = Program::serve(Router::new(), timeouts, Lifecycle::default()).await;
    let mut half_open = Vec::new();
    for sent in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: x\r\nx-never-ends: "] {
        let mut wire = program.wire().await;
        wire.write_all(sent).await.unwrap();
        half_open.push(wire);
    }
    // A request on another connection: the others have been accepted by then.
    program.http.get(program.url("/")).send().await.unwrap();
    program.stop().await;
    for mut wire in half_open {
        let mut rest = Vec::new();
        let closed = wire.read_to_end(&mut rest).await;
        assert!(closed.is_err() || rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{rest:?}");
    }
}

/// A program with a handler that reports when it runs and ends when it is allowed to.
async fn program_with_slow_handler(grace: Duration) -> (Program, Arc<Notify>, Arc<Notify>) {
    let (running, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (running, may_end) = (Arc::clone(&running), Arc::clone(&may_end));
        move || async move {
            running.notify_one();
            may_end.notified().await;
            "done"
        }
    };
    let router = Router::new().route("/", get(handler));
    let program = Program::serve(router, Timeouts { grace, ..LONG }, Lifecycle::default()).await;
    (program, running, may_end)
}

#[tokio::test]
async fn an_accepted_request_is_finished_and_no_new_one_is_accepted() {
    let (program, running, may_end) = program_with_slow_handler(LONG.grace).await;
    let response = tokio::spawn(program.http.get(program.url("/")).send());
    running.notified().await;
    program.shutdown.cancel();
    // The listener closes once the shutdown has reached it.
    while TcpStream::connect(&program.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    may_end.notify_one();
    assert_eq!(response.await.unwrap().unwrap().text().await.unwrap(), "done");
    program.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_given_up_after_the_grace_period() {
    let (program, running, _may_end) = program_with_slow_handler(Duration::from_millis(100)).await;
    let _response = tokio::spawn(program.http.get(program.url("/")).send());
    running.notified().await;
    program.stop().await;
}

#[tokio::test]
async fn background_tasks_are_waited_for() {
    let lifecycle = Lifecycle::default();
    let program = Program::serve(Router::new(), LONG, lifecycle.clone()).await;
    let (stopping, ended) = (lifecycle.stopping.clone(), Arc::new(Notify::new()));
    let task = lifecycle.tasks.spawn({
        let ended = Arc::clone(&ended);
        async move {
            stopping.cancelled().await;
            ended.notified().await;
        }
    });
    program.shutdown.cancel();
    lifecycle.stopping.cancelled().await;
    assert!(!task.is_finished());
    ended.notify_one();
    program.stop().await;
    assert!(task.is_finished());
}
