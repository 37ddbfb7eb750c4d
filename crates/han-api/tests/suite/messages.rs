//! Messages: the fields of every type and nested results, over the sample sessions of the repository. The snapshots in
//! `snapshots/messages` are one per kind of message and session.

use std::collections::{BTreeMap, BTreeSet};

use han_testkit::{SyntheticSession, both_databases};
use han_transcript::MessageKind;
use serde_json::{Value, json};

use crate::support::{World, codes};

/// Every field of every message type.
const FIELDS: &str = "
fragment Fields on Message { __typename id uuid parentId timestamp searchText agentId
  ... on UserMessage { content contentBlocks { ...Block } }
  ... on AssistantMessage { content contentBlocks { ...Block } model inputTokens outputTokens cachedTokens hasThinking hasToolUse isToolOnly thinkingCount toolUseCount }
  ... on CommandUserMessage { content contentBlocks { ...Block } commandName }
  ... on ExposedToolCallMessage { callId tool server prefixedName input result { id success durationMs result error } }
  ... on ExposedToolResultMessage { callId tool server prefixedName success durationMs output error }
  ... on FileHistorySnapshotMessage { messageId fileCount isSnapshotUpdate snapshotTimestamp }
  ... on HookCheckStateMessage { hookType fingerprint hooksCount }
  ... on HookDatetimeMessage { plugin datetime durationMs }
  ... on HookFileChangeMessage { changeToolName filePath recordedSessionId }
  ... on HookReferenceMessage { plugin filePath reason success durationMs }
  ... on HookResultMessage { plugin hook directory cached durationMs exitCode success output error }
  ... on HookRunMessage { hookRunId plugin hook directory cached result { id success durationMs exitCode output error } }
  ... on HookScriptMessage { plugin command output durationMs exitCode success }
  ... on HookValidationCacheMessage { plugin hook directory fileCount }
  ... on HookValidationMessage { plugin hook directory cached durationMs exitCode success output error }
  ... on InterruptUserMessage { content contentBlocks { ...Block } }
  ... on McpToolCallMessage { callId tool server prefixedName input result { id success durationMs result error } }
  ... on McpToolResultMessage { callId tool server prefixedName success durationMs output error }
  ... on MemoryLearnMessage { domain scope paths append }
  ... on MemoryQueryMessage { question route resultCount durationMs }
  ... on MetaUserMessage { content contentBlocks { ...Block } }
  ... on QueueOperationMessage { operation queueSessionId }
  ... on RegularUserMessage { content contentBlocks { ...Block } }
  ... on SentimentAnalysisMessage { analyzedMessageId sentimentScore sentimentLevel frustrationScore frustrationLevel signals }
  ... on SummaryMessage { content isCompactSummary }
  ... on SystemMessage { subtype level content isMeta }
  ... on ToolResultUserMessage { content contentBlocks { ...Block } }
  ... on UnknownEventMessage { messageType eventType } }
fragment Block on ContentBlock { __typename type
  ... on TextBlock { text }
  ... on ThinkingBlock { thinking preview signature }
  ... on ImageBlock { mediaType dataUrl }
  ... on ToolResultBlock { ...Result }
  ... on ToolUseBlock { toolCallId name input category displayName icon color agentId result { ...Result } } }
fragment Result on ToolResultBlock { toolCallId content preview isError isLong hasImage }
";

const LIST: &str = "query($id: ID!, $agent: String) { node(id: $id) { ... on Session {
  id sessionId name summary status duration date startedAt updatedAt harness version gitBranch projectName projectPath projectSlug
  project { name path isWorktree repo { name path } } teamName worktreeName prNumber prUrl
  messageCount turnCount compactionCount inputTokens outputTokens cacheReadTokens cacheCreationTokens
  messages(first: 500, agentId: $agent, includeProgress: true) { edges { node { ...Fields } } } } } }";

