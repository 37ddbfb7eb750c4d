//! The times of lines that have none of their own: they do not depend on how a file is cut into batches, nor on when its
//! lines arrive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use han_db::queries::rebuild;
use han_testkit::{TestDatabase, both_databases};
use han_types::Timestamp;
use serde_json::{Value, json};
use support::corpus::{File, assert_same, contents, number, push_whole, strip_blind_ids};
use support::{Random, World, push, world};

const START: i64 = 1_793_610_000_000;

fn at(minute: i64) -> i64 {
    START + minute * 60_000
}

fn uuid(file: usize, n: usize) -> String {
    format!("0000000{file}-0000-4000-8000-{n:012}")
}

fn prompt(file: usize, n: usize, time: Value) -> Value {
    json!({"type": "user", "uuid": uuid(file, n), "timestamp": time, "cwd": "/home/dev/orchard",
        "message": {"role": "user", "content": format!("prompt {n}")}})
}

fn dated(file: usize, n: usize, minute: i64) -> Value {
    prompt(file, n, json!(Timestamp(at(minute)).to_rfc3339()))
}

/// An answer that changes a file.
fn answer(file: usize, n: usize, time: Value) -> Value {
    let call = json!({"type": "tool_use", "id": format!("e{file}-{n}"), "name": "Edit",
        "input": {"file_path": format!("/orchard/{n}.rs"), "old_string": "a", "new_string": "b\nc"}});
    json!({"type": "assistant", "uuid": uuid(file, n), "timestamp": time, "version": format!("2.1.{n}"),
        "message": {"role": "assistant", "id": format!("msg_{file}_{n}"), "model": "claude-opus-4-6",
            "usage": {"input_tokens": 3, "output_tokens": 5}, "content": [call]}})
}

fn title(n: usize) -> Value {
    json!({"type": "custom-title", "customTitle": format!("title {n}"), "sessionId": "s"})
}

fn summary(n: usize, leaf: &str) -> Value {
    json!({"type": "summary", "summary": format!("summary {n}"), "leafUuid": leaf})
}

fn lines(values: &[Value]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}

/// A file in which many lines have no time of their own, often at its beginning.
fn file(random: &mut Random, file: usize) -> Vec<String> {
    let count = 4 + random.below(12);
    let head = random.below(4);
    let mut minute = i64::try_from(random.below(30)).unwrap();
    let line = |n: usize| {
        minute += i64::try_from(random.below(9)).unwrap();
        let time = json!(Timestamp(at(minute)).to_rfc3339());
        let untimed = [Value::Null, json!("soon"), json!("2031-01-01T00:00:00.000Z")];
        let untimed = untimed[random.below(3)].clone();
        // The last line of each file has a time.
        let kind = if n < head { 4 + random.below(5) } else { random.below(9) };
        match if n + 1 == count { 0 } else { kind } {
            0 | 1 => prompt(file, n, time),
            2 | 3 => answer(file, n, time),
            4 => title(n),
            5 => prompt(file, n, untimed),
            6 => answer(file, n, untimed),
            7 => json!({"type": "mode", "mode": "plan", "n": n}),
            // Of a line before it, a line after it, or a line of another session.
            _ => summary(n, &uuid(file, random.below(count + 2))),
        }
    };
    (0..count).map(line).map(|line| line.to_string()).collect()
}

async fn fresh(like: &TestDatabase) -> TestDatabase {
    if like.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await }
}

/// What is stored, without what differs between teams, and without how far clocks were ahead of the arrival.
async fn stored(database: &TestDatabase, world: &World) -> Vec<String> {
    let user = world.scope.user_id().as_str();
    let rows = contents(database, world).await.into_iter();
    let mut rows: Vec<String> = rows
        .map(|row| {
            let row = strip_blind_ids(&row.replace(user, "user"));
            match row.split_once("clock_ahead_ms: ") {
                Some((before, after)) => [before, after.split_once(' ').unwrap_or_default().1].concat(),
                None => row,
            }
        })
        .collect();
    rows.sort();
    rows
}

async fn session_time(database: &TestDatabase, column: &str) -> i64 {
    number(database, &format!("SELECT {column} FROM sessions")).await
}

