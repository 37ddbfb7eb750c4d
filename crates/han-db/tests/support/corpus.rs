//! Transcripts to push, ways of pushing them, and the stored result.

use std::path::Path;

use han_db::page::PageRequest;
use han_db::queries::{file_changes, hooks, sentiments, sessions, tasks, todos};
use han_testkit::{SyntheticSession, TestDatabase, fixtures};
use han_types::{SessionId, Timestamp};
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

/// Joins the session and the file of a row's line, and the line's message.
const LINE: &str = "JOIN sessions s ON s.team = x.team AND s.number = x.session \
     JOIN messages m ON m.team = x.team AND m.session = x.session AND m.ordinal = x.ordinal \
     JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript";

/// Joins the session of a row.
const SESSION: &str = "JOIN sessions s ON s.team = x.team AND s.number = x.session";

/// The stored rows, without values that may differ between two ways of pushing the same lines: ciphertext (random),
/// numbers, ordinals and revisions (order of arrival), row ids.
pub async fn contents(database: &TestDatabase, world: &World) -> Vec<String> {
    let hex = |column: &str| {
        if database.is_postgres() {
            format!("encode({column}, 'hex')")
        } else {
            format!("lower(hex({column}))")
        }
    };
    let (uuid, call) = (hex("m.uuid"), hex("x.call"));
    let line = format!("s.session_id, f.name, {uuid} AS uuid");
    let mut rows = Vec::new();
    for sql in [
        format!(
            "SELECT s.session_id, f.name, {} AS uuid, x.uuid_text, x.line, x.at, x.place, x.kind, x.agent_id, \
               x.tool_name, x.model, x.bytes FROM messages x {SESSION} \
             JOIN transcripts f ON f.team = x.team AND f.session = x.session AND f.number = x.transcript",
            hex("x.uuid")
        ),
        "SELECT session_id, project_id, started_at, last_activity_at, line_count, message_count, turn_count, \
           compaction_count, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
           cache_creation_1h_tokens, tool_use_count, file_change_count, lines_added, lines_removed, task_count, \
           task_done_count, sentiment_count, sentiment_sum FROM sessions"
            .to_owned(),
        format!("SELECT s.session_id, x.name, x.next_offset, x.end_line, x.last_line_at FROM transcripts x {SESSION}"),
        // The key of a hook's name differs between teams.
        format!(
            "SELECT {line}, x.kind, CASE WHEN x.kind = 5 THEN '' ELSE {call} END AS call, x.success, x.duration_ms, \
               x.agent_id, x.file_action FROM tool_results x {LINE}"
        ),
        format!("SELECT s.session_id, {call} AS call, x.agent_id FROM subagent_starts x {SESSION}"),
        // Without the prompt, which is made from a hash that each team has a key for.
        format!("SELECT {line}, x.n, {call} AS call, x.agent_id FROM subagent_calls x {LINE}"),
        format!(
            "SELECT s.session_id, x.owner, x.at, x.part, x.model, x.speed, x.tier, x.geography, x.prompt_tokens, \
               x.web_searches, x.cost, x.saved, x.input_tokens, x.output_tokens, x.cache_read_tokens \
             FROM answer_copies x {SESSION}"
        ),
        "SELECT grain, start, user_id, project_id, model, shard, sessions, messages, turns, responses, input_tokens, \
           output_tokens, cache_read_tokens, cache_creation_5m_tokens, cache_creation_1h_tokens, cost, saved, \
           unpriced_tokens, unpriced_answers FROM rollups \
         WHERE sessions <> 0 OR messages <> 0 OR turns <> 0 OR responses <> 0 OR cost <> 0 OR unpriced_answers <> 0"
            .to_owned(),
        "SELECT id, repo_id FROM projects".to_owned(),
        format!(
            "SELECT {line}, x.n, x.line, x.at, {call} AS call, x.tool_name, x.action, x.failed, x.lines_added, \
               x.lines_removed FROM file_changes x {LINE}"
        ),
        format!(
            "SELECT {line}, x.line, x.at, x.is_run, x.run_id, x.hook, x.plugin, x.directory, x.success, x.duration_ms \
             FROM hook_executions x {LINE}"
        ),
        format!(
            "SELECT {line}, x.line, x.at, x.message_id, x.sentiment, x.frustration, x.frustration_level \
             FROM sentiments x {LINE}"
        ),
        format!("SELECT {line}, x.kind, x.n, x.line, x.at, {call} AS call FROM task_events x {LINE}"),
        format!(
            "SELECT s.session_id, x.task_id, x.task_type, x.status, x.outcome, x.confidence, x.started_at, \
               x.completed_at FROM tasks x {SESSION}"
        ),
        format!(
            "SELECT {line}, x.task_id, x.status, x.created_at, x.updated_at, x.completed_at FROM native_tasks x {LINE}"
        ),
        format!(
            "SELECT s.session_id, x.at, x.transcript, x.line, x.pending, x.in_progress, x.completed \
             FROM todos x {SESSION}"
        ),
        format!(
            "SELECT s.session_id, x.model, x.responses, x.input_tokens, x.output_tokens, x.cache_read_tokens, \
               x.cache_creation_5m_tokens, x.cache_creation_1h_tokens, x.cost, x.saved, x.unpriced_tokens, \
               x.unpriced_answers FROM session_usage x {SESSION} \
             WHERE x.responses <> 0 OR x.cost <> 0 OR x.unpriced_answers <> 0"
        ),
        "SELECT grain, start, project_id, kind, key, shard, count, passed, failed, timed, duration_ms, lines_added, \
           lines_removed, scored, score, error FROM rollup_counts WHERE count <> 0"
            .to_owned(),
    ] {
        let mut found = dump(database, &sql).await;
        found.sort();
        rows.extend(found);
    }
    // The joins leave out rows whose line is missing.
    for table in
        ["tool_results", "file_changes", "hook_executions", "sentiments", "task_events", "native_tasks"]
    {
        let count = number(database, &format!("SELECT count(*) FROM {table}")).await;
        rows.push(format!("{table}: {count}"));
    }
    rows.extend(opened(world).await);
    rows
}

