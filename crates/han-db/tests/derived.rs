//! Derived data equals the result of han-transcript's folds, for any order and any batches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use han_db::page::{Cursor, MessageCursor, PageRequest};
use han_db::queries::calls;
use han_db::queries::ingest::{Preparer, ReceivedBatch};
use han_db::queries::tool_results::{self, Call};
use han_db::queries::{derived_events, file_changes, hooks, rebuild};
use han_testkit::{SeededEntropy, SyntheticSession, TestDatabase, both_databases};
use han_transcript::fold::{LinePosition, SessionTotals};
use han_transcript::record::{LineContext, ResultKind, TimeSource, project};
use han_types::sync::SessionMetadata;
use han_types::{MessageKey, PlanTier, Policy, SessionId, Timestamp};
use support::corpus::{
    File, all_files, contents, contested, eventful, number, opened, push_in_pieces, push_whole,
    strip_blind_ids,
};
use support::{World, dump, push, world};

/// The totals of each session, from the folds.
fn folded(files: &[File]) -> BTreeMap<&str, SessionTotals> {
    let mut totals: BTreeMap<&str, SessionTotals> = BTreeMap::new();
    for (session, transcript, lines) in files {
        let mut before = Timestamp(0);
        for (line, n) in lines.iter().zip(0..) {
            let record = project(line, &LineContext { session_id: session, transcript });
            if let TimeSource::Own(at) = record.time {
                before = at;
            }
            let place = LinePosition { time: before, transcript: transcript.clone(), line: n };
            totals.entry(session).or_default().add(&place, &record);
        }
    }
    totals
}

async fn assert_as_folded(database: &TestDatabase, files: &[File]) {
    for (session, totals) in folded(files) {
        let session_number = format!("(SELECT number FROM sessions WHERE session_id = '{session}')");
        let of = |what: &str, table: &str| {
            let key = if table == "sessions" { "number" } else { "session" };
            let sql = format!("SELECT {what} FROM {table} WHERE {key} = {session_number}");
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
                "SELECT output_tokens FROM session_usage WHERE session = {session_number} AND model = '{model}'"
            );
            assert_eq!(number(database, &sql).await, tokens.output, "{session} {model}");
        }
    }
}

