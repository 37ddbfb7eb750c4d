//! Calls of which several have one id: their results, their changes of files, and their subagents. And records that differ
//! only in what is around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use han_db::queries::tool_results::{self, Call};
use han_db::queries::{calls, rebuild};
use han_testkit::{TestDatabase, both_databases};
use han_transcript::record::ResultKind;
use han_types::{MessageKey, Timestamp};
use serde_json::{Value, json};
use support::corpus::number;
use support::{World, dump, push, world};

fn uuid(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn line(n: usize, kind: &str, message: Value) -> Value {
    let at = Timestamp(1_793_610_000_000 + i64::try_from(n).unwrap() * 1000).to_rfc3339();
    json!({"type": kind, "uuid": uuid(n), "timestamp": at, "message": message})
}

fn prompt(n: usize, text: &str) -> Value {
    line(n, "user", json!({"role": "user", "content": text}))
}

/// A call of the answer `answer`.
fn uses(n: usize, answer: &str, id: &str, name: &str, input: Value) -> Value {
    let call = json!({"type": "tool_use", "id": id, "name": name, "input": input});
    line(
        n,
        "assistant",
        json!({"role": "assistant", "id": answer, "model": "claude-opus-4-6", "content": [call]}),
    )
}

fn writes(n: usize, answer: &str, id: &str) -> Value {
    uses(n, answer, id, "Write", json!({"file_path": format!("/orchard/{n}.rs"), "content": "a"}))
}

fn starts(n: usize, answer: &str, id: &str, prompt: &str) -> Value {
    uses(n, answer, id, "Task", json!({"prompt": prompt, "subagent_type": "gardener"}))
}

fn result(n: usize, id: &str, failed: bool) -> Value {
    let result =
        json!({"type": "tool_result", "tool_use_id": id, "is_error": failed, "content": format!("{n}")});
    line(n, "user", json!({"role": "user", "content": [result]}))
}

/// A subagent's line in the session's own file.
fn inline(mut line: Value, parent: Option<usize>) -> Value {
    line["isSidechain"] = json!(true);
    line["parentUuid"] = json!(parent.map(uuid));
    line
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}

async fn push_one_by_one(world: &World, session: &str, lines: &[String]) {
    for (line, n) in lines.iter().zip(0..) {
        push(world, session, "main", Some(n), std::slice::from_ref(line)).await;
    }
}

fn key(session: &str, n: usize) -> MessageKey {
    MessageKey { session_id: session.parse().unwrap(), transcript: "main".parse().unwrap(), uuid: uuid(n) }
}

fn call(session: &str, n: usize, id: &str) -> Call {
    Call { message: key(session, n), kind: ResultKind::Tool, call_id: id.to_owned() }
}

/// For each result, by the number of its line: the number of the line of the call that shows it.
async fn results(world: &World, session: &str, made: &[usize], id: &str) -> BTreeMap<usize, usize> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let wanted: Vec<Call> = made.iter().map(|n| call(session, *n, id)).collect();
    let number = |uuid: &str| uuid[24..].parse::<usize>().unwrap();
    let found = tool_results::by_calls(&tx, &wanted).await.unwrap();
    let found: BTreeMap<usize, usize> = found
        .iter()
        .map(|(call, result)| (number(&result.message.key.uuid), number(&call.message.uuid)))
        .collect();
    // Changes of results go to the same messages.
    let keys: Vec<MessageKey> = found.keys().map(|n| key(session, *n)).collect();
    let shown = calls::shown_by(&tx, &session.parse().unwrap(), &keys).await.unwrap();
    let shown: BTreeMap<usize, usize> =
        shown.iter().map(|(result, call)| (number(&result.uuid), number(&call.uuid))).collect();
    assert_eq!(shown, found);
    found
}

async fn failed(database: &TestDatabase) -> Vec<bool> {
    let rows = dump(
        database,
        "SELECT CASE WHEN failed THEN 'failed' ELSE '' END AS f FROM file_changes ORDER BY at",
    )
    .await;
    rows.iter().map(|row| row.contains("failed")).collect()
}

