//! What a list shows of a session besides its text: models, changed lines, and the session that it is a fork of.

use han_testkit::both_databases;
use serde_json::{Value, json};

use crate::support::World;

/// An answer that changes a file, and the result of that change. Forks repeat both.
fn answer(n: usize, model: &str) -> [String; 2] {
    let at = |second: usize| format!("2026-11-20T10:{n:02}:{second:02}.000Z");
    let id = |kind: usize| format!("00000000-0000-4000-8000-{:012}", 10 * n + kind);
    let edit = json!({"file_path": "/home/dev/orchard/rows.rs", "old_string": "one\nold", "new_string": "one\ntwo\nnew"});
    let call = json!({"type": "assistant", "uuid": id(1), "timestamp": at(0), "requestId": format!("req-{n}"),
        "message": {"id": format!("msg-{n}"), "role": "assistant", "model": model,
            "content": [{"type": "tool_use", "id": format!("call-{n}"), "name": "Edit", "input": edit}],
            "usage": {"input_tokens": 10, "output_tokens": 5}}});
    let result = json!({"type": "user", "uuid": id(2), "timestamp": at(1), "message": {"role": "user",
        "content": [{"type": "tool_result", "tool_use_id": format!("call-{n}"), "content": "done"}]}});
    [call.to_string(), result.to_string()]
}

const SESSIONS: &str = "query($filter: SessionFilter) { sessions(first: 50, filter: $filter) { edges { node {
    sessionId forkOf models linesAdded linesRemoved fileChangeCount } } } }";

async fn sessions(world: &World, filter: Value) -> Vec<Value> {
    let data = world.ask(SESSIONS, json!({ "filter": filter })).await;
    let mut nodes: Vec<Value> =
        data["sessions"]["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect();
    nodes.sort_by_key(|node| node["sessionId"].as_str().unwrap().to_owned());
    nodes
}

both_databases!(
    async fn a_fork_names_the_session_in_which_its_first_answer_was_written(db: TestDatabase) {
        let (opus, sonnet) = ("claude-opus-4-6", "claude-sonnet-4-5");
        let begun = [answer(1, opus), answer(2, opus), answer(3, sonnet)].concat();
        // The fork repeats two answers of the first session; the fork of the fork repeats them, too, and one of the fork.
        let forked = [&begun[..4], &answer(4, sonnet)].concat();
        let again = [&forked[..], &answer(5, sonnet)].concat();
        let other = answer(6, sonnet).to_vec();
        let files = [("a-begun", &begun), ("b-forked", &forked), ("c-again", &again), ("d-other", &other)];
        for order in [[0, 1, 2, 3], [2, 1, 3, 0]] {
            let database = match db.is_postgres() {
                true => han_testkit::TestDatabase::postgres().await,
                false => han_testkit::TestDatabase::sqlite().await,
            };
            let world = World::new(&database).await;
            for n in order {
                let (id, lines) = files[n];
                world.push(id, "main", lines).await;
            }
            let found = sessions(&world, Value::Null).await;
            let origins: Vec<&Value> = found.iter().map(|session| &session["forkOf"]).collect();
            assert_eq!(
                origins,
                [&Value::Null, &json!("a-begun"), &json!("a-begun"), &Value::Null],
                "{order:?}"
            );
        }
    }
);

both_databases!(
    async fn a_session_lists_its_models_and_changed_lines(db: TestDatabase) {
        let (opus, sonnet) = ("claude-opus-4-6", "claude-sonnet-4-5");
        let world = World::new(&db).await;
        world.push("both", "main", &[answer(1, sonnet), answer(2, opus), answer(3, opus)].concat()).await;
        world.push("one", "main", &answer(4, sonnet)).await;
        let found = sessions(&world, Value::Null).await;
        let both = &found[0];
        assert_eq!(both["models"], json!([opus, sonnet]), "most answers first");
        assert_eq!((&both["linesAdded"], &both["linesRemoved"]), (&json!(6), &json!(3)));
        assert_eq!(both["fileChangeCount"], 3);
        for (filter, wanted) in [
            (json!({ "model": { "_eq": opus } }), vec!["both"]),
            (json!({ "model": { "_in": [sonnet] } }), vec!["both", "one"]),
            (json!({ "_not": { "model": { "_eq": opus } } }), vec!["one"]),
            (json!({ "model": { "_eq": "none" } }), vec![]),
            (json!({ "model": {} }), vec!["both", "one"]),
        ] {
            let found = sessions(&world, filter.clone()).await;
            let ids: Vec<&str> = found.iter().map(|one| one["sessionId"].as_str().unwrap()).collect();
            assert_eq!(ids, wanted, "{filter}");
        }
        let stranger = world.stranger().await;
        let response = world.response(stranger.context(), SESSIONS, json!({})).await;
        assert_eq!(response.data.into_json().unwrap()["sessions"]["edges"], json!([]));
    }
);
