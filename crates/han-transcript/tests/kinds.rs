//! Tests one line of each kind: its message type, its view, and its projection. The snapshots omit absent and empty
//! fields, to be readable.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

#[path = "support/invariants.rs"]
mod invariants;

use std::fmt::Debug;

use han_transcript::MessageKind;
use han_transcript::fold::{LinePosition, pair_hooks};
use han_transcript::record::{CompactionTrigger, HookRecord, LineRecord, TimeSource, project};
use han_transcript::view::{Block, Hunk, MessageView, hunks, results, view};
use han_types::Timestamp;
use invariants::{AT, check};
use serde_json::{Value, json};

fn user(content: &Value) -> Value {
    json!({"type": "user", "uuid": "u1", "parentUuid": "u0", "sessionId": "s", "timestamp": "2026-02-11T20:36:45.618Z",
           "isSidechain": false, "cwd": "/home/dev/orchard", "gitBranch": "main", "version": "2.1.39",
           "slug": "brave-plum", "message": {"role": "user", "content": content}})
}

fn assistant(content: &Value) -> Value {
    json!({"type": "assistant", "uuid": "a1", "parentUuid": "u1", "timestamp": "2026-02-11T20:36:50.001Z",
           "message": {"id": "msg_01", "role": "assistant", "model": "claude-opus-4-6", "content": content,
           "usage": {"input_tokens": 3, "output_tokens": 10, "cache_read_input_tokens": 17_842,
                     "cache_creation_input_tokens": 8_037,
                     "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 8_037}}}})
}

fn with(mut line: Value, fields: &Value) -> Value {
    line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    line
}

fn event(name: &str, data: &Value) -> Value {
    json!({"type": "han_event", "eventType": name, "uuid": "e1", "sessionId": "s",
           "timestamp": "2026-02-11T20:37:00.000Z", "data": data})
}

fn read(line: &Value) -> LineRecord {
    check(&line.to_string());
    project(&line.to_string(), &AT)
}

fn kind(line: &Value) -> MessageKind {
    read(line).kind
}

/// A value's Debug output without absent and empty fields.
fn present(value: &impl Debug) -> String {
    let empty = [": None,", ": [],", ": false,"];
    let text = format!("{value:#?}");
    text.lines().filter(|line| !empty.iter().any(|end| line.ends_with(end))).collect::<Vec<_>>().join("\n")
}

macro_rules! snapshot {
    ($name:literal, $line:expr) => {{
        let line = $line;
        let text = line.to_string();
        let shown = (read(&line), view(&text), results(&text, 0));
        insta::assert_snapshot!($name, present(&shown));
    }};
}

#[test]
fn user_lines_are_classified() {
    use MessageKind::*;
    let meta = json!({"isMeta": true});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "ok"});
    let text = json!({"type": "text", "text": "and this"});
    for (line, expected) in [
        (user(&json!("Prune the apple trees")), RegularUser),
        (user(&json!([text])), RegularUser),
        (user(&json!([result])), ToolResultUser),
        (user(&json!([result, result])), ToolResultUser),
        (user(&json!([result, text])), RegularUser),
        (user(&json!([])), RegularUser),
        (user(&json!("<command-name>/model</command-name>")), CommandUser),
        (user(&json!("<command-message>x</command-message>\n<command-name>/x</command-name>")), CommandUser),
        (user(&json!("What does <command-name> mean?")), RegularUser),
        (user(&json!("[Request interrupted by user]")), InterruptUser),
        (
            user(&json!([{"type": "text", "text": "[Request interrupted by user for tool use]"}])),
            InterruptUser,
        ),
        (with(user(&json!("Caveat")), &meta), MetaUser),
        (with(user(&json!([result])), &meta), ToolResultUser),
        (with(user(&json!("Caveat")), &json!({"isMeta": true, "summary": "Before"})), Summary),
        (with(user(&json!("Caveat")), &json!({"isMeta": true, "summary": " "})), MetaUser),
        (with(user(&json!("Hello")), &json!({"summary": "Before"})), RegularUser),
        (with(user(&json!("Hello")), &json!({"isCompactSummary": true})), Summary),
        (user(&json!("This session is being continued from a previous conversation that ran out")), Summary),
    ] {
        assert_eq!(kind(&line), expected, "{line}");
    }
}

#[test]
fn other_lines_are_classified() {
    use MessageKind::*;
    for (name, expected) in [
        ("assistant", Assistant),
        ("summary", Summary),
        ("system", System),
        ("file-history-snapshot", FileHistorySnapshot),
        ("queue-operation", QueueOperation),
        ("progress", UnknownEvent),
        ("pr-link", System),
        ("custom-title", System),
        ("attachment", System),
        ("a-type-of-a-later-version", UnknownEvent),
        ("han_event", UnknownEvent),
        ("", UnknownEvent),
    ] {
        assert_eq!(kind(&json!({"type": name})), expected, "{name}");
    }
    for line in [json!({}), json!([]), json!("text"), json!(1), Value::Null] {
        assert_eq!(kind(&line), UnknownEvent, "{line}");
    }
}

#[test]
fn han_events_are_recognised_by_every_name_field() {
    for kind in MessageKind::ALL {
        let snake = |text: &str| {
            let words = text.trim_end_matches("Message").chars();
            let spelt: String = words
                .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
                .collect();
            spelt.trim_start_matches('_').to_owned()
        };
        let name = snake(kind.as_str());
        let expected = if matches!(
            kind,
            MessageKind::Assistant
                | MessageKind::RegularUser
                | MessageKind::CommandUser
                | MessageKind::InterruptUser
                | MessageKind::MetaUser
                | MessageKind::ToolResultUser
                | MessageKind::Summary
                | MessageKind::System
                | MessageKind::FileHistorySnapshot
        ) {
            // No Han event has this name.
            MessageKind::UnknownEvent
        } else {
            *kind
        };
        for line in [
            json!({"type": "han_event", "data": {"type": name}}),
            json!({"type": "han_event", "data": {"event": name}}),
            json!({"type": "han_event", "eventType": name, "data": {}}),
            json!({"type": "han_event", "event": name}),
            json!({"type": "han_event", "subtype": name, "data": {"type": "something else"}}),
        ] {
            let record = read(&line);
            assert_eq!(record.kind, expected, "{line}");
            if expected != MessageKind::UnknownEvent {
                assert_eq!(record.subtype.as_deref(), Some(&*name));
            }
        }
        if expected != MessageKind::UnknownEvent {
            assert_eq!(read(&json!({"type": name, "data": {}})).kind, expected, "{name}");
        }
        assert_eq!(kind.as_str().parse(), Ok(*kind));
    }
}

#[test]
fn prompt_views() {
    snapshot!("prompt", user(&json!("Prune the apple trees,\nthen water them")));
    snapshot!(
        "prompt_with_image",
        user(&json!([
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGFu"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/pixel.png"}},
            {"type": "novelty", "shape": "round"},
        ]))
    );
    snapshot!(
        "command",
        user(&json!("<command-name>/model</command-name>\n<command-args>opus</command-args>"))
    );
}

