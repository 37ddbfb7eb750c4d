//! The statements of a push. Their number does not grow with the number of lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use han_crypto::{ApiKeyToken, OsEntropy};
use han_db::queries::api_keys;
use han_db::{Db, DbConfig};
use han_testkit::{SyntheticSession, TestClock, TestDatabase, both_databases};
use support::{World, push};

/// The statements that the database has run, without those that begin and end transactions.
type Seen = Arc<Mutex<Vec<String>>>;

async fn observed_world(database: &TestDatabase) -> (World, Seen) {
    let (clock, seen) = (TestClock::default(), Seen::default());
    let mut config = DbConfig::new(database.url());
    let observer = Arc::clone(&seen);
    config.observer = Some(Arc::new(move |sql: &str| observer.lock().unwrap().push(sql.to_owned())));
    let entropy = Arc::new(OsEntropy::new());
    let db = Db::connect(&config, support::keks(), Arc::new(clock.clone()), entropy).await.unwrap();
    db.migrate().await.unwrap();
    let scope = support::team(&db, "ada").await;
    (World { db, clock, scope }, seen)
}

/// What each statement does to which table, in order: `SELECT sessions`.
fn summary(seen: &Seen) -> Vec<String> {
    let statements = std::mem::take(&mut *seen.lock().unwrap());
    let summary = statements.iter().map(|sql| {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let verb = words[0];
        let before = match verb {
            "INSERT" => "INTO",
            "UPDATE" => "UPDATE",
            _ => "FROM",
        };
        let table = words.iter().position(|word| *word == before).map_or("", |at| words[at + 1]);
        format!("{verb} {table}")
    });
    summary.collect()
}

async fn of_push(world: &World, seen: &Seen, lines: &[String], offset: u64) -> Vec<String> {
    seen.lock().unwrap().clear();
    push(world, "s", "main", Some(offset), lines).await;
    summary(seen)
}

fn prompt(n: u64) -> String {
    format!(
        r#"{{"type":"user","uuid":"u{n}","timestamp":"2026-11-02T10:00:00.000Z","message":{{"content":"x"}}}}"#
    )
}

both_databases!(
    async fn a_push_runs_few_statements_whatever_the_number_of_lines(database: TestDatabase) {
        let (world, seen) = observed_world(&database).await;
        push(&world, "s", "main", Some(0), &[prompt(0)]).await;
        let one = of_push(&world, &seen, &[prompt(1)], 1).await;
        let expected = [
            "SELECT sessions",
            "SELECT transcripts",
            "INSERT segments",
            "INSERT messages",
            "UPDATE transcripts",
            "UPDATE sessions",
            "INSERT rollups",
        ];
        let keys = if database.is_postgres() { vec![] } else { vec!["INSERT segment_keys"] };
        let expected: Vec<&str> = [&expected[..3], &keys, &expected[3..]].concat();
        assert_eq!(one, expected);
        let many = of_push(&world, &seen, &(2..502).map(prompt).collect::<Vec<_>>(), 2).await;
        assert_eq!(many, expected);
        // With tool calls, answers, file changes and tasks.
        let mut session = SyntheticSession::new(1);
        push(&world, "s", "main", Some(502), &session.lines(500)).await;
        let all = of_push(&world, &seen, &session.lines(500), 1002).await;
        assert!(all.len() <= 30, "{all:#?}");
        let twice = of_push(&world, &seen, &session.lines(1000), 1502).await;
        assert_eq!(twice.len(), all.len(), "{all:#?} {twice:#?}");
    }
);

both_databases!(
    async fn a_key_is_looked_up_with_one_statement(database: TestDatabase) {
        let (world, seen) = observed_world(&database).await;
        let hash = ApiKeyToken::mint(world.db.entropy()).hash();
        seen.lock().unwrap().clear();
        assert!(api_keys::for_push(&world.db, &hash).await.unwrap().is_none());
        assert_eq!(summary(&seen), ["SELECT api_keys"]);
    }
);
