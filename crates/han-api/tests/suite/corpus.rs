//! Sessions that together contain every kind of line and record.

use std::path::Path;

use han_db::queries::search;
use han_testkit::{SyntheticSession, fixtures};
use serde_json::{Value, json};

use crate::support::{World, lines};

/// The session that is written by hand, and its project.
pub const RICH: &str = "11111111-2222-4333-8444-555555555555";

/// Stores all sessions, equal in every world; with the real transcripts if there are any.
pub async fn push(world: &World, with_real: bool) -> Vec<String> {
    let mut sessions = world.push_samples().await;
    for seed in 0..3 {
        let mut made = SyntheticSession::new(seed);
        let id = made.session_id().to_owned();
        let path = ["/home/dev/orchard", "/home/dev/orchard/tools", "/home/dev/orchard/.worktrees/graft"];
        let main = made.lines(150);
        world.push_from(&id, "main", path[seed as usize], &main).await;
        world
            .push_from(
                &id,
                "han",
                path[seed as usize],
                &made.han_events(2 * SyntheticSession::HAN_EVENT_KINDS),
            )
            .await;
        sessions.push(id);
    }
    // Enough for both lists of effective sessions.
    for seed in 10..20 {
        let mut made = SyntheticSession::new(seed);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(6)).await;
        sessions.push(id);
    }
    world.push(RICH, "main", &rich_lines()).await;
    world.push(RICH, "han", &rich_events()).await;
    world.push(RICH, "agent-a1", &agent_lines()).await;
    sessions.push(RICH.to_owned());
    if with_real && let Some(real) = fixtures::real_transcripts() {
        sessions.extend(push_real(world, &real.join("projects")).await);
    }
    index(world).await;
    sessions
}

/// Makes all lines known to searches.
pub async fn index(world: &World) {
    for due in search::due(&world.db, None, 100).await.unwrap() {
        while !search::index(&world.db, &due).await.unwrap() {}
    }
}