both_databases!(
    async fn any_batching_gives_the_result_of_the_folds(database: TestDatabase) {
        let files = all_files();
        let mut whole: Option<Vec<String>> = None;
        for (size, seed) in [(100_000, 1), (9, 2), (400, 3)] {
            let database = fresh(&database).await;
            let world = world(&database).await;
            push_in_pieces(&world, &files, size, seed).await;
            assert_as_folded(&database, &files).await;
            let mut rows: Vec<String> = dump(
                &database,
                "SELECT grain, start, kind, sum(count) AS n, sum(passed) AS p, sum(failed) AS f, sum(duration_ms) AS d, \
                 sum(lines_added) AS a, sum(lines_removed) AS r, sum(score) AS s, sum(error) AS e FROM rollup_counts \
                 GROUP BY grain, start, kind HAVING sum(count) <> 0 ORDER BY 1, 2, 3",
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

/// A separate database for one way of pushing.
async fn fresh(like: &TestDatabase) -> TestDatabase {
    if like.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await }
}

both_databases!(
    async fn results_that_arrive_before_their_calls_correct_them(database: TestDatabase) {
        let world = world(&database).await;
        let (session, _, lines) = eventful().remove(0);
        // Backwards, line by line: each result arrives before its call. Offsets may decrease, but not leave a gap.
        push(&world, &session, "main", Some(0), &lines[lines.len() - 1..]).await;
        for line in lines.iter().rev().skip(1) {
            push(&world, &session, "main", Some(0), std::slice::from_ref(line)).await;
        }
        let changes = "SELECT tool_name, action, failed FROM file_changes ORDER BY at";
        let rows = dump(&database, changes).await;
        assert_eq!(rows.len(), 3);
        assert!(rows[0].contains("modified") && rows[2].contains("modified"), "{rows:?}");
        let failed = number(&database, "SELECT count(*) FROM file_changes WHERE failed").await;
        assert_eq!(failed, 1, "{rows:?}");
        assert_eq!(
            number(&database, "SELECT sum(count) FROM rollup_counts WHERE grain < 2 AND kind = 'file'").await,
            2
        );
        assert_eq!(number(&database, "SELECT sum(lines_added) FROM rollup_counts WHERE grain < 2").await, 5);
        assert_eq!(number(&database, "SELECT lines_added FROM sessions").await, 5);
        assert_eq!(number(&database, "SELECT count(*) FROM native_tasks").await, 1);
        assert_eq!(
            number(
                &database,
                "SELECT sum(count) FROM rollup_counts WHERE grain < 2 AND kind = 'native_begun'"
            )
            .await,
            1
        );
        assert_eq!(
            number(
                &database,
                "SELECT sum(count) FROM rollup_counts WHERE grain < 2 AND kind = 'native_done'"
            )
            .await,
            1
        );
        assert_eq!(
            number(&database, "SELECT sum(count) FROM rollup_counts WHERE grain < 2 AND kind = 'task_begun'")
                .await,
            2
        );
        let ended = "SELECT sum(score) FROM rollup_counts WHERE grain < 2 AND kind = 'task_ended' AND key = 'fix/success'";
        assert_eq!(number(&database, ended).await, 800_000);
        assert_eq!(number(&database, "SELECT sum(error) FROM rollup_counts WHERE grain < 2").await, 200_000);
    }
);

both_databases!(
    async fn rollups_move_to_the_project_when_it_becomes_known(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(3).lines(60);
        let homeless: Vec<String> =
            lines.iter().map(|line| line.replace("\"cwd\":\"/home/dev/orchard\"", "\"n\":1")).collect();
        let received = ReceivedBatch {
            metadata: SessionMetadata::default(),
            ..support::received("s1", "main", Some(0), &homeless[..40])
        };
        let batch = Preparer::new(Policy::of(PlanTier::Enterprise)).prepare(received).unwrap();
        han_db::queries::ingest::store(&world.scope, &world.db, batch).await.unwrap();
        assert_eq!(number(&database, "SELECT count(*) FROM rollups WHERE project_id <> ''").await, 0);
        push(&world, "s1", "main", Some(40), &homeless[40..]).await;
        for table in ["rollups", "rollup_counts"] {
            let left = dump(&database, &format!("SELECT * FROM {table} WHERE project_id = ''")).await;
            let nothing = number(
                &database,
                match table {
                    "rollups" => {
                        "SELECT sum(abs(sessions) + abs(messages) + abs(turns) + abs(responses) + \
                         abs(output_tokens)) FROM rollups WHERE project_id = ''"
                    }
                    _ => "SELECT sum(abs(count) + abs(lines_added)) FROM rollup_counts WHERE project_id = ''",
                },
            )
            .await;
            assert_eq!(nothing, 0, "{left:?}");
        }
        let moved =
            number(&database, "SELECT sum(output_tokens) FROM rollups WHERE grain < 2 AND project_id <> ''")
                .await;
        assert_eq!(
            moved,
            number(&database, "SELECT sum(output_tokens) FROM answer_copies WHERE owner").await
        );
        assert_eq!(
            number(&database, "SELECT sum(sessions) FROM rollups WHERE grain < 2 AND project_id <> ''").await,
            1
        );
    }
);

/// The derived data without line numbers, which depend on the order of arrival.
async fn derived(database: &TestDatabase) -> Vec<String> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT at, tool_name, action, failed, lines_added FROM file_changes ORDER BY 1, 2",
        "SELECT task_id, task_type, status, outcome, confidence, started_at, completed_at FROM tasks ORDER BY 1",
        "SELECT t.task_id, t.status, t.created_at, t.updated_at, t.completed_at, m.at FROM native_tasks t \
         JOIN messages m ON m.team = t.team AND m.session = t.session AND m.ordinal = t.ordinal ORDER BY 1",
        "SELECT at, pending, in_progress, completed FROM todos",
        "SELECT grain, start, kind, key, count, timed, duration_ms, lines_added, lines_removed, scored, score, error \
         FROM rollup_counts WHERE count <> 0 ORDER BY 1, 2, 3, 4",
        "SELECT grain, start, model, sessions, messages, turns, responses, output_tokens FROM rollups \
         WHERE sessions <> 0 OR messages <> 0 OR responses <> 0 ORDER BY 1, 2, 3",
        "SELECT started_at, last_activity_at, tool_use_count, file_change_count, lines_added, task_count, \
         task_done_count, output_tokens FROM sessions",
    ] {
        // Ids of labels are keyed by team, and each database has another team.
        rows.extend(dump(database, sql).await.iter().map(|row| strip_blind_ids(row)));
    }
    rows
}

both_databases!(
    async fn any_order_gives_the_same_result(database: TestDatabase) {
        let (session, transcript, lines) = eventful().remove(0);
        let in_order = {
            let database = fresh(&database).await;
            let world = world(&database).await;
            // After the times of the lines.
            world.clock.advance_seconds(86_400);
            push(&world, &session, &transcript, Some(0), &lines).await;
            derived(&database).await
        };
        for seed in 1..7 {
            let database = fresh(&database).await;
            let world = world(&database).await;
            world.clock.advance_seconds(86_400);
            let entropy = SeededEntropy::new(seed);
            let below = |n: usize| usize::try_from(entropy.below(n as u64)).unwrap();
            let mut left = lines.clone();
            while !left.is_empty() {
                let mut batch = Vec::new();
                for _ in 0..=below(4).min(left.len() - 1) {
                    batch.push(left.swap_remove(below(left.len())));
                }
                // Some lines are pushed twice.
                batch.push(lines[below(lines.len())].clone());
                left.retain(|line| !batch.contains(line));
                push(&world, &session, &transcript, Some(0), &batch).await;
            }
            assert_eq!(derived(&database).await, in_order, "seed {seed}");
        }
    }
);

/// What is stored of the files, without what differs between teams; and which messages show which.
async fn everything(database: &TestDatabase, world: &World, files: &[File]) -> Vec<String> {
    let user = world.scope.user_id().as_str();
    let rows = contents(database, world).await.into_iter();
    let mut rows: Vec<String> = rows.map(|row| strip_blind_ids(&row.replace(user, "user"))).collect();
    // Blind ids sort differently in each team.
    rows.sort();
    rows.extend(opened(world).await);
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let session: SessionId = files[0].0.parse().unwrap();
    let key = |transcript: &str, line: &String| MessageKey {
        session_id: session.clone(),
        transcript: transcript.parse().unwrap(),
        uuid: serde_json::from_str::<serde_json::Value>(line).unwrap()["uuid"].as_str().unwrap().to_owned(),
    };
    let keys: Vec<MessageKey> =
        files.iter().flat_map(|(_, name, lines)| lines.iter().map(move |line| key(name, line))).collect();
    let shown: BTreeMap<String, String> = calls::shown_by(&tx, &session, &keys)
        .await
        .unwrap()
        .into_iter()
        .map(|(key, by)| (key.row_id(), by.row_id()))
        .collect();
    rows.push(format!("{shown:?}"));
    let call = |call_id: &str| {
        let makes_call = |line: &&String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let blocks = line["message"]["content"].as_array().into_iter().flatten();
            blocks.clone().any(|block| block["type"] == "tool_use" && block["id"] == call_id)
        };
        let mut made = files.iter().flat_map(|(_, name, lines)| lines.iter().map(move |line| (name, line)));
        let (name, line) = made.find(|(_, line)| makes_call(line)).unwrap_or((&files[0].1, &files[0].2[0]));
        Call { message: key(name, line), kind: ResultKind::Tool, call_id: call_id.to_owned() }
    };
    let started = ["a1", "a2", "w1"].map(call);
    rows.push(format!("{:?}", tool_results::agents_by_calls(&tx, &started).await.unwrap()));
    let results = tool_results::by_calls(&tx, &["a1", "a2", "w1", "t1", "h1"].map(call)).await.unwrap();
    let results =
        results.iter().map(|(call, result)| (&call.call_id, result.success, result.message.cursor()));
    rows.push(format!("{:?}", results.collect::<Vec<_>>()));
    let events = hooks::runs_and_results(&tx, std::slice::from_ref(&session)).await.unwrap();
    let pairs = hooks::pair(&events);
    rows.push(format!(
        "{:?}",
        pairs.iter().map(|(run, result)| (&run.uuid, &result.uuid)).collect::<Vec<_>>()
    ));
    let events = derived_events::between(&tx, &session, 0, i64::MAX).await.unwrap();
    rows.push(format!("{events:?}"));
    rows
}

