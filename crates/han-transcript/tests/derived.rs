//! Tests tasks, to-dos and file changes that are derived from a session's lines in any order of arrival.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use han_transcript::fold::{LinePosition, SessionTotals, TaskStatus};
use han_transcript::record::{FileAction, LineContext, TaskOutcome, TodoStatus, project};
use han_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: LineContext<'static> = LineContext { session_id: "session", transcript: "main" };

fn uses(tool: &str, call: &str, input: Value) -> Value {
    json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": call, "name": tool, "input": input}]}})
}

fn answers(call: &str, content: &str, structured: Value, is_error: bool) -> Value {
    json!({"type": "user", "toolUseResult": structured, "message": {"content":
           [{"type": "tool_result", "tool_use_id": call, "content": content, "is_error": is_error}]}})
}

fn event(name: &str, uuid: &str, data: Value) -> Value {
    json!({"type": name, "uuid": uuid, "data": data})
}

/// Folds lines whose timestamps are one second apart, in the given order.
fn fold(lines: &[Value], order: impl IntoIterator<Item = usize>) -> SessionTotals {
    let mut totals = SessionTotals::default();
    for at in order {
        let line = u64::try_from(at).unwrap();
        let position = LinePosition {
            time: Timestamp(i64::try_from(at).unwrap() * 1000),
            transcript: "main".to_owned(),
            line,
        };
        totals.add(&position, &project(&lines[at].to_string(), &AT));
    }
    totals
}

fn in_order(lines: &[Value]) -> SessionTotals {
    fold(lines, 0..lines.len())
}

fn native_lines() -> Vec<Value> {
    vec![
        uses(
            "TaskCreate",
            "c1",
            json!({"subject": "Prune", "description": "the trees", "activeForm": "Pruning"}),
        ),
        uses("TaskCreate", "c2", json!({"subject": "Water"})),
        uses("TaskCreate", "c3", json!({"subject": "Refused"})),
        answers(
            "c1",
            "Task #1 created successfully: Prune",
            json!({"task": {"id": "1", "subject": "Prune"}}),
            false,
        ),
        answers("c2", "Task #2 created successfully: Water", Value::Null, false),
        answers("c3", "User rejected tool use", json!("Error"), true),
        uses(
            "TaskUpdate",
            "u1",
            json!({"taskId": "1", "status": "in_progress", "owner": "ada", "addBlocks": ["2"]}),
        ),
        uses("TaskUpdate", "u2", json!({"taskId": 2, "addBlockedBy": ["1"], "subject": "Water all"})),
        uses("TaskUpdate", "u3", json!({"taskId": "1", "status": "completed"})),
        uses("TaskUpdate", "u4", json!({"taskId": "1", "status": "pending"})),
        answers("u4", "Task not found", json!("Error"), true),
    ]
}

#[test]
fn native_tasks_are_folded_from_their_events() {
    let tasks = in_order(&native_lines()).native_tasks();
    let [prune, water] = tasks.as_slice() else { panic!("{tasks:#?}") };
    assert_eq!((&*prune.task_id, &*prune.subject, &*prune.status), ("1", "Prune", "completed"));
    assert_eq!(
        (prune.description.as_deref(), prune.active_form.as_deref()),
        (Some("the trees"), Some("Pruning"))
    );
    assert_eq!((prune.owner.as_deref(), prune.blocks.first().map(String::as_str)), (Some("ada"), Some("2")));
    assert_eq!((prune.created_at, prune.updated_at), (Timestamp(0), Timestamp(8000)));
    assert_eq!(prune.completed_at, Some(Timestamp(8000)));
    assert_eq!((&*water.task_id, &*water.subject, &*water.status), ("2", "Water all", "pending"));
    assert_eq!((water.blocked_by.first().map(String::as_str), water.completed_at), (Some("1"), None));

    // Before its result arrives, a task is known by its call.
    assert_eq!(in_order(&native_lines()[..1]).native_tasks()[0].task_id, "c1");
}