#[test]
fn answer_views() {
    snapshot!(
        "answer",
        assistant(&json!([
            {"type": "thinking", "thinking": "The trees\nare old.", "signature": "c2ln"},
            {"type": "text", "text": "I shall prune them."},
            {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls  -l"}},
            {"type": "tool_use", "id": "t2", "name": "mcp__calendar__list_events", "input": {}},
        ]))
    );
    let MessageView::Assistant(tools) =
        view(&assistant(&json!([{"type": "tool_use", "id": "t1", "name": "Read"}])).to_string())
    else {
        panic!("no assistant")
    };
    assert!(tools.is_tool_only && tools.has_tool_use && !tools.has_thinking);
    let Some(Block::ToolUse(tool_use)) = tools.content_blocks.first() else { panic!("no tool use") };
    assert_eq!(tool_use.input, "{}");
}

#[test]
fn tool_result_views() {
    snapshot!(
        "tool_result",
        with(
            user(&json!([{"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [
                {"type": "text", "text": "line\n".repeat(11)},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGFu"}},
            ]}])),
            &json!({"toolUseResult": {"agentId": "a881341", "totalDurationMs": 32_855}})
        )
    );
    // With several results, it is ambiguous which one the structured result belongs to.
    let two =
        json!([{"type": "tool_result", "tool_use_id": "t1"}, {"type": "tool_result", "tool_use_id": "t2"}]);
    let record = read(&with(user(&two), &json!({"toolUseResult": {"agentId": "a881341"}})));
    assert_eq!(record.results.iter().filter(|result| result.starts_agent.is_some()).count(), 0);
    assert_eq!(record.results.len(), 2);
    // A result that names no call cannot be paired.
    assert!(read(&user(&json!([{"type": "tool_result", "content": "x"}]))).results.is_empty());
}

