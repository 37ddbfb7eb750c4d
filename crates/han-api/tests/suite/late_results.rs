//! Results that arrive after their call: the message with the call is sent again.

use std::collections::{BTreeMap, BTreeSet};

use han_testkit::both_databases;
use serde_json::{Value, json};

use crate::live::Watch;
use crate::live_work::{event, hook_result, tool_result, tool_use};
use crate::support::World;

const MESSAGES: &str = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) {
  messageIndex newMessageEdge { cursor node { id uuid
    ... on AssistantMessage { contentBlocks { ... on ToolUseBlock { tool: result { isError } } } }
    ... on McpToolCallMessage { mcp: result { success } }
    ... on ExposedToolCallMessage { exposed: result { success } }
    ... on HookRunMessage { hook: result { success } } } } } }";

/// Subscribes to the session `s1`, which has no listed message yet.
async fn watch_with(world: &World, query: &str) -> Watch {
    let unlisted = json!({ "type": "progress", "uuid": "begin", "timestamp": "2026-11-02T09:00:00.000Z" });
    world.push("s1", "main", &[unlisted.to_string()]).await;
    Watch::start(world, world.ada.context(), query, json!({ "id": "s1" })).await
}

async fn watch(world: &World) -> Watch {
    watch_with(world, MESSAGES).await
}

/// An event: the line's uuid, its index, and whether it shows a result.
async fn next(watch: &mut Watch) -> (String, i64, bool) {
    let payload = watch.next("sessionMessageAdded").await;
    let node = &payload["newMessageEdge"]["node"];
    let results = [&node["contentBlocks"][0]["tool"], &node["mcp"], &node["exposed"], &node["hook"]];
    let uuid = node["uuid"].as_str().unwrap().to_owned();
    assert_eq!(
        node["id"],
        format!("Message:s1~{}~{uuid}", if uuid.starts_with("use") { "main" } else { "han" })
    );
    (uuid, payload["messageIndex"].as_i64().unwrap(), results.iter().any(|result| !result.is_null()))
}

fn call(second: usize, id: &str) -> String {
    tool_use(second, id, "Bash", &json!({"command": "make"}))
}

fn is(uuid: &str, index: i64, filled: bool) -> (String, i64, bool) {
    (uuid.to_owned(), index, filled)
}

both_databases!(
    async fn a_result_that_arrives_later_sends_its_call_again(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut live = watch(&world).await;
        world.push("s1", "main", &[call(0, "a"), call(1, "b"), tool_result(2, "b", false)]).await;
        assert_eq!(next(&mut live).await, is("use-a", 0, false));
        assert_eq!(next(&mut live).await, is("use-b", 1, true), "with its result, and once");
        let han = [
            event(3, "mcp-1", "mcp_tool_call", &json!({"tool": "list"})),
            event(4, "exposed-1", "exposed_tool_call", &json!({"tool": "find", "call_id": "named"})),
            event(5, "run-1", "hook_run", &json!({"plugin": "rust", "hook": "test"})),
            event(6, "run-2", "hook_run", &json!({"plugin": "rust", "hook": "lint"})),
        ];
        world.push("s1", "han", &han).await;
        for (n, uuid) in (2..).zip(["mcp-1", "exposed-1", "run-1", "run-2"]) {
            assert_eq!(next(&mut live).await, is(uuid, n, false));
        }
        world.push("s1", "main", &[tool_result(7, "a", true)]).await;
        assert_eq!(next(&mut live).await, is("use-a", 0, true));
        let named = |call: &str| json!({"call_id": call, "success": true});
        let results = [
            hook_result(8, "outcome-1", None, true),
            event(9, "exposed-2", "exposed_tool_result", &named("named")),
            event(10, "mcp-2", "mcp_tool_result", &named("mcp-1")),
            // No call, and a call of another kind with this id.
            event(11, "mcp-3", "mcp_tool_result", &named("nothing")),
            event(12, "mcp-4", "mcp_tool_result", &named("a")),
        ];
        world.push("s1", "han", &results).await;
        assert_eq!(next(&mut live).await, is("run-1", 4, true), "a result that names no run");
        assert_eq!(next(&mut live).await, is("exposed-1", 3, true));
        assert_eq!(next(&mut live).await, is("mcp-1", 2, true));
        // The same results again are no change.
        world.push("s1", "han", &results).await;
        world.push("s1", "main", &[tool_result(7, "a", true)]).await;
        assert!(!live.has_next().await);
    }
);

both_databases!(
    async fn calls_that_are_not_listed_send_nothing(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut live = watch(&world).await;
        let task = tool_use(0, "task", "Task", &json!({"description": "Count", "prompt": "Count"}));
        world.push("s1", "main", &[task]).await;
        assert_eq!(next(&mut live).await, is("use-task", 0, false));
        let of_agent = |line: String| {
            let mut line: Value = serde_json::from_str(&line).unwrap();
            line["isSidechain"] = json!(true);
            line["agentId"] = json!("a1");
            line.to_string()
        };
        world.push("s1", "agent-a1", &[of_agent(call(1, "inner"))]).await;
        world.push("s1", "agent-a1", &[of_agent(tool_result(2, "inner", false))]).await;
        // Another session's call has the same id.
        world.push("s2", "main", &[call(0, "task"), tool_result(1, "task", false)]).await;
        world.push("s1", "main", &[tool_result(3, "task", false)]).await;
        assert_eq!(next(&mut live).await, is("use-task", 0, true), "nothing before it");
        assert!(!live.has_next().await);
    }
);