async fn push_real(world: &World, projects: &Path) -> Vec<String> {
    let mut sessions = Vec::new();
    let sorted = |directory: &Path| {
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    for project in sorted(projects) {
        for file in sorted(&project).into_iter().filter(|path| path.is_file()) {
            let session = stem(&file);
            world.push_from(&session, "main", "/home/user/projects/spotter", &lines(&file)).await;
            for agent in sorted(&project.join(&session).join("subagents")) {
                world.push_from(&session, &stem(&agent), "/home/user/projects/spotter", &lines(&agent)).await;
            }
            sessions.push(session);
        }
    }
    sessions
}

fn time(second: usize) -> String {
    format!("2026-10-30T08:{:02}:{:02}.000Z", second / 60 % 60, second % 60)
}

/// A line of the conversation with the fields of every such line.
fn line(second: usize, uuid: &str, kind: &str, more: Value) -> Value {
    let mut line = json!({"type": kind, "uuid": uuid, "timestamp": time(second), "sessionId": RICH,
        "cwd": "/home/dev/orchard", "gitBranch": "prune", "version": "2.1.40", "parentUuid": "rich-prompt",
        "slug": "prune-the-old-trees", "teamName": "gardeners", "isSidechain": false, "userType": "external"});
    for (name, value) in more.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

fn tool_use(second: usize, call: &str, name: &str, input: Value) -> Value {
    let usage = json!({"input_tokens": 12, "output_tokens": 340, "cache_read_input_tokens": 20_000,
        "cache_creation_input_tokens": 900,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 500}});
    let content = json!([{"type": "tool_use", "id": call, "name": name, "input": input}]);
    let message = json!({"role": "assistant", "id": format!("msg-{call}"), "model": "claude-opus-4-6",
        "type": "message", "content": content, "usage": usage});
    line(second, &format!("use-{call}"), "assistant", json!({"message": message}))
}

fn tool_result(second: usize, call: &str, said: &str, structured: Value) -> Value {
    let content = json!([{"type": "tool_result", "tool_use_id": call, "content": said, "is_error": false}]);
    let more = json!({"message": {"role": "user", "content": content}, "toolUseResult": structured});
    line(second, &format!("result-{call}"), "user", more)
}

/// A tool use and its result.
fn call(second: usize, id: &str, name: &str, input: Value, said: &str, structured: Value) -> [Value; 2] {
    [tool_use(second, id, name, input), tool_result(second + 2, id, said, structured)]
}

fn rich_lines() -> Vec<String> {
    let prompt = |second, uuid, content: Value| {
        line(second, uuid, "user", json!({"message": {"role": "user", "content": content}}))
    };
    let file = "/home/dev/orchard/src/tree.rs";
    let pixel =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";
    let mut lines = vec![
        prompt(0, "rich-prompt", json!("Prune the trees")),
        prompt(
            1,
            "rich-image",
            json!([{"type": "text", "text": "Like this"},
                   {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}}]),
        ),
        prompt(
            2,
            "rich-command",
            json!("<command-name>/model</command-name><command-args>opus</command-args>"),
        ),
        prompt(3, "rich-interrupt", json!([{"type": "text", "text": "[Request interrupted by user]"}])),
        line(
            4,
            "rich-meta",
            "user",
            json!({"isMeta": true, "message": {"role": "user", "content": "Caveat"}}),
        ),
        line(
            5,
            "rich-thought",
            "assistant",
            json!({"message": {"role": "assistant", "id": "msg-thought", "model": "claude-opus-4-6", "content": [
                {"type": "thinking", "thinking": "Which branches bear no fruit?", "signature": "c2ln"},
                {"type": "text", "text": "I look at the trees."}]}}),
        ),
        line(
            6,
            "rich-unpriced",
            "assistant",
            json!({"message": {"role": "assistant", "id": "msg-unpriced", "model": "secateurs-1",
                "content": [{"type": "text", "text": "Snip."}],
                "usage": {"input_tokens": 5, "output_tokens": 7}}}),
        ),
        line(
            7,
            "rich-system",
            "system",
            json!({"subtype": "informational", "level": "info",
            "content": "A notice", "isMeta": true}),
        ),
        line(
            8,
            "rich-compact",
            "system",
            json!({"subtype": "compact_boundary", "content": "Conversation compacted",
            "compactMetadata": {"trigger": "manual", "preTokens": 150_000}}),
        ),
        line(
            9,
            "rich-summary",
            "user",
            json!({"isCompactSummary": true,
            "message": {"role": "user", "content": "This session is being continued"}}),
        ),
        json!({"type": "file-history-snapshot", "messageId": "rich-prompt", "isSnapshotUpdate": true,
            "parentUuid": "rich-prompt",
            "snapshot": {"messageId": "rich-prompt", "timestamp": time(10),
                "trackedFileBackups": {"src/tree.rs": {"backupFileName": "a@v1", "version": 1}}}}),
        json!({"type": "queue-operation", "operation": "enqueue", "timestamp": time(11), "sessionId": RICH,
            "parentUuid": "rich-prompt"}),
        json!({"type": "rootstock", "uuid": "rich-unknown", "timestamp": time(12), "data": {"type": "graft"},
            "parentUuid": "rich-prompt"}),
        json!({"type": "pr-link", "uuid": "rich-pr", "timestamp": time(13), "sessionId": RICH, "prNumber": 17,
            "prUrl": "https://github.example.com/team/orchard/pull/17", "prRepository": "team/orchard"}),
    ];
    lines.extend(call(
        20,
        "rich-edit",
        "Edit",
        json!({"file_path": file, "old_string": "branch\nold", "new_string": "branch\nnew\nnewer"}),
        "The file has been updated",
        json!({"type": "update", "filePath": file}),
    ));
    lines.extend(call(
        24,
        "rich-write",
        "Write",
        json!({"file_path": "/home/dev/orchard/src/leaf.rs", "content": "leaf\n"}),
        "File created successfully",
        json!({"type": "create", "filePath": "/home/dev/orchard/src/leaf.rs"}),
    ));
    lines.extend(call(
        28,
        "rich-todo",
        "TodoWrite",
        json!({"todos": [
            {"content": "Look", "status": "completed", "activeForm": "Looking"},
            {"content": "Cut", "status": "in_progress", "activeForm": "Cutting"},
            {"content": "Sweep", "status": "pending", "activeForm": "Sweeping"}]}),
        "Todos have been modified",
        json!({}),
    ));
    for (at, subject) in ["Saw", "Sharpen"].into_iter().enumerate() {
        let id = format!("rich-create-{at}");
        lines.extend(call(
            32 + at * 4,
            &id,
            "TaskCreate",
            json!({"subject": subject, "description": format!("{subject} it"), "activeForm": format!("{subject}ing")}),
            &format!("Task #{} created successfully", at + 1),
            json!({"task": {"id": (at + 1).to_string(), "subject": subject}}),
        ));
    }
    lines.extend(call(
        42,
        "rich-update-1",
        "TaskUpdate",
        json!({"taskId": "1", "status": "completed", "owner": "gardener", "addBlocks": ["2"]}),
        "Updated task #1",
        json!({}),
    ));
    lines.extend(call(
        46,
        "rich-update-2",
        "TaskUpdate",
        json!({"taskId": "2", "addBlockedBy": ["1"]}),
        "Updated task #2",
        json!({}),
    ));
    for (at, (kind, outcome)) in
        [("fix", "success"), ("refactor", "partial"), ("research", "failure"), ("implementation", "")]
            .into_iter()
            .enumerate()
    {
        let (start, task) = (50 + at * 8, format!("task-{at}"));
        lines.extend(call(
            start,
            &format!("rich-start-{at}"),
            "mcp__han__start_task",
            json!({"description": format!("A {kind}"), "type": kind, "estimated_complexity": "simple"}),
            &json!({"task_id": task}).to_string(),
            json!({}),
        ));
        if !outcome.is_empty() {
            lines.extend(call(
                start + 4,
                &format!("rich-end-{at}"),
                "mcp__han__complete_task",
                json!({"task_id": task, "outcome": outcome, "confidence": 0.75, "notes": "Done with care"}),
                "ok",
                json!({}),
            ));
        }
    }
    lines.extend(call(
        90,
        "rich-agent",
        "Task",
        json!({"description": "Count", "prompt": "Count the trees", "subagent_type": "Explore"}),
        "Forty-two",
        json!({"agentId": "a1", "status": "completed", "totalDurationMs": 9000, "totalTokens": 1200,
               "totalToolUseCount": 3}),
    ));
    for (second, (id, name, input)) in [
        ("rich-bash", "Bash", json!({"command": "ls", "description": "List"})),
        ("rich-grep", "Grep", json!({"pattern": "tree"})),
        ("rich-web", "WebFetch", json!({"url": "https://example.com", "prompt": "Read"})),
        ("rich-mcp", "mcp__calendar__list", json!({"q": "today"})),
        ("rich-odd", "Dance", json!({"step": 1})),
    ]
    .into_iter()
    .enumerate()
    {
        lines.extend(call(94 + second * 4, id, name, input, "said", json!({"durationMs": 21})));
    }
    lines.iter().map(Value::to_string).collect()
}

