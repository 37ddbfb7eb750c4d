//! Tests hostile lines: any text, any JSON, any nesting. Nothing may panic, and the invariants must hold.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

#[path = "support/invariants.rs"]
mod invariants;
mod support;

use han_transcript::MessageKind;
use han_transcript::record::{LineContext, project};
use han_transcript::view::{MessageView, view};
use invariants::{AT, check};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Field names and values of real lines, so that arbitrary JSON reaches the deeper parsing code.
const WORDS: [&str; 84] = [
    "type",
    "user",
    "assistant",
    "system",
    "summary",
    "progress",
    "file-history-snapshot",
    "queue-operation",
    "han_event",
    "message",
    "content",
    "role",
    "id",
    "uuid",
    "parentUuid",
    "timestamp",
    "isMeta",
    "isSidechain",
    "isCompactSummary",
    "agentId",
    "model",
    "usage",
    "input_tokens",
    "output_tokens",
    "cache_creation",
    "cache_creation_input_tokens",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "text",
    "thinking",
    "signature",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "is_error",
    "name",
    "input",
    "image",
    "source",
    "data",
    "media_type",
    "image/png",
    "toolUseResult",
    "stdout",
    "task",
    "subject",
    "status",
    "completed",
    "TaskCreate",
    "TaskUpdate",
    "TodoWrite",
    "todos",
    "Write",
    "Edit",
    "MultiEdit",
    "NotebookEdit",
    "edits",
    "old_string",
    "new_string",
    "file_path",
    "snapshot",
    "trackedFileBackups",
    "leafUuid",
    "eventType",
    "hook_run",
    "hook_result",
    "mcp_tool_call",
    "mcp_tool_result",
    "exposed_tool_result",
    "sentiment_analysis",
    "call_id",
    "hookRunId",
    "duration_ms",
    "success",
    "result",
    "error",
    "arguments",
    "start_task",
    "mcp__han__start_task",
    "task_id",
    "confidence",
    "compactMetadata",
    "subtype",
    "compact_boundary",
];

