//! GraphQL over WebSocket: authentication, close codes, and what subscriptions deliver.

use std::time::Duration;

use han_db::queries::memberships;
use han_testkit::{SyntheticSession, both_databases};
use han_types::Role;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{TestServer, answer};

fn init(authorization: &str) -> Value {
    json!({"type": "connection_init", "payload": {"Authorization": authorization}})
}

both_databases!(
    async fn subscribers_receive_pushed_sessions(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let bob = server.colleague(&ada, "bob").await;
        let mut sockets = [server.socket_as(&ada.key).await, server.socket_as(&bob.key).await];
        let mut stranger = server.socket_as(&eve.key).await;
        let live = "subscription { sessionAdded { __typename } }";
        for socket in sockets.iter_mut().chain([&mut stranger]) {
            socket.subscribe("1", live).await;
            // The response to a later query on the same socket shows that the subscription is active.
            socket.subscribe("2", "{ __typename }").await;
            assert_eq!(socket.receive().await.unwrap()["payload"], json!({"data": {"__typename": "Query"}}));
            assert_eq!(socket.receive().await, Ok(json!({"type": "complete", "id": "2"})));
        }
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        for socket in &mut sockets {
            let received = socket.receive().await.unwrap();
            assert_eq!((&received["type"], &received["id"]), (&json!("next"), &json!("1")));
            assert!(received["payload"]["data"]["sessionAdded"].is_object(), "{received}");
        }
        server.push_lines(&eve.key, "s1", 0, &SyntheticSession::new(2).lines(3)).await;
        assert!(stranger.receive().await.unwrap()["payload"]["data"]["sessionAdded"].is_object());
        // The next event for the others is the shutdown: they received nothing of the stranger's session.
        server.shutdown.cancel();
        for socket in &mut sockets {
            assert_eq!(socket.receive().await, Err(1012));
        }
        server.stop().await;
    }
);

both_databases!(
    /// Equal subscriptions share one execution, which does not depend on the first subscriber.
    async fn a_shared_subscription_survives_its_first_subscriber(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let mut sockets = [server.socket_as(&ada.key).await, server.socket_as(&ada.key).await];
        for socket in &mut sockets {
            socket.subscribe("1", "subscription { sessionAdded { sessionId } }").await;
            socket.subscribe("2", "{ __typename }").await;
            socket.receive().await.unwrap();
            assert_eq!(socket.receive().await, Ok(json!({"type": "complete", "id": "2"})));
        }
        let [mut first, mut second] = sockets;
        first.send_message(Message::Close(None)).await;
        assert!(first.receive().await.is_err());
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        let received = second.receive().await.unwrap();
        assert_eq!(received["payload"], json!({"data": {"sessionAdded": {"sessionId": "s1"}}}));
        server.stop().await;
    }
);

both_databases!(
    /// Fast changes are sent in groups: none is lost or delayed until the next, and each subscription keeps its order.
    async fn fast_changes_arrive_completely_and_in_order(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let mut made = SyntheticSession::new(1);
        server.push_lines(&ada.key, "s1", 0, &made.lines(1)).await;
        let mut socket = server.socket_as(&ada.key).await;
        for id in ["1", "2"] {
            socket
                .subscribe(id, "subscription { sessionMessageAdded(sessionId: \"s1\") { messageIndex } }")
                .await;
        }
        socket.subscribe("3", "{ __typename }").await;
        while socket.receive().await.unwrap()["type"] != "complete" {}
        let mut last = [0, 0];
        for (offset, lines) in [(1, 200), (201, 1), (202, 300)] {
            server.push_lines(&ada.key, "s1", offset, &made.lines(lines)).await;
            // Queries on the same socket are answered meanwhile.
            socket.subscribe(&format!("q{offset}"), "{ __typename }").await;
            let count = "{ session(id: \"s1\") { messageCount } }";
            let (_, body) = answer(server.graphql(&ada.key, count).send().await.unwrap()).await;
            let count = body["data"]["session"]["messageCount"].as_i64().unwrap();
            let mut completed = false;
            while last != [count - 1, count - 1] || !completed {
                let received = socket.receive().await.unwrap();
                completed |= received["type"] == "complete";
                if let Some(index) =
                    received.pointer("/payload/data/sessionMessageAdded/messageIndex").and_then(Value::as_i64)
                {
                    let last = &mut last[usize::from(received["id"] == "2")];
                    // The first line may be announced as well.
                    assert!(index == *last + 1 || (index, *last) == (0, 0), "{index} after {last}");
                    *last = index;
                }
            }
        }
        server.stop().await;
    }
);