#[test]
fn hunks_say_where_a_tool_changed_a_file() {
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "updated"});
    let patch = json!({"toolUseResult": {"structuredPatch": [
        {"oldStart": 10, "oldLines": 2, "newStart": 12, "newLines": 2, "lines": [" a", "-b", "+c\u{0}"]},
        {"oldStart": -4, "newStart": 1e300, "lines": ["+d", 5]},
        {"oldStart": 1, "lines": ["+no new number"]},
        "no hunk",
    ]}});
    let of = |results: Value| hunks(&with(user(&results), &patch).to_string(), 0);
    let hunk = |old_start, new_start, lines: &[&str]| Hunk {
        old_start,
        new_start,
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(
        of(json!([result("t1")])),
        [hunk(10, 12, &[" a", "-b", "+c"]), hunk(0, 1_000_000_000, &["+d"])]
    );
    // With several results, it is ambiguous which one the structured result belongs to.
    assert_eq!(of(json!([result("t1"), result("t2")])), []);
    assert_eq!(of(json!("no result")), []);
    let shapes = [json!("Error: not found"), json!({"structuredPatch": {}}), json!(null)];
    for shape in shapes {
        let line = with(user(&json!([result("t1")])), &json!({"toolUseResult": shape}));
        assert_eq!(hunks(&line.to_string(), 0), []);
    }
}

#[test]
fn harness_line_views() {
    snapshot!(
        "compact_boundary",
        json!({"type": "system", "subtype": "compact_boundary", "level": "info", "content": "Conversation compacted",
               "compactMetadata": {"trigger": "manual", "preTokens": 1}, "isMeta": false})
    );
    snapshot!("summary", json!({"type": "summary", "summary": "Pruning the orchard", "leafUuid": "a9"}));
    snapshot!(
        "file_history_snapshot",
        json!({"type": "file-history-snapshot", "messageId": "u1", "isSnapshotUpdate": true, "snapshot":
               {"messageId": "u1", "timestamp": "2026-02-11T20:36:45.618Z", "trackedFileBackups": {"a": {}, "b": {}}}})
    );
    snapshot!(
        "queue_operation",
        json!({"type": "queue-operation", "operation": "enqueue", "timestamp": "2026-02-11T20:36:45.618Z",
               "sessionId": "s", "content": "check again"})
    );
    snapshot!(
        "progress",
        json!({"type": "progress", "uuid": "p1", "parentToolUseID": "t1", "toolUseID": "x",
               "data": {"type": "agent_progress", "agentId": "a881341", "prompt": "look"}})
    );
    let half = "{\"type\":\"user\",\"mess";
    check(half);
    insta::assert_snapshot!("half_a_line", present(&(project(half, &AT), view(half), results(half, 0))));
}

#[test]
fn hook_views() {
    let common =
        json!({"plugin": "rust", "hook": "lint", "hook_type": "Stop", "directory": ".", "cached": true});
    let ended =
        json!({"duration_ms": 812, "exit_code": 2, "success": false, "output": "out", "error": "err"});
    snapshot!("hook_run", event("hook_run", &common));
    snapshot!(
        "hook_result",
        with(event("hook_result", &with(common.clone(), &ended)), &json!({"hookRunId": "e0"}))
    );
    snapshot!("hook_validation", event("hook_validation", &with(common, &ended)));
    snapshot!(
        "hook_validation_cache",
        event(
            "hook_validation_cache",
            &json!({"plugin": "rust", "hook": "lint", "files": {"a": "1", "b": "2"}})
        )
    );
    snapshot!(
        "hook_check_state",
        event("hook_check_state", &json!({"hookType": "Stop", "hooksCount": 2, "fingerprint": "f"}))
    );
    snapshot!(
        "hook_reference",
        event("hook_reference", &json!({"filePath": "docs/a.md", "reason": "style", "success": true}))
    );
    snapshot!(
        "hook_script",
        event("hook_script", &json!({"command": "date", "exitCode": 0, "output": "now", "durationMs": 7}))
    );
    snapshot!(
        "hook_datetime",
        event("hook_datetime", &json!({"datetime": "2026-02-11", "duration_ms": 1e99}))
    );
    snapshot!(
        "hook_file_change",
        event("hook_file_change", &json!({"session_id": "s", "tool_name": "Edit", "file_path": "a"}))
    );
}

