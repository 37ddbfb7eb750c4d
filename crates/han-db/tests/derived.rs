//! What is derived from lines: the same as han-transcript's folds make of them, whatever the order and the batches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use han_db::queries::{deletion, rebuild};
use han_testkit::{SyntheticSession, TestDatabase, both_databases, fixtures};
use han_transcript::fold::{Place, SessionTotals};
use han_transcript::record::{LineContext, TimeSource, project};
use han_types::Timestamp;
use serde_json::{Value, json};
use support::corpus::{File, contents, files_under, push_in_pieces, push_whole, synthetic_files};
use support::{World, dump, push, world};

/// A session in which results fail, correct and name what came before them.
fn eventful() -> Vec<File> {
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
    push(json!({"type": "system", "subtype": "compact_boundary", "compactMetadata": {"trigger": "manual"}}));
    vec![("eventful".to_owned(), "main".to_owned(), lines)]
}

fn all_files() -> Vec<File> {
    let mut files = synthetic_files();
    files.extend(eventful());
    for seed in 1..4 {
        let mut session = SyntheticSession::new(seed);
        // An agent of the same name would repeat the message ids.
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

/// What the folds say of each session.
fn folded(files: &[File]) -> BTreeMap<&str, SessionTotals> {
    let mut totals: BTreeMap<&str, SessionTotals> = BTreeMap::new();
    for (session, transcript, lines) in files {
        let mut before = Timestamp(0);
        for (line, n) in lines.iter().zip(0..) {
            let record = project(line, &LineContext { session_id: session, transcript });
            if let TimeSource::Own(at) = record.time {
                before = at;
            }
            let place = Place { time: before, transcript: transcript.clone(), line: n };
            totals.entry(session).or_default().add(&place, &record);
        }
    }
    totals
}

async fn number(database: &TestDatabase, sql: &str) -> i64 {
    let rows = dump(database, &format!("SELECT CAST(COALESCE(({sql}), 0) AS bigint) AS n")).await;
    rows[0].trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap()
}

async fn assert_as_folded(database: &TestDatabase, files: &[File]) {
    for (session, totals) in folded(files) {
        let of = |what: &str, table: &str| {
            let sql = format!("SELECT {what} FROM {table} WHERE session_id = '{session}'");
            async move { number(database, &sql).await }
        };
        let changes = totals.file_changes();
        let int = |n: usize| i64::try_from(n).unwrap();
        assert_eq!(
            of("count(*)", "file_changes").await
                - of("sum(CASE WHEN failed THEN 1 ELSE 0 END)", "file_changes").await,
            int(changes.len()),
            "{session}"
        );
        assert_eq!(of("file_change_count", "sessions").await, int(changes.len()), "{session}");
        let added: i64 = changes.iter().map(|(_, change)| change.lines_added).sum();
        let removed: i64 = changes.iter().map(|(_, change)| change.lines_removed).sum();
        assert_eq!(
            (of("lines_added", "sessions").await, of("lines_removed", "sessions").await),
            (added, removed)
        );
        let tasks = totals.tasks();
        assert_eq!(of("count(*)", "tasks").await, int(tasks.len()), "{session}");
        let native = totals.native_tasks();
        assert_eq!(of("count(*)", "native_tasks").await, int(native.len()), "{session}");
        let done = native.iter().filter(|task| task.completed_at.is_some()).count();
        assert_eq!(of("count(completed_at)", "native_tasks").await, int(done), "{session}");
        assert_eq!(
            of("pending + in_progress + completed", "todos").await,
            int(totals.todos().len()),
            "{session}"
        );
        let compactions = totals.compactions();
        let boundaries = compactions.auto + compactions.manual + compactions.unknown;
        assert_eq!(of("compaction_count", "sessions").await, i64::try_from(boundaries).unwrap());
        for (model, tokens) in totals.tokens_by_model() {
            let model = model.unwrap_or_default();
            let sql = format!(
                "SELECT output_tokens FROM session_usage WHERE session_id = '{session}' AND model = '{model}'"
            );
            assert_eq!(number(database, &sql).await, tokens.output, "{session} {model}");
        }
    }
}

both_databases!(
    async fn any_batching_comes_to_what_the_folds_say(database: TestDatabase) {
        let files = all_files();
        let mut whole: Option<Vec<String>> = None;
        for (size, seed) in [(100_000, 1), (9, 2), (400, 3)] {
            let database = fresh(&database).await;
            let world = world(&database).await;
            push_in_pieces(&world, &files, size, seed).await;
            assert_as_folded(&database, &files).await;
            let mut rows: Vec<String> = dump(
                &database,
                "SELECT hour, kind, sum(count) AS n, sum(passed) AS p, sum(failed) AS f, sum(duration_ms) AS d, \
                 sum(lines_added) AS a, sum(lines_removed) AS r, sum(score) AS s, sum(error) AS e FROM rollup_counts \
                 GROUP BY hour, kind HAVING sum(count) <> 0 ORDER BY 1, 2",
            )
            .await;
            rows.sort();
            match &whole {
                None => whole = Some(rows),
                Some(whole) => assert_eq!(&rows, whole, "batches of {size}"),
            }
        }
    }
);

/// A database of its own for one way of pushing.
async fn fresh(like: &TestDatabase) -> TestDatabase {
    if like.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await }
}

both_databases!(
    async fn results_before_their_calls_void_and_correct_them_too(database: TestDatabase) {
        let world = world(&database).await;
        let (session, _, lines) = eventful().remove(0);
        // Backwards, line by line: every result comes before its call. Offsets may go back, not forward.
        push(&world, &session, "main", Some(0), &lines[lines.len() - 1..]).await;
        for line in lines.iter().rev().skip(1) {
            push(&world, &session, "main", Some(0), std::slice::from_ref(line)).await;
        }
        let changes = "SELECT call_id, action, failed FROM file_changes ORDER BY call_id";
        let rows = dump(&database, changes).await;
        assert_eq!(rows.len(), 3);
        assert!(rows[0].contains("modified") && rows[1].contains("modified"), "{rows:?}");
        let failed = number(&database, "SELECT count(*) FROM file_changes WHERE failed").await;
        assert_eq!(failed, 1, "{rows:?}");
        assert_eq!(number(&database, "SELECT sum(count) FROM rollup_counts WHERE kind = 'file'").await, 2);
        assert_eq!(number(&database, "SELECT sum(lines_added) FROM rollup_counts").await, 5);
        assert_eq!(number(&database, "SELECT lines_added FROM sessions").await, 5);
        assert_eq!(number(&database, "SELECT count(*) FROM native_tasks").await, 1);
        assert_eq!(
            number(&database, "SELECT sum(count) FROM rollup_counts WHERE kind = 'native_begun'").await,
            1
        );
        assert_eq!(
            number(&database, "SELECT sum(count) FROM rollup_counts WHERE kind = 'native_done'").await,
            1
        );
        assert_eq!(
            number(&database, "SELECT sum(count) FROM rollup_counts WHERE kind = 'task_begun'").await,
            2
        );
        let ended = "SELECT sum(score) FROM rollup_counts WHERE kind = 'task_ended' AND key = 'fix/success'";
        assert_eq!(number(&database, ended).await, 800_000);
        assert_eq!(number(&database, "SELECT sum(error) FROM rollup_counts").await, 200_000);
    }
);

both_databases!(
    async fn a_session_takes_its_sums_along_to_its_project(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(3).lines(60);
        let homeless: Vec<String> =
            lines.iter().map(|line| line.replace("\"cwd\":\"/home/dev/orchard\"", "\"n\":1")).collect();
        let mut batch =
            support::batch(&world, &world.scope, true, "s1", "main", Some(0), &homeless[..40]).await;
        batch.metadata = han_types::sync::SessionMetadata::default();
        han_db::queries::ingest::store(&world.scope, &world.db, true, batch).await.unwrap();
        assert_eq!(number(&database, "SELECT count(*) FROM rollups WHERE project_id <> ''").await, 0);
        push(&world, "s1", "main", Some(40), &homeless[40..]).await;
        for table in ["rollups", "rollup_counts"] {
            let left = dump(&database, &format!("SELECT * FROM {table} WHERE project_id = ''")).await;
            let nothing = number(
                &database,
                &match table {
                    "rollups" => {
                        "SELECT sum(abs(sessions) + abs(messages) + abs(turns) + abs(responses) + \
                         abs(output_tokens)) FROM rollups WHERE project_id = ''"
                    }
                    _ => "SELECT sum(abs(count) + abs(lines_added)) FROM rollup_counts WHERE project_id = ''",
                }
                .to_owned(),
            )
            .await;
            assert_eq!(nothing, 0, "{left:?}");
        }
        let moved = number(&database, "SELECT sum(output_tokens) FROM rollups WHERE project_id <> ''").await;
        assert_eq!(moved, number(&database, "SELECT sum(output_tokens) FROM message_usage").await);
        assert_eq!(number(&database, "SELECT sum(sessions) FROM rollups WHERE project_id <> ''").await, 1);
    }
);

both_databases!(
    async fn a_rebuild_finds_nothing_to_mend(database: TestDatabase) {
        let world = world(&database).await;
        let files = all_files();
        push_in_pieces(&world, &files, 60, 7).await;
        // A fork, whose answers count for the session that stored them first.
        push(&world, "fork", "main", Some(0), &files[0].2).await;
        let before = contents(&database, &world).await;
        let rebuilt = rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        let lines = number(&database, "SELECT count(*) FROM messages").await;
        assert_eq!(i64::try_from(rebuilt.lines).unwrap(), lines);
        assert_same(&contents(&database, &world).await, &before);

        // What was lost is found again.
        for table in
            ["rollups", "rollup_counts", "session_usage", "tasks", "file_changes", "todos", "hook_executions"]
        {
            execute(&database, &format!("DELETE FROM {table}")).await;
        }
        execute(&database, "UPDATE sessions SET turn_count = 99, output_tokens = 99").await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
    }
);

fn assert_same(after: &[String], before: &[String]) {
    for (after, before) in after.iter().zip(before) {
        assert_eq!(after, before);
    }
    assert_eq!(after.len(), before.len());
}

async fn execute(database: &TestDatabase, sql: &str) {
    use sqlx::Connection as _;
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if database.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    }
}