/// A subagent's file, with every kind of line.
fn agent_lines() -> Vec<String> {
    let mut said = line(
        92,
        "agent-said",
        "assistant",
        json!({"agentId": "a1", "isSidechain": true,
        "message": {"role": "assistant", "id": "msg-agent", "model": "claude-haiku-4-5-20251001",
            "content": [{"type": "text", "text": "Forty-two"}],
            "usage": {"input_tokens": 3, "output_tokens": 9}}}),
    );
    said["parentUuid"] = Value::Null;
    let lines = rich_lines().into_iter().take(16).chain(rich_events());
    let own = lines.map(|line| line.replace("rich-", "agent-"));
    std::iter::once(said.to_string()).chain(own).collect()
}

/// Lines that are added to the rich session later: of its conversation, and of Han.
pub fn late_lines() -> [Vec<String>; 2] {
    let file = json!({"file_path": "/home/dev/orchard/src/late.rs", "old_string": "a", "new_string": "b"});
    let todos = json!({"todos": [{"content": "Rest", "status": "in_progress", "activeForm": "Resting"},
                                 {"content": "Cut", "status": "completed", "activeForm": "Cutting"}]});
    let main = [tool_use(200, "late-edit", "Edit", file), tool_use(201, "late-todo", "TodoWrite", todos)];
    let event = |second: usize, name: &str, more: Value| {
        let mut event = json!({"type": name, "uuid": format!("late-{name}"), "timestamp": time(second),
            "sessionId": RICH, "hookRunId": "late-run", "data": {"plugin": "rust", "hook": "test"}});
        for (name, value) in more.as_object().unwrap() {
            event["data"][name] = value.clone();
        }
        event
    };
    let outcome = json!({"duration_ms": 40, "success": true, "call_id": "late-mcp", "tool": "list"});
    let han = [
        event(202, "hook_run", json!({})),
        event(203, "hook_result", outcome.clone()),
        event(204, "mcp_tool_result", outcome),
    ];
    [main.iter().map(Value::to_string).collect(), han.iter().map(Value::to_string).collect()]
}