both_databases!(
    async fn each_of_several_calls_with_one_id_has_its_own_result(database: TestDatabase) {
        let world = world(&database).await;
        // Two calls of one answer, in the order of the results.
        let one_answer =
            [writes(1, "m", "d"), writes(2, "m", "d"), result(3, "d", false), result(4, "d", true)];
        push(&world, "one", "main", Some(0), &texts(&one_answer)).await;
        assert_eq!(results(&world, "one", &[1, 2], "d").await, BTreeMap::from([(3, 1), (4, 2)]));
        assert_eq!(failed(&database).await, [false, true]);
        assert_eq!(number(&database, "SELECT file_change_count FROM sessions").await, 1);
        // Of two answers: the nearest one first, and the earlier one if another result comes.
        let two_answers = [
            writes(11, "n", "d"),
            writes(12, "o", "d"),
            result(13, "d", false),
            result(14, "d", true),
            result(15, "d", true),
        ];
        push(&world, "two", "main", Some(0), &texts(&two_answers)).await;
        let wanted = BTreeMap::from([(13, 12), (14, 11), (15, 12)]);
        assert_eq!(results(&world, "two", &[11, 12], "d").await, wanted);
        // A call without a result keeps none.
        let unanswered = [writes(21, "p", "d"), writes(22, "q", "d"), result(23, "d", true)];
        push(&world, "three", "main", Some(0), &texts(&unanswered)).await;
        assert_eq!(results(&world, "three", &[21, 22], "d").await, BTreeMap::from([(23, 22)]));
    }
);

both_databases!(
    async fn changes_follow_their_own_results_however_lines_are_cut(database: TestDatabase) {
        let world = world(&database).await;
        let made = [
            writes(1, "m", "d"),
            writes(2, "m", "d"),
            result(3, "d", false),
            result(4, "d", true),
            writes(5, "n", "d"),
            result(6, "d", true),
            writes(7, "o", "d"),
            writes(8, "p", "d"),
            result(9, "d", false),
            result(10, "d", true),
        ];
        let made = texts(&made);
        for size in 1..=made.len() {
            let session = format!("s{size}");
            for (lines, n) in made.chunks(size).zip(0..) {
                push(&world, &session, "main", Some(n * size as u64), lines).await;
            }
        }
        for rebuilt in [false, true] {
            if rebuilt {
                rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            }
            let sessions = "SELECT DISTINCT session FROM file_changes WHERE failed";
            assert_eq!(number(&database, &format!("SELECT count(*) FROM ({sessions}) AS s")).await, 10);
            let expected = [false, true, true, true, false];
            let each: Vec<bool> = expected.into_iter().flat_map(|failed| [failed; 10]).collect();
            assert_eq!(failed(&database).await, each);
            let counted = "SELECT min(file_change_count) * 100 + max(file_change_count) FROM sessions";
            assert_eq!(number(&database, counted).await, 202);
            let counted = "SELECT sum(count) FROM rollup_counts WHERE grain = 0 AND kind = 'file'";
            assert_eq!(number(&database, counted).await, 20);
        }
    }
);

/// The prompts and answers of the subagents of calls, by the line of the call.
async fn subagents(world: &World, session: &str, made: &[usize], id: &str) -> Vec<Option<String>> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let wanted: Vec<Call> = made.iter().map(|n| call(session, *n, id)).collect();
    let found = tool_results::agents_by_calls(&tx, &wanted).await.unwrap();
    let agent = |call: &Call| {
        let mut agents = found.iter().filter(|(of, _)| of == call).map(|(_, agent)| agent.clone());
        let agent = agents.next();
        assert_eq!(agents.next(), None);
        agent
    };
    wanted.iter().map(agent).collect()
}

both_databases!(
    async fn an_inline_subagent_belongs_to_its_call_of_several_with_one_id(database: TestDatabase) {
        let world = world(&database).await;
        // The second call failed before its subagent began, the third one has the same prompt.
        let made = [
            starts(1, "m1", "Task_0", "look"),
            inline(prompt(2, "look"), None),
            inline(prompt(3, "found"), Some(2)),
            result(4, "Task_0", false),
            starts(5, "m2", "Task_0", "prune"),
            result(6, "Task_0", true),
            starts(7, "m3", "Task_0", "prune"),
            inline(prompt(8, "prune"), None),
            result(9, "Task_0", false),
            // Interrupted without a result.
            starts(10, "m4", "Task_0", "water"),
            starts(11, "m5", "Task_0", "water"),
            inline(prompt(12, "water"), None),
            result(13, "Task_0", false),
            // Two of one answer, whose prompts were changed on the way.
            starts(14, "m6", "Task_1", "graft"),
            starts(15, "m6", "Task_2", "mulch"),
            inline(prompt(16, "Graft."), None),
            inline(prompt(17, "Mulch."), None),
        ];
        let made = texts(&made);
        push(&world, "whole", "main", Some(0), &made).await;
        push_one_by_one(&world, "cut", &made).await;
        let root = |n: usize| Some(format!("sidechain-{}", uuid(n)));
        for rebuilt in [false, true] {
            if rebuilt {
                rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            }
            for session in ["whole", "cut"] {
                assert_eq!(
                    subagents(&world, session, &[1, 5, 7, 10, 11], "Task_0").await,
                    [root(2), None, root(8), None, root(12)],
                    "{session}"
                );
                let pair = [
                    subagents(&world, session, &[14], "Task_1").await,
                    subagents(&world, session, &[15], "Task_2").await,
                ];
                assert_eq!(pair.concat(), [root(16), root(17)], "{session}");
                let tx = world.db.read(&world.scope, "test.read").await.unwrap();
                let keys = [2, 3, 8, 12, 17].map(|n| key(session, n));
                let shown = calls::shown_by(&tx, &session.parse().unwrap(), &keys).await.unwrap();
                let shown: BTreeMap<String, String> =
                    shown.into_iter().map(|(line, by)| (line.uuid, by.uuid)).collect();
                let expected =
                    [(2, 1), (3, 1), (8, 7), (12, 11), (17, 15)].map(|(n, by)| (uuid(n), uuid(by)));
                assert_eq!(shown, BTreeMap::from(expected), "{session}");
            }
        }
    }
);

