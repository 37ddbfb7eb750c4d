//! What a peer cannot take of a program: connections, memory and time.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use han_http::Lifecycle;
use han_http::budget::{Holders, Level, Limit, Quota, Quotas, Resource};
use han_http::serve::Timeouts;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{LONG, Program};

/// Only a failing test waits as long.
const DEADLINE: Duration = Duration::from_secs(20);

/// An idle time that a test can wait for.
const SHORT: Timeouts = Timeouts { idle: Duration::from_millis(300), ..LONG };

/// What the other side sends until it closes the connection.
async fn rest(mut wire: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(DEADLINE, wire.read_to_end(&mut rest)).await;
    // A reset is an end, too.
    let _ = read.expect("the connection is closed");
    rest
}

/// Waits until so many connections are open.
async fn until_connections_are(program: &Program, wanted: usize) {
    let wait = async {
        while program.budget.held(Resource::Connections, Holders::All) != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the connections end");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let program = Program::serve_with(
        Router::new().route("/", get(|| async { "hello" })),
        han_http::Budget::new(Quotas::unlimited()),
        SHORT,
        Lifecycle::default(),
    )
    .await;
    let mut wire = program.wire().await;
    // The preface and SETTINGS (RFC 9113, section 3.4); the server sends its own.
    wire.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    assert!(!rest(wire).await.is_empty());
    until_connections_are(&program, 0).await;
    program.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_too_little_of_a_response_is_closed() {
    let large = || async { "x".repeat(64 << 20) };
    let router = Router::new().route("/", get(large));
    let program = Program::serve(router, SHORT, Lifecycle::default()).await;
    let mut wire = program.wire().await;
    wire.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut begin = [0u8; 15];
    wire.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    until_connections_are(&program, 0).await;
    assert!(rest(wire).await.len() < 64 << 20);
    // One that takes it in time gets all of it.
    let taken = program.http.get(program.url("/")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(taken.len(), 64 << 20);
    program.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_closes_the_socket() {
    let program = Program::local().await;
    let mut socket = program.socket(&[]).await.unwrap();
    for _ in 0..1_000 {
        // The socket may be closed by then.
        let _ = socket.send_raw(Message::Ping("x".repeat(100).into())).await;
    }
    let closed = tokio::time::timeout(DEADLINE, socket.next()).await.expect("the socket is closed");
    // A client that still sends when the server has closed may lose the closing frame.
    assert!(matches!(closed, Err(1008 | 1006)), "{closed:?}");
    program.stop().await;
}

#[tokio::test]
async fn a_long_message_before_authentication_closes_the_socket() {
    let program = Program::local().await;
    let init =
        |bytes: usize| json!({ "type": "connection_init", "payload": { "filler": "x".repeat(bytes) } });
    let mut long = program.socket(&[]).await.unwrap();
    long.send(init(8 << 10)).await;
    assert_eq!(long.next().await, Err(1009));
    let mut short = program.socket(&[]).await.unwrap();
    short.send(init(3 << 10)).await;
    assert_eq!(short.next().await, Ok(json!({ "type": "connection_ack" })));
    // Later messages may be longer.
    let query = json!({ "query": "{ __typename }", "variables": { "filler": "x".repeat(32 << 10) } });
    short.send(json!({ "type": "subscribe", "id": "1", "payload": query })).await;
    assert_eq!(short.next().await.unwrap()["type"], "next");
    program.stop().await;
}

#[tokio::test]
async fn connections_of_one_address_are_limited_and_the_refusal_names_the_limit() {
    let quota = Quota { address: Limit::new(3, "ADDRESS_CONNECTIONS"), ..Quota::NONE };
    let quotas = Quotas::unlimited().with(Resource::Connections, quota);
    let program = Program::local_with(quotas, LONG).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(program.wire().await);
    }
    let refused = String::from_utf8(rest(program.wire().await).await).unwrap();
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("at most 3 connections (ADDRESS_CONNECTIONS)"), "{refused}");
    assert_eq!(program.budget.refused(Resource::Connections, Level::Address), 1);
    drop(open);
    until_connections_are(&program, 0).await;
    assert!(program.graphql("{ __typename }").send().await.unwrap().status().is_success());
    program.stop().await;
}

#[tokio::test]
async fn clients_who_sign_in_take_the_place_of_silent_strangers() {
    let quota = Quota { unauthenticated: Limit::new(4, "UNAUTHENTICATED"), ..Quota::NONE };
    let quotas = Quotas::unlimited().with(Resource::Connections, quota);
    let program = Program::local_with(quotas, LONG).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(program.wire().await);
    }
    let answered = program.graphql("{ __typename }").send().await.unwrap();
    assert!(answered.status().is_success());
    assert_eq!(rest(silent.remove(0)).await, b"", "the oldest of them was closed");
    assert_eq!(program.budget.held(Resource::Connections, Holders::Unauthenticated), 3);
    assert_eq!(program.budget.held(Resource::Connections, Holders::All), 4);
    program.stop().await;
}

#[tokio::test]
async fn operations_subscriptions_and_sockets_of_a_user_are_limited() {
    let three = Quota { user: Limit::new(3, "USER"), ..Quota::NONE };
    let quotas = Quotas::unlimited().with(Resource::Subscriptions, three).with(Resource::Sockets, three);
    let program = Program::local_with(quotas, LONG).await;
    let mut sockets = Vec::new();
    // A credential has half of what its user may hold, rounded up.
    for _ in 0..2 {
        let mut socket = program.socket(&[]).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        socket.next().await.unwrap();
        sockets.push(socket);
    }
    match program.socket(&[]).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => assert_eq!(refused.status(), 429),
        other => panic!("the handshake was not refused: {:?}", other.err()),
    }
    let subscribe = |id: usize| {
        let query = json!({ "query": "subscription { memoryUpdated { type } }" });
        json!({ "type": "subscribe", "id": id.to_string(), "payload": query })
    };
    let [first, second] = sockets.get_disjoint_mut([0, 1]).unwrap();
    first.send(subscribe(1)).await;
    first.send(subscribe(2)).await;
    first.send(subscribe(3)).await;
    let refused = first.next().await.unwrap();
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("3")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert!(refused["payload"][0]["message"].as_str().unwrap().contains("(USER)"), "{refused}");
    second.send(subscribe(1)).await;
    assert_eq!(second.next().await.unwrap()["type"], "error", "another socket of the user");
    first.send(json!({ "type": "complete", "id": "1" })).await;
    first.send(subscribe(4)).await;
    first.send(json!({ "type": "ping" })).await;
    assert_eq!(
        first.next().await.unwrap()["type"],
        "pong",
        "a subscription that has ended gave its place back"
    );
    program.stop().await;
}