async fn list(world: &World, id: &str, agent: Option<&str>) -> Value {
    let query = format!("{LIST}{FIELDS}");
    world.ask(&query, json!({ "id": format!("Session:{id}"), "agent": agent })).await["node"].take()
}

fn nodes(session: &Value) -> impl Iterator<Item = &Value> {
    session["messages"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"])
}

/// The lists of the sample sessions: each session's own, then those of its subagents. Named by session and subagent.
async fn sample_lists(world: &World) -> Vec<(String, Value)> {
    let mut lists = Vec::new();
    for id in world.push_samples().await {
        let session = list(world, &id, None).await;
        let agents: BTreeSet<String> = nodes(&session)
            .filter_map(|node| node["contentBlocks"].as_array())
            .flatten()
            .filter_map(|block| Some(block["agentId"].as_str()?.to_owned()))
            .collect();
        let name = id[..8].to_owned();
        for agent in agents {
            lists.push((format!("{name}_{agent}"), list(world, &id, Some(&agent)).await));
        }
        lists.push((name, session));
    }
    lists
}

/// Compares with `snapshots/messages/NAME.snap`.
fn assert_sample(name: &str, value: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/messages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, value));
}

/// The kind of a message: its type and, for an answer of the model, its last block.
fn variant(node: &Value) -> String {
    let kind = node["__typename"].as_str().unwrap();
    let blocks = node["contentBlocks"].as_array().filter(|_| kind == "AssistantMessage");
    let mut parts = blocks.into_iter().flatten().map(|block| match block["name"].as_str() {
        Some(tool) => format!("{kind}_{tool}"),
        None => format!("{kind}_{}", block["__typename"].as_str().unwrap()),
    });
    parts.next_back().unwrap_or_else(|| kind.to_owned())
}

both_databases!(
    async fn a_session_shows_its_totals_and_details(db: TestDatabase) {
        let world = World::new(&db).await;
        for (name, mut session) in sample_lists(&world).await {
            session.as_object_mut().unwrap().remove("messages");
            if !name.contains('_') {
                assert_sample(&format!("session_{name}"), &serde_json::to_string_pretty(&session).unwrap());
            }
        }
    }
);

both_databases!(
    async fn lists_are_ordered_newest_first(db: TestDatabase) {
        let world = World::new(&db).await;
        for (name, session) in sample_lists(&world).await {
            let line = |node: &Value| {
                let text = |field: &str| node[field].as_str().unwrap_or("-").to_owned();
                assert!(text("id").ends_with(&format!("~{}", text("uuid"))), "{node}");
                let fields = ["timestamp", "__typename", "id", "parentId", "agentId"];
                fields.map(text).join(" ")
            };
            assert_sample(&format!("list_{name}"), &nodes(&session).map(line).collect::<Vec<_>>().join("\n"));
        }
    }
);

both_databases!(
    async fn a_message_shows_the_fields_of_its_kind(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (name, session) in sample_lists(&world).await {
            for node in nodes(&session) {
                let mut own = node.clone();
                // `lists_are_ordered_newest_first` shows these.
                for field in ["__typename", "timestamp", "id", "uuid", "parentId", "agentId"] {
                    own.as_object_mut().unwrap().remove(field);
                }
                kinds.entry(format!("{}_{name}", variant(node))).or_default().push(own);
            }
        }
        for (name, nodes) in kinds {
            assert_sample(&name, &serde_json::to_string_pretty(&nodes).unwrap());
        }
    }
);

