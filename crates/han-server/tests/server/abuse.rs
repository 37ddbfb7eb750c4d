//! What a stranger and a user cannot take of the server: the limits of what they hold, through HTTP and WebSockets.

use std::time::Duration;

use han_testkit::{SyntheticSession, both_databases};
use reqwest::{StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::support::{TestServer, answer, problem};

/// Only a failing test waits as long.
const DEADLINE: Duration = Duration::from_secs(20);

fn line(bytes: usize) -> String {
    json!({
        "type": "user", "uuid": "00000000-0000-4000-8000-000000000001", "timestamp": "2026-01-01T00:00:00.000Z",
        "sessionId": "s", "message": { "role": "user", "content": "x".repeat(bytes) },
    })
    .to_string()
}

/// The first message of a session, `times` times.
fn aliases(times: usize) -> String {
    let lines: String = (0..times).map(|n| format!("a{n}: rawJson ")).collect();
    format!("{{ session(id: \"s\") {{ messages(first: 1) {{ edges {{ node {{ {lines} }} }} }} }} }}")
}

/// The status of a handshake that was refused.
fn refused<T>(handshake: Result<T, Error>) -> (u16, String) {
    match handshake {
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the handshake was not refused"),
    }
}

both_databases!(
    async fn a_response_is_limited_however_often_a_field_is_selected(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.holdings.response_bytes = 1 << 20).await;
        let ada = server.person("ada").await;
        server.push_lines(&ada.key, "s", 0, &[line(200 << 10)]).await;
        let (status, body) = answer(server.graphql(&ada.key, &aliases(4)).send().await.unwrap()).await;
        assert_eq!((status, body.get("errors")), (StatusCode::OK, None));
        let too_large = |body: &Value| {
            assert_eq!(body["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{body}");
            let message = body["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains("1048576 bytes (HAN_MAX_RESPONSE_BYTES)"), "{message}");
        };
        for times in [6, 120] {
            let (_, body) = answer(server.graphql(&ada.key, &aliases(times)).send().await.unwrap()).await;
            too_large(&body);
        }
        let batch = json!(vec![json!({ "query": aliases(4) }); 3]);
        let (_, body) =
            answer(server.post("/graphql").bearer_auth(&ada.key).json(&batch).send().await.unwrap()).await;
        assert_eq!(body[0].get("errors"), None);
        too_large(&body[1]);
        let mut socket = server.socket_as(&ada.key).await;
        socket.subscribe("1", &aliases(120)).await;
        too_large(&socket.receive().await.unwrap()["payload"]);
        server.stop().await;
    }
);

both_databases!(
    async fn lines_that_are_read_for_a_response_are_counted(db: TestDatabase) {
        // A credential has half of it.
        let server = TestServer::start_with(&db, |config| config.holdings.user_answer_bytes = 8 << 20).await;
        let ada = server.person("ada").await;
        server.push_lines(&ada.key, "s", 0, &[line(1 << 20)]).await;
        let fields = |times: usize| -> String {
            let id = "Message:s~main~00000000-0000-4000-8000-000000000001";
            let fields = (0..times).map(|n| format!("a{n}: message(id: \"{id}\") {{ rawBytes }} "));
            format!("{{ {} }}", fields.collect::<String>())
        };
        for (times, passes) in [(1, true), (20, false), (1, true)] {
            let (_, body) = answer(server.graphql(&ada.key, &fields(times)).send().await.unwrap()).await;
            if passes {
                assert!(body["data"]["a0"]["rawBytes"].as_i64().unwrap() > 1 << 20, "{body}");
            } else {
                assert_eq!(body["errors"][0]["extensions"]["code"], "RATE_LIMITED", "{body}");
                let message = body["errors"][0]["message"].as_str().unwrap();
                assert!(message.contains("HAN_USER_ANSWER_BYTES"), "{message}");
            }
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_line_with_many_results_is_read_once(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.holdings.user_answer_bytes = 8 << 20).await;
        let ada = server.person("ada").await;
        let (calls, results): (Vec<Value>, Vec<Value>) = (0..100)
            .map(|n| {
                let id = format!("call-{n}");
                let call = json!({ "type": "tool_use", "id": id, "name": "Read", "input": {} });
                (call, json!({ "type": "tool_result", "tool_use_id": id, "content": "x".repeat(5000) }))
            })
            .unzip();
        let lines = [("assistant", calls), ("user", results)].map(|(kind, content)| {
            json!({
                "type": kind, "uuid": kind, "timestamp": "2026-01-01T00:00:00.000Z", "sessionId": "s",
                "message": { "role": kind, "content": content },
            })
            .to_string()
        });
        server.push_lines(&ada.key, "s", 0, &lines).await;
        let query = "{ session(id: \"s\") { messages(first: 9) { edges { node { ... on AssistantMessage { contentBlocks \
                     { ... on ToolUseBlock { toolCallId result { toolCallId bytes } hunks { oldStart } } } } } } } } }";
        let (_, body) = answer(server.graphql(&ada.key, query).send().await.unwrap()).await;
        let blocks = &body["data"]["session"]["messages"]["edges"][0]["node"]["contentBlocks"];
        let blocks = blocks.as_array().unwrap_or_else(|| panic!("{body}"));
        assert_eq!(blocks.len(), 100);
        for block in blocks {
            assert_eq!(block["result"], json!({ "toolCallId": block["toolCallId"], "bytes": 5000 }));
        }
        server.stop().await;
    }
);

both_databases!(
    async fn an_event_of_a_shared_subscription_is_limited(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.holdings.response_bytes = 1 << 20).await;
        let ada = server.person("ada").await;
        let lines: String = (0..100).map(|n| format!("a{n}: rawJson ")).collect();
        let query = format!(
            "subscription {{ sessionMessageAdded(sessionId: \"s\") {{ newMessageEdge {{ node {{ \
             ... on RegularUserMessage {{ {lines} }} }} }} }} }}"
        );
        server.push_lines(&ada.key, "s", 0, &SyntheticSession::new(1).lines(1)).await;
        let mut sockets = [server.socket_as(&ada.key).await, server.socket_as(&ada.key).await];
        for socket in &mut sockets {
            socket.subscribe("1", &query).await;
            socket.subscribe("2", "{ __typename }").await;
            while socket.receive().await.unwrap()["type"] != "complete" {}
        }
        server.push_lines(&ada.key, "s", 1, &[line(200 << 10)]).await;
        for socket in &mut sockets {
            // The first line may be announced as well.
            let error = loop {
                let body = socket.receive().await.unwrap();
                if let Some(error) = body["payload"]["errors"].get(0) {
                    break error.clone();
                }
            };
            assert_eq!(error["extensions"]["code"], "LIMIT_EXCEEDED", "{error}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_response_has_at_most_a_hundred_errors(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let unknown: String = (0..150).map(|n| format!("unknown{n} ")).collect();
        let (_, body) =
            answer(server.graphql(&ada.key, &format!("{{ {unknown} }}")).send().await.unwrap()).await;
        let errors = body["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 100);
        assert!(errors[99]["message"].as_str().unwrap().starts_with("51 more errors"), "{}", errors[99]);
        server.stop().await;
    }
);

both_databases!(
    async fn a_subscription_selects_one_field(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let many: String = (0..190).map(|n| format!("a{n}: memoryUpdated {{ type }} ")).collect();
        let mut socket = server.socket_as(&ada.key).await;
        socket.subscribe("1", &format!("subscription {{ {many} }}")).await;
        let refused = socket.receive().await.unwrap();
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("1")));
        let error = &refused["payload"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
        assert!(error["message"].as_str().unwrap().contains("exactly one field"), "{error}");
        let request = server.graphql(&ada.key, &format!("subscription {{ {many} }}"));
        let accept = "application/graphql-response+json";
        let (status, body) = answer(request.header(header::ACCEPT, accept).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        // Parts of one field in fragments are one field, and one stream.
        let parts = "subscription { memoryUpdated { type } ...More } \
                     fragment More on Subscription { memoryUpdated { action } }";
        socket.subscribe("2", parts).await;
        socket.subscribe("3", "{ __typename }").await;
        while socket.receive().await.unwrap()["type"] != "complete" {}
        server.push_lines(&ada.key, "s", 0, &SyntheticSession::new(1).lines(1)).await;
        let received = socket.receive().await.unwrap();
        assert_eq!(received["id"], "2");
        let fields = received["payload"]["data"]["memoryUpdated"].as_object().unwrap();
        assert!(fields.contains_key("type") && fields.contains_key("action"), "{received}");
        server.stop().await;
    }
);

both_databases!(
    async fn operations_of_sockets_count_like_requests(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.http.rate_factor = Some(1)).await;
        let ada = server.person("ada").await;
        let mut socket = server.socket_as(&ada.key).await;
        let mut answered = 0;
        let refused = loop {
            socket.subscribe("1", "{ __typename }").await;
            let message = socket.receive().await.unwrap();
            if message["type"] == "error" {
                break message;
            }
            assert_eq!(socket.receive().await.unwrap()["type"], "complete");
            answered += 1;
        };
        // The authentication of the socket counts as well.
        assert_eq!(answered, 1199);
        assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
        assert_eq!(problem(server.graphql(&ada.key, "{ __typename }").send().await.unwrap()).await.0, 429);
        let eve = server.person("eve").await;
        let other = server.graphql(&eve.key, "{ __typename }").send().await.unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        server.stop().await;
    }
);

both_databases!(
    async fn a_handshake_with_a_credential_does_not_wait_behind_strangers(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.http.trusted_proxies = 1;
            config.holdings.connections = Some(40);
            config.holdings.unauthenticated_percent = 25;
            config.holdings.address_connections = 4;
        })
        .await;
        let ada = server.person("ada").await;
        let from = |host: &'static str| [("x-forwarded-for", host)];
        let mut silent = Vec::new();
        for host in ["6.6.6.1", "6.6.6.2", "6.6.6.3"] {
            for _ in 0..if host == "6.6.6.3" { 2 } else { 4 } {
                silent.push(server.socket(&from(host)).await.unwrap());
            }
        }
        let (status, text) = refused(server.socket(&from("6.6.6.1")).await);
        assert!(status == 429 && text.contains("HAN_ADDRESS_CONNECTIONS"), "{status} {text}");
        let (status, text) = refused(server.socket(&from("6.6.6.4")).await);
        assert!(status == 503 && text.contains("HAN_UNAUTHENTICATED_PERCENT"), "{status} {text}");
        let credential = format!("Bearer {}", ada.key);
        for _ in 0..4 {
            let headers = [("authorization", credential.as_str()), ("x-forwarded-for", "192.0.2.1")];
            let mut socket = server.socket(&headers).await.unwrap();
            socket.send(json!({ "type": "connection_init" })).await;
            assert_eq!(socket.receive().await, Ok(json!({ "type": "connection_ack" })));
            silent.push(socket);
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_body_before_authentication_is_read_up_to_its_limit_only(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let address = server.url.trim_start_matches("http://").to_owned();
        for (path, kind) in [
            ("/auth/refresh", "application/json"),
            ("/auth/logout", "application/json"),
            ("/auth/device/code", "application/x-www-form-urlencoded"),
        ] {
            let mut wire = TcpStream::connect(&address).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 1000000\r\n\r\n"
            );
            wire.write_all(head.as_bytes()).await.unwrap();
            wire.write_all(&[b' '; 8 << 10]).await.unwrap();
            let mut begin = [0u8; 12];
            let read = tokio::time::timeout(DEADLINE, wire.read_exact(&mut begin)).await;
            read.unwrap_or_else(|_| panic!("{path}: the server waits for the rest of the body")).unwrap();
            assert!(begin.starts_with(b"HTTP/1.1 4"), "{path}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn metrics_show_what_is_held_to_callers_with_the_token(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        assert_eq!(server.get("/metrics").bearer_auth("").send().await.unwrap().status(), 401);
        server.stop().await;
        let server = TestServer::start_with(&db, |config| {
            config.http.metrics_token = Some(SecretString::from("a token of the tests"));
            config.holdings.user_sockets = 2;
        })
        .await;
        let ada = server.person("ada").await;
        let _socket = server.socket_as(&ada.key).await;
        let headers = [("authorization", format!("Bearer {}", ada.key))];
        let handshake = server.socket(&headers.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
        assert!(refused(handshake).1.contains("HAN_USER_SOCKETS"));
        assert_eq!(server.get("/metrics").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert_eq!(server.get("/metrics").bearer_auth(&ada.key).send().await.unwrap().status(), 401);
        let shown = server.get("/metrics").bearer_auth("a token of the tests").send().await.unwrap();
        let text = shown.text().await.unwrap();
        for line in [
            "han_held{resource=\"sockets\",by=\"all\"} 1",
            "han_held{resource=\"sockets\",by=\"unauthenticated\"} 0",
            "han_refused_total{resource=\"sockets\",level=\"credential\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        server.stop().await;
    }
);
