//! GraphQL over HTTP: request and response formats, statuses and limits. Fields are tested in han-api.

use han_testkit::{SyntheticSession, both_databases};
use reqwest::header;
use serde_json::{Value, json};

use crate::support::{TestServer, answer, problem};

both_databases!(
    async fn status_and_content_type_follow_graphql_over_http(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        const MODERN: &str = "application/graphql-response+json";
        const LEGACY: &str = "application/json";
        let cases = [
            (json!({"query": "{__typename}"}), 200, 200),
            (json!({"query": "query A{__typename} query B{x:__typename}", "operationName": "B"}), 200, 200),
            (
                json!({"query": "{__typename}", "variables": null, "operationName": null, "extensions": null}),
                200,
                200,
            ),
            (json!({"query": "{"}), 400, 200),
            (json!({"query": "{ nothing }"}), 400, 200),
            (json!({"query": ""}), 400, 400),
            (json!({}), 400, 400),
            (json!({"query": 7}), 400, 400),
            (json!({"query": "{__typename}", "variables": "x"}), 400, 400),
            (json!({"query": "{__typename}", "variables": [1]}), 400, 400),
            (json!("x"), 400, 400),
        ];
        for (body, modern, legacy) in cases {
            for (accept, status) in
                [(MODERN, modern), (LEGACY, legacy), ("*/*", legacy), ("text/html, */*;q=0.1", legacy)]
            {
                let request = server.post("/graphql").bearer_auth(&ada.key).json(&body);
                let response = request.header("accept", accept).send().await.unwrap();
                let form = if accept == MODERN { MODERN } else { LEGACY };
                let found = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
                assert!(found.starts_with(form), "{body} {accept}: {found}");
                let (found, answered) = answer(response).await;
                assert_eq!(found, status, "{body} {accept}: {answered}");
                let failed = modern != 200;
                assert_eq!(answered.get("errors").is_some(), failed, "{answered}");
                assert_eq!(answered.get("data").is_none(), failed, "{answered}");
                assert!(!failed || answered["errors"][0]["extensions"]["code"].is_string(), "{answered}");
            }
        }
        let request = server.post("/graphql").bearer_auth(&ada.key);
        assert_eq!(request.header("content-type", LEGACY).body("{").send().await.unwrap().status(), 400);
        let form = server.post("/graphql").bearer_auth(&ada.key).header("content-type", "text/plain");
        assert_eq!(problem(form.body(r#"{"query":"{__typename}"}"#).send().await.unwrap()).await.0, 415);
        let image = server.graphql(&ada.key, "{__typename}").header("accept", "image/png");
        assert_eq!(problem(image.send().await.unwrap()).await.0, 406);
        server.stop().await;
    }
);

both_databases!(
    async fn get_executes_queries_only(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let get = |query: &[(&str, &str)]| server.get("/graphql").query(query).bearer_auth(&ada.key);
        let (status, body) = answer(
            get(&[
                ("query", "query Q($n: Int!) { sessions(first: $n) { edges { node { id } } } }"),
                ("variables", r#"{"n": 3}"#),
            ])
            .send()
            .await
            .unwrap(),
        )
        .await;
        assert_eq!((status.as_u16(), &body["data"]["sessions"]["edges"]), (200, &json!([])));
        let mutation = get(&[("query", "mutation { __typename }")]).send().await.unwrap();
        assert_eq!(
            (mutation.status().as_u16(), &mutation.headers()[header::ALLOW]),
            (405, &"POST".parse().unwrap())
        );
        let subscription = get(&[("query", "subscription { memoryUpdated { type } }")]).send().await.unwrap();
        assert_eq!(subscription.status(), 405);
        assert_eq!(get(&[]).send().await.unwrap().status(), 400);
        let unset = [("query", "query($id: ID!) { node(id: $id) { id } }"), ("variables", r#"{"id": null}"#)];
        let strict =
            get(&unset).header(header::ACCEPT, "application/graphql-response+json").send().await.unwrap();
        assert_eq!(strict.status(), 400);
        let (status, body) = answer(get(&unset).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), body.get("data")), (200, None));
        assert!(body["errors"][0]["message"].as_str().unwrap().contains("$id"), "{body}");
        assert_eq!(get(&[("query", "{__typename}"), ("variables", "{")]).send().await.unwrap().status(), 400);
        server.stop().await;
    }
);

both_databases!(
    async fn oversized_and_batched_operations_are_limited(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let deep = format!("{}__typename{}", "{ node(id: \"x\") ".repeat(200), "}".repeat(200));
        let wide: String = (0..2000).map(|n| format!("a{n}: __typename ")).collect();
        for document in [deep, format!("{{ {wide} }}")] {
            let (_, body) = answer(server.graphql(&ada.key, &document).send().await.unwrap()).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED", "{body}");
        }
        let post = |body: &Value| server.post("/graphql").bearer_auth(&ada.key).json(body);
        let one = json!({"query": "{__typename}"});
        let (_, body) = answer(post(&json!([one, one])).send().await.unwrap()).await;
        assert_eq!(body, json!([{"data": {"__typename": "Query"}}, {"data": {"__typename": "Query"}}]));
        let many = post(&json!(vec![one; 1000])).send().await.unwrap();
        assert_eq!(answer(many).await.1["errors"][0]["extensions"]["code"], "LIMIT_EXCEEDED");
        let large = post(&json!({"query": " ".repeat(2 << 20)})).send().await.unwrap();
        assert_eq!(problem(large).await.0, 413);
        server.stop().await;
    }
);

both_databases!(
    async fn only_the_team_reads_a_pushed_session(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let bob = server.colleague(&ada, "bob").await;
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(6).lines(20)).await;
        let query =
            r#"{ session(id: "Session:s1") { sessionId messages(first: 50) { edges { node { id } } } } }"#;
        for (key, sees) in [(&ada.key, true), (&bob.key, true), (&eve.key, false)] {
            let (_, body) = answer(server.graphql(key, query).send().await.unwrap()).await;
            assert_eq!(body["data"]["session"].is_object(), sees, "{body}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn pushed_messages_are_found_after_indexing(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        let line = |n: usize, text: &str| {
            json!({"type": "user", "uuid": format!("u{n}"), "timestamp": format!("2026-01-01T00:00:0{n}Z"),
                   "message": {"role": "user", "content": text}})
            .to_string()
        };
        let lines = [line(1, "the red build"), line(2, "a build that is green"), line(3, "a red herring")];
        server.push_lines(&ada.key, "s1", 0, &lines).await;
        server.until_indexed(&ada.key).await;
        let query = r#"{ searchMessages(query: "Build") { edges { cursor node { messageId matchContext session { sessionId } } }
            pageInfo { hasNextPage endCursor } }
            session(id: "s1") { searchMessages(query: "\"red build\"", limit: 5) { messageId messageIndex preview } } }"#;
        let (_, body) = answer(server.graphql(&ada.key, query).send().await.unwrap()).await;
        let hits: Vec<&str> = body["data"]["searchMessages"]["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| edge["node"]["matchContext"].as_str().unwrap())
            .collect();
        assert_eq!(hits, ["a build that is green", "the red build"], "{body}");
        assert_eq!(
            body["data"]["session"]["searchMessages"],
            json!([{"messageId": "Message:s1~main~u1", "messageIndex": 0, "preview": "the red build"}])
        );
        let (_, body) = answer(server.graphql(&eve.key, query).send().await.unwrap()).await;
        assert_eq!(body["data"]["searchMessages"]["edges"], json!([]));
        let empty = r#"{ searchMessages(query: " ") { linesToIndex } }"#;
        let (_, body) = answer(server.graphql(&ada.key, empty).send().await.unwrap()).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
        server.stop().await;
    }
);