both_databases!(
    async fn times_do_not_depend_on_batches(database: TestDatabase) {
        for seed in 1..9 {
            let mut random = Random(seed);
            let names = ["main", "agent-ada"];
            let files: Vec<File> = (0..names.len())
                .map(|n| ("s".to_owned(), names[n].to_owned(), file(&mut random, n)))
                .collect();
            let whole = {
                let database = fresh(&database).await;
                let world = world(&database).await;
                world.clock.advance_seconds(86_400);
                push_whole(&world, &files).await;
                stored(&database, &world).await
            };
            let database = fresh(&database).await;
            let world = world(&database).await;
            world.clock.advance_seconds(86_400);
            let mut sent = vec![0; files.len()];
            loop {
                let open: Vec<usize> = (0..files.len()).filter(|n| sent[*n] < files[*n].2.len()).collect();
                if open.is_empty() {
                    break;
                }
                let n = open[random.below(open.len())];
                let (session, name, lines) = &files[n];
                let end = lines.len().min(sent[n] + 1 + random.below(3));
                // A retry begins with lines that are stored.
                let begin = sent[n].saturating_sub(random.below(2));
                push(&world, session, name, Some(begin as u64), &lines[begin..end]).await;
                sent[n] = end;
                world.clock.advance_seconds(60);
            }
            let cut = stored(&database, &world).await;
            for (cut, whole) in cut.iter().zip(&whole) {
                assert_eq!(
                    cut,
                    whole,
                    "seed {seed}: {:#?}",
                    files.iter().map(|file| &file.2).collect::<Vec<_>>()
                );
            }
            assert_eq!(cut.len(), whole.len(), "seed {seed}");
            rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            assert_same(&stored(&database, &world).await, &cut);
        }
    }
);

both_databases!(
    async fn lines_that_arrive_before_the_first_time_get_it(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(30 * 86_400);
        let head = lines(&[title(0), prompt(0, 1, Value::Null)]);
        push(&world, "s", "main", Some(0), &head).await;
        let arrived = session_time(&database, "last_activity_at").await;
        assert!(arrived > at(1_000));
        // Without any time, nothing better is known, also for what follows.
        world.clock.advance_seconds(3_600);
        push(&world, "s", "main", Some(2), &lines(&[title(2)])).await;
        assert_eq!(session_time(&database, "last_activity_at").await, arrived);
        push(&world, "s", "main", Some(3), &lines(&[dated(0, 3, 5), title(4), dated(0, 5, 9)])).await;
        assert_eq!(session_time(&database, "started_at").await, at(5));
        assert_eq!(session_time(&database, "last_activity_at").await, at(9));
        for (line, minute) in [5, 5, 5, 5, 5, 9].into_iter().enumerate() {
            let sql = format!("SELECT at FROM messages WHERE line = {line}");
            assert_eq!(number(&database, &sql).await, at(minute), "line {line}");
        }
        let elsewhere = format!(
            "SELECT sum(abs(messages) + abs(turns) + abs(sessions)) FROM rollups WHERE grain >= 4 AND start > {}",
            at(60)
        );
        assert_eq!(number(&database, &elsewhere).await, 0);
        assert_eq!(number(&database, "SELECT sum(turns) FROM rollups WHERE grain = 0").await, 3);
        let segments = "SELECT max(last_at) FROM segments";
        assert_eq!(number(&database, segments).await, at(9));
    }
);

both_databases!(
    async fn a_copy_without_times_does_not_make_a_session_younger(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(30 * 86_400);
        // Two folders have the session: one has only its title.
        push(&world, "s", "main", Some(0), &lines(&[title(0)])).await;
        let whole = lines(&[dated(0, 0, 1), dated(0, 1, 4), title(7)]);
        push(&world, "s", "main", Some(0), &whole).await;
        assert_eq!(session_time(&database, "started_at").await, at(1));
        assert_eq!(session_time(&database, "last_activity_at").await, at(4));
        // A subagent's file without times.
        world.clock.advance_seconds(60);
        push(&world, "s", "agent-ada", Some(0), &lines(&[prompt(1, 0, Value::Null)])).await;
        assert_eq!(session_time(&database, "last_activity_at").await, at(4));
        // Lines of another file that are earlier.
        push(&world, "s", "agent-bob", Some(0), &lines(&[dated(2, 0, 0)])).await;
        assert_eq!(session_time(&database, "started_at").await, at(0));
        let sql = format!("SELECT at FROM messages WHERE uuid_text IS NULL AND at < {}", at(1));
        assert_eq!(number(&database, &format!("SELECT count(*) FROM ({sql}) AS early")).await, 2);
        assert_eq!(number(&database, "SELECT sum(sessions) FROM rollups WHERE grain = 0").await, 1);
    }
);

both_databases!(
    async fn a_summary_gets_the_time_of_a_line_that_arrives_later(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(86_400);
        let leaf = uuid(0, 9);
        let first = lines(&[summary(0, &leaf), dated(0, 1, 1), summary(2, "elsewhere"), dated(0, 3, 3)]);
        push(&world, "s", "main", Some(0), &first).await;
        assert_eq!(number(&database, "SELECT at FROM messages WHERE line = 0").await, at(1));
        push(&world, "s", "main", Some(4), &lines(&[dated(0, 9, 7), dated(0, 5, 8)])).await;
        assert_eq!(number(&database, "SELECT at FROM messages WHERE line = 0").await, at(7));
        assert_eq!(number(&database, "SELECT at FROM messages WHERE line = 2").await, at(1));
        let found = support::corpus::opened(&world).await;
        assert!(found[0].contains("summary 0"), "{found:?}");
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_eq!(support::corpus::opened(&world).await, found);
    }
);