/// A repeatable sequence of numbers (Knuth's multiplier).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A line of the model: a call, or the n-th result of one.
#[derive(Clone, Copy)]
enum Line {
    Call(usize),
    Result(usize, usize),
}

both_databases!(
    async fn any_order_of_calls_and_results_sends_each_change_once(db: TestDatabase) {
        for seed in 0..8 {
            let world = World::new(&db).await;
            let mut live = watch(&world).await;
            let mut numbers = Numbers(seed);
            let mut lines: Vec<Line> = Vec::new();
            for id in 0..6 {
                lines.push(Line::Call(id));
                lines.extend((0..numbers.below(4)).map(|n| Line::Result(id, n)));
            }
            // Every order, also results before their calls.
            for at in (1..lines.len()).rev() {
                lines.swap(at, numbers.below(at + 1));
            }
            let (mut indexes, mut answered) = (BTreeMap::new(), BTreeSet::new());
            let mut second = 0;
            let mut rest = lines.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(1 + numbers.below(rest.len()).min(5));
                rest = after;
                let before = indexes.clone();
                let mut late = Vec::new();
                let mut sent = Vec::new();
                for line in batch {
                    second += 1;
                    sent.push(match *line {
                        Line::Call(id) => {
                            indexes.insert(id, i64::try_from(indexes.len()).unwrap());
                            call(second, &id.to_string())
                        }
                        Line::Result(id, n) => {
                            answered.insert(id);
                            if before.contains_key(&id) && !late.contains(&id) {
                                late.push(id);
                            }
                            tool_result(second, &id.to_string(), false)
                                .replace("result-", &format!("result{n}-"))
                        }
                    });
                }
                world.push("s1", "main", &sent).await;
                let new = batch.iter().filter_map(|line| match *line {
                    Line::Call(id) => Some(id),
                    Line::Result(..) => None,
                });
                for id in new.chain(late) {
                    let expected = is(&format!("use-{id}"), indexes[&id], answered.contains(&id));
                    assert_eq!(next(&mut live).await, expected, "seed {seed}");
                }
                assert!(!live.has_next().await, "seed {seed}");
            }
        }
    }
);

const RUNS: &str = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) {
  newMessageEdge { node { uuid ... on HookRunMessage { result { id success } } } } } }";

/// An event of a hook: its start, or a result that names its run or none.
fn hook_event(second: usize, uuid: &str, is_run: bool, run: Option<&str>, directory: Option<&str>) -> String {
    let data = json!({"plugin": "rust", "hook": "test", "directory": directory, "success": true, "hook_run_id": run});
    event(second, uuid, if is_run { "hook_run" } else { "hook_result" }, &data)
}

/// The uuid of each hook run of the list, with that of its result.
type Runs = BTreeMap<String, Option<String>>;

fn add_run(runs: &mut Runs, node: &Value) {
    let result = node["result"]["id"].as_str().map(|id| id.rsplit('~').next().unwrap().to_owned());
    runs.insert(node["uuid"].as_str().unwrap().to_owned(), result);
}

async fn listed(world: &World) -> Runs {
    let query = "{ session(id: \"s1\") { messages(first: 500) { edges { node { __typename uuid
        ... on HookRunMessage { result { id } } } } } } }";
    let data = world.ask(query, json!({})).await;
    let mut runs = Runs::new();
    for edge in data["session"]["messages"]["edges"].as_array().unwrap() {
        if edge["node"]["__typename"] == "HookRunMessage" {
            add_run(&mut runs, &edge["node"]);
        }
    }
    runs
}

/// Pushes lines, and applies the frames that they cause to what a client shows. Returns the runs of these frames.
async fn push_and_apply(
    world: &World,
    live: &mut Watch,
    shown: &mut Runs,
    n: usize,
    lines: &[String],
) -> Vec<String> {
    world.push("s1", "han", lines).await;
    // Its frame follows those of the lines.
    let last = format!("last-{n}");
    world.push("s1", "main", &[call(50, &last)]).await;
    let mut sent = Vec::new();
    loop {
        let payload = live.next("sessionMessageAdded").await;
        let node = &payload["newMessageEdge"]["node"];
        if node["uuid"] == format!("use-{last}") {
            return sent;
        }
        add_run(shown, node);
        sent.push(node["uuid"].as_str().unwrap().to_owned());
    }
}

fn runs(pairs: &[(&str, Option<&str>)]) -> Runs {
    pairs.iter().map(|(run, result)| ((*run).to_owned(), result.map(str::to_owned))).collect()
}