#[test]
fn mcp_and_exposed_call_views() {
    snapshot!("mcp_tool_call", event("mcp_tool_call", &json!({"tool": "list", "arguments": {"q": [1]}})));
    snapshot!(
        "mcp_tool_result",
        event(
            "mcp_tool_result",
            &json!({"tool": "list", "call_id": "e0", "success": true, "duration_ms": 4,
              "result": {"content": [{"type": "text", "text": "found"}]}})
        )
    );
    let exposed = json!({"server": "files", "tool": "search", "prefixed_name": "files_search"});
    snapshot!(
        "exposed_tool_call",
        event("exposed_tool_call", &with(exposed.clone(), &json!({"callId": "c", "input": "x"})))
    );
    snapshot!(
        "exposed_tool_result",
        event("exposed_tool_result", &with(exposed, &json!({"callId": "c", "error": "no"})))
    );
}

#[test]
fn memory_and_sentiment_views() {
    snapshot!(
        "memory_query",
        event("memory_query", &json!({"question": "why?", "route": "rules", "result_count": 2}))
    );
    snapshot!(
        "memory_learn",
        event(
            "memory_learn",
            &json!({"domain": "trees", "scope": "project", "paths": ["a", 1], "append": true})
        )
    );
    snapshot!(
        "sentiment_analysis",
        event(
            "sentiment_analysis",
            &json!({"message_id": "u1", "sentiment_score": -2.5, "sentiment_level": "negative",
              "frustration_score": 7, "frustration_level": "high", "signals": ["CAPS"], "task_id": "t"})
        )
    );
    snapshot!("unknown_event", event("frustration_detected", &json!({"frustration_level": "low"})));
}

#[test]
fn only_lines_typed_by_a_person_are_turns() {
    let turn = |line: Value| read(&line).turn;
    assert!(turn(user(&json!("Hello"))));
    assert!(turn(user(&json!("<command-name>/x</command-name>"))));
    assert!(turn(user(&json!([{"type": "image", "source": {}}]))));
    for line in [
        user(&json!("<task-notification>\n<task-id>b</task-id>")),
        user(&json!("<local-command-stdout>done</local-command-stdout>")),
        user(&json!(" ")),
        user(&json!("[Request interrupted by user]")),
        with(user(&json!("Look into it")), &json!({"isSidechain": true})),
        with(user(&json!("Look into it")), &json!({"agentId": "a881341"})),
        with(user(&json!("Caveat")), &json!({"isMeta": true})),
        assistant(&json!([])),
    ] {
        assert!(!turn(line.clone()), "{line}");
    }
}

#[test]
fn the_time_source_is_the_line_its_leaf_or_the_line_before() {
    let time = |line: Value| read(&line).time;
    let own = TimeSource::Own(Timestamp::parse_rfc3339("2026-02-11T20:36:45.618Z").unwrap());
    let stamp = json!("2026-02-11T20:36:45.618Z");
    assert_eq!(time(json!({"type": "x", "timestamp": stamp})), own);
    assert_eq!(time(json!({"type": "file-history-snapshot", "snapshot": {"timestamp": stamp}})), own);
    assert_eq!(time(json!({"type": "user", "snapshot": {"timestamp": stamp}})), TimeSource::LineBefore);
    assert_eq!(time(json!({"type": "summary", "leafUuid": "a9"})), TimeSource::Leaf("a9".to_owned()));
    assert_eq!(time(json!({"type": "summary", "leafUuid": "a9", "timestamp": stamp})), own);
    assert_eq!(time(json!({"type": "summary", "timestamp": "soon"})), TimeSource::LineBefore);
}