both_databases!(
    async fn close_codes_follow_graphql_transport_ws(db: TestDatabase) {
        let server =
            TestServer::start_with(&db, |config| config.limits.socket_init = Duration::from_millis(200))
                .await;
        let ada = server.person("ada").await;
        let good = format!("Bearer {}", ada.key);
        let first_messages = [
            (json!({"type": "subscribe", "id": "1", "payload": {"query": "{__typename}"}}), 4401),
            (json!({"type": "connection_init"}), 4401),
            (init("Bearer han_key_junk"), 4403),
            (init("Basic x"), 4403),
            (json!({"type": "no such thing"}), 4400),
            (json!({"type": "subscribe", "id": "1"}), 4400),
        ];
        for (message, code) in first_messages {
            let mut socket = server.socket(&[]).await.unwrap();
            socket.send(message.clone()).await;
            assert_eq!(socket.receive().await, Err(code), "{message}");
        }
        let mut silent = server.socket(&[]).await.unwrap();
        assert_eq!(silent.receive().await, Err(4408));
        let mut binary = server.socket(&[]).await.unwrap();
        binary.send_message(Message::binary(vec![1])).await;
        assert_eq!(binary.receive().await, Err(4400));

        let mut twice = server.socket_as(&ada.key).await;
        twice.send(init(&good)).await;
        assert_eq!(twice.receive().await, Err(4429));
        let mut same_id = server.socket_as(&ada.key).await;
        same_id.subscribe("1", "subscription { memoryUpdated { type } }").await;
        same_id.subscribe("1", "{ __typename }").await;
        assert_eq!(same_id.receive().await, Err(4409));
        let mut long_id = server.socket_as(&ada.key).await;
        long_id.subscribe(&"i".repeat(129), "{ __typename }").await;
        assert_eq!(long_id.receive().await, Err(4400));
        let mut oversized = server.socket_as(&ada.key).await;
        let variables = json!({"x": "v".repeat(70 << 10)});
        let payload = json!({"query": "{ __typename }", "variables": variables});
        oversized.send(json!({"type": "subscribe", "id": "1", "payload": payload})).await;
        let error = oversized.receive().await.unwrap();
        assert_eq!(error["type"], "error");
        assert!(error["payload"][0]["message"].as_str().unwrap().contains("65536"), "{error}");
        oversized.subscribe("1", "{ __typename }").await;
        assert_eq!(oversized.receive().await.unwrap()["type"], "next", "the id can be used again");
        let mut other_protocol = server.socket(&[("sec-websocket-protocol", "graphql-ws")]).await;
        if let Ok(socket) = &mut other_protocol {
            assert_eq!(socket.receive().await, Err(4406));
        }
        let mut polite = server.socket_as(&ada.key).await;
        polite.send(json!({"type": "ping", "payload": {"n": 1}})).await;
        assert_eq!(polite.receive().await, Ok(json!({"type": "pong", "payload": {"n": 1}})));
        polite.subscribe("1", "subscription { memoryUpdated { type } }").await;
        polite.send(json!({"type": "complete", "id": "1"})).await;
        polite.subscribe("1", "{ __typename }").await;
        assert_eq!(polite.receive().await.unwrap()["payload"], json!({"data": {"__typename": "Query"}}));
        let headed = server.socket(&[("authorization", &good)]).await;
        let mut headed = headed.unwrap();
        headed.send(json!({"type": "connection_init"})).await;
        assert_eq!(headed.receive().await, Ok(json!({"type": "connection_ack"})));
        server.stop().await;
    }
);

