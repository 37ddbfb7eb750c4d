//! Transcripts to push, ways of pushing them, and the stored result.

use std::path::Path;

use han_db::page::PageRequest;
use han_db::queries::sessions;
use han_testkit::{SyntheticSession, TestDatabase, fixtures};
use han_types::Timestamp;
use serde_json::{Value, json};

use super::{World, dump, push};

/// A transcript file: session, name, lines.
pub type File = (String, String, Vec<String>);

pub fn read(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The files of a directory with the layout of a developer's machine.
pub fn files_under(projects: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    for project in std::fs::read_dir(projects).unwrap() {
        for entry in std::fs::read_dir(project.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                for agent in std::fs::read_dir(path.join("subagents")).unwrap() {
                    let agent = agent.unwrap().path();
                    files.push((stem(&path), stem(&agent), read(&agent)));
                }
            } else if let Some(session) = stem(&path).strip_suffix("-han") {
                files.push((session.to_owned(), "han".to_owned(), read(&path)));
            } else {
                files.push((stem(&path), "main".to_owned(), read(&path)));
            }
        }
    }
    files.sort();
    files
}

pub async fn push_whole(world: &World, files: &[File]) -> (u64, u64) {
    let mut sum = (0, 0);
    for (session, transcript, lines) in files {
        let (stored, duplicates, next) = push(world, session, transcript, Some(0), lines).await;
        assert_eq!(next, lines.len() as u64);
        sum = (sum.0 + stored, sum.1 + duplicates);
    }
    sum
}

/// The stored rows, without values that may differ between two ways of pushing the same lines: ciphertext (random),
/// ordinals and revisions (order of arrival), row ids.
pub async fn contents(database: &TestDatabase, world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT session_id, transcript, uuid, line, at, place, kind, line_type, role, parent_uuid, agent_id, tool_name, \
         model, bytes FROM messages ORDER BY 1, 2, 3",
        "SELECT session_id, project_id, started_at, last_activity_at, line_count, message_count, turn_count, \
         compaction_count, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
         cache_creation_1h_tokens FROM sessions ORDER BY 1",
        "SELECT session_id, transcript, next_offset, last_line_at FROM transcripts ORDER BY 1, 2",
        "SELECT session_id, kind, call_id, transcript, uuid, success, duration_ms, agent_id FROM tool_results \
         ORDER BY 1, 2, 3, 4, 5",
        "SELECT message_id, session_id, model, at, input_tokens, output_tokens, cache_read_tokens FROM message_usage \
         ORDER BY 1",
        "SELECT hour, user_id, project_id, model, shard, sessions, messages, turns, responses, input_tokens, \
         output_tokens, cache_read_tokens, cache_creation_5m_tokens, cache_creation_1h_tokens FROM rollups \
         WHERE sessions <> 0 OR messages <> 0 OR turns <> 0 OR responses <> 0 ORDER BY 1, 2, 3, 4, 5",
        "SELECT id, repo_id FROM projects ORDER BY 1",
        "SELECT session_id, tool_use_count, file_change_count, lines_added, lines_removed, task_count, task_done_count, \
         sentiment_count, sentiment_sum FROM sessions ORDER BY 1",
        "SELECT session_id, transcript, uuid, n, line, at, call_id, tool_name, action, failed, lines_added, \
         lines_removed FROM file_changes ORDER BY 1, 2, 3, 4",
        "SELECT session_id, transcript, uuid, at, is_run, run_id, hook, plugin, directory, success, duration_ms \
         FROM hook_executions ORDER BY 1, 2, 3",
        "SELECT session_id, transcript, uuid, at, sentiment, frustration, frustration_level FROM sentiments ORDER BY 1, 2, 3",
        "SELECT session_id, task_id, task_type, status, outcome, confidence, started_at, completed_at FROM tasks \
         ORDER BY 1, 2",
        "SELECT session_id, task_id, status, created_at, updated_at, completed_at, transcript, uuid FROM native_tasks \
         ORDER BY 1, 2",
        "SELECT session_id, at, transcript, line, pending, in_progress, completed FROM todos ORDER BY 1",
        "SELECT session_id, model, responses, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
         cache_creation_1h_tokens FROM session_usage WHERE responses <> 0 ORDER BY 1, 2",
        "SELECT hour, project_id, kind, key, shard, count, passed, failed, timed, duration_ms, lines_added, \
         lines_removed, scored, score, error FROM rollup_counts WHERE count <> 0 ORDER BY 1, 2, 3, 4, 5",
    ] {
        rows.extend(dump(database, sql).await);
    }
    // The sealed columns of sessions, opened.
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let request = PageRequest { after: None, first: 100 };
    let page = sessions::page(&tx, None, &request).await.unwrap();
    rows.extend(page.rows.iter().map(|session| format!("{} {:?}", session.session_id, session.details)));
    rows
}

/// A small deterministic generator, which selects the next file.
pub fn next(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % below
}

/// Pushes batches of at most `size` lines, alternates files by `seed`, and sometimes repeats lines.
pub async fn push_in_pieces(world: &World, files: &[File], size: usize, seed: u64) {
    let mut state = seed;
    let mut at = vec![0usize; files.len()];
    loop {
        let open: Vec<usize> = (0..files.len()).filter(|i| at[*i] < files[*i].2.len()).collect();
        if open.is_empty() {
            return;
        }
        let file = open[next(&mut state, open.len())];
        let (session, transcript, lines) = &files[file];
        // A retry after a lost response begins before the stored end.
        let back = if next(&mut state, 5) == 0 { next(&mut state, size).min(at[file]) } else { 0 };
        let from = at[file] - back;
        let to = (from + size).min(lines.len()).max(at[file]);
        push(world, session, transcript, Some(from as u64), &lines[from..to]).await;
        at[file] = to;
    }
}