both_databases!(
    async fn every_kind_is_shown_with_its_raw_line(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(5);
        let id = made.session_id().to_owned();
        let files =
            [("main", made.lines(120)), ("han", made.han_events(3 * SyntheticSession::HAN_EVENT_KINDS))];
        let meta = json!({
            "type": "user", "isMeta": true, "uuid": "meta", "sessionId": id, "timestamp": "2026-11-02T09:00:00.000Z",
            "message": { "role": "user", "content": "Caveat: what follows was typed by the harness." },
        });
        let files = [&files[..], &[("main", vec![meta.to_string()])]].concat();
        let mut kinds = BTreeSet::new();
        for (transcript, lines) in &files {
            world.push(&id, transcript, lines).await;
            for line in lines {
                let at = han_transcript::record::LineContext { session_id: &id, transcript };
                let record = han_transcript::record::project(line, &at);
                let query =
                    format!("query($id: String!) {{ message(id: $id) {{ rawJson ...Fields }} }}{FIELDS}");
                let variables = json!({ "id": format!("Message:{id}:{transcript}:{}", record.uuid) });
                let message = world.ask(&query, variables).await["message"].take();
                assert_eq!(message["rawJson"], json!(line));
                assert_eq!(message["__typename"], json!(record.kind.as_str()));
                kinds.insert(record.kind);
            }
        }
        let all: BTreeSet<_> = MessageKind::ALL.iter().copied().collect();
        assert_eq!(kinds, all, "the synthetic lines have every kind");
    }
);

both_databases!(
    async fn results_are_nested_in_their_calls_and_runs(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(6);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(60)).await;
        world.push(&id, "han", &made.han_events(2 * SyntheticSession::HAN_EVENT_KINDS)).await;
        let session = list(&world, &id, None).await;
        let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
        for node in nodes(&session) {
            let kind = node["__typename"].as_str().unwrap();
            assert!(!kind.parse::<MessageKind>().unwrap().nests(), "{kind} is in the list");
            for block in node["contentBlocks"].as_array().into_iter().flatten() {
                if block["result"].is_object() {
                    assert_eq!(block["result"]["toolCallId"], block["toolCallId"]);
                    *answered.entry("tool").or_default() += 1;
                }
            }
            if node["result"].is_object() {
                assert!(node["result"]["success"].is_boolean(), "{node}");
                *answered.entry(kind).or_default() += 1;
            }
        }
        assert!(answered["tool"] > 5, "{answered:?}");
        for kind in ["HookRunMessage", "McpToolCallMessage", "ExposedToolCallMessage"] {
            assert_eq!(answered.get(kind), Some(&2), "{answered:?}");
        }
    }
);

both_databases!(
    async fn an_edit_says_where_it_changed_the_file(db: TestDatabase) {
        let world = World::new(&db).await;
        let use_of = |id: &str| {
            json!({"type": "assistant", "uuid": id, "timestamp": "2026-11-02T09:00:00.000Z", "message": {"role": "assistant",
                "content": [{"type": "tool_use", "id": format!("call-{id}"), "name": "Edit", "input": {}}]}})
        };
        let result_of = |id: &str, structured: Value| {
            json!({"type": "user", "uuid": format!("result-{id}"), "timestamp": "2026-11-02T09:00:01.000Z",
                "toolUseResult": structured, "message": {"role": "user", "content":
                    [{"type": "tool_result", "tool_use_id": format!("call-{id}"), "content": "updated"}]}})
        };
        let patch = json!({"structuredPatch":
            [{"oldStart": 41, "oldLines": 1, "newStart": 43, "newLines": 1, "lines": ["-old", "+new"]}]});
        let lines = [
            use_of("edit"),
            result_of("edit", patch),
            use_of("failed"),
            result_of("failed", json!("Error: not found")),
            use_of("running"),
        ];
        world.push("edits", "main", &lines.map(|line| line.to_string())).await;
        let query = "query($id: String!) { message(id: $id) { ... on AssistantMessage { contentBlocks {
            ... on ToolUseBlock { hunks { oldStart newStart lines } } } } } }";
        for (id, hunks) in [
            ("edit", json!([{"oldStart": 41, "newStart": 43, "lines": ["-old", "+new"]}])),
            ("failed", json!([])),
            ("running", json!([])),
        ] {
            let found = world.ask(query, json!({ "id": format!("Message:edits~main~{id}") })).await;
            assert_eq!(found["message"]["contentBlocks"][0]["hunks"], hunks, "{id}");
        }
    }
);