both_databases!(
    async fn a_subagent_with_a_file_belongs_to_its_call_of_several_with_one_id(database: TestDatabase) {
        let world = world(&database).await;
        let done = |n: usize, agent: &str| {
            let mut line = result(n, "Task_0", false);
            line["toolUseResult"] = json!({"agentId": agent, "status": "completed"});
            line
        };
        let main =
            [starts(1, "m1", "Task_0", "a"), done(2, "ada"), starts(3, "m2", "Task_0", "b"), done(4, "bob")];
        push(&world, "s", "main", Some(0), &texts(&main)).await;
        for (n, agent) in [(5, "ada"), (6, "bob")] {
            let mut line = inline(prompt(n, "x"), None);
            line["agentId"] = json!(agent);
            push(&world, "s", &format!("agent-{agent}"), Some(0), &texts(&[line])).await;
        }
        let agents = subagents(&world, "s", &[1, 3], "Task_0").await;
        assert_eq!(agents, ["ada", "bob"].map(|agent| Some(agent.to_owned())));
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        for (n, agent, by) in [(5, "ada", 1), (6, "bob", 3)] {
            let line = MessageKey { transcript: format!("agent-{agent}").parse().unwrap(), ..key("s", n) };
            let shown =
                calls::shown_by(&tx, &"s".parse().unwrap(), std::slice::from_ref(&line)).await.unwrap();
            assert_eq!(shown[&line].uuid, uuid(by), "{agent}");
        }
    }
);

both_databases!(
    async fn a_record_is_the_same_whatever_is_around_it(database: TestDatabase) {
        let world = world(&database).await;
        let untitled = json!({"type": "mode", "mode": "plan"});
        let made = texts(&[prompt(1, "p"), writes(2, "m", "w"), result(3, "w", false), untitled]);
        push(&world, "s", "main", Some(0), &made).await;
        let counts = "SELECT message_count, turn_count, tool_use_count, file_change_count, output_tokens FROM sessions";
        let expected = dump(&database, counts).await;
        let count = || async { number(&database, "SELECT count(*) FROM messages").await };
        assert_eq!(count().await, 4);
        let mut end = made.len();
        for (before, after) in
            [("", "\r"), ("", " "), (" \t", "\r"), ("\u{feff}", ""), ("", "\0\0"), ("\0", "\r\n")]
        {
            // Objects are sent as they are, or in a string.
            let again = |line: &String| {
                let line = [before, line, after].concat();
                let is_object = serde_json::from_str::<Value>(&line).is_ok();
                if is_object && line.starts_with('{') { line } else { json!(line).to_string() }
            };
            let again: Vec<String> = made.iter().map(again).collect();
            push(&world, "s", "main", Some(end as u64), &again).await;
            end += again.len();
            assert_eq!(dump(&database, counts).await, expected, "{before:?} {after:?}");
            assert_eq!(count().await, 4, "{before:?} {after:?}");
        }
        // A file that was converted to other line endings, and grew.
        let mut converted: Vec<String> =
            made.iter().map(|line| json!(format!("{line}\r")).to_string()).collect();
        push(&world, "s", "main", Some(0), &converted).await;
        assert_eq!(dump(&database, counts).await, expected);
        converted = vec![json!(format!("{}\r", prompt(9, "q"))).to_string()];
        push(&world, "s", "main", Some(made.len() as u64), &converted).await;
        assert_eq!(number(&database, "SELECT turn_count FROM sessions").await, 2);
    }
);
