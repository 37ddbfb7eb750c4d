//! Generates synthetic transcript lines in the format of Claude Code 2.1, deterministically from a seed. Not here: the
//! parsing of lines (han-transcript).

use han_types::Timestamp;
use serde_json::{Value, json};

use crate::SeededEntropy;

/// A synthetic session with any number of lines.
///
/// A session is a sequence of exchanges: a prompt, an answer in two lines that share a `message.id` (the first has a
/// partial count of output tokens, as in real transcripts), a tool's result, and one other line. Sixty lines contain
/// every kind of line, and multibyte text.
#[derive(Debug)]
pub struct SyntheticSession {
    entropy: SeededEntropy,
    session_id: String,
    agent_id: Option<String>,
    time: Timestamp,
    parent: Option<String>,
    exchange: u64,
    pending: std::collections::VecDeque<Value>,
    events: usize,
    last_event: String,
}

const WORDS: &[&str] = &[
    "apple",
    "branch",
    "cache",
    "deploy",
    "épreuve",
    "filter",
    "grafting",
    "harvest",
    "index",
    "journal",
    "keeper",
    "ladder",
    "měřítko",
    "nursery",
    "orchard",
    "pruning",
    "query",
    "ripening",
    "scaffold",
    "果樹園",
    "twig",
    "update",
    "válidate",
    "window",
    "yield",
    "🍎",
];

impl SyntheticSession {
    /// The number of kinds of Han's events.
    pub const HAN_EVENT_KINDS: usize = 17;