both_databases!(
    async fn unreadable_content_is_an_error_that_hides_nothing_else(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut sessions = world.push_samples().await;
        world.push("small", "main", &SyntheticSession::new(40).lines(9)).await;
        sessions.push("small".to_owned());
        let query = "query { sessions(first: 50) { edges { node { id name project { name } messages(first: 100) { edges { node {
            __typename id uuid rawJson ... on UnknownEventMessage { eventType } ... on AssistantMessage { contentBlocks {
            ... on ToolUseBlock { toolCallId result { content } } } } } } } } } } }";
        let whole = world.ask(query, json!({})).await;
        // Truncated segments of one session, segments of another sealed with an unknown version of the team's key, and the
        // truncated metadata of a third.
        let (truncated, unknown, renamed) = ("small".to_owned(), sessions[0].clone(), sessions[1].clone());
        let ids = [&truncated, &unknown].map(|session| format!("Session:{session}"));
        let of = |session: &str| {
            format!("WHERE session = (SELECT number FROM sessions WHERE session_id = '{session}')")
        };
        db.execute(&format!(
            "UPDATE segments SET body = substr(body, 1, length(body) - 9) {}",
            of(&truncated)
        ))
        .await;
        let other_version = if db.is_postgres() {
            format!(
                "UPDATE segments SET wrapped_dek = '\\xffffffff'::bytea || substr(wrapped_dek, 5) {}",
                of(&unknown)
            )
        } else {
            format!(
                "UPDATE segment_keys SET wrapped_dek = CAST(X'FFFFFFFF' || substr(wrapped_dek, 5) AS BLOB) {}",
                of(&unknown)
            )
        };
        db.execute(&other_version).await;
        db.execute(&format!(
            "UPDATE sessions SET metadata = substr(metadata, 1, length(metadata) - 9) WHERE session_id = '{renamed}'"
        ))
        .await;
        let response = world.response(world.ada.context(), query, json!({})).await;
        for error in &response.errors {
            assert!(!error.message.contains(&truncated), "details belong in the log: {}", error.message);
        }
        let shown = response.data.clone().into_json().unwrap();
        let nodes = |data: &Value| data["sessions"]["edges"].as_array().unwrap().clone();
        let (before, after) = (nodes(&whole), nodes(&shown));
        assert_eq!(before.len(), after.len());
        let mut unreadable = 0;
        for (before, after) in before.iter().zip(&after) {
            let (before, after) = (&before["node"], &after["node"]);
            if !ids.iter().any(|id| after["id"] == **id) {
                assert_eq!(before["messages"], after["messages"]);
                continue;
            }
            let edges = |node: &Value| node["messages"]["edges"].as_array().unwrap().clone();
            for (before, after) in edges(before).iter().zip(&edges(after)) {
                let (before, after) = (&before["node"], &after["node"]);
                assert_eq!(
                    (&after["__typename"], &after["id"]),
                    (&json!("UnknownEventMessage"), &before["id"])
                );
                assert_eq!((&after["rawJson"], &after["eventType"]), (&Value::Null, &json!("unreadable")));
                unreadable += 1;
            }
        }
        assert_eq!(codes(&response), vec!["CONTENT_UNREADABLE"; unreadable + 1], "{:?}", response.errors);
        assert_eq!(nodes(&shown).len(), sessions.len());
        let small = before.iter().find(|edge| edge["node"]["id"] == *ids[0]).unwrap();
        let first = small.pointer("/node/messages/edges/0/node/uuid").unwrap().as_str().unwrap();
        // A lookup of that message returns only the error.
        let id = format!("Message:{truncated}:main:{first}");
        let alone = "query($id: ID!) { node(id: $id) { id } }";
        let response = world.response(world.ada.context(), alone, json!({ "id": id })).await;
        assert_eq!(codes(&response), ["CONTENT_UNREADABLE"]);
        assert_eq!(response.data.into_json().unwrap(), json!({ "node": null }));
    }
);
