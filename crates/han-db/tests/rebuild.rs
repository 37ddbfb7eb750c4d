//! A rebuild gives the same derived data as ingest; a deleted session is removed from all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use han_db::queries::{deletion, rebuild};
use han_testkit::{SyntheticSession, both_databases};
use serde_json::json;
use support::corpus::{File, all_files, assert_same, contents, eventful, number, push_in_pieces, push_whole};
use support::{World, dump, push, world};

/// Tables whose rows name a session by its number.
const OF_SESSIONS: &[&str] = &[
    "answer_copies",
    "file_changes",
    "hook_executions",
    "messages",
    "native_tasks",
    "search_state",
    "search_terms",
    "segments",
    "sentiments",
    "session_usage",
    "subagent_calls",
    "subagent_starts",
    "task_events",
    "tasks",
    "todos",
    "tool_results",
    "transcripts",
];

both_databases!(
    async fn a_rebuild_changes_nothing_and_restores_lost_data(database: TestDatabase) {
        let world = world(&database).await;
        let files = all_files();
        push_in_pieces(&world, &files, 60, 7).await;
        // A fork: its answers count for the session that stored them first.
        push(&world, "fork", "main", Some(0), &files[0].2).await;
        let before = contents(&database, &world).await;
        let rebuilt = rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        let lines = number(&database, "SELECT count(*) FROM messages").await;
        assert_eq!(i64::try_from(rebuilt.lines).unwrap(), lines);
        assert_same(&contents(&database, &world).await, &before);

        // Lost derived data is restored.
        for table in [
            "rollups",
            "rollup_counts",
            "session_usage",
            "tool_results",
            "subagent_calls",
            "subagent_starts",
            "task_events",
            "tasks",
            "native_tasks",
            "file_changes",
            "todos",
            "hook_executions",
            "sentiments",
        ] {
            database.execute(&format!("DELETE FROM {table}")).await;
        }
        database.execute("UPDATE sessions SET turn_count = 99, output_tokens = 99").await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
    }
);

both_databases!(
    async fn a_rebuild_decodes_lines_that_were_sent_as_json_strings(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(3).lines(20);
        let strings: Vec<String> = lines.iter().map(|line| serde_json::json!(line).to_string()).collect();
        push(&world, "s1", "main", Some(0), &strings).await;
        let before = contents(&database, &world).await;
        assert!(number(&database, "SELECT output_tokens FROM sessions").await > 0);
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
    }
);