#[test]
fn compactions_leave_a_boundary_and_a_continuation() {
    let of = |line: Value| read(&line).compaction.map(|c| (c.trigger, c.continuation));
    let boundary = |trigger: Value| json!({"type": "system", "subtype": "compact_boundary", "compactMetadata": {"trigger": trigger}});
    assert_eq!(of(boundary(json!("auto"))), Some((CompactionTrigger::Auto, false)));
    assert_eq!(of(boundary(json!("manual"))), Some((CompactionTrigger::Manual, false)));
    assert_eq!(of(boundary(json!(1))), Some((CompactionTrigger::Unknown, false)));
    let summary = with(user(&json!("x")), &json!({"isCompactSummary": true}));
    assert_eq!(of(summary), Some((CompactionTrigger::Unknown, true)));
    assert_eq!(of(user(&json!("x"))), None);
}

#[test]
fn the_total_of_cache_writes_takes_precedence_over_its_split() {
    let creation = |usage: Value| {
        let line = json!({"type": "assistant", "uuid": "a", "message": {"usage": usage}});
        let usage = read(&line).usage.unwrap();
        assert_eq!(usage.message_id, "line:a");
        (usage.cache_creation_5m, usage.cache_creation_1h)
    };
    let split = json!({"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20});
    assert_eq!(creation(json!({"cache_creation_input_tokens": 30, "cache_creation": split})), (10, 20));
    assert_eq!(creation(json!({"cache_creation_input_tokens": 50, "cache_creation": split})), (30, 20));
    assert_eq!(creation(json!({"cache_creation_input_tokens": 15, "cache_creation": split})), (0, 15));
    assert_eq!(creation(json!({"cache_creation_input_tokens": 7})), (7, 0));
    assert_eq!(creation(json!({"cache_creation": split})), (10, 20));
    assert_eq!(creation(json!({"cache_creation_input_tokens": -7})), (0, 0));
    assert_eq!(creation(json!({})), (0, 0));
}

#[test]
fn pull_requests_come_from_links_and_command_output() {
    let number = |line: Value| read(&line).pull_request.map(|pr| pr.number);
    let ran = |stdout: &str| {
        with(
            user(&json!([{"type": "tool_result", "tool_use_id": "t"}])),
            &json!({"toolUseResult": {"stdout": stdout}}),
        )
    };
    assert_eq!(
        number(json!({"type": "pr-link", "prNumber": 7, "prUrl": "https://github.com/o/r/pull/7"})),
        Some(7)
    );
    assert_eq!(number(json!({"type": "pr-link", "prUrl": "https://github.com/o/r/pull/8"})), Some(8));
    assert_eq!(number(ran("Creating pull request\n\nhttps://github.com/o/r/pull/9\n")), Some(9));
    assert_eq!(number(ran("https://github.com/o/r/pull/9 was merged")), None);
    assert_eq!(number(user(&json!("https://github.com/o/r/pull/9"))), None);
}

#[test]
fn hook_results_are_paired_with_their_runs() {
    let hook = |name: &str, run_id: Option<&str>, is_run| HookRecord {
        run_id: run_id.map(str::to_owned),
        hook_name: Some(name.to_owned()),
        plugin: None,
        hook_type: None,
        directory: None,
        is_run,
        success: None,
        duration_ms: None,
        exit_code: None,
        cached: None,
    };
    let events: Vec<_> = (0..)
        .zip([
            hook("lint", None, false),
            hook("lint", Some("r1"), true),
            hook("test", Some("r2"), true),
            hook("lint", Some("r3"), true),
            hook("lint", Some("r3"), false),
            hook("test", Some("elsewhere"), false),
            hook("lint", None, false),
        ])
        .map(|(line, hook)| {
            (LinePosition { time: Timestamp(line as i64), transcript: "han".to_owned(), line }, hook)
        })
        .collect();
    let pairs = |events: &[(LinePosition, HookRecord)]| {
        let line = |side: Option<(LinePosition, HookRecord)>| side.map(|(position, _)| position.line);
        pair_hooks(events).into_iter().map(|e| (line(e.run), line(e.outcome))).collect::<Vec<_>>()
    };
    let expected =
        vec![(None, Some(0)), (Some(1), Some(6)), (Some(2), None), (Some(3), Some(4)), (None, Some(5))];
    assert_eq!(pairs(&events), expected);
    let mut reversed = events;
    reversed.reverse();
    assert_eq!(pairs(&reversed), expected);
}
