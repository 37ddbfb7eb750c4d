//! GraphQL for a local user who needs no credential: HTTP, WebSocket, and what other sites may not do.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Program, problem};

#[tokio::test]
async fn a_local_user_queries_over_http() {
    let program = Program::local().await;
    let response = program.graphql("{ sessions(first: 1) { edges { node { id } } } }").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body, json!({ "data": { "sessions": { "edges": [] } } }));

    let get = program.http.get(program.url("/graphql?query=%7B__typename%7D")).send().await.unwrap();
    assert_eq!(get.json::<Value>().await.unwrap(), json!({ "data": { "__typename": "Query" } }));
    let mutation = program.url("/graphql?query=mutation%7B__typename%7D");
    assert_eq!(
        program.http.get(mutation).send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "GET is for queries only"
    );
    let delete = program.http.delete(program.url("/graphql")).send().await.unwrap();
    assert_eq!(problem(delete).await.1, "method_not_allowed");
    program.stop().await;
}

#[tokio::test]
async fn a_local_user_queries_and_subscribes_over_websocket() {
    let program = Program::local().await;
    let mut socket = program.socket(&[]).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    let subscribe =
        |id: &str, query: &str| json!({ "type": "subscribe", "id": id, "payload": { "query": query } });
    socket.send(subscribe("1", "subscription { memoryUpdated { type } }")).await;
    socket.send(subscribe("2", "{ __typename }")).await;
    let next = json!({ "type": "next", "id": "2", "payload": { "data": { "__typename": "Query" } } });
    assert_eq!(socket.next().await, Ok(next));
    assert_eq!(socket.next().await, Ok(json!({ "type": "complete", "id": "2" })));
    socket.send(subscribe("1", "{ __typename }")).await;
    assert_eq!(socket.next().await, Err(4409), "the subscription is running");
    program.stop().await;
}

#[tokio::test]
async fn a_socket_must_authenticate_before_it_subscribes() {
    let program = Program::local().await;
    let mut socket = program.socket(&[]).await.unwrap();
    let query = json!({ "query": "{ __typename }" });
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": query })).await;
    assert_eq!(socket.next().await, Err(4401));
    program.stop().await;
}

#[tokio::test]
async fn the_program_decides_where_a_request_may_come_from() {
    let program = Program::local().await;
    for (name, value) in [("origin", "https://evil.example"), ("host", "evil.example:80")] {
        let refused = program.graphql("{ __typename }").header(name, value).send().await.unwrap();
        assert_eq!(problem(refused).await.1, "cross_site", "{name}");
        match program.socket(&[(name, value)]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}"),
            other => panic!("{name}: the handshake was not refused: {:?}", other.err()),
        }
    }
    program.stop().await;
}
