//! A window of a session's messages: pages in both directions, around a message, and the outline that leads to them.

use han_testkit::{SyntheticSession, both_databases};
use serde_json::{Value, json};

use crate::support::{World, codes};

const PAGE: &str =
    "query($id: String!, $first: Int, $after: String, $last: Int, $before: String, $around: ID) {
  session(id: $id) {
    messages(first: $first, after: $after, last: $last, before: $before, around: $around) {
      totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      edges { cursor messageIndex node { id } } } } }";

const OUTLINE: &str = "query($id: String!, $first: Int!, $after: String) { session(id: $id) {
  inputTokens outputTokens cacheReadTokens cacheCreationTokens estimatedCostUsd turnCount compactionCount
  outline(first: $first, after: $after) { hasNextPage endCursor entries { kind messageId messageIndex timestamp
    inputTokens outputTokens cacheReadTokens cacheCreationTokens costUsd unpricedTokens
    message { id searchText } } } } }";

async fn page(world: &World, id: &str, mut arguments: Value) -> Value {
    arguments["id"] = id.into();
    world.ask(PAGE, arguments).await["session"]["messages"].clone()
}

fn ids(page: &Value) -> Vec<String> {
    let edges = page["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
}

both_databases!(
    async fn pages_before_a_cursor_make_the_whole_list(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(31);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(120)).await;
        world.push(&id, "han", &made.han_events(15)).await;
        let whole = ids(&page(&world, &id, json!({ "first": 500 })).await);
        for last in [1, 7, 40, whole.len()] {
            let mut found = page(&world, &id, json!({ "last": last })).await;
            assert_eq!(found["pageInfo"]["hasNextPage"], false, "the oldest end");
            let mut all = ids(&found);
            while found["pageInfo"]["hasPreviousPage"] == true {
                let before = found["pageInfo"]["startCursor"].clone();
                found = page(&world, &id, json!({ "last": last, "before": before })).await;
                assert_eq!(found["pageInfo"]["hasNextPage"], true);
                let newer = ids(&found);
                assert!(!newer.is_empty());
                all = newer.into_iter().chain(all).collect();
            }
            assert_eq!(all, whole, "pages of {last}");
        }
        let indexed = page(&world, &id, json!({ "first": 500 })).await;
        for (at, edge) in indexed["edges"].as_array().unwrap().iter().enumerate() {
            assert_eq!(edge["messageIndex"], json!(whole.len() - 1 - at));
        }
    }
);

both_databases!(
    async fn a_page_around_a_message_has_its_neighbours(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(32);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(120)).await;
        let whole = ids(&page(&world, &id, json!({ "first": 500 })).await);
        for (at, target) in whole.iter().enumerate() {
            let found = page(&world, &id, json!({ "first": 11, "around": target })).await;
            let window = ids(&found);
            let from = whole.iter().position(|id| *id == window[0]).unwrap();
            assert_eq!(window, whole[from..from + window.len()]);
            assert!(window.contains(target) && window.len() <= 11);
            assert_eq!(found["pageInfo"]["hasPreviousPage"], json!(from > 0));
            assert_eq!(found["pageInfo"]["hasNextPage"], json!(from + window.len() < whole.len()));
            assert!(at <= 5 || from > 0, "at most five newer messages");
        }
        let other = world.stranger().await;
        for nothing in ["", "Message:none", "Message:a~main~b", "x"] {
            let found = page(&world, &id, json!({ "first": 5, "around": nothing })).await;
            assert_eq!(ids(&found).len(), if nothing.is_empty() { 5 } else { 0 }, "{nothing:?}");
        }
        let hidden = world.response(other.context(), PAGE, json!({ "id": id, "around": whole[3] })).await;
        assert_eq!(hidden.data.into_json().unwrap()["session"], Value::Null);
        let both = json!({ "id": id, "first": 5, "last": 5 });
        assert_eq!(codes(&world.response(world.ada.context(), PAGE, both).await), ["BAD_USER_INPUT"]);
    }
);

