//! The statements of a push. Their number does not grow with the number of lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use han_crypto::{ApiKeyToken, OsEntropy};
use han_db::entities::Message;
use han_db::page::{PageRequest, SessionCursor};
use han_db::queries::filter::{Column, Comparison, Filter, Operand};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::{api_keys, sessions};
use han_db::{Db, DbConfig};
use han_testkit::{SyntheticSession, TestClock, TestDatabase, both_databases};
use support::{World, push};

/// The statements that the database has run, without those that begin and end transactions.
type Seen = Arc<Mutex<Vec<String>>>;

async fn observed_world(database: &TestDatabase) -> (World, Seen) {
    observed(DbConfig::new(database.url())).await
}

async fn observed(mut config: DbConfig) -> (World, Seen) {
    let (clock, seen) = (TestClock::default(), Seen::default());
    let observer = Arc::clone(&seen);
    config.observer = Some(Arc::new(move |sql: &str| observer.lock().unwrap().push(sql.to_owned())));
    let entropy = Arc::new(OsEntropy::new());
    let db = Db::connect(&config, support::keks(), Arc::new(clock.clone()), entropy).await.unwrap();
    db.migrate().await.unwrap();
    let scope = support::team(&db, "ada").await;
    (World { db, clock, scope }, seen)
}

/// What the parts of a statement that joins several writes do to which table: `WITH UPDATE sessions, INSERT rollups`.
fn parts(words: &[&str]) -> String {
    let part = |(at, word): (usize, &&str)| match word.trim_start_matches('(') {
        "INSERT" => Some(format!("INSERT {}", words[at + 2])),
        "UPDATE" if words[at + 1] != "SET" => Some(format!("UPDATE {}", words[at + 1])),
        _ => None,
    };
    format!("WITH {}", words.iter().enumerate().filter_map(part).collect::<Vec<_>>().join(", "))
}

/// What each statement does to which table, in order: `SELECT sessions`. An insert of many rows counts once: on SQLite it
/// is several statements.
fn summary(seen: &Seen) -> Vec<String> {
    let statements = std::mem::take(&mut *seen.lock().unwrap());
    let summary = statements.iter().map(|sql| {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let verb = words[0];
        if verb == "WITH" {
            return parts(&words);
        }
        let before = match verb {
            "INSERT" => "INTO",
            "UPDATE" => "UPDATE",
            _ => "FROM",
        };
        let table = words.iter().position(|word| *word == before).map_or("", |at| words[at + 1]);
        format!("{verb} {table}")
    });
    let mut summary: Vec<String> = summary.collect();
    summary.dedup_by(|later, earlier| later == earlier && later.starts_with("INSERT"));
    summary
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
        let expected: &[&str] = if database.is_postgres() {
            &[
                "SELECT sessions",
                "WITH UPDATE transcripts, INSERT segments, INSERT messages",
                "WITH UPDATE sessions, INSERT rollups",
            ]
        } else {
            &[
                "SELECT sessions",
                "INSERT segments",
                "UPDATE transcripts",
                "INSERT segment_keys",
                "INSERT messages",
                "UPDATE sessions",
                "INSERT rollups",
            ]
        };
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
    async fn only_a_new_session_costs_statements_for_its_plan(database: TestDatabase) {
        let (free, seen) = observed(support::billed(&database)).await;
        let (unlimited, unlimited_seen) = observed_world(&database).await;
        let of_plan = |statements: &[String]| {
            let of_plan = statements.iter().filter(|statement| statement.contains("team_usage"));
            of_plan.cloned().collect::<Vec<_>>()
        };
        let new = of_push(&free, &seen, &[prompt(0)], 0).await;
        assert_eq!(of_plan(&new), ["SELECT team_usage", "INSERT team_usage"]);
        let known = of_push(&free, &seen, &[prompt(1)], 1).await;
        assert_eq!(of_plan(&known), Vec::<String>::new(), "a known session");
        let new = of_push(&unlimited, &unlimited_seen, &[prompt(0)], 0).await;
        assert_eq!(of_plan(&new), ["INSERT team_usage"]);
        assert_eq!(of_push(&unlimited, &unlimited_seen, &[prompt(1)], 1).await, known);
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

/// How the database would run a statement, without values: the plan as text.
async fn plan(database: &TestDatabase, sql: &str) -> String {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _};
    if database.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let parameters = (1..).take_while(|n| sql.contains(&format!("${n}"))).map(|_| "NULL");
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        // The tables are small: without these settings, PostgreSQL reads them whole.
        let prepare = format!(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; \
             PREPARE statement AS {sql}"
        );
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut conn).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE statement({parameters})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    } else {
        support::dump(database, &format!("EXPLAIN QUERY PLAN {sql}")).await.join("\n")
    }
}