    /// The session of `seed`, which determines its id, words and times.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let session_id = uuid(&entropy);
        Self {
            session_id,
            agent_id: None,
            // 2026-11-02T09:00:00Z and some minutes.
            time: Timestamp(1_793_610_000_000 + i64::try_from(entropy.below(3_600_000)).unwrap_or(0)),
            parent: None,
            exchange: 0,
            pending: std::collections::VecDeque::new(),
            events: 0,
            last_event: String::new(),
            entropy,
        }
    }

    /// A subagent of this session, whose file has the stem `agent-<id>`.
    #[must_use]
    pub fn subagent(&self, id: &str) -> Self {
        let seed = id.bytes().fold(1, |sum: u64, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let mut agent = Self::new(seed);
        agent.session_id.clone_from(&self.session_id);
        agent.agent_id = Some(id.to_owned());
        agent
    }

    /// The session id, which is in every line.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// The next `n` lines, without line feeds.
    pub fn lines(&mut self, n: usize) -> Vec<String> {
        (0..n).map(|_| self.line().to_string()).collect()
    }

    /// The next `n` lines of the session's file of Han's events: all [`Self::HAN_EVENT_KINDS`] kinds in turn.
    ///
    /// In the first round and then in every other one, `type` names the event, as Han's plugins write it. In the other
    /// rounds, `type` is `han_event` and `eventType` names the event.
    pub fn han_events(&mut self, n: usize) -> Vec<String> {
        (0..n).map(|_| self.han_event().to_string()).collect()
    }

    fn line(&mut self) -> Value {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return line;
            }
            self.write_exchange();
            self.exchange += 1;
        }
    }

    fn write_exchange(&mut self) {
        let prompt = self.words(12);
        let user = self.user(json!(prompt));
        self.pending.push_back(user);

        let (message_id, request) = (self.token("msg_01"), self.token("req_011"));
        let tool_use_id = self.token("toolu_01");
        let (input, result) = self.tool_call();
        let usage = self.usage();
        let text = self.words(30);
        let first = self.assistant(&message_id, &request, json!({"type": "text", "text": text}), &usage, 8);
        self.pending.push_back(first);
        let output = 40 + self.entropy.below(900);
        let call = json!({"type": "tool_use", "id": tool_use_id, "name": input.0, "input": input.1});
        let second = self.assistant(&message_id, &request, call, &usage, output);
        self.pending.push_back(second);
        let mut answer = self.user(json!([
            {"tool_use_id": tool_use_id, "type": "tool_result", "content": result, "is_error": false}
        ]));
        answer["toolUseResult"] = json!({"stdout": result, "stderr": "", "interrupted": false});
        self.pending.push_back(answer);

        let other = self.other_line();
        self.pending.push_back(other);
    }

    /// A line outside the exchange of prompt and answer; the kinds alternate.
    fn other_line(&mut self) -> Value {
        let words = self.words(8);
        match self.exchange % 10 {
            0 => {
                let id = uuid(&self.entropy);
                let time = self.tick();
                json!({"type": "file-history-snapshot", "messageId": id, "isSnapshotUpdate": false,
                       "snapshot": {"messageId": id, "trackedFileBackups": {}, "timestamp": time}})
            }
            1 => {
                let mut line = self.envelope("system");
                line["subtype"] = json!("turn_duration");
                line["durationMs"] = json!(self.entropy.below(90_000));
                line
            }
            2 => {
                let mut line = self.envelope("progress");
                line["data"] = json!({"type": "bash_progress", "output": words, "fullOutput": words,
                                      "elapsedTimeSeconds": 2, "totalLines": 1});
                line
            }
            3 => json!({"type": "queue-operation", "operation": "enqueue", "timestamp": self.tick(),
                        "sessionId": self.session_id, "content": words}),
            4 => json!({"type": "summary", "summary": words, "leafUuid": self.parent}),
            5 => {
                let thought = json!({"type": "thinking", "thinking": words, "signature": self.token("sig")});
                let (id, request, usage) = (self.token("msg_01"), self.token("req_011"), self.usage());
                self.assistant(&id, &request, thought, &usage, 60)
            }
            6 => {
                let mut line = self.envelope("system");
                line["subtype"] = json!("compact_boundary");
                line["content"] = json!("Conversation compacted");
                line["compactMetadata"] = json!({"trigger": "auto", "preTokens": 150_000});
                line["logicalParentUuid"] = line["parentUuid"].take();
                line
            }
            7 => {
                let mut line = self.user(json!(format!("This session is being continued: {words}")));
                line["isCompactSummary"] = json!(true);
                line["isVisibleInTranscriptOnly"] = json!(true);
                line
            }
            8 => self.user(json!([{"type": "text", "text": "[Request interrupted by user for tool use]"}])),
            _ => {
                let mut line = self.user(json!(format!("<command-name>/{words}</command-name>")));
                line["isMeta"] = json!(false);
                line
            }
        }
    }

    /// A tool's name, its input and its result; the tools alternate.
    fn tool_call(&mut self) -> ((&'static str, Value), String) {
        let file = format!("/home/dev/orchard/src/{}.rs", WORDS[self.exchange as usize % 3]);
        let (old, new) = (self.words(5), self.words(9));
        let call = match self.exchange % 6 {
            0 => ("Read", json!({"file_path": file})),
            1 => ("Bash", json!({"command": format!("cargo test {old}"), "description": old})),
            2 => {
                ("Edit", json!({"file_path": file, "old_string": old, "new_string": format!("{new}\n{old}")}))
            }
            3 => ("Write", json!({"file_path": file, "content": format!("{old}\n{new}\n")})),
            4 => (
                "TodoWrite",
                json!({"todos": [{"content": old, "status": "completed", "activeForm": old},
                                 {"content": new, "status": "in_progress", "activeForm": new}]}),
            ),
            _ => ("mcp__calendar__list_events", json!({"query": old})),
        };
        (call, self.words(20))
    }

    fn user(&mut self, content: Value) -> Value {
        let mut line = self.envelope("user");
        line["message"] = json!({"role": "user", "content": content});
        line
    }

    fn assistant(&mut self, id: &str, request: &str, block: Value, usage: &Value, output: u64) -> Value {
        let mut usage = usage.clone();
        usage["output_tokens"] = json!(output);
        let mut line = self.envelope("assistant");
        line["requestId"] = json!(request);
        line["message"] = json!({"model": "claude-opus-4-6", "id": id, "type": "message", "role": "assistant",
            "content": [block], "stop_reason": null, "stop_sequence": null, "usage": usage});
        line
    }

    fn usage(&mut self) -> Value {
        let written = self.entropy.below(3_000);
        json!({"input_tokens": 1 + self.entropy.below(9), "cache_creation_input_tokens": written,
               "cache_read_input_tokens": 10_000 + self.entropy.below(90_000),
               "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written},
               "service_tier": "standard"})
    }

    /// A line with the fields that every line of a conversation has; its parent is the preceding line.
    fn envelope(&mut self, kind: &str) -> Value {
        let id = uuid(&self.entropy);
        let mut line = json!({"parentUuid": self.parent, "isSidechain": self.agent_id.is_some(),
            "userType": "external", "cwd": "/home/dev/orchard", "sessionId": self.session_id,
            "version": "2.1.39", "gitBranch": "main", "type": kind, "uuid": id, "timestamp": self.tick()});
        if let Some(agent) = &self.agent_id {
            line["agentId"] = json!(agent);
        }
        self.parent = Some(id);
        line
    }

    fn han_event(&mut self) -> Value {
        let (i, words, cwd) = (self.events, self.words(4), "/home/dev/orchard");
        let last_event = self.last_event.clone();
        let mut run_of_result = Value::Null;
        let (name, data) = match i % Self::HAN_EVENT_KINDS {
            0 => (
                "hook_run",
                json!({"plugin": "rust", "hook": "test", "hook_type": "Stop", "directory": ".", "cached": false}),
            ),
            1 => {
                run_of_result = json!(last_event);
                (
                    "hook_result",
                    json!({"plugin": "rust", "hook": "test", "hook_type": "Stop", "directory": ".",
                           "cached": false, "duration_ms": 812, "exit_code": 0, "success": true,
                           "output": words}),
                )
            }
            2 => ("hook_check_state", json!({"hook_type": "Stop", "fingerprint": words, "hooks_count": 2})),
            3 => (
                "hook_reference",
                json!({"plugin": "rust", "file_path": "docs/style.md", "reason": words, "success": true,
                       "duration_ms": 3}),
            ),
            4 => (
                "hook_validation",
                json!({"plugin": "rust", "hook": "lint", "hook_type": "Stop", "directory": ".",
                       "cached": false, "duration_ms": 95, "exit_code": 1, "success": false, "error": words}),
            ),
            5 => (
                "hook_validation_cache",
                json!({"plugin": "rust", "hook": "lint", "directory": ".", "command_hash": "5f1c",
                       "files": {"src/apple.rs": "9a0b"}}),
            ),
            6 => (
                "hook_script",
                json!({"plugin": "rust", "command": words, "duration_ms": 7, "exit_code": 0, "success": true,
                       "output": words}),
            ),
            7 => (
                "hook_datetime",
                json!({"plugin": "core", "datetime": self.time.to_rfc3339(), "duration_ms": 1}),
            ),
            8 => (
                "hook_file_change",
                json!({"session_id": self.session_id, "tool_name": "Edit", "file_path": "src/apple.rs"}),
            ),
            9 => (
                "queue_operation",
                json!({"operation": "enqueue", "queue_name": "review", "task_id": "t1",
                       "task_description": words}),
            ),
            10 => ("mcp_tool_call", json!({"tool": "list_events", "arguments": {"query": words}})),
            11 => (
                "mcp_tool_result",
                json!({"tool": "list_events", "call_id": last_event, "success": true, "duration_ms": 40,
                       "result": words}),
            ),
            12 => (
                "exposed_tool_call",
                json!({"server": "files", "tool": "search", "prefixed_name": "files_search",
                       "arguments": {"q": words}}),
            ),
            13 => (
                "exposed_tool_result",
                json!({"server": "files", "tool": "search", "prefixed_name": "files_search", "call_id": last_event,
                       "success": false, "duration_ms": 12, "error": words}),
            ),
            14 => (
                "memory_query",
                json!({"question": words, "route": "rules", "success": true, "duration_ms": 22}),
            ),
            15 => ("memory_learn", json!({"domain": "testing", "scope": "project", "success": true})),
            _ => (
                "sentiment_analysis",
                json!({"message_id": self.parent, "sentiment_score": 2.5, "sentiment_level": "positive",
                       "frustration_score": 0.5, "frustration_level": "low", "signals": [words]}),
            ),
        };
        let id = uuid(&self.entropy);
        let mut event = json!({"uuid": id, "sessionId": self.session_id, "type": name,
                               "timestamp": self.tick(), "cwd": cwd, "data": data});
        if run_of_result.is_string() {
            event["hookRunId"] = run_of_result;
        }
        if (i / Self::HAN_EVENT_KINDS) % 2 == 1 {
            event["type"] = json!("han_event");
            event["eventType"] = json!(name);
        }
        self.last_event = id;
        self.events += 1;
        event
    }

    fn tick(&mut self) -> String {
        self.time.0 += 1 + i64::try_from(self.entropy.below(20_000)).unwrap_or(0);
        self.time.to_rfc3339()
    }

    fn words(&self, n: usize) -> String {
        let mut text = String::new();
        for i in 0..n {
            if i > 0 {
                text.push(' ');
            }
            let word = WORDS[usize::try_from(self.entropy.below(WORDS.len() as u64)).unwrap_or(0)];
            text.push_str(word);
        }
        text
    }

    fn token(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.entropy.next_u64())
    }
}