both_databases!(
    async fn derived_data_does_not_depend_on_the_order_across_files(database: TestDatabase) {
        let files = contested();
        let in_order = {
            let database = fresh(&database).await;
            let world = world(&database).await;
            push_whole(&world, &files).await;
            for table in
                ["subagent_starts", "hook_executions", "sentiments", "tasks", "native_tasks", "todos"]
            {
                let sql = format!("SELECT count(*) FROM {table}");
                assert_ne!(number(&database, &sql).await, 0, "{table} is compared");
            }
            everything(&database, &world, &files).await
        };
        for seed in 1..7 {
            let database = fresh(&database).await;
            let world = world(&database).await;
            push_in_pieces(&world, &files, 1 + usize::try_from(seed).unwrap(), seed).await;
            let stored = everything(&database, &world, &files).await;
            for (stored, in_order) in stored.iter().zip(&in_order) {
                assert_eq!(stored, in_order, "seed {seed}");
            }
            assert_eq!(stored.len(), in_order.len(), "seed {seed}");
            // Derived again, segment by segment.
            rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            assert_eq!(everything(&database, &world, &files).await, stored, "seed {seed}, derived again");
        }
    }
);

both_databases!(
    async fn pages_of_file_changes_continue_between_changes_of_one_time(database: TestDatabase) {
        let world = world(&database).await;
        let files = contested();
        // The names of files are in another order than their numbers.
        push_whole(&world, &files).await;
        let tx = world.db.read(&world.scope, "test.read").await.unwrap();
        let session: SessionId = files[0].0.parse().unwrap();
        let whole = PageRequest { after: None, first: 100 };
        let whole = file_changes::page(&tx, &session, &whole).await.unwrap().rows;
        let place = |cursor: &MessageCursor, n: i64| (cursor.at, cursor.transcript.clone(), cursor.line, n);
        let places: Vec<_> = whole.iter().map(|change| place(&change.cursor.line, change.cursor.n)).collect();
        assert!(places.is_sorted_by(|a, b| a > b), "{places:?}");
        assert_eq!(places.len(), 14, "the change of the call that failed is left out");
        for first in 1..6 {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let request = PageRequest { after, first };
                let page = file_changes::page(&tx, &session, &request).await.unwrap();
                after = page.rows.last().map(|change| Cursor::decode(&change.cursor.encode()).unwrap());
                found.extend(page.rows);
                if !page.has_next {
                    break;
                }
            }
            assert_eq!(found, whole, "pages of {first}");
        }
    }
);