both_databases!(
    async fn a_page_of_messages_begins_at_its_cursor_in_the_index(database: TestDatabase) {
        let (world, seen) = observed_world(&database).await;
        push(&world, "s", "main", Some(0), &(0..30).map(prompt).collect::<Vec<_>>()).await;
        let tx = world.db.read(&world.scope, "test.page").await.unwrap();
        let (session, list) = ("s".parse().unwrap(), MessageList::default());
        let first = PageRequest { after: None, first: 10 };
        seen.lock().unwrap().clear();
        let page = messages::page(&tx, &session, &list, &first).await.unwrap();
        let after = page.rows.last().map(Message::cursor);
        let statements = std::mem::take(&mut *seen.lock().unwrap());
        let sql = statements.iter().find(|sql| sql.contains("AS wanted")).unwrap();
        let opens = plan(&database, sql).await;
        let (wanted, table) = if database.is_postgres() {
            ("Function Scan", "segments_pkey")
        } else {
            ("json_each", "SEARCH g")
        };
        // Each wanted segment is looked for, instead of each segment in the list of the wanted.
        assert!(
            opens.find(wanted).unwrap() < opens.find(table).unwrap() && !opens.contains("Hash"),
            "{opens}"
        );
        let page = messages::page(&tx, &session, &list, &PageRequest { after, first: 10 }).await.unwrap();
        assert_eq!(page.rows.len(), 10);
        let statements = std::mem::take(&mut *seen.lock().unwrap());
        let sql = statements.iter().find(|sql| sql.contains("FROM messages")).unwrap();
        let plan = plan(&database, sql).await;
        let begins = if database.is_postgres() {
            plan.lines().any(|line| line.contains("Index Cond") && line.contains("ROW(at, transcript, line"))
        } else {
            plan.contains("messages_listed (team=? AND session=? AND at<?)")
        };
        assert!(begins, "{plan}");
        // And only the segments of its messages are looked at.
        assert!(!plan.contains("Hash Join") && !plan.contains("SCAN g"), "{plan}");
    }
);

/// The plan of the list of sessions, after a cursor and with a condition.
async fn plan_of_sessions(
    database: &TestDatabase,
    (world, seen): (&World, &Seen),
    after: Option<SessionCursor>,
    filter: Option<&Filter>,
) -> String {
    let tx = world.db.read(&world.scope, "test.page").await.unwrap();
    seen.lock().unwrap().clear();
    sessions::page(&tx, filter, &PageRequest { after, first: 10 }).await.unwrap();
    let sql = seen.lock().unwrap().iter().find(|sql| sql.contains("FROM sessions")).unwrap().clone();
    plan(database, &sql).await
}

