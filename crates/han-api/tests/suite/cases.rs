//! Situations of real transcript files, each pushed as the server stores it and read over GraphQL. Each represents a
//! class of faults: a wrong total, a hidden answer, or a lost line.

use std::collections::BTreeSet;

use han_db::queries::ingest::{self, Outcome, Preparer, ReceivedBatch, ReceivedLine};
use han_db::queries::rebuild;
use han_testkit::both_databases;
use han_types::sync::SessionMetadata;
use han_types::{PlanTier, Policy};
use serde_json::{Value, json};

use crate::support::World;

const SESSION: &str = "query($id: String!) { session(id: $id) { sessionId title name summary status projectId
  projectName projectPath worktreeName messageCount lineCount damagedLineCount turnCount compactionCount
  clockAheadSeconds updatedAt inputTokens outputTokens cacheReadTokens cacheCreationTokens } }";

const MESSAGES: &str = "query($id: String!, $agent: String, $after: String) { session(id: $id) {
  messages(first: 3, after: $after, agentId: $agent) { totalCount pageInfo { hasNextPage endCursor }
  edges { messageIndex node { __typename id uuid timestamp clockAheadSeconds rawJson agentId searchText
    damage { records cutRecords lostBytes paddingBytes }
    ... on RegularUserMessage { content }
    ... on CommandUserMessage { content commandName }
    ... on MetaUserMessage { content }
    ... on SystemMessage { subtype content }
    ... on SummaryMessage { content }
    ... on UnknownEventMessage { messageType }
    ... on AssistantMessage { content contentBlocks { __typename
      ... on ToolUseBlock { toolCallId agentId input result { content isError } } } } } } } } }";

fn time(second: i64) -> String {
    format!("2026-11-01T09:{:02}:{:02}.000Z", second / 60, second % 60)
}

fn line(second: i64, kind: &str, uuid: &str, more: Value) -> Value {
    let mut line = json!({"parentUuid": null, "isSidechain": false, "cwd": "/home/ana/shop", "sessionId": "s",
        "version": "2.1.200", "gitBranch": "main", "type": kind, "uuid": uuid, "timestamp": time(second)});
    let Value::Object(more) = more else { panic!("an object") };
    line.as_object_mut().unwrap().extend(more);
    line
}

fn prompt(second: i64, uuid: &str, text: &str) -> Value {
    line(second, "user", uuid, json!({"message": {"role": "user", "content": text}}))
}

fn answer(second: i64, uuid: &str, blocks: Value, output: i64) -> Value {
    let usage = json!({"input_tokens": 3, "output_tokens": output});
    let message = json!({"id": format!("msg_{uuid}"), "role": "assistant", "model": "claude-opus-4-6",
        "content": blocks, "usage": usage});
    line(second, "assistant", uuid, json!({"message": message, "requestId": format!("req_{uuid}")}))
}

fn text(second: i64, uuid: &str, said: &str, output: i64) -> Value {
    answer(second, uuid, json!([{"type": "text", "text": said}]), output)
}

fn uses(second: i64, uuid: &str, call: &str, name: &str, input: Value) -> Value {
    answer(second, uuid, json!([{"type": "tool_use", "id": call, "name": name, "input": input}]), 1)
}

fn result(second: i64, uuid: &str, call: &str, said: &str, is_error: bool) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": call, "content": said, "is_error": is_error});
    line(second, "user", uuid, json!({"message": {"role": "user", "content": [block]}}))
}

/// Lines as they are in a file.
fn file(lines: &[Value]) -> Vec<String> {
    lines.iter().map(Value::to_string).collect()
}

/// A line as a client sends it: an object as it is, any other text as a JSON string.
fn wire(line: &str) -> String {
    let is_object = serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    if is_object && line.starts_with('{') && line.ends_with('}') {
        line.to_owned()
    } else {
        json!(line).to_string()
    }
}

/// Stores lines of a file from line `offset` on; returns how many are new.
async fn push_at(world: &World, session: &str, transcript: &str, offset: u64, lines: &[String]) -> u64 {
    push_from(world, session, transcript, offset, lines, SessionMetadata::default()).await
}

async fn push_from(
    world: &World,
    session: &str,
    transcript: &str,
    offset: u64,
    lines: &[String],
    metadata: SessionMetadata,
) -> u64 {
    let lines: Vec<String> = lines.iter().map(|line| wire(line)).collect();
    let batch = ReceivedBatch {
        session_id: session.parse().unwrap(),
        transcript: transcript.parse().unwrap(),
        offset: Some(offset),
        consumed: lines.len() as u64,
        metadata,
        lines: (0..).zip(&lines).map(|(index, text)| ReceivedLine { index, text }).collect(),
    };
    let batch = Preparer::new(Policy::of(PlanTier::Enterprise)).prepare(batch).unwrap();
    match ingest::store(&world.ada.scope, &world.db, batch).await.unwrap() {
        Outcome::Stored { stored, .. } => stored,
        Outcome::Refused(error) => panic!("{error:?}"),
    }
}

async fn push(world: &World, session: &str, lines: &[String]) {
    push_at(world, session, "main", 0, lines).await;
}

async fn session(world: &World, id: &str) -> Value {
    world.ask(SESSION, json!({"id": id})).await["session"].clone()
}

/// The messages of a list, oldest first, read in pages of three.
async fn messages_of(world: &World, id: &str, agent: Option<&str>) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = Value::Null;
    loop {
        let found = world.ask(MESSAGES, json!({"id": id, "agent": agent, "after": after})).await;
        let page = &found["session"]["messages"];
        let nodes = page["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone());
        all.extend(nodes);
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], all.len());
            all.reverse();
            return all;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

