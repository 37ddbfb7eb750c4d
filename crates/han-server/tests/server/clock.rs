//! A clock that jumps, back and forth: nothing is lost, doubled, shown in another order or left untold, and nobody is
//! locked out.

use std::collections::BTreeSet;

use han_testkit::{SyntheticSession, both_databases};
use han_types::Clock as _;
use serde_json::{Value, json};

use crate::support::{TestServer, answer};

/// An hour, a day, a year: forwards and back again, and back before the beginning.
const JUMPS: [i64; 7] = [3_600, -7_200, 86_400, -172_800, 365 * 86_400, -730 * 86_400, 365 * 86_400];

async fn pages(server: &TestServer, key: &str, of: &str, first: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let query = format!(
            "{{ list: {} {{ edges {{ node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }}",
            of.replace("PAGE", &format!("first: {first}, after: {after}"))
        );
        // Messages are a session's: one level further down.
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
    async fn a_clock_that_jumps_loses_nothing_and_locks_nobody_out(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let mut socket = server.socket_as(&ada.key).await;
        socket.subscribe("1", "subscription { sessionAdded { sessionId } }").await;
        socket.subscribe("2", "{ __typename }").await;
        while socket.hear().await.unwrap()["type"] != "complete" {}

        let mut lines = SyntheticSession::new(11);
        let mut offset = 0;
        let mut shown: Vec<String> = Vec::new();
        for (n, jump) in JUMPS.into_iter().enumerate() {
            server.clock.advance_seconds(jump);
            // The outbox is trimmed by this clock: what it takes for old has been told, or is told as a resync.
            server.db.trim_changes(server.clock.now().0 - 15 * 60 * 1000).await.unwrap();
            let new = lines.lines(7);
            let result = server.push_lines(&ada.key, "s0", offset, &new).await;
            assert_eq!((&result["stored"], &result["error"]), (&json!(7), &Value::Null), "{result}");
            let again = server.push_lines(&ada.key, "s0", offset, &new).await;
            assert_eq!((&again["stored"], &again["duplicates"]), (&json!(0), &json!(7)), "{again}");
            offset += 7;
            let other = format!("other-{n}");
            server.push_lines(&ada.key, &other, 0, &SyntheticSession::new(100 + n as u64).lines(3)).await;
            let mut told = BTreeSet::new();
            let wanted = if n == 0 { 2 } else { 1 };
            while told.len() < wanted {
                let heard = socket.hear().await.unwrap();
                let id = heard["payload"]["data"]["sessionAdded"]["sessionId"].as_str();
                assert!(told.insert(id.unwrap_or_else(|| panic!("{heard}")).to_owned()), "{heard}");
            }
            assert!(told.contains(&other), "{told:?}");

            // Cursors go through everything once, whatever the time, and what was there keeps its order.
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