/// Blocks of messages, each with everything that is nested: a tool use with its result, a subagent, a hook run, an MCP
/// call, an exposed call, a prompt with a sentiment.
pub fn blocks(count: usize) -> [Vec<String>; 2] {
    let (mut main, mut han) = (Vec::new(), Vec::new());
    for block in 0..count {
        let id = |what: &str| format!("{what}-{block}");
        let at = block * 6;
        let mut prompt =
            line(at, &id("prompt"), "user", json!({"message": {"role": "user", "content": "Go on"}}));
        prompt["parentUuid"] = Value::Null;
        main.push(prompt);
        let edit = json!({"file_path": "/home/dev/orchard/a.rs", "old_string": "a", "new_string": "b"});
        main.extend(call(at + 1, &id("edit"), "Edit", edit, "ok", json!({})));
        let task = json!({"description": "Count", "prompt": "Count"});
        main.extend(call(at + 1, &id("task"), "Task", task, "ok", json!({"agentId": id("agent")})));
        let mut event = |name: &str, key: &str, value: Value, more: Value| {
            let mut data = json!({"plugin": "rust", "hook": "test", "tool": "list", "server": "calendar"});
            for (name, value) in more.as_object().unwrap() {
                data[name] = value.clone();
            }
            let mut event = json!({"type": name, "uuid": id(name), "timestamp": time(at + 2), "data": data});
            event[key] = value;
            han.push(event);
        };
        event("hook_run", "hookRunId", json!(id("run")), json!({}));
        event("hook_result", "hookRunId", json!(id("run")), json!({"success": true}));
        for sort in ["mcp", "exposed"] {
            let call_id = json!({"call_id": id(sort), "success": true});
            event(&format!("{sort}_tool_call"), "x", json!(0), call_id.clone());
            event(&format!("{sort}_tool_result"), "x", json!(0), call_id);
        }
        event(
            "sentiment_analysis",
            "x",
            json!(0),
            json!({"message_id": id("prompt"), "sentiment_score": 1.0, "signals": ["calm"]}),
        );
    }
    [main.iter().map(Value::to_string).collect(), han.iter().map(Value::to_string).collect()]
}

