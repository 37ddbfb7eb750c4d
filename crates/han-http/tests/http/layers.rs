//! Request ids, and panics of handlers.

use std::collections::HashSet;

use axum::Router;
use axum::routing::get;
use han_http::Lifecycle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{LONG, Program, problem};

/// The id in the response to a request with these bytes as its `x-request-id`; `None` for a refused request.
async fn id_given(program: &Program, given: &[u8]) -> Option<String> {
    let mut wire = program.wire().await;
    wire.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: ").await.unwrap();
    wire.write_all(given).await.unwrap();
    wire.write_all(b"\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    // A server that refuses the request may close before it has read all of it.
    let _ = wire.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let head = response.split("\r\n\r\n").next().unwrap();
    if head.starts_with("HTTP/1.1 400") {
        return None;
    }
    let ids: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids.len(), 1, "{head}");
    Some(ids[0].to_owned())
}

#[tokio::test]
async fn a_request_id_is_kept_only_if_it_is_safe_to_log() {
    let router = Router::new().route("/", get(|| async { "ok" }));
    let program = Program::serve(router, LONG, Lifecycle::default()).await;
    let longest = "x".repeat(64);
    for kept in ["from-the-proxy-1", "01980b5c-7d3a.A_b", &longest] {
        assert_eq!(id_given(&program, kept.as_bytes()).await.as_deref(), Some(kept));
    }
    let too_long = "x".repeat(65);
    let odd: [&[u8]; 9] = [
        b"",
        b"short",
        b"two words here",
        b"quote\"quote",
        b"tab\there-too",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
        "gr\u{fc}\u{df}e-aus-z".as_bytes(),
        b"\x1b[31mred-text",
        too_long.as_bytes(),
    ];
    let mut made = HashSet::new();
    for given in odd {
        let Some(id) = id_given(&program, given).await else { continue };
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{given:?} gave {id}");
        assert!(made.insert(id), "{given:?} gets an id of its own");
    }
    assert!(made.len() >= 7, "only control characters may be refused");
    program.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_goes_on() {
    async fn fails() -> &'static str {
        panic!("a secret that must not reach the client")
    }
    let router = Router::new().route("/panic", get(fails)).route("/ok", get(|| async { "ok" }));
    let program = Program::serve(router, LONG, Lifecycle::default()).await;
    let mut wire = program.wire().await;
    for (path, status) in [("/panic", 500), ("/ok", 200), ("/panic", 500)] {
        wire.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(wire.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(head.contains("x-request-id: "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        wire.read_exact(&mut body).await.unwrap();
        assert!(!String::from_utf8(body).unwrap().contains("secret"));
    }
    let response = program.http.get(program.url("/panic")).send().await.unwrap();
    assert_eq!(problem(response).await.1, "internal");
    drop(wire);
    program.stop().await;
}