async fn messages(world: &World, id: &str) -> Vec<Value> {
    messages_of(world, id, None).await
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"].as_str().unwrap_or_default()).collect()
}

fn column<'m>(messages: &'m [Value], field: &str) -> Vec<&'m Value> {
    messages.iter().map(|message| &message[field]).collect()
}

/// Each line of a file is in `rawJson` of a message, listed or asked for by its id.
async fn comes_back(world: &World, id: &str, lines: &[String]) {
    let listed: Vec<Value> = messages(world, id).await;
    let listed: BTreeSet<&str> = column(&listed, "rawJson").into_iter().filter_map(Value::as_str).collect();
    for line in lines.iter().filter(|line| !listed.contains(line.as_str())) {
        let uuid = serde_json::from_str::<Value>(line).unwrap()["uuid"].as_str().unwrap().to_owned();
        let message = format!("Message:{id}:main:{uuid}");
        let found =
            world.ask("query($id: String!) { message(id: $id) { rawJson } }", json!({"id": message})).await;
        assert_eq!(found["message"]["rawJson"], line.as_str());
    }
}

both_databases!(
    async fn every_record_of_a_damaged_line_is_a_message(db: TestDatabase) {
        let world = World::new(&db).await;
        let [one, two, cut, whole, padded, bare] = [
            text(2, "u1", "glued one", 10),
            text(2, "u2", "glued two", 20),
            text(4, "u3", "cut off in the middle", 40),
            text(5, "u4", "whole after the cut", 80),
            text(6, "u5", "between padding", 160),
            json!({"type": "mode", "mode": "plan", "sessionId": "s"}),
        ]
        .map(|line| line.to_string());
        let lines = [
            prompt(1, "u0", "a question").to_string(),
            // Two records of one time, which must stay in this order.
            format!("{two}{one}"),
            format!("{}{whole}", &cut[..cut.len() / 2]),
            format!("\0\0\0{padded}\0\0"),
            format!("\u{feff}{bare}{bare}\r"),
            text(7, "u6", "last", 320).to_string(),
        ];
        push(&world, "s", &lines).await;
        let listed = messages(&world, "s").await;
        let shown = [
            "a question",
            "glued two",
            "glued one",
            "whole after the cut",
            "between padding",
            "plan",
            "last",
        ];
        assert_eq!(contents(&listed), shown);
        comes_back(&world, "s", &lines).await;
        let damage = |records: i64, cut: i64, lost: usize, padding: i64| json!({"records": records, "cutRecords": cut, "lostBytes": lost, "paddingBytes": padding});
        let expected = [
            Value::Null,
            damage(2, 0, 0, 0),
            damage(2, 0, 0, 0),
            damage(1, 1, cut.len() / 2, 0),
            damage(1, 0, 0, 5),
            damage(2, 0, 0, 3),
            Value::Null,
        ];
        assert_eq!(column(&listed, "damage"), expected.iter().collect::<Vec<_>>());

        let found = session(&world, "s").await;
        let counts =
            ["messageCount", "lineCount", "damagedLineCount", "turnCount"].map(|name| found[name].clone());
        assert_eq!(counts, [7, 6, 4, 1].map(Value::from));
        assert_eq!((&found["outputTokens"], &found["inputTokens"]), (&json!(590), &json!(15)));

        // Each message has an id of its own, an index, and is found by its own words alone.
        let ids: BTreeSet<String> = column(&listed, "id").into_iter().map(Value::to_string).collect();
        assert_eq!(ids.len(), 7);
        for message in &listed {
            let query = "query($id: String!) { message(id: $id) { id uuid } }";
            let again = world.ask(query, json!({"id": message["id"]})).await;
            assert_eq!(again["message"]["uuid"], message["uuid"]);
        }
        assert!(!listed[1]["searchText"].to_string().contains("glued one"));

        // Again, and in other batches: nothing is new.
        assert_eq!(push_at(&world, "s", "main", 0, &lines).await, 0);
        for (n, line) in (0..).zip(&lines) {
            assert_eq!(push_at(&world, "s", "main", n, std::slice::from_ref(line)).await, 0);
        }
        let before = (session(&world, "s").await, messages(&world, "s").await);
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!((session(&world, "s").await, messages(&world, "s").await), before);
    }
);

both_databases!(
    async fn a_rebuild_finds_the_records_of_lines_that_were_stored_as_unknown(db: TestDatabase) {
        let world = World::new(&db).await;
        let (one, two) =
            (text(2, "u1", "glued one", 10).to_string(), text(3, "u2", "glued two", 20).to_string());
        let lines = [
            prompt(1, "u0", "a question").to_string(),
            format!("{one}{two}"),
            json!({"type": "custom-title", "customTitle": "kept", "sessionId": "s"}).to_string(),
        ];
        push(&world, "s", &lines).await;
        let expected = (session(&world, "s").await, messages(&world, "s").await);
        // As an earlier version stored them: the first record alone, of unknown kind, under another uuid.
        db.execute("DELETE FROM messages WHERE part > 0").await;
        let at = "= (SELECT ordinal FROM messages WHERE line = 1)";
        let unknown = han_transcript::MessageKind::UnknownEvent.code();
        let own = han_transcript::record::uuid_of_bytes(
            &lines[1],
            &han_transcript::record::LineContext { session_id: "s", transcript: "main" },
        );
        let bytes = own.replace('-', "");
        let literal = if db.is_postgres() { format!("'\\x{bytes}'") } else { format!("x'{bytes}'") };
        db.execute(&format!(
            "UPDATE messages SET kind = {unknown}, uuid = {literal}, uuid_text = NULL WHERE ordinal {at}"
        ))
        .await;
        for table in ["session_usage", "answer_copies", "rollups", "rollup_counts"] {
            db.execute(&format!("DELETE FROM {table}")).await;
        }
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        let found = (session(&world, "s").await, messages(&world, "s").await);
        assert_eq!(found.1, expected.1);
        for field in ["messageCount", "outputTokens", "damagedLineCount", "title", "turnCount"] {
            assert_eq!(found.0[field], expected.0[field], "{field}");
        }
        let once = found;
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!((session(&world, "s").await, messages(&world, "s").await), once, "only once");
    }
);