/// What readers return for the sealed columns of all sessions.
pub async fn opened(world: &World) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let request = PageRequest { after: None, first: 100 };
    let page = sessions::page(&tx, None, &request).await.unwrap();
    let mut found: Vec<String> =
        page.rows.iter().map(|session| format!("{} {:?}", session.session_id, session.details)).collect();
    let mut ids: Vec<SessionId> =
        page.rows.iter().map(|session| session.session_id.parse().unwrap()).collect();
    ids.sort();
    let text = |values: &dyn std::fmt::Debug| format!("{values:?}");
    found.extend(tasks::by_sessions(&tx, &ids).await.unwrap().iter().map(|row| text(row)));
    found.extend(tasks::native_by_sessions(&tx, &ids).await.unwrap().iter().map(|row| text(row)));
    found.extend(sentiments::by_sessions(&tx, &ids).await.unwrap().iter().map(|row| text(row)));
    // Its ordinal is the order of arrival.
    let events = hooks::by_sessions(&tx, &ids).await.unwrap().into_iter();
    found.extend(events.map(|event| text(&han_db::entities::HookEvent { ordinal: 0, ..event })));
    let mut todos: Vec<String> =
        todos::by_sessions(&tx, &ids).await.unwrap().iter().map(|row| text(row)).collect();
    todos.sort();
    found.extend(todos);
    for id in &ids {
        let mut request = PageRequest { after: None, first: 7 };
        loop {
            let page = file_changes::page(&tx, id, &request).await.unwrap();
            found.extend(page.rows.iter().map(|row| text(row)));
            request.after = page.rows.last().map(|change| change.cursor.clone());
            if !page.has_next {
                break;
            }
        }
    }
    found
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