both_databases!(
    async fn a_cookie_opens_a_socket_only_from_the_servers_own_origin(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        let own = server.url.clone();
        for origin in [None, Some("https://evil.example"), Some("null")] {
            let mut headers = vec![("cookie", cookie.as_str())];
            headers.extend(origin.map(|origin| ("origin", origin)));
            match server.socket(&headers).await {
                Err(Error::Http(response)) => assert_eq!(response.status(), 403, "{origin:?}"),
                _ => panic!("{origin:?} was accepted"),
            }
        }
        let mut socket = server.socket(&[("cookie", &cookie), ("origin", &own)]).await.unwrap();
        socket.send(json!({"type": "connection_init"})).await;
        assert_eq!(socket.receive().await, Ok(json!({"type": "connection_ack"})));
        let mut both = server.socket(&[("cookie", &cookie), ("origin", &own)]).await.unwrap();
        both.send(init(&format!("Bearer {}", ada.key))).await;
        assert_eq!(both.receive().await, Err(4400), "two credentials");
        server.stop().await;
    }
);

both_databases!(
    async fn a_socket_closes_when_its_credential_is_revoked(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        let (short_id, short) = server.key(&ada.user_id, &ada.team_id, "read", None).await;
        let cookie = server.cookie(&ada.user_id).await;
        let mut by_token = server.socket_as(&token).await;
        let mut by_key = server.socket_as(&short).await;
        let mut by_cookie = server.socket(&[("cookie", &cookie), ("origin", &server.url)]).await.unwrap();
        by_cookie.send(json!({"type": "connection_init"})).await;
        assert!(by_cookie.receive().await.is_ok());

        server.revoke_key(&ada.user_id, &short_id).await;
        assert_eq!(by_key.receive().await, Err(4403));
        let left = server.post("/auth/logout").header("cookie", &cookie).header("origin", &server.url);
        assert_eq!(left.header("content-type", "application/json").send().await.unwrap().status(), 204);
        assert_eq!(by_cookie.receive().await, Err(4403));
        let mut by_other_key = server.socket_as(&ada.key).await;
        memberships::put(&server.db, &ada.team_id, &ada.user_id, Role::Member).await.unwrap();
        assert_eq!(by_token.receive().await, Err(4403), "the role has changed");
        assert_eq!(by_other_key.receive().await, Err(4403));
        server.stop().await;
    }
);

both_databases!(
    /// The old key goes on for its grace, and no longer: also on a socket that it has opened before.
    async fn a_socket_of_a_key_that_is_rotated_presents_it_again(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        for days in [None, Some(30)] {
            let (id, key) = server.key(&ada.user_id, &ada.team_id, "read", days).await;
            let mut socket = server.socket_as(&key).await;
            let rotate = format!(
                "mutation {{ rotateApiKey(teamId: \"{}\", keyId: \"{id}\", graceSeconds: 60) {{ secret }} }}",
                ada.team_id
            );
            let (_, body) = answer(server.graphql(&key, &rotate).send().await.unwrap()).await;
            assert!(body["errors"].is_null(), "{body}");
            assert_eq!(socket.receive().await, Err(4403), "{days:?}");
            let mut again = server.socket_as(&key).await;
            server.clock.advance_seconds(60);
            assert_eq!(again.receive().await, Err(4403), "the grace period has ended");
            assert!(server.graphql(&key, "{ __typename }").send().await.unwrap().status() == 401);
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_socket_closes_when_its_token_expires(db: TestDatabase) {
        let server =
            TestServer::start_with(&db, |config| config.limits.socket_recheck = Duration::from_millis(50))
                .await;
        let ada = server.person("ada").await;
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        let mut by_token = server.socket_as(&token).await;
        server.clock.advance_seconds(15 * 60);
        assert_eq!(by_token.receive().await, Err(4403));
        server.stop().await;
    }
);