both_databases!(
    async fn a_record_that_moves_out_of_a_damaged_line_stays_one_message(db: TestDatabase) {
        let world = World::new(&db).await;
        let (one, two) = (text(2, "u1", "one", 10).to_string(), text(3, "u2", "two", 20).to_string());
        let half = &one[..one.len() / 2];
        push(&world, "s", &[format!("{half}{two}")]).await;
        assert_eq!(contents(&messages(&world, "s").await), ["two"]);
        // The agent repairs its file.
        push(&world, "s", &[one.clone(), two.clone()]).await;
        assert_eq!(contents(&messages(&world, "s").await), ["one", "two"]);
        let found = session(&world, "s").await;
        assert_eq!((&found["outputTokens"], &found["messageCount"]), (&json!(30), &json!(2)));
    }
);

both_databases!(
    async fn lines_that_a_compaction_repeats_are_listed_once(db: TestDatabase) {
        let world = World::new(&db).await;
        let first: Vec<Value> = std::iter::once(prompt(1, "p", "one"))
            .chain((0..4).map(|n| text(2 + n, &format!("a{n}"), "answer", 10 + n)))
            .collect();
        let boundary = line(
            20,
            "system",
            "b",
            json!({"subtype": "compact_boundary", "content": "Compacted",
            "compactMetadata": {"trigger": "auto"}}),
        );
        let mut lines = first.clone();
        lines.extend([boundary, prompt(30, "q", "two")]);
        lines.extend(first.clone());
        lines.extend(first);
        push(&world, "s", &file(&lines)).await;
        let found = session(&world, "s").await;
        assert_eq!(
            ["messageCount", "lineCount", "turnCount", "compactionCount", "outputTokens"].map(|n| &found[n]),
            [&json!(7), &json!(17), &json!(2), &json!(1), &json!(46)]
        );
        assert_eq!(push_at(&world, "s", "main", 0, &file(&lines)).await, 0);
    }
);

both_databases!(
    async fn what_a_person_typed_is_a_message_of_that_person(db: TestDatabase) {
        let world = World::new(&db).await;
        let queued = |second, uuid: &str, prompt: Value, more: Value| {
            let mut attachment = json!({"type": "queued_command", "prompt": prompt, "commandMode": "prompt"});
            attachment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            line(second, "attachment", uuid, json!({"attachment": attachment}))
        };
        let lines = [
            prompt(1, "p1", "start"),
            queued(2, "p2", json!("rename the zebra module"), json!({})),
            queued(
                3,
                "p3",
                json!([{"type": "text", "text": "the quagga picture"}]),
                json!({"origin": {"kind": "human"}}),
            ),
            queued(4, "p4", json!("a peer says hello"), json!({"origin": {"kind": "peer"}})),
            queued(5, "p5", json!("ls -la"), json!({"commandMode": "bash"})),
            prompt(6, "p6", "<bash-input>git status</bash-input>"),
            prompt(7, "p7", "<bash-stdout>clean</bash-stdout><bash-stderr></bash-stderr>"),
            prompt(8, "p8", "<command-name>/model</command-name><command-args>opus</command-args>"),
            line(
                9,
                "system",
                "p9",
                json!({"subtype": "local_command", "content":
                "<command-name>/cost</command-name><command-message>cost</command-message>"}),
            ),
            prompt(10, "p10", "<local-command-stdout>free</local-command-stdout>"),
        ];
        push(&world, "s", &file(&lines)).await;
        let listed = messages(&world, "s").await;
        let kinds: Vec<(&str, &str)> = listed
            .iter()
            .map(|message| (message["uuid"].as_str().unwrap(), message["__typename"].as_str().unwrap()))
            .collect();
        let by_person = |uuid: &str| {
            let kind = kinds.iter().find(|(of, _)| *of == uuid).unwrap().1;
            matches!(kind, "RegularUserMessage" | "CommandUserMessage")
        };
        for uuid in ["p1", "p2", "p3", "p5", "p6", "p8", "p9"] {
            assert!(by_person(uuid), "{uuid}: {kinds:?}");
        }
        assert_eq!(kinds[3], ("p4", "MetaUserMessage"), "a peer is no person");
        let shown = contents(&listed).join("\n");
        for word in ["zebra", "quagga", "ls -la", "git status", "clean", "/cost", "free"] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        assert_eq!(session(&world, "s").await["turnCount"], 7);
    }
);