both_databases!(
    async fn a_page_around_a_result_has_its_call(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = "5b1f0c52-7c1e-4b58-9d0a-000000000003";
        let at = |n: usize| format!("2026-01-01T00:00:{n:02}.000Z");
        let mut lines: Vec<Value> = (0..30)
            .map(|n| {
                let message = json!({ "role": "user", "content": format!("prompt {n}") });
                json!({ "type": "user", "uuid": format!("u{n}"), "timestamp": at(n), "message": message })
            })
            .collect();
        let call = json!([{ "type": "tool_use", "id": "t", "name": "Bash", "input": { "command": "ls" } }]);
        let result = json!([{ "type": "tool_result", "tool_use_id": "t", "content": "ok" }]);
        let (call, result) =
            (json!({ "role": "assistant", "content": call }), json!({ "role": "user", "content": result }));
        lines[4] = json!({ "type": "assistant", "uuid": "call", "timestamp": at(4), "message": call });
        lines[25] = json!({ "type": "user", "uuid": "result", "timestamp": at(25), "message": result });
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        world.push(id, "main", &lines).await;
        let around = format!("Message:{id}~main~result");
        let found = ids(&page(&world, id, json!({ "first": 3, "around": around })).await);
        assert!(found.contains(&format!("Message:{id}~main~call")), "{found:?}");
    }
);

both_databases!(
    async fn the_outline_adds_up_to_the_session(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = world.push_samples().await.remove(0);
        let ask = async |first: usize, after: Value| {
            world.ask(OUTLINE, json!({ "id": id, "first": first, "after": after })).await["session"].clone()
        };
        let session = ask(500, Value::Null).await;
        let entries = session["outline"]["entries"].as_array().unwrap().clone();
        let turns = entries.iter().filter(|entry| entry["kind"] != "COMPACTION").count();
        assert_eq!(json!(turns), session["turnCount"]);
        assert_eq!(json!(entries.len() - turns), session["compactionCount"]);
        for counter in ["inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens"] {
            let sum: i64 = entries.iter().map(|entry| entry[counter].as_i64().unwrap()).sum();
            assert_eq!(json!(sum), session[counter], "{counter}");
        }
        let cost: f64 = entries.iter().filter_map(|entry| entry["costUsd"].as_f64()).sum();
        let whole = session["estimatedCostUsd"].as_f64().unwrap();
        assert!(whole > 0.0 && (cost - whole).abs() < 1e-9, "{cost} is not {whole}");

        // Pages of any size have the same entries with the same figures.
        for first in [1, 2, 3] {
            let (mut paged, mut after) = (Vec::new(), Value::Null);
            loop {
                let page = ask(first, after).await["outline"].clone();
                paged.extend(page["entries"].as_array().unwrap().iter().cloned());
                assert!(paged.len() <= entries.len());
                if page["hasNextPage"] == false {
                    break;
                }
                after = page["endCursor"].clone();
            }
            assert_eq!(paged, entries, "pages of {first}");
        }
        let list = page(&world, &id, json!({ "first": 500 })).await;
        let listed = list["edges"].as_array().unwrap();
        for entry in &entries {
            let edge = listed.iter().find(|edge| edge["node"]["id"] == entry["messageId"]).unwrap();
            assert_eq!(edge["messageIndex"], entry["messageIndex"]);
        }
    }
);