pub fn synthetic_files() -> Vec<File> {
    files_under(&fixtures::sample_sessions())
}

/// Removes ids that are keyed hashes, because they differ between teams.
pub fn strip_blind_ids(row: &str) -> String {
    let mut out = row.to_owned();
    for prefix in ["prj_", "rep_", "lbl_"] {
        while let Some(at) = out.find(prefix) {
            out.replace_range(at..at + prefix.len() + 32, "blind");
        }
    }
    out
}

/// A session with results that fail, correct or name earlier calls.
pub fn eventful() -> Vec<File> {
    let at = |n: usize| Timestamp(1_793_610_000_000 + n as i64 * 1000 * 400).to_rfc3339();
    let mut lines: Vec<String> = Vec::new();
    let mut push = |mut line: Value| {
        let n = lines.len();
        line["uuid"] = json!(format!("00000000-0000-4000-8000-{n:012}"));
        line["timestamp"] = json!(at(n));
        line["cwd"] = json!("/home/dev/orchard");
        lines.push(line.to_string());
    };
    let uses = |id: &str, name: &str, input: Value| {
        json!({"type": "assistant", "message": {"role": "assistant", "id": format!("msg_{id}"), "model": "claude-opus-4-6",
            "usage": {"input_tokens": 3, "output_tokens": 5},
            "content": [{"type": "tool_use", "id": id, "name": name, "input": input}]}})
    };
    let answers = |id: &str, failed: bool, said: &str, structured: Value| {
        json!({"type": "user", "toolUseResult": structured, "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "is_error": failed, "content": said}]}})
    };
    push(uses("w1", "Write", json!({"file_path": "/home/dev/orchard/kept.rs", "content": "a\nb\nc"})));
    push(answers("w1", false, "done", json!({"type": "update", "filePath": "/home/dev/orchard/kept.rs"})));
    push(uses("w2", "Write", json!({"file_path": "/home/dev/orchard/lost.rs", "content": "a\nb"})));
    push(answers("w2", true, "denied", Value::Null));
    push(uses(
        "e1",
        "Edit",
        json!({"file_path": "/home/dev/orchard/kept.rs", "old_string": "a", "new_string": "x\ny"}),
    ));
    push(uses("t1", "TaskCreate", json!({"subject": "Graft the pear", "description": "onto quince"})));
    push(answers("t1", false, "Task #1 created successfully: Graft the pear", Value::Null));
    push(uses("t2", "TaskCreate", json!({"subject": "Never begun"})));
    push(answers("t2", true, "no", Value::Null));
    push(uses("t3", "TaskUpdate", json!({"taskId": "1", "status": "completed"})));
    push(uses("h1", "mcp__han__start_task", json!({"description": "Prune", "type": "fix"})));
    push(answers("h1", false, "{\"task_id\": \"task-7\"}", Value::Null));
    push(uses(
        "h2",
        "mcp__han__complete_task",
        json!({"task_id": "task-7", "outcome": "success", "confidence": 0.8}),
    ));
    push(uses("h3", "mcp__han__start_task", json!({"description": "Mulch", "type": "gardening"})));
    push(uses("d1", "TodoWrite", json!({"todos": [{"content": "first", "status": "pending"}]})));
    push(uses(
        "d2",
        "TodoWrite",
        json!({"todos": [{"content": "first", "status": "completed"}, {"content": "second", "status": "in_progress"}]}),
    ));
    push(uses("a1", "Agent", json!({"subagent_type": "gardener", "prompt": "look", "description": "look"})));
    push(uses("a2", "Task", json!({"subagent_type": "gardener", "prompt": "look", "description": "look"})));
    push(uses("a3", "Agent", json!({"prompt": "look", "description": "look"})));
    push(json!({"type": "system", "subtype": "compact_boundary", "compactMetadata": {"trigger": "manual"}}));
    vec![("eventful".to_owned(), "main".to_owned(), lines)]
}

pub fn all_files() -> Vec<File> {
    let mut files = synthetic_files();
    files.extend(eventful());
    for seed in 1..4 {
        let mut session = SyntheticSession::new(seed);
        // An agent with the same name would repeat message ids.
        let mut agent = session.subagent(&format!("a{seed}"));
        let id = session.session_id().to_owned();
        files.push((id.clone(), "main".to_owned(), session.lines(120)));
        files.push((id.clone(), format!("agent-a{seed}"), agent.lines(40)));
        files.push((id, "han".to_owned(), session.han_events(SyntheticSession::HAN_EVENT_KINDS * 2)));
    }
    if let Some(root) = fixtures::real_transcripts() {
        files.extend(files_under(&root.join("projects")));
    }
    files
}

pub async fn number(database: &TestDatabase, sql: &str) -> i64 {
    let rows = dump(database, &format!("SELECT CAST(COALESCE(({sql}), 0) AS bigint) AS n")).await;
    rows[0].trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap()
}

pub fn assert_same(after: &[String], before: &[String]) {
    for (after, before) in after.iter().zip(before) {
        assert_eq!(after, before);
    }
    assert_eq!(after.len(), before.len());
}