both_databases!(
    async fn the_text_of_a_queued_prompt_is_searchable(db: TestDatabase) {
        let world = World::new(&db).await;
        let enqueued = json!({"type": "queue-operation", "operation": "enqueue", "timestamp": time(2),
            "sessionId": "s", "content": "use the okapi fixture"});
        push(&world, "s", &file(&[prompt(1, "p", "start"), enqueued])).await;
        let listed = messages(&world, "s").await;
        assert!(listed[1]["searchText"].as_str().unwrap().contains("okapi"));
    }
);

both_databases!(
    async fn a_result_belongs_to_the_nearest_preceding_call_with_its_id(db: TestDatabase) {
        let world = World::new(&db).await;
        let edit = |name: &str| {
            let path = format!("/home/ana/shop/{name}");
            json!({"file_path": path, "old_string": "a", "new_string": "b"})
        };
        let mut lines = vec![prompt(0, "p", "three commands")];
        for n in 0..3 {
            lines.push(uses(10 * n + 1, &format!("c{n}"), "Edit_0", "Edit", edit(&n.to_string())));
            lines.push(result(10 * n + 2, &format!("r{n}"), "Edit_0", &format!("output {n}"), n == 1));
        }
        // One without a result, whose id has been used before.
        lines.push(uses(40, "c3", "Edit_0", "Edit", edit("3")));
        let expected = vec![
            Some(("output 0".to_owned(), false)),
            Some(("output 1".to_owned(), true)),
            Some(("output 2".to_owned(), false)),
            None,
        ];
        // All at once, and line by line.
        push(&world, "s", &file(&lines)).await;
        for (n, line) in (0..).zip(file(&lines)) {
            push_at(&world, "t", "main", n, &[line.replace("\"s\"", "\"t\"")]).await;
        }
        for id in ["s", "t"] {
            let listed = messages(&world, id).await;
            let results: Vec<Option<(String, bool)>> = listed
                .iter()
                .flat_map(|message| message["contentBlocks"].as_array().into_iter().flatten())
                .map(|block| {
                    let result = &block["result"];
                    Some((result["content"].as_str()?.to_owned(), result["isError"].as_bool()?))
                })
                .collect();
            assert_eq!(results, expected, "{id}");
            let query = "query($id: String!) { session(id: $id) { fileChangeCount
                fileChanges { edges { node { filePath } } } } }";
            let found = world.ask(query, json!({"id": id})).await;
            assert_eq!(found["session"]["fileChangeCount"], 3, "{id}: the failed one changed nothing");
            let paths: BTreeSet<String> = found["session"]["fileChanges"]["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| edge["node"]["filePath"].as_str().unwrap().replace("/home/ana/shop/", ""))
                .collect();
            assert_eq!(paths, ["0", "2", "3"].map(str::to_owned).into(), "{id}");
        }
    }
);

both_databases!(
    async fn two_uses_in_one_message_with_the_same_id_have_a_result_each(db: TestDatabase) {
        let world = World::new(&db).await;
        let tool = |n: i64| json!({"type": "tool_use", "id": "Bash_0", "name": "Bash", "input": {"n": n}});
        let lines = [
            answer(1, "c", json!([tool(0), tool(1), tool(2)]), 1),
            result(2, "r0", "Bash_0", "output 0", false),
            result(3, "r1", "Bash_0", "output 1", true),
        ];
        push(&world, "s", &file(&lines)).await;
        let listed = messages(&world, "s").await;
        let results = listed[0]["contentBlocks"].as_array().unwrap().iter().map(|block| &block["result"]);
        let results: Vec<_> =
            results.map(|result| (result["content"].as_str(), result["isError"].as_bool())).collect();
        assert_eq!(results, [(Some("output 0"), Some(false)), (Some("output 1"), Some(true)), (None, None)]);
    }
);

both_databases!(
    async fn a_session_is_called_by_its_title(db: TestDatabase) {
        let world = World::new(&db).await;
        let title =
            |kind: &str, field: &str, text: &str| json!({"type": kind, field: text, "sessionId": "s"});
        let named = [
            prompt(1, "p", "first prompt"),
            title("ai-title", "aiTitle", "Title of the agent"),
            title("custom-title", "customTitle", "auth-refactor"),
            text(2, "a", "ok", 1),
            title("custom-title", "customTitle", "auth-refactor-2"),
            title("ai-title", "aiTitle", "Title of the agent 2"),
            title("agent-name", "agentName", "reviewer"),
        ];
        push(&world, "s", &file(&named)).await;
        push(&world, "t", &file(&[named[0].clone(), named[1].clone(), named[6].clone()])).await;
        push(&world, "u", &file(&named[..2])).await;
        push(&world, "v", &file(&named[..1])).await;
        for (id, title, name) in [
            ("s", json!("auth-refactor-2"), "auth-refactor-2"),
            ("t", json!("reviewer"), "reviewer"),
            ("u", json!("Title of the agent"), "Title of the agent"),
            ("v", Value::Null, "first prompt"),
        ] {
            let found = session(&world, id).await;
            assert_eq!((&found["title"], &found["name"]), (&title, &json!(name)), "{id}");
            assert_eq!(found["summary"], "first prompt");
        }
        // Set again to what it was: the last one counts, although its line is a repeat.
        push_at(&world, "s", "main", 7, &file(&[named[2].clone()])).await;
        assert_eq!(session(&world, "s").await["title"], "auth-refactor");
    }
);