fn rich_events() -> Vec<String> {
    let event = |second: usize, uuid: &str, name: &str, data: Value| {
        let run = if name == "hook_result" { json!("rich-run") } else { Value::Null };
        json!({"type": name, "uuid": uuid, "parentUuid": "rich-prompt", "timestamp": time(second),
               "sessionId": RICH, "cwd": "/home/dev/orchard", "hookRunId": run, "data": data})
    };
    let hook = |more: Value| {
        let mut data = json!({"plugin": "rust", "hook": "test", "hook_type": "Stop", "directory": "/home/dev/orchard",
            "cached": true, "duration_ms": 812, "exit_code": 2, "success": false, "output": "ran",
            "error": "a test failed", "command": "cargo test"});
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    let sentiment = |second: usize, uuid: &str, prompt: &str, score: f64, frustration: f64, level: &str| {
        event(
            second,
            uuid,
            "sentiment_analysis",
            json!({"message_id": prompt, "sentiment_score": score, "sentiment_level": "negative",
                   "frustration_score": frustration, "frustration_level": level, "signals": ["CAPS"]}),
        )
    };
    let events = [
        event(14, "rich-run", "hook_run", hook(json!({}))),
        event(15, "rich-run-result", "hook_result", hook(json!({}))),
        event(
            16,
            "rich-reference",
            "hook_reference",
            json!({"plugin": "rust", "file_path": "docs/style.md",
            "reason": "must read", "success": true, "duration_ms": 3}),
        ),
        event(60, "rich-validation", "hook_validation", hook(json!({"success": true, "exit_code": 0}))),
        event(61, "rich-validation-failed", "hook_validation", hook(json!({"hook": "lint"}))),
        event(62, "rich-script", "hook_script", hook(json!({}))),
        event(
            63,
            "rich-learn",
            "memory_learn",
            json!({"domain": "pruning", "scope": "project",
            "paths": ["src/**"], "append": true, "success": true}),
        ),
        event(
            64,
            "rich-query",
            "memory_query",
            json!({"question": "How?", "route": "rules", "result_count": 2,
            "success": true, "duration_ms": 22}),
        ),
        event(
            65,
            "rich-mcp-call",
            "mcp_tool_call",
            json!({"tool": "list", "server": "calendar",
            "prefixed_name": "calendar_list", "arguments": {"q": "x"}, "call_id": "rich-mcp-call"}),
        ),
        event(
            66,
            "rich-mcp-result",
            "mcp_tool_result",
            json!({"tool": "list", "server": "calendar",
            "prefixed_name": "calendar_list", "call_id": "rich-mcp-call", "success": false, "duration_ms": 40,
            "result": "nothing", "error": "no calendar"}),
        ),
        event(
            67,
            "rich-exposed-call",
            "exposed_tool_call",
            json!({"tool": "find", "server": "files",
            "prefixed_name": "files_find", "arguments": {"q": "x"}, "call_id": "rich-exposed-call"}),
        ),
        event(
            68,
            "rich-exposed-result",
            "exposed_tool_result",
            json!({"tool": "find", "server": "files",
            "prefixed_name": "files_find", "call_id": "rich-exposed-call", "success": false, "duration_ms": 12,
            "result": "some", "error": "not all"}),
        ),
        event(
            69,
            "rich-file-change",
            "hook_file_change",
            json!({"session_id": RICH, "tool_name": "Edit",
            "file_path": "src/tree.rs"}),
        ),
        sentiment(70, "rich-sentiment-1", "rich-prompt", -2.5, 7.5, "high"),
        sentiment(71, "rich-sentiment-2", "rich-command", -1.0, 4.0, "moderate"),
        sentiment(72, "rich-sentiment-3", "rich-image", -0.5, 3.0, "moderate"),
        sentiment(73, "rich-sentiment-4", "rich-interrupt", -0.5, 3.0, "moderate"),
        sentiment(74, "rich-sentiment-5", "rich-meta", 0.5, 1.0, "low"),
        sentiment(75, "rich-sentiment-6", "result-rich-edit", 0.5, 1.0, "low"),
        event(
            76,
            "rich-check",
            "hook_check_state",
            json!({"hook_type": "Stop", "fingerprint": "f", "hooks_count": 2}),
        ),
        event(
            77,
            "rich-cache",
            "hook_validation_cache",
            json!({"plugin": "rust", "hook": "lint", "directory": ".",
            "files": {"src/tree.rs": "9a0b"}}),
        ),
        event(
            78,
            "rich-datetime",
            "hook_datetime",
            json!({"plugin": "core", "datetime": time(78), "duration_ms": 1}),
        ),
    ];
    events.iter().map(Value::to_string).collect()
}
