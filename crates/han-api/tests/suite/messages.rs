//! Messages: every type, with its results nested, over the sample sessions that the project ships.

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

both_databases!(
    async fn the_sample_sessions_are_shown_as_they_are(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut shown = BTreeMap::new();
        for id in world.push_samples().await {
            let mut session = list(&world, &id, None).await;
            // What lies in the database is keyed at random: nothing of it may be seen here.
            let agents: BTreeSet<String> = nodes(&session)
                .filter_map(|node| node["contentBlocks"].as_array())
                .flatten()
                .filter_map(|block| Some(block["agentId"].as_str()?.to_owned()))
                .collect();
            for agent in agents {
                let lines = list(&world, &id, Some(&agent)).await["messages"].take();
                session["agents"][agent] = lines;
            }
            shown.insert(id, session);
        }
        insta::assert_json_snapshot!("sample_sessions", shown);
    }
);

both_databases!(
    async fn every_type_is_shown_and_every_line_comes_back(db: TestDatabase) {
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
        assert_eq!(kinds, all, "the synthetic lines hold every kind");
    }
);

both_databases!(
    async fn results_nest_under_what_they_answer(db: TestDatabase) {
        let world = World::new(&db).await;
        let mut made = SyntheticSession::new(6);
        let id = made.session_id().to_owned();
        world.push(&id, "main", &made.lines(60)).await;
        world.push(&id, "han", &made.han_events(2 * SyntheticSession::HAN_EVENT_KINDS)).await;
        let session = list(&world, &id, None).await;
        let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
        for node in nodes(&session) {
            let kind = node["__typename"].as_str().unwrap();
            assert!(!kind.parse::<MessageKind>().unwrap().nests(), "{kind} stands in the list");
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
    async fn what_cannot_be_opened_hides_nothing_else(db: TestDatabase) {
        let world = World::new(&db).await;
        let sessions = world.push_samples().await;
        let query = "query { sessions(first: 50) { edges { node { id name project { name } messages(first: 100) { edges { node {
            __typename id uuid rawJson ... on UnknownEventMessage { eventType } ... on AssistantMessage { contentBlocks {
            ... on ToolUseBlock { toolCallId result { content } } } } } } } } } } }";
        let whole = world.ask(query, json!({})).await;
        let key = |pointer: &str| whole.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let first = "/sessions/edges/0/node";
        let session = key(&format!("{first}/id")).trim_start_matches("Session:").to_owned();
        // One line cut short, one sealed under a version of the team's key that nobody has, and one session's metadata.
        let truncated = key(&format!("{first}/messages/edges/0/node/uuid"));
        let unknown = key(&format!("{first}/messages/edges/1/node/uuid"));
        for (uuid, damage) in [
            (&truncated, "substr(body, 1, length(body) - 9)"),
            (&unknown, "substr(body, 1, 20) || '____' || substr(body, 25)"),
        ] {
            let sql = format!(
                "UPDATE messages SET body = {damage} WHERE session_id = '{session}' AND uuid = '{uuid}'"
            );
            db.execute(&sql).await;
        }
        db.execute(&format!(
            "UPDATE sessions SET metadata = substr(metadata, 1, length(metadata) - 9) WHERE session_id = '{}'",
            sessions[1]
        ))
        .await;
        let response = world.response(world.ada.context(), query, json!({})).await;
        let told = codes(&response);
        assert_eq!(told, vec!["CONTENT_UNREADABLE"; 3], "{:?}", response.errors);
        for error in &response.errors {
            assert!(!error.message.contains(&session), "details belong into the log: {}", error.message);
        }
        let shown = response.data.into_json().unwrap();
        let edges = |data: &Value| {
            data.pointer(&format!("{first}/messages/edges")).unwrap().as_array().unwrap().clone()
        };
        let (before, after) = (edges(&whole), edges(&shown));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            let (before, after) = (&before["node"], &after["node"]);
            if [&truncated, &unknown].iter().any(|uuid| after["uuid"] == ***uuid) {
                assert_eq!(
                    (&after["__typename"], &after["id"]),
                    (&json!("UnknownEventMessage"), &before["id"])
                );
                assert_eq!((&after["rawJson"], &after["eventType"]), (&Value::Null, &json!("unreadable")));
            } else {
                assert_eq!(before, after);
            }
        }
        assert_eq!(shown["sessions"]["edges"].as_array().unwrap().len(), sessions.len());
        // Who asks for that one alone gets nothing but the error.
        let id = format!("Message:{session}:main:{truncated}");
        let alone = "query($id: ID!) { node(id: $id) { id } }";
        let response = world.response(world.ada.context(), alone, json!({ "id": id })).await;
        assert_eq!(codes(&response), ["CONTENT_UNREADABLE"]);
        assert_eq!(response.data.into_json().unwrap(), json!({ "node": null }));
    }
);