both_databases!(
    async fn a_file_belongs_to_the_session_that_it_is_named_after(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut foreign = prompt(1, "p", "from another");
        foreign["sessionId"] = json!("other");
        push(&world, "s", &file(&[foreign, text(2, "a", "x", 10), prompt(3, "q", "own")])).await;
        assert_eq!(session(&world, "s").await["messageCount"], 3);
        assert_eq!(session(&world, "other").await, Value::Null);
    }
);

both_databases!(
    async fn a_line_of_the_future_neither_leads_the_list_nor_keeps_a_session_active(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut ahead = prompt(1, "p", "from the future");
        ahead["timestamp"] = json!("2031-01-01T00:00:00.000Z");
        let untimed = json!({"type": "mode", "mode": "plan", "sessionId": "s"});
        push(&world, "s", &file(&[ahead.clone(), untimed, text(2, "a", "answer", 1)])).await;
        // All of its lines are ahead: they have the time of arrival.
        push(&world, "t", &file(&[ahead.clone()])).await;
        let mut now = prompt(1, "n", "now");
        now["timestamp"] = json!("2026-11-05T23:00:01.000Z");
        push(&world, "now", &file(&[now])).await;
        let order = world.ask("{ sessions(first: 9) { edges { node { sessionId } } } }", json!({})).await;
        let order: Vec<&str> = order["sessions"]["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| edge["node"]["sessionId"].as_str().unwrap())
            .collect();
        assert_eq!(order, ["now", "t", "s"]);
        let found = session(&world, "s").await;
        assert_eq!((&found["status"], &found["updatedAt"]), (&json!("idle"), &json!(time(2))));
        let listed = messages(&world, "s").await;
        assert_eq!(column(&listed, "timestamp"), [&json!(time(2)); 3]);
        assert_eq!(contents(&listed), ["from the future", "plan", "answer"]);
        assert_eq!(listed[2]["clockAheadSeconds"], Value::Null);
        let years = 4 * 365 * 24 * 3600;
        assert!(listed[0]["clockAheadSeconds"].as_i64().unwrap() > years, "{listed:?}");
        assert!(found["clockAheadSeconds"].as_i64().unwrap() > years, "{found}");
        // As an earlier version stored it.
        let (stated, of) = (1_924_992_000_000_i64, "(SELECT number FROM sessions WHERE session_id = 's')");
        db.execute(&format!("UPDATE messages SET at = {stated} WHERE line < 2 AND session = {of}")).await;
        db.execute(&format!("UPDATE sessions SET last_activity_at = {stated} WHERE session_id = 's'")).await;
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!((session(&world, "s").await, messages(&world, "s").await), (found, listed));
        // A clock may be a little ahead.
        let mut close = prompt(1, "c", "close");
        close["timestamp"] = json!("2026-11-05T23:04:00.000Z");
        push(&world, "close", &file(&[close])).await;
        let found = session(&world, "close").await;
        assert_eq!(found["updatedAt"], "2026-11-05T23:04:00.000Z");
        assert_eq!(found["clockAheadSeconds"], Value::Null);
    }
);

both_databases!(
    async fn equal_lines_without_a_uuid_are_each_a_line_of_the_file(db: TestDatabase) {
        let world = World::new(&db).await;
        let summary = json!({"type": "summary", "summary": "Same", "leafUuid": "x"}).to_string();
        let dequeue =
            json!({"type": "queue-operation", "operation": "dequeue", "timestamp": time(3)}).to_string();
        let lines = [
            summary.clone(),
            summary,
            prompt(1, "p", "a").to_string(),
            dequeue.clone(),
            dequeue.clone(),
            dequeue,
            String::new(),
            String::new(),
            "garbage".to_owned(),
            "garbage".to_owned(),
            "[1]".to_owned(),
        ];
        push(&world, "s", &lines).await;
        assert_eq!(session(&world, "s").await["lineCount"], lines.len());
        assert_eq!(push_at(&world, "s", "main", 0, &lines).await, 0);
        comes_back(&world, "s", &lines).await;
    }
);

both_databases!(
    async fn lines_of_current_versions_are_shown_by_their_content(db: TestDatabase) {
        let world = World::new(&db).await;
        let plain = |kind: &str, more: Value| {
            let mut line = json!({"type": kind, "sessionId": "s"});
            line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            line
        };
        let thinking = json!([{"type": "thinking", "thinking": "", "signature": "abc"}]);
        let hook = json!({"type": "hook_success", "hookName": "Stop", "content": "the linter is content"});
        let error = json!({"subtype": "api_error", "level": "error", "retryAttempt": 2, "maxRetries": 10,
            "error": {"status": 529, "error": {"type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded"}}}});
        let lines = [
            prompt(1, "p", "go"),
            plain("mode", json!({"mode": "plan"})),
            plain("permission-mode", json!({"permissionMode": "acceptEdits"})),
            plain("last-prompt", json!({"lastPrompt": "go", "leafUuid": "p"})),
            plain("pr-link", json!({"prNumber": 7, "prUrl": "https://github.com/o/r/pull/7"})),
            plain(
                "worktree-state",
                json!({"worktreeSession": {"worktreePath": "/home/ana/shop/.claude/worktrees/x"}}),
            ),
            plain("continued-in", json!({"continuedInSessionId": "later"})),
            line(2, "attachment", "h", json!({"attachment": hook})),
            line(3, "system", "e", error),
            answer(4, "t", thinking, 50),
            text(5, "a", "done", 50),
        ];
        push(&world, "s", &file(&lines)).await;
        let listed = messages(&world, "s").await;
        assert!(listed.iter().all(|message| message["__typename"] != "UnknownEventMessage"), "{listed:?}");
        let shown = contents(&listed).join("\n");
        for word in [
            "plan",
            "acceptEdits",
            "pull/7",
            "worktrees/x",
            "later",
            "the linter is content",
            "529",
            "overloaded_error",
            "Overloaded",
            "attempt 2 of 10",
        ] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        let answers = listed.iter().filter(|message| message["__typename"] == "AssistantMessage");
        assert_eq!(answers.count(), 1, "thinking without a text shows nothing");
        let found = session(&world, "s").await;
        assert_eq!((&found["outputTokens"], &found["turnCount"]), (&json!(100), &json!(1)), "but it counts");
        comes_back(&world, "s", &file(&lines)).await;
    }
);