both_databases!(
    async fn the_context_grows_until_it_is_compacted(db: TestDatabase) {
        let world = World::new(&db).await;
        let answer = |n: usize, tokens: usize, agent: Option<&str>| {
            let usage = json!({ "input_tokens": 10, "cache_read_input_tokens": tokens, "output_tokens": 5 });
            let message = json!({ "id": format!("m{n}"), "role": "assistant", "model": "claude-opus-4-6",
                "content": [], "usage": usage });
            let mut line = json!({ "type": "assistant", "uuid": format!("a{n}"), "requestId": format!("r{n}"),
                "timestamp": format!("2026-01-01T00:{n:02}:00.000Z"), "message": message });
            if let Some(agent) = agent {
                line["isSidechain"] = true.into();
                line["agentId"] = agent.into();
            }
            line.to_string()
        };
        let id = "5b1f0c52-7c1e-4b58-9d0a-000000000001";
        let sizes = [100, 200, 300, 50, 60];
        let lines: Vec<String> =
            sizes.iter().enumerate().map(|(n, tokens)| answer(n, *tokens, None)).collect();
        world.push(id, "main", &lines).await;
        // A subagent has a context of its own.
        let sub = answer(7, 9_000, Some("b1"));
        world.push(id, "agent-b1", &[sub]).await;
        let ask = async |first: usize| {
            let query = "query($id: String!, $first: Int!) { session(id: $id) {
                contextSizes(first: $first) { at tokens } } }";
            let data = world.ask(query, json!({ "id": id, "first": first })).await;
            let sizes = data["session"]["contextSizes"].as_array().unwrap().clone();
            sizes.iter().map(|size| size["tokens"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ask(100).await, [110, 210, 310, 60, 70]);
        assert_eq!(ask(3).await, [210, 310, 70]);
    }
);

both_databases!(
    async fn sizes_come_before_contents(db: TestDatabase) {
        let world = World::new(&db).await;
        let id = "5b1f0c52-7c1e-4b58-9d0a-000000000002";
        let text = "é".repeat(900);
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAYAAACddGYaAAAAEUlEQVR4nGP4DwYMYAAA";
        let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": png } });
        let lines = [
            json!({ "type": "user", "uuid": "u", "timestamp": "2026-01-01T00:00:00.000Z",
                "message": { "role": "user", "content": [{ "type": "text", "text": text }, image] } }),
            json!({ "type": "assistant", "uuid": "a", "timestamp": "2026-01-01T00:00:01.000Z",
                "message": { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "Edit", "input": {
                    "file_path": "/a/b.rs", "old_string": "x\ny", "new_string": "x\nz\nw" } }] } }),
            json!({ "type": "user", "uuid": "r", "timestamp": "2026-01-01T00:00:03.500Z",
                "message": { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t",
                    "content": [{ "type": "text", "text": text }, image] }] } }),
        ];
        let lines = lines.map(|line| line.to_string());
        world.push(id, "main", &lines).await;
        let query = "query($id: String!) { session(id: $id) { messages { edges { node { rawBytes
            ... on RegularUserMessage { contentBlocks { ... on TextBlock { text(limit: 10) length bytes }
                ... on ImageBlock { mediaType bytes width height } } }
            ... on AssistantMessage { contentBlocks { ... on ToolUseBlock { argument inputBytes linesAdded linesRemoved
                result { bytes durationMs images { width height dataUrl } } } } } } } } } }";
        let data = world.ask(query, json!({ "id": id })).await;
        let edges = &data["session"]["messages"]["edges"];
        assert_eq!(edges[1]["node"]["rawBytes"], json!(lines[0].len()));
        assert_eq!(
            edges[1]["node"]["contentBlocks"],
            json!([
                { "text": "é".repeat(10), "length": 900, "bytes": 1800 },
                { "mediaType": "image/png", "bytes": png.len() * 3 / 4, "width": 3, "height": 2 },
            ])
        );
        let call = &edges[0]["node"]["contentBlocks"][0];
        assert_eq!(call["argument"], "/a/b.rs");
        assert_eq!((&call["linesAdded"], &call["linesRemoved"]), (&json!(2), &json!(1)));
        assert_eq!((&call["result"]["bytes"], &call["result"]["durationMs"]), (&json!(1800), &json!(2500)));
        assert_eq!(call["result"]["images"][0]["dataUrl"], json!(format!("data:image/png;base64,{png}")));
    }
);
