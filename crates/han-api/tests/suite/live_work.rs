//! Subscriptions to results, hooks, file changes and to-dos: each event arrives once, in order, for the team alone.

use han_testkit::both_databases;
use serde_json::{Value, json};

use crate::live::Watch;
use crate::support::World;

const RESULT: &str = "subscription($id: String!) { toolResultAdded(callId: $id) {
  sessionId callId type success durationMs } }";
const HOOK_RESULT: &str = "subscription($id: String!) { hookResultAdded(hookRunId: $id) {
  sessionId hookRunId hookName pluginName success durationMs } }";
const FILES: &str = "subscription($id: ID!) { sessionFilesChanged(sessionId: $id) {
  sessionId fileCount toolName } }";
const TODOS: &str = "subscription($id: ID!) { sessionTodosChanged(sessionId: $id) {
  sessionId todoCount inProgressCount completedCount } }";
const HOOKS: &str = "subscription($id: ID!) { sessionHooksChanged(sessionId: $id) {
  sessionId eventType hookName pluginName } }";

fn time(second: usize) -> String {
    format!("2026-11-02T10:{:02}:{:02}.000Z", second / 60, second % 60)
}

pub fn tool_use(second: usize, call: &str, name: &str, input: &Value) -> String {
    json!({"type": "assistant", "uuid": format!("use-{call}"), "timestamp": time(second),
        "message": {"role": "assistant", "id": format!("msg-{call}"), "model": "claude-opus-4-6",
            "content": [{"type": "tool_use", "id": call, "name": name, "input": input}]}})
    .to_string()
}