both_databases!(
    async fn a_line_that_is_written_again_with_its_final_usage_counts_once(db: TestDatabase) {
        let world = World::new(&db).await;
        let lines = [prompt(1, "p", "q"), text(2, "a", "one", 1)];
        push(&world, "s", &file(&lines)).await;
        let mut last = lines[1].clone();
        last["message"]["usage"]["output_tokens"] = json!(4321);
        push(&world, "s", &file(&[lines[0].clone(), last])).await;
        let found = session(&world, "s").await;
        assert_eq!((&found["outputTokens"], &found["messageCount"]), (&json!(4321), &json!(2)));
    }
);

both_databases!(
    async fn spellings_of_a_directory_and_worktrees_of_a_repository_are_one_project(db: TestDatabase) {
        let world = World::new(&db).await;
        let in_directory = |path: &str| SessionMetadata {
            project_path: Some(path.to_owned()),
            ..SessionMetadata::default()
        };
        let groups: [(&str, &[&str]); 4] = [
            ("shop", &["C:\\Users\\ana\\shop", "c:\\Users\\ana\\shop", "c:/Users/ana/shop/"]),
            (
                "orchard",
                &[
                    "/home/ana/orchard",
                    "/home/ana/orchard/",
                    "/home/ana//orchard/.",
                    "/home/ana/orchard/.claude/worktrees/x",
                    "/home/ana/orchard-worktrees/y/src",
                ],
            ),
            ("新聞", &["/home/ana/新聞"]),
            ("Orchard", &["/home/ana/Orchard"]),
        ];
        let mut projects = BTreeSet::new();
        for (name, paths) in groups {
            let mut of_group = BTreeSet::new();
            for path in paths {
                let id = format!("s{}-{}", projects.len(), of_group.len() + paths.len());
                let id = format!("{id}-{}", path.len());
                push_from(&world, &id, "main", 0, &file(&[prompt(1, "p", "q")]), in_directory(path)).await;
                let found = session(&world, &id).await;
                assert_eq!((&found["projectName"], &found["projectPath"]), (&json!(name), &json!(path)));
                of_group.insert(found["projectId"].as_str().unwrap().to_owned());
            }
            assert_eq!(of_group.len(), 1, "{name}");
            projects.extend(of_group);
        }
        assert_eq!(projects.len(), 4);
        // A worktree in a folder of any name, which only git knows.
        let elsewhere = SessionMetadata {
            main_worktree: Some("/home/ana/orchard".to_owned()),
            ..in_directory("/tmp/try")
        };
        push_from(&world, "w", "main", 0, &file(&[prompt(1, "p", "q")]), elsewhere).await;
        let found = session(&world, "w").await;
        assert!(projects.contains(found["projectId"].as_str().unwrap()));
        assert_eq!((&found["projectName"], &found["projectPath"]), (&json!("orchard"), &json!("/tmp/try")));
        // As an earlier version stored it: under another project.
        let before = session(&world, "w").await;
        db.execute("UPDATE sessions SET project_id = 'prj_other' WHERE session_id = 'w'").await;
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!(session(&world, "w").await, before);
        let listed = world.ask("{ projects(first: 20) { name path totalSessions } }", json!({})).await;
        assert_eq!(listed["projects"].as_array().unwrap().len(), 4, "{listed}");
    }
);

both_databases!(
    async fn a_session_names_the_worktree_that_it_worked_in(db: TestDatabase) {
        let world = World::new(&db).await;
        let state = |worktree: Value| json!({"type": "worktree-state", "sessionId": "s", "worktreeSession": worktree});
        let entered = |path: &str| state(json!({"worktreePath": path, "worktreeBranch": "fix"}));
        for (id, directory, states, name) in [
            ("a", "/r/app/worktrees/y", vec![], json!("y")),
            ("b", "/r/app", vec![], json!(null)),
            ("c", "/r/app", vec![entered("/r/app/.claude/worktrees/x"), entered("/tmp/try")], json!("try")),
            ("d", "/r/app/.worktrees/z", vec![state(json!(null))], json!("z")),
        ] {
            let lines: Vec<_> = [prompt(1, "p", "q")].into_iter().chain(states).collect();
            let metadata =
                SessionMetadata { project_path: Some(directory.to_owned()), ..SessionMetadata::default() };
            push_from(&world, id, "main", 0, &file(&lines), metadata).await;
            assert_eq!(session(&world, id).await["worktreeName"], name, "{id}");
        }
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!(session(&world, "c").await["worktreeName"], "try");
    }
);