fn han_lines() -> Vec<Value> {
    let start = json!({"description": "Prune", "type": "Refactor", "estimated_complexity": "simple"});
    vec![
        uses("mcp__plugin_core_han__start_task", "c1", start.clone()),
        event("mcp_tool_call", "e1", json!({"tool": "start_task", "arguments": start})),
        event(
            "mcp_tool_result",
            "e2",
            json!({"tool": "start_task", "call_id": "e1", "success": true,
              "result": {"content": [{"type": "text", "text": "{\"task_id\": \"t1\"}"}]}}),
        ),
        event("task_start", "e3", json!({"task_id": "t1", "description": "Prune", "task_type": "refactor"})),
        answers("c1", "{\"success\": true, \"task_id\": \"t1\"}", Value::Null, false),
        uses("mcp__plugin_core_han__update_task", "c2", json!({"task_id": "t1", "notes": "half done"})),
        uses(
            "mcp__plugin_core_han__complete_task",
            "c3",
            json!({"task_id": "t1", "outcome": "partial", "confidence": 7.5}),
        ),
        event("task_fail", "e4", json!({"task_id": "t2", "reason": "no ladder", "confidence": 0.9})),
        json!({"type": "han_event", "uuid": "e5", "data": {"type": "task_start", "task_id": "t3"}}),
        uses("mcp__other__start_task", "c9", json!({"description": "never began"})),
        answers("c9", "no such tool", Value::Null, true),
        uses("complete_task", "c10", json!({"task_id": "t3"})),
    ]
}

#[test]
fn han_tasks_are_folded_from_tool_uses_results_and_events() {
    let tasks = in_order(&han_lines()).tasks();
    let [pruned, failed, open] = tasks.as_slice() else { panic!("{tasks:#?}") };
    assert_eq!((&*pruned.task_id, pruned.status), ("t1", TaskStatus::Completed));
    assert_eq!(
        (pruned.description.as_deref(), pruned.task_type.as_deref()),
        (Some("Prune"), Some("refactor"))
    );
    assert_eq!((pruned.outcome, pruned.confidence), (Some(TaskOutcome::Partial), Some(1.0)));
    assert_eq!((pruned.notes.as_deref(), pruned.started_at), (Some("half done"), Timestamp(0)));
    assert_eq!(pruned.completed_at, Some(Timestamp(6000)));
    assert_eq!((&*failed.task_id, failed.status), ("t2", TaskStatus::Failed));
    assert_eq!((failed.notes.as_deref(), failed.outcome), (Some("no ladder"), Some(TaskOutcome::Failure)));
    // A tool of the agent with the same name is not a tool of Han.
    assert_eq!((&*open.task_id, open.status), ("t3", TaskStatus::Active));
}

fn change_lines() -> Vec<Value> {
    let edit = |old: &str, new: &str| json!({"file_path": "a.rs", "old_string": old, "new_string": new});
    vec![
        uses("Write", "w1", json!({"file_path": "new.rs", "content": "one\ntwo\n"})),
        answers("w1", "ok", json!({"type": "create", "filePath": "new.rs"}), false),
        uses("Write", "w2", json!({"file_path": "old.rs", "content": "one"})),
        answers("w2", "ok", json!({"type": "update", "filePath": "old.rs", "structuredPatch": []}), false),
        uses("Edit", "e1", edit("one\ntwo", "one\nthree\nfour")),
        answers("e1", "ok", json!({"filePath": "a.rs"}), false),
        uses("Edit", "e2", edit("x", "y")),
        answers("e2", "String to replace not found", json!("Error"), true),
        uses("MultiEdit", "m1", json!({"file_path": "a.rs", "edits": [edit("1", "2\n3"), edit("4", "")]})),
        uses(
            "NotebookEdit",
            "n1",
            json!({"notebook_path": "n.ipynb", "new_source": "a\nb", "edit_mode": "insert"}),
        ),
        uses("Edit", "e3", edit("", "new file")),
        uses("Edit", "e4", json!({"old_string": "no path"})),
        uses("Read", "r1", json!({"file_path": "a.rs"})),
    ]
}