both_databases!(
    async fn a_deleted_session_leaves_no_trace_in_sums_and_stays_away(database: TestDatabase) {
        let world = world(&database).await;
        let files = all_files();
        let (gone, kept): (Vec<File>, Vec<File>) =
            files.into_iter().partition(|(session, ..)| session == "eventful");
        push_whole(&world, &kept).await;
        let before = contents(&database, &world).await;
        push_whole(&world, &gone).await;
        let id = "eventful".parse().unwrap();
        assert!(deletion::session(&world.scope, &world.db, &id).await.unwrap());
        assert!(!deletion::session(&world.scope, &world.db, &id).await.unwrap());
        let without_tombs = |rows: Vec<String>| -> Vec<String> {
            rows.into_iter().filter(|row| !row.contains("eventful")).collect()
        };
        assert_same(&without_tombs(contents(&database, &world).await), &before);
        for table in han_db::TENANT_TABLES
            .iter()
            .filter(|table| !["message_usage", "deleted_sessions"].contains(table))
        {
            for row in dump(&database, &format!("SELECT * FROM {table}")).await {
                assert!(!row.contains("eventful"), "{table}: {row}");
            }
        }
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&without_tombs(contents(&database, &world).await), &before);

        let (session, transcript, lines) = &gone[0];
        let batch = support::batch(&world, &world.scope, true, session, transcript, Some(0), lines).await;
        let outcome = han_db::queries::ingest::store(&world.scope, &world.db, true, batch).await.unwrap();
        assert!(matches!(
            outcome,
            han_db::queries::ingest::Outcome::Refused(error)
                if error.code == han_types::sync::BatchErrorCode::Gone
        ));
        assert_eq!(number(&database, "SELECT count(*) FROM sessions WHERE session_id = 'eventful'").await, 0);
        let stranger: World = World { scope: support::team(&world.db, "bob").await, ..world };
        assert!(
            !deletion::session(&stranger.scope, &stranger.db, &kept[0].0.parse().unwrap()).await.unwrap()
        );
    }
);