both_databases!(
    async fn records_between_commas_and_prompts_behind_reminders_count(db: TestDatabase) {
        let world = World::new(&db).await;
        let reminder = "<system-reminder>a file changed</system-reminder>";
        let lines = [
            prompt(1, "p", &format!("{reminder}\nwhy is it red?")),
            text(2, "a", "one", 7),
            text(3, "b", "two", 70),
            text(4, "c", "three", 700),
        ];
        let one_line = format!("[{}]", file(&lines).join(" , "));
        push(&world, "s", &[one_line]).await;
        let found = session(&world, "s").await;
        assert_eq!((&found["outputTokens"], &found["turnCount"]), (&json!(777), &json!(1)));
        assert_eq!(found["summary"], "why is it red?");
        assert_eq!(contents(&messages(&world, "s").await), ["why is it red?", "one", "two", "three"]);
    }
);

both_databases!(
    async fn cache_writes_of_an_answer_count_once_if_only_some_of_its_lines_split_them(db: TestDatabase) {
        let world = World::new(&db).await;
        let written = |uuid: &str, usage: Value| {
            let mut line = text(2, uuid, uuid, 5);
            line["requestId"] = json!("r");
            line["message"]["id"] = json!("m");
            line["message"]["usage"] = usage;
            line
        };
        let whole = written("a", json!({"cache_creation_input_tokens": 1000}));
        let split = written(
            "b",
            json!({"cache_creation_input_tokens": 1000, "cache_creation":
                {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 700}}),
        );
        let lines = file(&[whole, split]);
        push(&world, "together", &lines).await;
        let other: Vec<String> =
            lines.iter().map(|line| line.replace("\"r\"", "\"r2\"").replace("\"m\"", "\"m2\"")).collect();
        for (n, line) in (0..).zip([&other[1], &other[0]]) {
            push_at(&world, "apart", "main", n, std::slice::from_ref(line)).await;
        }
        for id in ["together", "apart"] {
            assert_eq!(session(&world, id).await["cacheCreationTokens"], 1000, "{id}");
        }
    }
);

both_databases!(
    async fn lines_of_a_subagent_in_the_own_file_are_listed_under_its_call(db: TestDatabase) {
        let world = World::new(&db).await;
        let aside = |mut line: Value, parent: Option<&str>| {
            line["isSidechain"] = json!(true);
            line["parentUuid"] = json!(parent);
            line
        };
        let task = |prompt: &str| json!({"prompt": prompt, "subagent_type": "Explore"});
        let lines = [
            prompt(1, "p", "find it"),
            uses(2, "c1", "toolu_1", "Task", task("look for it")),
            uses(3, "c2", "toolu_2", "Task", task("count them")),
            // The two work at the same time.
            aside(prompt(4, "b1", "count them"), None),
            aside(prompt(5, "a1", "look for it"), None),
            aside(text(6, "a2", "looking in the numbat folder", 20), Some("a1")),
            aside(text(7, "b2", "seven", 20), Some("b1")),
            result(8, "r1", "toolu_1", "found", false),
            text(9, "d", "here it is", 40),
        ];
        push(&world, "s", &file(&lines)).await;
        // The same lines one by one.
        for (n, line) in (0..).zip(file(&lines)) {
            push_at(&world, "t", "main", n, &[line]).await;
        }
        for id in ["s", "t"] {
            let listed = messages(&world, id).await;
            assert_eq!(listed.len(), 4, "{id}: the own list has no line of the subagents");
            let found = session(&world, id).await;
            assert_eq!((&found["turnCount"], &found["summary"]), (&json!(1), &json!("find it")));
            let agent = |n: usize| listed[n]["contentBlocks"][0]["agentId"].as_str().unwrap().to_owned();
            let (first, second) = (agent(1), agent(2));
            let of = |lines: Vec<Value>| column(&lines, "uuid").into_iter().cloned().collect::<Vec<_>>();
            assert_eq!(of(messages_of(&world, id, Some(&first)).await), ["a1", "a2"], "{id}");
            assert_eq!(of(messages_of(&world, id, Some(&second)).await), ["b1", "b2"], "{id}");
        }
        assert_eq!(session(&world, "s").await["outputTokens"], 82);
        let before = messages(&world, "s").await;
        rebuild::rebuild(&world.ada.scope, &world.db).await.unwrap();
        assert_eq!(messages(&world, "s").await, before);
    }
);

both_databases!(
    async fn two_different_lines_with_one_uuid_are_both_shown(db: TestDatabase) {
        let world = World::new(&db).await;
        let lines = file(&[
            prompt(1, "same", "the echo"),
            line(2, "system", "i", json!({"subtype": "init", "content": "started"})),
            prompt(3, "same", "the walrus question"),
        ]);
        push(&world, "s", &lines).await;
        assert_eq!(contents(&messages(&world, "s").await), ["the echo", "started", "the walrus question"]);
        // Also on one damaged line.
        let glued = format!("{}{}", lines[0], lines[2]);
        push(&world, "t", &[glued]).await;
        assert_eq!(contents(&messages(&world, "t").await), ["the echo", "the walrus question"]);
    }
);

both_databases!(
    async fn copies_of_a_file_that_diverged_give_the_union_of_their_lines(db: TestDatabase) {
        let world = World::new(&db).await;
        let common = [prompt(1, "p", "q"), text(2, "a", "answer", 10)];
        let one =
            file(&[&common[..], &[prompt(3, "b1", "in one folder"), text(4, "b2", "here", 20)]].concat());
        let other = file(&[&common[..], &[prompt(5, "c1", "in another")]].concat());
        // A stub, the copies in both orders, and an older copy.
        push(&world, "s", &one[..1]).await;
        for copy in [&other[..], &one[..], &one[..2]] {
            push(&world, "s", copy).await;
        }
        let listed = messages(&world, "s").await;
        assert_eq!(column(&listed, "uuid"), ["p", "a", "b1", "b2", "c1"]);
        let found = session(&world, "s").await;
        assert_eq!(
            (&found["outputTokens"], &found["turnCount"], &found["messageCount"]),
            (&json!(30), &json!(3), &json!(5))
        );
    }
);