/// A session whose files compete: they have lines of the same times that answer, name, start and change the same things.
/// The order of the names of its files is not that of their numbers, if they arrive in this order.
pub fn contested() -> Vec<File> {
    let session = "contested".to_owned();
    let mut files = vec![
        (session.clone(), "agent-zed".to_owned(), Vec::new()),
        (session.clone(), "main".to_owned(), Vec::new()),
        (session.clone(), "agent-ada".to_owned(), Vec::new()),
        (session, "han".to_owned(), Vec::new()),
    ];
    let mut push = |file: usize, second: i64, mut line: Value| {
        let (_, name, lines): &mut File = &mut files[file];
        line["uuid"] = json!(format!("0000000{file}-0000-4000-8000-{:012}", lines.len()));
        line["timestamp"] = json!(Timestamp(1_793_610_000_000 + second * 1000).to_rfc3339());
        if let Some(agent) = name.strip_prefix("agent-") {
            line["agentId"] = json!(agent);
        }
        lines.push(line.to_string());
    };
    let uses = |call: &str, name: &str, input: Value| {
        json!({"type": "assistant", "message": {"role": "assistant", "model": "claude-opus-4-6",
            "content": [{"type": "tool_use", "id": call, "name": name, "input": input}]}})
    };
    let answers = |call: &str, failed: bool, said: &str, structured: Value| {
        json!({"type": "user", "toolUseResult": structured, "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call, "is_error": failed, "content": said}]}})
    };
    let starts = |call: &str, agent: &str| json!({"type": "progress", "parentToolUseID": call, "data": {"type": "agent_progress", "agentId": agent}});
    let event = |name: &str, data: Value| json!({"type": name, "data": data});
    let (zed, main, ada, han) = (0, 1, 2, 3);
    for (file, name) in [(zed, "zed"), (main, "main"), (ada, "ada")] {
        let todo = |n: usize| json!({"content": format!("{name} {n}"), "status": "pending"});
        let todos: Vec<Value> = (0..=file).map(todo).collect();
        push(file, 2, uses(&format!("d-{name}"), "TodoWrite", json!({ "todos": todos })));
        // The same call, in three files: one of its results fails, one corrects the action.
        let input = json!({"file_path": format!("/orchard/{name}.rs"), "content": "a\nb"});
        push(file, 3, uses("w1", "Write", input));
        for n in 0..4 {
            let input =
                json!({"file_path": format!("/orchard/{name}{n}.rs"), "old_string": "a", "new_string": "b"});
            push(file, 3 + n / 2, uses(&format!("e-{name}-{n}"), "Edit", input));
        }
        push(file, 4, answers("w1", file == zed, "said", json!({"type": "update"})));
        // Tasks that each file creates, names and updates at the same times.
        push(file, 5, uses("t1", "TaskCreate", json!({"subject": format!("from {name}")})));
        push(file, 6, answers("t1", false, &format!("Task #{file} created successfully: it"), Value::Null));
        let update =
            json!({"taskId": "7", "subject": format!("by {name}"), "status": "in_progress", "owner": name});
        push(file, 7, uses(&format!("u-{name}"), "TaskUpdate", update));
        push(
            file,
            8,
            uses("h1", "mcp__han__start_task", json!({"description": format!("by {name}"), "type": "fix"})),
        );
        push(file, 9, answers("h1", false, &format!("{{\"task_id\": \"task-{name}\"}}"), Value::Null));
        let ended = json!({"task_id": "task-main", "outcome": "success", "notes": format!("by {name}")});
        push(file, 10, uses(&format!("c-{name}"), "mcp__han__complete_task", ended));
    }
    // Two calls start one subagent, and two files make one call.
    push(main, 1, uses("a1", "Agent", json!({"subagent_type": "gardener", "prompt": "look"})));
    push(main, 1, uses("a2", "Agent", json!({"subagent_type": "gardener", "prompt": "look again"})));
    push(zed, 1, uses("a2", "Agent", json!({"subagent_type": "gardener", "prompt": "look again"})));
    for (file, second) in [(zed, 1), (ada, 1), (zed, 12)] {
        let line = if second == 1 {
            uses("b1", "Bash", json!({"command": "ls"}))
        } else {
            answers("b1", false, "done", Value::Null)
        };
        push(file, second, line);
    }
    push(main, 5, starts("a1", "ada"));
    push(main, 5, starts("a2", "ada"));
    push(main, 5, starts("a2", "zed"));
    push(main, 12, answers("a1", false, "done", json!({"agentId": "ada"})));
    push(main, 12, answers("a2", false, "done", json!({"agentId": "zed"})));
    push(zed, 12, answers("a2", false, "done", json!({"agentId": "ada"})));
    for (file, n) in [(han, 1), (main, 2), (zed, 3), (ada, 4)] {
        push(file, 20, event("hook_run", json!({"plugin": "rust", "hook": "test", "hook_type": "Stop"})));
        let data = json!({"plugin": "rust", "hook": "test", "hook_type": "Stop", "success": n == 2, "duration_ms": n});
        push(file, 20, event("hook_result", data));
        let data = json!({"message_id": "p1", "sentiment_score": f64::from(n), "sentiment_level": "positive",
            "frustration_score": 7.5, "frustration_level": "high", "signals": [format!("signal {n}")]});
        push(file, 21, event("sentiment_analysis", data));
        let data = json!({"task_id": "task-han", "description": format!("by {n}"), "task_type": "research"});
        push(file, 22, json!({"type": "han_event", "eventType": "task_start", "data": data}));
    }
    files
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