pub fn tool_result(second: usize, call: &str, is_error: bool) -> String {
    json!({"type": "user", "uuid": format!("result-{call}"), "timestamp": time(second),
        "message": {"role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call, "content": "said", "is_error": is_error}]}})
    .to_string()
}

fn edit(second: usize, call: &str) -> String {
    let input = json!({"file_path": "/home/dev/orchard/a.rs", "old_string": "a", "new_string": "b"});
    tool_use(second, call, "Edit", &input)
}

pub fn event(second: usize, uuid: &str, name: &str, data: &Value) -> String {
    json!({"type": name, "uuid": uuid, "timestamp": time(second), "data": data}).to_string()
}

pub fn hook_result(second: usize, uuid: &str, run: Option<&str>, success: bool) -> String {
    let data = json!({"plugin": "rust", "hook": "test", "duration_ms": 812, "success": success});
    let mut line: Value = serde_json::from_str(&event(second, uuid, "hook_result", &data)).unwrap();
    if let Some(run) = run {
        line["hookRunId"] = json!(run);
    }
    line.to_string()
}

fn todos(second: usize, statuses: &[&str]) -> String {
    let todos: Vec<Value> =
        statuses.iter().map(|s| json!({"content": s, "status": s, "activeForm": s})).collect();
    tool_use(second, &format!("todo-{second}"), "TodoWrite", &json!({"todos": todos}))
}

both_databases!(
    async fn tool_results_arrive_once_for_their_call(db: TestDatabase) {
        let world = World::new(&db).await;
        let ada = world.ada.context();
        let mut edit_result = Watch::start(&world, ada.clone(), RESULT, json!({ "id": "call-1" })).await;
        let mut mcp_result = Watch::start(&world, ada.clone(), RESULT, json!({ "id": "mcp-call" })).await;
        let mut nothing = Watch::start(&world, ada, RESULT, json!({ "id": "call-9" })).await;
        world.push("s1", "main", &[edit(0, "call-1"), edit(1, "call-2")]).await;
        let mcp = json!({"tool": "list", "call_id": "mcp-call", "success": true, "duration_ms": 40});
        world
            .push(
                "s1",
                "main",
                &[
                    tool_result(2, "call-2", false),
                    tool_result(3, "call-1", true),
                    event(4, "mcp-result", "mcp_tool_result", &mcp),
                ],
            )
            .await;
        assert_eq!(
            edit_result.next("toolResultAdded").await,
            json!({"sessionId": "s1", "callId": "call-1", "type": "tool", "success": false, "durationMs": 0})
        );
        assert_eq!(
            mcp_result.next("toolResultAdded").await,
            json!({"sessionId": "s1", "callId": "mcp-call", "type": "mcp", "success": true, "durationMs": 40})
        );
        // The same line again, and a call with the same id in another session.
        world.push("s1", "main", &[tool_result(3, "call-1", true)]).await;
        world.push("s2", "main", &[tool_result(5, "call-1", false)]).await;
        let second = edit_result.next("toolResultAdded").await;
        assert_eq!((&second["sessionId"], &second["success"]), (&json!("s2"), &json!(true)));
        assert!(!edit_result.has_next().await && !mcp_result.has_next().await, "each arrives once");
        assert!(!nothing.has_next().await, "another call's results");
    }
);

both_databases!(
    async fn hook_results_arrive_for_their_run(db: TestDatabase) {
        let world = World::new(&db).await;
        let ada = world.ada.context();
        let data = json!({"plugin": "rust", "hook": "test"});
        let mut watches = Vec::new();
        for run in ["run-1", "run-2", "run-3"] {
            let mut line: Value = serde_json::from_str(&event(0, run, "hook_run", &data)).unwrap();
            line["hookRunId"] = json!(run);
            let run_id = json!({ "id": run });
            watches.push(Watch::start(&world, ada.clone(), HOOK_RESULT, run_id).await);
            world.push("s1", "han", &[line.to_string()]).await;
        }
        // The first result names the second run, so the unnamed one belongs to the first run, which is still open.
        world
            .push(
                "s1",
                "han",
                &[hook_result(10, "result-a", Some("run-2"), true), hook_result(11, "result-b", None, false)],
            )
            .await;
        for (at, success) in [(1, true), (0, false)] {
            let payload = watches[at].next("hookResultAdded").await;
            let run = format!("run-{}", at + 1);
            assert_eq!(
                payload,
                json!({"sessionId": "s1", "hookRunId": run, "hookName": "test", "pluginName": "rust",
                       "success": success, "durationMs": 812})
            );
        }
        world.push("s1", "han", &[hook_result(12, "result-c", Some("run-3"), true)]).await;
        watches[2].next("hookResultAdded").await;
        for watch in &mut watches {
            assert!(!watch.has_next().await, "each run has its own result");
        }
    }
);

both_databases!(
    async fn derived_events_arrive_once_in_order(db: TestDatabase) {
        let world = World::new(&db).await;
        let (ada, eve) = (world.ada.context(), world.stranger().await.context());
        let (id, global) = (json!({ "id": "s1" }), json!({ "id": "Session:s1" }));
        world.push("s1", "main", &[tool_use(0, "call-0", "Bash", &json!({"command": "ls"}))]).await;
        let mut files = Watch::start(&world, ada.clone(), FILES, id.clone()).await;
        let mut lists = Watch::start(&world, ada.clone(), TODOS, global.clone()).await;
        let mut hooks = Watch::start(&world, ada.clone(), HOOKS, global).await;
        let mut strange = Vec::new();
        for (query, call) in [(RESULT, "call-1"), (HOOK_RESULT, "run-1")] {
            strange.push(Watch::start(&world, eve.clone(), query, json!({ "id": call })).await);
        }

        world.push("other", "main", &[edit(0, "call-1"), todos(1, &["pending"])]).await;
        world.push("s1", "main", &[edit(2, "call-1"), edit(3, "call-2")]).await;
        let payload = files.next("sessionFilesChanged").await;
        assert_eq!(payload, json!({"sessionId": "s1", "fileCount": 2, "toolName": "Edit"}));
        world.push("s1", "main", &[tool_result(4, "call-1", false), tool_result(5, "call-2", true)]).await;
        let payload = files.next("sessionFilesChanged").await;
        assert_eq!(payload["fileCount"], 1, "a change that failed is no longer counted");

        world
            .push("s1", "main", &[todos(6, &["pending"]), todos(7, &["completed", "in_progress", "pending"])])
            .await;
        let payload = lists.next("sessionTodosChanged").await;
        assert_eq!(
            payload,
            json!({"sessionId": "s1", "todoCount": 3, "inProgressCount": 1, "completedCount": 1})
        );
        world.push("s1", "main", &[todos(8, &["completed"])]).await;
        assert_eq!(lists.next("sessionTodosChanged").await["todoCount"], 1);

        let data = json!({"plugin": "rust", "hook": "test"});
        let lines: Vec<String> = ["hook_run", "hook_validation", "hook_script", "hook_datetime"]
            .iter()
            .enumerate()
            .map(|(at, name)| event(20 + at, name, name, &data))
            .chain([hook_result(30, "result-a", None, true)])
            .collect();
        world.push("s1", "han", &lines).await;
        for name in ["hook_run", "hook_validation", "hook_script", "hook_datetime", "hook_result"] {
            let payload = hooks.next("sessionHooksChanged").await;
            assert_eq!(
                payload,
                json!({"sessionId": "s1", "eventType": name, "hookName": "test", "pluginName": "rust"})
            );
        }
        for watch in [&mut files, &mut lists, &mut hooks].into_iter().chain(&mut strange) {
            assert!(!watch.has_next().await, "once, and to the team alone");
        }
    }
);