both_databases!(
    async fn bookkeeping_that_is_appended_later_does_not_move_a_session_to_the_front(db: TestDatabase) {
        let world = World::new(&db).await;
        let lines = [prompt(1, "p", "q"), text(2, "a", "x", 10)];
        push(&world, "s", &file(&lines)).await;
        let before = session(&world, "s").await["updatedAt"].clone();
        let later = [
            json!({"type": "last-prompt", "leafUuid": "p", "sessionId": "s"}),
            json!({"type": "mode", "mode": "normal", "sessionId": "s"}),
            json!({"type": "custom-title", "customTitle": "t", "sessionId": "s"}),
        ];
        push_at(&world, "s", "main", 2, &file(&later)).await;
        let found = session(&world, "s").await;
        assert_eq!((&found["updatedAt"], &found["title"]), (&before, &json!("t")));
    }
);

both_databases!(
    async fn all_branches_of_a_rewound_conversation_are_listed_and_counted(db: TestDatabase) {
        let world = World::new(&db).await;
        let after = |mut line: Value, parent: &str| {
            line["parentUuid"] = json!(parent);
            line
        };
        let lines = [
            prompt(1, "r", "root"),
            after(text(2, "x", "first try", 100), "r"),
            after(prompt(3, "o", "old question"), "x"),
            after(text(4, "y", "abandoned", 100), "o"),
            after(prompt(5, "n", "new question"), "x"),
            after(text(6, "z", "kept", 100), "n"),
            after(text(7, "w", "orphan", 100), "00000000-dead-4000-8000-000000000000"),
        ];
        push(&world, "s", &file(&lines)).await;
        let listed = messages(&world, "s").await;
        assert_eq!(column(&listed, "uuid"), ["r", "x", "o", "y", "n", "z", "w"]);
        assert_eq!(session(&world, "s").await["outputTokens"], 400);
    }
);

both_databases!(
    async fn a_session_of_which_only_a_subagent_is_left_is_there(db: TestDatabase) {
        let world = World::new(&db).await;
        let of_agent = |mut line: Value| {
            line["isSidechain"] = json!(true);
            line["agentId"] = json!("c22");
            line
        };
        let lines = file(&[of_agent(prompt(1, "p", "do it")), of_agent(text(2, "a", "done", 60))]);
        push_at(&world, "s", "agent-c22", 0, &lines).await;
        let found = session(&world, "s").await;
        assert_eq!((&found["outputTokens"], &found["turnCount"]), (&json!(60), &json!(0)));
        assert_eq!(contents(&messages_of(&world, "s", Some("c22")).await), ["do it", "done"]);
    }
);

/// Gateways give every answer the same id, no request id, or a placeholder first.
mod gateways {
    use super::*;

    fn answered(second: i64, uuid: &str, id: Value, usage: Value) -> Value {
        let message = json!({"id": id, "role": "assistant", "model": "kimi", "content": [], "usage": usage});
        line(second, "assistant", uuid, json!({"message": message}))
    }

    both_databases!(
        async fn counters_of_any_type_are_read_or_count_as_nothing(db: TestDatabase) {
            let world = World::new(&db).await;
            let real = json!({"input_tokens": 271, "output_tokens": 5774});
            let odd = json!({"input_tokens": null, "output_tokens": -5, "cache_read_input_tokens": "12"});
            let lines = [
                answered(1, "a", json!("chat"), json!({"input_tokens": 0, "output_tokens": 0})),
                answered(2, "b", json!("chat"), real.clone()),
                answered(3, "c", json!("chat"), real),
                answered(4, "d", json!("odd"), odd),
            ];
            push(&world, "s", &file(&lines)).await;
            let found = session(&world, "s").await;
            assert_eq!((&found["inputTokens"], &found["outputTokens"]), (&json!(271), &json!(5774)));
        }
    );

    both_databases!(
        async fn answers_without_an_id_count_each(db: TestDatabase) {
            let world = World::new(&db).await;
            let usage = json!({"input_tokens": 1, "output_tokens": 10});
            let lines = [
                answered(1, "a", Value::Null, usage.clone()),
                answered(2, "b", Value::Null, usage.clone()),
                answered(3, "c", json!(""), usage),
            ];
            push(&world, "s", &file(&lines)).await;
            let found = session(&world, "s").await;
            assert_eq!((&found["inputTokens"], &found["outputTokens"]), (&json!(3), &json!(30)));
        }
    );

    both_databases!(
        async fn answers_that_share_an_id_count_each_by_their_requests(db: TestDatabase) {
            let world = World::new(&db).await;
            let lines: Vec<Value> = (0..6)
                .map(|n| {
                    let mut line = answered(
                        n,
                        &format!("a{n}"),
                        json!("same"),
                        json!({"input_tokens": 2, "output_tokens": 100 + n}),
                    );
                    line["requestId"] = json!(format!("req{n}"));
                    line
                })
                .collect();
            push(&world, "s", &file(&lines)).await;
            let found = session(&world, "s").await;
            assert_eq!((&found["inputTokens"], &found["outputTokens"]), (&json!(12), &json!(615)));
        }
    );
}