#[test]
fn file_changes_of_failed_calls_are_left_out() {
    let changes: Vec<_> = in_order(&change_lines())
        .file_changes()
        .into_iter()
        .map(|(_, change)| (change.call_id, change.action, change.lines_added, change.lines_removed))
        .collect();
    let change = |call: &str, action, added, removed| (call.to_owned(), action, added, removed);
    assert_eq!(
        changes,
        [
            change("w1", FileAction::Created, 2, 0),
            change("w2", FileAction::Modified, 1, 0),
            change("e1", FileAction::Modified, 2, 1),
            change("m1", FileAction::Modified, 2, 2),
            change("n1", FileAction::Modified, 2, 0),
            change("e3", FileAction::Created, 1, 0),
        ]
    );
}

#[test]
fn subagent_types_come_from_the_tool_uses_that_start_them() {
    let lines = [
        uses("Task", "a1", json!({"subagent_type": "Plan", "prompt": "think"})),
        uses("Agent", "a2", json!({"prompt": "think"})),
        uses("TaskCreate", "a3", json!({"subagent_type": "Plan", "subject": "none"})),
        uses("Agent", "a4", json!({"subagent_type": 7})),
    ];
    let at = LineContext { session_id: "s", transcript: "main" };
    let subagents: Vec<Vec<String>> =
        lines.iter().map(|line| project(&line.to_string(), &at).subagents).collect();
    assert_eq!(subagents, [vec!["Plan".to_owned()], vec![String::new()], vec![], vec![String::new()]]);
}

fn todo_lines() -> Vec<Value> {
    let todo =
        |content: &str, status: &str| json!({"content": content, "status": status, "activeForm": content});
    vec![
        uses("TodoWrite", "1", json!({"todos": [todo("a", "pending"), todo("b", "in_progress")]})),
        uses(
            "TodoWrite",
            "2",
            json!({"todos": [todo("a", "completed"), todo("c", "later"), {"status": "pending"}]}),
        ),
        uses("TodoWrite", "3", json!({"todos": "none"})),
        json!({"type": "user", "todos": [todo("d", "pending")], "message": {"content": "go on"}}),
        json!({"type": "user", "message": {"content": "and on"}}),
        json!({"type": "summary", "summary": "First"}),
        json!({"type": "summary", "summary": "Last\nline"}),
    ]
}

#[test]
fn the_latest_todo_list_and_summary_are_used() {
    let totals = in_order(&todo_lines());
    let todos: Vec<_> = totals.todos().iter().map(|todo| (todo.content.as_str(), todo.status)).collect();
    assert_eq!(todos, [("a", TodoStatus::Completed), ("c", TodoStatus::Pending)]);
    assert_eq!((totals.turns(), totals.summary()), (2, Some("Last line")));
    assert_eq!(in_order(&todo_lines()[..5]).summary(), Some("go on"));
}

proptest! {
    #[test]
    fn totals_do_not_depend_on_order_and_repetition(
        order in Just((0..native_lines().len().max(han_lines().len()).max(change_lines().len())).collect::<Vec<_>>())
            .prop_shuffle(),
        again in 0usize..6,
    ) {
        for lines in [native_lines(), han_lines(), change_lines(), todo_lines()] {
            let order: Vec<_> = order.iter().copied().filter(|at| *at < lines.len()).collect();
            let shuffled = fold(&lines, order.iter().chain(&order[..again.min(order.len())]).copied());
            let expected = in_order(&lines);
            prop_assert_eq!(shuffled.native_tasks(), expected.native_tasks());
            prop_assert_eq!(shuffled.tasks(), expected.tasks());
            prop_assert_eq!(shuffled.file_changes(), expected.file_changes());
            prop_assert_eq!(shuffled.todos(), expected.todos());
            prop_assert_eq!(shuffled.summary(), expected.summary());
            prop_assert_eq!(shuffled.turns(), expected.turns());
        }
    }
}