both_databases!(
    async fn lists_of_sessions_begin_in_the_index(database: TestDatabase) {
        let (world, seen) = observed_world(&database).await;
        push(&world, "s", "main", Some(0), &[prompt(0)]).await;
        if database.is_postgres() {
            // Of a table with one row, PostgreSQL takes any index.
            let copies = "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, last_activity_at, \
                 created_at, synced_at) SELECT team, 's' || n, 's' || n, user_id, metadata, sealed, \
                 last_activity_at - n * 30000, created_at, synced_at FROM sessions, generate_series(1, 5000) AS n";
            database.execute(copies).await;
            database.execute("ANALYZE sessions").await;
        }
        let cursor = SessionCursor { at: 1, session_id: "s".parse().unwrap() };
        let since = Filter::Compare(Column::SessionActivity, Comparison::AtLeast, Operand::Int(1));
        for (after, filter) in [(Some(cursor), None), (None, Some(&since))] {
            let plan = plan_of_sessions(&database, (&world, &seen), after, filter).await;
            let begins = if database.is_postgres() {
                plan.lines().any(|line| line.contains("Index Cond") && line.contains("activity_minute"))
                    && plan.contains("sessions_recent")
            } else {
                plan.contains("sessions_recent (team=? AND activity_minute")
            };
            assert!(begins, "{plan}");
        }
    }
);

/// What is pushed to a session that others list does not touch their indexes, and leaves no row for a vacuum.
#[tokio::test]
async fn a_push_updates_its_session_in_place() {
    use sqlx::Connection as _;

    let database = TestDatabase::postgres().await;
    let world = support::world(&database).await;
    for n in 0..100 {
        push(&world, "s", "main", Some(n), &[prompt(n)]).await;
    }
    // PostgreSQL counts what a connection has done when it ends, at the latest.
    world.db.close().await;
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'";
    let (mut updates, mut in_place): (i64, i64) = (0, 0);
    while updates < 100 {
        (updates, in_place) = sqlx::query_as(sql).fetch_one(&mut conn).await.unwrap();
    }
    // The rest are the first ones in new pages. Space is not used again while a transaction runs that is older, which may
    // be one of another test's database.
    assert!(in_place >= 60, "{in_place} of {updates}");
}

both_databases!(
    /// The first rows of a table make its statistics, once.
    async fn a_new_database_gets_statistics(database: TestDatabase) {
        use han_db::queries::statistics::analyze_new;

        let (world, _) = observed_world(&database).await;
        let messages = "public.messages".to_owned();
        // Migrations have filled others.
        assert!(!analyze_new(&world.db).await.unwrap().contains(&messages), "it is empty");
        push(&world, "s", "main", Some(0), &(0..100).map(prompt).collect::<Vec<_>>()).await;
        // PostgreSQL counts what a connection has done when it ends, at the latest.
        world.db.close().await;
        let again = support::connect(database.url(), &world.clock).await;
        if !database.is_postgres() {
            assert_eq!(analyze_new(&again).await.unwrap(), Vec::<String>::new());
            return;
        }
        let mut analyzed = Vec::new();
        while !analyzed.contains(&messages) {
            analyzed.extend(analyze_new(&again).await.unwrap());
        }
        assert!(!analyzed.contains(&"public.teams".to_owned()), "{analyzed:?}");
        assert!(!analyze_new(&again).await.unwrap().contains(&messages), "it has some");
    }
);

/// What merges have replaced is freed before autovacuum does it.
#[tokio::test]
async fn dead_segments_are_vacuumed() {
    use han_db::queries::statistics::vacuum_replaced;

    let database = TestDatabase::postgres().await;
    let world = support::world(&database).await;
    push(&world, "s", "main", Some(0), &[prompt(0)]).await;
    assert_eq!(vacuum_replaced(&world.db).await.unwrap(), Vec::<String>::new());
    database
        .execute(
            "INSERT INTO segments SELECT (jsonb_populate_record(s, jsonb_build_object('first_ordinal', n))).* \
             FROM segments AS s, generate_series(1000, 1999) AS n",
        )
        .await;
    database.execute("DELETE FROM segments WHERE first_ordinal >= 1000").await;
    // PostgreSQL counts what a connection has done when it ends, at the latest.
    let mut vacuumed = Vec::new();
    while vacuumed.is_empty() {
        vacuumed = vacuum_replaced(&world.db).await.unwrap();
    }
    assert_eq!(vacuumed, ["public.segments"]);
}