both_databases!(
    async fn a_deleted_session_leaves_the_rollups_and_is_not_stored_again(database: TestDatabase) {
        let world = world(&database).await;
        let files = all_files();
        let (gone, kept): (Vec<File>, Vec<File>) =
            files.into_iter().partition(|(session, ..)| session == "eventful");
        push_whole(&world, &kept).await;
        let before = contents(&database, &world).await;
        push_whole(&world, &gone).await;
        let id = "eventful".parse().unwrap();
        let session = number(&database, "SELECT number FROM sessions WHERE session_id = 'eventful'").await;
        assert!(deletion::session(&world.scope, &world.db, &id).await.unwrap());
        let published = number(&database, "SELECT count(*) FROM changes WHERE action = 'delete'").await;
        assert!(!deletion::session(&world.scope, &world.db, &id).await.unwrap());
        assert_eq!(
            published,
            number(&database, "SELECT count(*) FROM changes WHERE action = 'delete'").await
        );
        assert_eq!(published, 1);
        let without_tombs = |rows: Vec<String>| -> Vec<String> {
            rows.into_iter().filter(|row| !row.contains("eventful")).collect()
        };
        assert_same(&without_tombs(contents(&database, &world).await), &before);
        // Most tables name a session by its number, some by its text id.
        let key_table = (!database.is_postgres()).then_some("segment_keys");
        for table in OF_SESSIONS.iter().copied().chain(key_table) {
            let sql = format!("SELECT count(*) FROM {table} WHERE session = {session}");
            assert_eq!(number(&database, &sql).await, 0, "{table}");
        }
        for table in han_db::TENANT_TABLES.iter().filter(|table| **table != "deleted_sessions") {
            for row in dump(&database, &format!("SELECT * FROM {table}")).await {
                assert!(!row.contains("eventful"), "{table}: {row}");
            }
        }
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&without_tombs(contents(&database, &world).await), &before);

        let (session, transcript, lines) = &gone[0];
        let batch = support::batch(true, session, transcript, Some(0), lines);
        let outcome = han_db::queries::ingest::store(&world.scope, &world.db, batch).await.unwrap();
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

both_databases!(
    async fn answers_of_a_deleted_session_count_for_its_fork(database: TestDatabase) {
        let world = world(&database).await;
        let (session, transcript, lines) = eventful().remove(0);
        push(&world, &session, &transcript, Some(0), &lines).await;
        let output = "SELECT sum(output_tokens) FROM rollups WHERE grain < 2";
        let whole = number(&database, output).await;
        push(&world, "fork", "main", Some(0), &lines[..8]).await;
        assert_eq!(number(&database, output).await, whole, "the fork repeats answers");
        let of_fork = "SELECT output_tokens FROM sessions WHERE session_id = 'fork'";
        assert_eq!(number(&database, of_fork).await, 0);
        deletion::session(&world.scope, &world.db, &session.parse().unwrap()).await.unwrap();
        // Five of the eight lines are answers of five tokens each.
        assert_eq!(number(&database, output).await, 25);
        assert_eq!(number(&database, of_fork).await, 25);
        let before = contents(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
    }
);

both_databases!(
    async fn lines_can_be_pushed_during_a_rebuild(database: TestDatabase) {
        let world = world(&database).await;
        let files = all_files();
        let files: Vec<File> = files.into_iter().filter(|(_, _, lines)| lines.len() < 500).collect();
        let pushing = push_in_pieces(&world, &files, 30, 5);
        let rebuilding = async {
            for _ in 0..6 {
                rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            }
        };
        tokio::join!(pushing, rebuilding);
        let before = contents(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
        let sum = "SELECT sum(output_tokens) FROM answer_copies WHERE owner";
        assert!(number(&database, sum).await > 0);
        assert_eq!(
            number(&database, sum).await,
            number(&database, "SELECT sum(output_tokens) FROM rollups WHERE grain < 2").await
        );
    }
);

/// An answer with tokens, so that it changes the totals of its session.
fn answer(session: &str, n: u64) -> String {
    let usage = json!({"input_tokens": 3, "output_tokens": 5});
    let message = json!({"id": format!("{session}-{n}"), "role": "assistant", "model": "m", "usage": usage,
        "content": [{"type": "text", "text": "an answer"}]});
    let time = "2026-03-01T10:00:00Z";
    json!({"type": "assistant", "uuid": format!("{session}-{n}"), "timestamp": time, "message": message})
        .to_string()
}

both_databases!(
    async fn pushes_and_a_rebuild_do_not_wait_for_each_other_in_a_circle(database: TestDatabase) {
        let world = world(&database).await;
        let stop = AtomicBool::new(false);
        let derived =
            || world.db.transaction_stats().get("rebuild.session").map_or(0, |stats| stats.committed);
        // Each session grows whenever the rebuild has derived one, so that its last round derives them during pushes.
        let grow = async |session: &str| {
            let mut line = 0;
            while !stop.load(Ordering::SeqCst) {
                push(&world, session, "main", Some(line), &[answer(session, line)]).await;
                line += 1;
                let before = derived();
                while derived() == before && !stop.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
            }
        };
        let rebuilding = async {
            for _ in 0..3 {
                rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            }
            stop.store(true, Ordering::SeqCst);
        };
        tokio::join!(grow("s1"), grow("s2"), grow("s3"), grow("s4"), rebuilding);
        // PostgreSQL ends one of such transactions after a second, and it runs again.
        let again: u64 = world.db.transaction_stats().values().map(|stats| stats.retried).sum();
        assert_eq!(again, 0);
        let before = contents(&database, &world).await;
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &before);
    }
);
