//! A clock that jumps back and forth: nothing is lost, repeated, reordered or left unannounced, and no user is locked
//! out.

use std::collections::BTreeSet;

use han_testkit::{SyntheticSession, both_databases};
use han_types::Clock as _;
use serde_json::{Value, json};

use crate::support::{TestServer, answer};

/// An hour, a day, a year: forward and back, and back before the start.
const JUMPS: [i64; 7] = [3_600, -7_200, 86_400, -172_800, 365 * 86_400, -730 * 86_400, 365 * 86_400];

async fn pages(server: &TestServer, key: &str, of: &str, first: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let query = format!(
            "{{ list: {} {{ edges {{ node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }}",
            of.replace("PAGE", &format!("first: {first}, after: {after}"))
        );
        // Messages belong to a session: one level deeper.
        let query = if of.starts_with("messages") {
            format!("{{ node(id: \"Session:s0\") {{ ... on Session {query} }} }}")
        } else {
            query
        };
        let (_, body) = answer(server.graphql(key, &query).send().await.unwrap()).await;
        let list =
            if of.starts_with("messages") { &body["data"]["node"]["list"] } else { &body["data"]["list"] };
        let edges = list["edges"].as_array().unwrap_or_else(|| panic!("{body}"));
        ids.extend(edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()));
        if list["pageInfo"]["hasNextPage"] != json!(true) {
            return ids;
        }
        after = list["pageInfo"]["endCursor"].clone();
    }
}

both_databases!(
    async fn clock_jumps_lose_no_data_and_lock_no_user_out(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let mut socket = server.socket_as(&ada.key).await;
        socket.subscribe("1", "subscription { sessionAdded { sessionId } }").await;
        socket.subscribe("2", "{ __typename }").await;
        while socket.receive().await.unwrap()["type"] != "complete" {}

        let mut lines = SyntheticSession::new(11);
        let mut offset = 0;
        let mut shown: Vec<String> = Vec::new();
        for (n, jump) in JUMPS.into_iter().enumerate() {
            server.clock.advance_seconds(jump);
            // The outbox is trimmed by this clock: changes that look old were delivered, or cause a resync.
            server.db.trim_changes(server.clock.now().0 - 15 * 60 * 1000).await.unwrap();
            let new = lines.lines(7);
            let result = server.push_lines(&ada.key, "s0", offset, &new).await;
            assert_eq!((&result["stored"], &result["error"]), (&json!(7), &Value::Null), "{result}");
            let again = server.push_lines(&ada.key, "s0", offset, &new).await;
            assert_eq!((&again["stored"], &again["duplicates"]), (&json!(0), &json!(7)), "{again}");
            offset += 7;
            let other = format!("other-{n}");
            server.push_lines(&ada.key, &other, 0, &SyntheticSession::new(100 + n as u64).lines(3)).await;
            let mut added = BTreeSet::new();
            let wanted = if n == 0 { 2 } else { 1 };
            while added.len() < wanted {
                let received = socket.receive().await.unwrap();
                let id = received["payload"]["data"]["sessionAdded"]["sessionId"].as_str();
                assert!(added.insert(id.unwrap_or_else(|| panic!("{received}")).to_owned()), "{received}");
            }
            assert!(added.contains(&other), "{added:?}");

            // Cursors visit everything once, whatever the time, and earlier items keep their order.
            let sessions = pages(&server, &ada.key, "sessions(PAGE)", 2).await;
            assert_eq!(sessions.len(), n + 2);
            assert_eq!(sessions.iter().collect::<BTreeSet<_>>().len(), n + 2, "{sessions:?}");
            let messages = pages(&server, &ada.key, "messages(PAGE)", 3).await;
            assert_eq!(messages.iter().collect::<BTreeSet<_>>().len(), messages.len());
            let kept: Vec<String> = messages.iter().filter(|id| shown.contains(id)).cloned().collect();
            assert_eq!(kept, shown);
            shown = messages;
        }
        server.stop().await;
    }
);