both_databases!(
    async fn a_hook_result_that_names_no_run_fills_one_run(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut live = watch_with(&world, RUNS).await;
        let mut shown = Runs::new();
        // The directories tell the runs apart.
        let (api, web) = (Some("api"), Some("web"));
        let begun = [hook_event(0, "api", true, None, api), hook_event(1, "web", true, None, web)];
        push_and_apply(&world, &mut live, &mut shown, 0, &begun).await;
        let late = [hook_event(2, "web-result", false, None, web)];
        assert_eq!(push_and_apply(&world, &mut live, &mut shown, 1, &late).await, ["web"]);
        assert_eq!(shown, runs(&[("api", None), ("web", Some("web-result"))]));
        let late = [hook_event(3, "api-result", false, None, api)];
        assert_eq!(push_and_apply(&world, &mut live, &mut shown, 2, &late).await, ["api"]);
        let expected = runs(&[("api", Some("api-result")), ("web", Some("web-result"))]);
        assert_eq!((&shown, &listed(&world).await), (&expected, &expected));

        // Runs without a directory: each result fills the earliest run that is open.
        let begun = [hook_event(10, "r1", true, None, None), hook_event(11, "r2", true, None, None)];
        push_and_apply(&world, &mut live, &mut shown, 3, &begun).await;
        let late = [hook_event(12, "o1", false, None, None)];
        assert_eq!(push_and_apply(&world, &mut live, &mut shown, 4, &late).await, ["r1"]);
        let expected: Runs = expected.into_iter().chain(runs(&[("r1", Some("o1")), ("r2", None)])).collect();
        assert_eq!((&shown, &listed(&world).await), (&expected, &expected));
        // A result that names the first run moves the other one to the second.
        let late = [hook_event(13, "o2", false, Some("r1"), None)];
        assert_eq!(push_and_apply(&world, &mut live, &mut shown, 5, &late).await, ["r1", "r2"]);
        let expected: Runs =
            expected.into_iter().chain(runs(&[("r1", Some("o2")), ("r2", Some("o1"))])).collect();
        assert_eq!((&shown, &listed(&world).await), (&expected, &expected));
        // A run that arrives late, but began before, takes the result of a later one.
        let late = [hook_event(9, "r0", true, None, None)];
        assert_eq!(push_and_apply(&world, &mut live, &mut shown, 6, &late).await, ["r0", "r2"]);
        let expected: Runs = expected.into_iter().chain(runs(&[("r0", Some("o1")), ("r2", None)])).collect();
        assert_eq!((&shown, &listed(&world).await), (&expected, &expected));
        // A hook whose run and result are one line is not the result of a run.
        let validation = json!({"plugin": "rust", "hook": "test", "success": true});
        let late = [event(14, "validation", "hook_validation", &validation)];
        push_and_apply(&world, &mut live, &mut Runs::new(), 7, &late).await;
        assert_eq!(listed(&world).await, expected);
    }
);

both_databases!(
    async fn any_order_of_hook_runs_and_results_ends_as_the_list(db: TestDatabase) {
        for seed in 0..6 {
            let world = World::new(&db).await;
            let mut numbers = Numbers(seed);
            let directories = [None, Some("api"), Some("web")];
            let mut lines = Vec::new();
            for n in 0..14 {
                let is_run = numbers.below(2) == 0;
                let named = numbers.below(3) == 0;
                let run = format!("r{}", numbers.below(14));
                let uuid = format!("{}{n}", if is_run { "r" } else { "o" });
                let run = Some(run.as_str()).filter(|_| named && !is_run);
                lines.push(hook_event(n, &uuid, is_run, run, directories[numbers.below(3)]));
            }
            for at in (1..lines.len()).rev() {
                lines.swap(at, numbers.below(at + 1));
            }
            // The session has to be there first.
            world.push("s1", "main", &[call(49, "first")]).await;
            let mut live = watch_with(&world, RUNS).await;
            let mut shown = Runs::new();
            let mut rest = lines.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(1 + numbers.below(rest.len()).min(3));
                rest = after;
                // The feed may still have the first line to send.
                let mut all = Runs::new();
                push_and_apply(&world, &mut live, &mut all, rest.len(), batch).await;
                all.remove("use-first");
                shown.extend(all);
                assert_eq!(shown, listed(&world).await, "seed {seed}: {batch:#?}");
            }
        }
    }
);

both_databases!(
    async fn a_search_hit_in_a_hook_result_has_the_index_of_its_run(db: TestDatabase) {
        let world = World::new(&db).await;
        let data =
            |output: &str| json!({"plugin": "rust", "hook": "test", "success": true, "output": output});
        let lines = [
            hook_event(0, "r1", true, None, None),
            hook_event(1, "r2", true, None, None),
            event(2, "o1", "hook_result", &data("found a needle")),
            hook_event(3, "o2", false, Some("r1"), None),
        ];
        world.push("s1", "han", &lines).await;
        crate::corpus::index(&world).await;
        let query =
            "{ session(id: \"s1\") { searchMessages(query: \"needle\") { messageId messageIndex } } }";
        let found = world.ask(query, json!({})).await;
        assert_eq!(
            found["session"]["searchMessages"],
            json!([{"messageId": "Message:s1~han~o1", "messageIndex": 1}])
        );
    }
);