const TEXTS: [&str; 12] = [
    "<command-name>/x</command-name>",
    "[Request interrupted by user]",
    "This session is being continued from a previous conversation",
    "2026-02-11T21:41:48.049Z",
    "9999-99-99T99:99:99Z",
    "Task #1 created successfully",
    "{\"task_id\": \"t1\"}",
    "nul \u{0} bell \u{7} é 日本 \u{1F600}",
    "https://github.com/o/r/pull/1",
    "",
    "\u{FFFD}",
    "\r\n\t",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
        1 => prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => word().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|n| json!(n)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            3 => prop::collection::vec((word(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// An object with the structure of a line and arbitrary values.
fn line() -> impl Strategy<Value = String> {
    let kinds = ["user", "assistant", "han_event", "system", "summary", "progress", "hook_run"];
    let fields = prop::collection::vec((word(), value()), 0..6);
    (prop::sample::select(kinds.to_vec()), value(), value(), fields).prop_map(
        |(kind, content, data, fields)| {
            let mut line: serde_json::Map<String, Value> = fields.into_iter().collect();
            line.insert("type".to_owned(), kind.into());
            line.insert("message".to_owned(), json!({"content": content, "usage": data, "id": data}));
            line.insert("data".to_owned(), data);
            Value::Object(line).to_string()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_for_any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn invariants_hold_for_any_json(value in value()) {
        check(&value.to_string());
    }

    #[test]
    fn invariants_hold_for_any_line(line in line()) {
        check(&line);
    }

    #[test]
    fn invariants_hold_for_truncated_and_corrupted_lines(line in line(), at in any::<prop::sample::Index>(), with in "[\\PC\\\\\"{}\\[\\]:,u]{0,6}") {
        let at = at.index(line.len().max(1));
        let at = (0..=at).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = line.split_at(at);
        check(before);
        check(&format!("{before}{with}{after}"));
    }

    #[test]
    fn invariants_hold_for_any_escapes(unit in "\\\\u[dD][89abAB][0-9a-f]{2}|\\\\u[dD][c-f][0-9a-f]{2}|\\\\u00[01][0-9a-f]|\\\\n|x", n in 1usize..5) {
        let text = unit.repeat(n);
        let line = format!(r#"{{"type":"user","uuid":"{text}","{text}":1,"message":{{"content":"a{text}b"}}}}"#);
        prop_assert_eq!(project(&line, &AT).kind, MessageKind::RegularUser);
        check_without_body(&line);
    }
}

/// [`check`] without its last step, which serde_json does not support for lines with lone surrogates.
fn check_without_body(line: &str) {
    assert_eq!(project(line, &AT).kind, view(line).kind());
    assert_eq!(han_transcript::line_text(line), line);
}

#[test]
fn a_hundred_thousand_levels_of_nesting_are_skipped() {
    let deep = |open: &str, inside: &str, close: &str| {
        format!("{}{inside}{}", open.repeat(100_000), close.repeat(100_000))
    };
    let nested = [
        deep("[", "", "]"),
        deep(r#"{"a":"#, "1", "}"),
        deep("[", "", ""),
        deep(r#"[{"content":"#, "1", "}]"),
    ];
    for nested in &nested {
        check_without_body(nested);
        assert_eq!(project(nested, &AT).kind, MessageKind::UnknownEvent);
    }
    // If one part is deep, the other parts are parsed, and the deep part is kept unchanged.
    let nested = &nested[1];
    let line = format!(
        r#"{{"type":"assistant","uuid":"u","deep":{nested},"message":{{"usage":{{"output_tokens":3}},"content":[
            {{"type":"tool_use","id":"t","name":"Bash","input":{nested}}},{{"type":"text","text":"hello"}},{nested}]}}}}"#
    );
    let record = project(&line, &AT);
    assert_eq!((record.kind, record.tool_uses.len()), (MessageKind::Assistant, 1));
    assert_eq!(record.usage.map(|usage| usage.output), Some(3));
    let MessageView::Assistant(shown) = view(&line) else { panic!("no assistant") };
    assert_eq!(shown.content.as_deref(), Some("hello"));
    check_without_body(&line);
    for part in
        ["message", "data", "snapshot", "toolUseResult", "timestamp", "uuid", "summary", "compactMetadata"]
    {
        for kind in
            ["user", "assistant", "system", "han_event", "hook_run", "file-history-snapshot", "summary"]
        {
            check_without_body(&format!(r#"{{"type":"{kind}","{part}":{nested}}}"#));
            check_without_body(&format!(
                r#"{{"type":"{kind}","message":{{"content":{nested},"usage":{nested}}}}}"#
            ));
        }
    }
}

#[test]
fn wide_lines_project_to_a_bounded_number_of_rows() {
    let uses = vec![
        json!({"type": "tool_use", "id": "t", "name": "Write", "input": {"file_path": "f", "content": "c"}});
        5000
    ];
    check(&json!({"type": "assistant", "message": {"content": uses}}).to_string());
    let results =
        vec![json!({"type": "tool_result", "tool_use_id": "t", "content": "Task #1 created"}); 5000];
    check(&json!({"type": "user", "message": {"content": results}}).to_string());
}

#[test]
fn lone_surrogates_are_shown_as_replacement_characters() {
    let line = r#"{"type":"user","uuid":"u1","message":{"role":"user","content":"cut \ud83d here"}}"#;
    let MessageView::RegularUser(user) = view(line) else { panic!("no user message") };
    assert_eq!(user.content.as_deref(), Some("cut \u{FFFD} here"));
    assert_eq!(project(line, &AT).uuid, "u1");
}

#[test]
fn a_derived_uuid_depends_on_session_transcript_and_bytes() {
    let uuid =
        |line: &str, session_id, transcript| project(line, &LineContext { session_id, transcript }).uuid;
    let line = r#"{"type":"summary","summary":"é","n":1.0}"#;
    let here = uuid(line, "s", "main");
    // This value must never change: it is the key of stored rows.
    assert_eq!(here, "194050e7-3378-5ee9-827c-42b1b1a7c24b");
    // The same content in other bytes is another line.
    assert_ne!(here, uuid(r#"{ "n":1, "summary":"\u00e9", "type":"summary" }"#, "s", "main"));
    assert_ne!(here, uuid(line, "s", "agent-1"));
    assert_ne!(here, uuid(line, "t", "main"));
    for (one, other) in [
        (r#"{"a":"\ud800"}"#, r#"{"a":"\ud801"}"#),
        (r#"{"a":1e999}"#, r#"{"a":1e998}"#),
        ("not json", "not  json"),
        (&*"[".repeat(1000), &*"[".repeat(1001)),
    ] {
        assert_ne!(uuid(one, "s", "main"), uuid(other, "s", "main"), "{one}");
        assert!(!project(one, &AT).own_uuid);
    }
}

#[test]
fn only_valid_uuids_are_used_as_keys() {
    let of = |uuid: Value| {
        let record = project(&json!({"type": "user", "uuid": uuid}).to_string(), &AT);
        record.own_uuid.then_some(record.uuid)
    };
    assert_eq!(of(json!("é".repeat(128))), Some("é".repeat(128)));
    for uuid in [
        json!("é".repeat(129)),
        json!(""),
        json!("a\u{0}"),
        json!("a\nb"),
        json!(7),
        json!(["a"]),
        Value::Null,
    ] {
        assert_eq!(of(uuid), None);
    }
}

#[test]
fn fields_of_wrong_types_count_as_absent() {
    for wrong in [json!(null), json!(1), json!("x"), json!([1]), json!({"a": 1}), json!(true)] {
        for field in
            ["message", "data", "timestamp", "parentUuid", "isMeta", "agentId", "toolUseResult", "snapshot"]
        {
            for kind in
                ["user", "assistant", "system", "summary", "han_event", "progress", "file-history-snapshot"]
            {
                let mut line = json!({"type": kind, "uuid": "u", "eventType": "hook_result"});
                line[field] = wrong.clone();
                check(&line.to_string());
                let mut within =
                    json!({"type": kind, "uuid": "u", "message": {"content": [{"type": "tool_use"}]}});
                within["message"]["content"][0]["input"] = wrong.clone();
                within["message"]["usage"] = wrong.clone();
                check(&within.to_string());
            }
        }
    }
}