/// The content of a transcript file with these `lines`.
#[must_use]
pub fn transcript_text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A version 4 UUID (RFC 9562).
fn uuid(entropy: &SeededEntropy) -> String {
    let (high, low) = (entropy.next_u64(), entropy.next_u64());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48 & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::SyntheticSession;

    fn parsed(lines: &[String]) -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_seed_determines_the_session() {
        let whole = SyntheticSession::new(7).lines(50);
        let mut again = SyntheticSession::new(7);
        let mut parts = again.lines(13);
        parts.extend(again.lines(37));
        assert_eq!(whole, parts);
        assert_ne!(whole, SyntheticSession::new(8).lines(50));
    }

    #[test]
    fn sixty_lines_have_every_kind_and_seventeen_events_every_event() {
        let mut session = SyntheticSession::new(1);
        let lines = parsed(&session.lines(60));
        let kinds: BTreeSet<_> = lines.iter().filter_map(|l| l["type"].as_str()).collect();
        let wanted = [
            "assistant",
            "file-history-snapshot",
            "progress",
            "queue-operation",
            "summary",
            "system",
            "user",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), wanted);
        let events = parsed(&session.han_events(34));
        let (plain, wrapped) = events.split_at(17);
        let names: Vec<_> = plain.iter().map(|e| &e["type"]).collect();
        assert_eq!(names.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>().len(), 17);
        assert_eq!(wrapped.iter().map(|e| &e["eventType"]).collect::<Vec<_>>(), names);
        for (call, result) in [(10, 11), (12, 13)] {
            assert_eq!(events[result]["data"]["call_id"], events[call]["uuid"]);
        }
    }

    #[test]
    fn answers_span_two_lines_with_growing_output_tokens() {
        let lines = parsed(&SyntheticSession::new(3).lines(40));
        let mut outputs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for line in &lines {
            let message = &line["message"];
            if let (Some(id), Some(n)) = (message["id"].as_str(), message["usage"]["output_tokens"].as_u64())
            {
                outputs.entry(id.to_owned()).or_default().push(n);
            }
        }
        assert!(outputs.values().filter(|counts| counts.len() == 2).count() >= 8);
        assert!(outputs.values().all(|counts| counts.is_sorted()));
    }
}
