//! Every background job is killed at each of its batch boundaries and goes on in another process. (Rotations, conversions and
//! merges: `rotation`, `log`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use han_crypto::{KekRing, OsEntropy};
use han_db::page::PageRequest;
use han_db::queries::deletion_requests::{self, Requested, Target};
use han_db::queries::prices::PriceChange;
use han_db::queries::search::{self, Within};
use han_db::queries::team_work::{self, Advance};
use han_db::queries::{github_accounts, keks, prices, rebuild, retention, team_deletion};
use han_db::{Db, DbConfig};
use han_testkit::{SyntheticSession, TestClock, TestDatabase, both_databases};
use han_transcript::words::Query;
use han_types::Clock as _;
use support::corpus::{File, assert_same, contents, eventful, number, push_in_pieces};
use support::{Killed, World, columns, dump, kek_ring, keks as kek, rate_of, world};

const DAY: i64 = 86_400;

/// A process whose background work changes few rows in a transaction.
async fn process(database: &TestDatabase, clock: &TestClock, keks: KekRing) -> Db {
    let config = DbConfig { work_rows: 3, ..DbConfig::new(database.url()) };
    Db::connect(&config, keks, Arc::new(clock.clone()), Arc::new(OsEntropy::new())).await.unwrap()
}

/// Lets one process after another do a batch of some work, and kills it in the next batch, until nothing is left. `step` does
/// a batch, and returns whether there was one. Returns the number of processes that had something to do.
async fn killed_at_each_boundary(
    database: &TestDatabase,
    clock: &TestClock,
    ring: impl Fn() -> KekRing,
    step: impl AsyncFn(&Db) -> bool,
) -> usize {
    for n in 0.. {
        let dying = process(database, clock, ring()).await;
        let did = step(&dying).await;
        if did {
            // Before it does anything, before it commits, and after that.
            let _ = Killed { future: Box::pin(step(&dying)), polls: [1, 9, 40, 150, 600][n % 5] }.await;
        }
        dying.close().await;
        if !did {
            return n;
        }
    }
    0
}

/// Sessions with a value in each table.
fn files(mark: &str) -> Vec<File> {
    let named = |(_, transcript, lines): File| (format!("{mark}-eventful"), transcript, lines);
    let mut files: Vec<File> = eventful().into_iter().map(named).collect();
    for n in 0..8 {
        let mut session = SyntheticSession::new(5 + n / 2);
        files.push((format!("{mark}-{n}"), "main".to_owned(), session.lines(20)));
        files.push((format!("{mark}-{n}"), "han".to_owned(), session.han_events(6)));
    }
    files
}

async fn filled(database: &TestDatabase, mark: &str) -> World {
    let world = world(database).await;
    world.clock.advance_seconds(DAY);
    push_in_pieces(&world, &files(mark), 30, 4).await;
    world
}

async fn index_step(db: &Db) -> bool {
    let due = search::due(db, None, 1).await.unwrap();
    for due in &due {
        search::index(db, due).await.unwrap();
    }
    !due.is_empty()
}

async fn hits(world: &World, word: &str) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.search").await.unwrap();
    let request = PageRequest { after: None, first: 500 };
    let found =
        search::search(&tx, &Query::parse(word).unwrap(), &Within::default(), &request).await.unwrap();
    found.hits.iter().map(|hit| format!("{:?}", hit.message.key)).collect()
}

both_databases!(
    async fn the_search_index(database: TestDatabase) {
        let world = filled(&database, "s").await;
        while index_step(&world.db).await {}
        let (found, terms) = (hits(&world, "orchard").await, "SELECT count(*) FROM search_terms");
        let all = number(&database, terms).await;
        assert!(!found.is_empty());
        search::reindex(&world.scope, &world.db).await.unwrap();
        let processes = killed_at_each_boundary(&database, &world.clock, kek, index_step).await;
        assert!(processes >= 4, "{processes}");
        assert_eq!(hits(&world, "orchard").await, found);
        assert_eq!(number(&database, terms).await, all);
        if !database.is_postgres() {
            assert_eq!(number(&database, "SELECT count(*) FROM search_fts_docsize").await, all);
        }
    }
);

both_databases!(
    async fn repricing(database: TestDatabase) {
        let world = filled(&database, "s").await;
        let models = dump(&database, "SELECT DISTINCT model FROM answer_copies WHERE model <> ''").await;
        let models = models.iter().map(|row| row.trim_start_matches("{\"model\":\"").trim_end_matches("\"}"));
        let set = models.map(rate_of).map(|rate| (rate.clone(), Some(rate.price))).collect();
        prices::change(&world.db, &PriceChange { set, ..PriceChange::default() }).await.unwrap();
        let before = contents(&database, &world).await;
        let step = async |db: &Db| {
            let current = prices::latest(db).await.unwrap();
            let due = prices::outdated(db, current.revision, None, 1).await.unwrap();
            for session in &due {
                prices::reprice(db, session, &current).await.unwrap();
            }
            !due.is_empty()
        };
        let processes = killed_at_each_boundary(&database, &world.clock, kek, step).await;
        assert!(processes >= 4, "{processes}");
        let after = contents(&database, &world).await;
        assert_ne!(after, before);
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &after);
    }
);

both_databases!(
    async fn retention_of_content(database: TestDatabase) {
        let world = filled(&database, "s").await;
        while index_step(&world.db).await {}
        let totals = async || {
            let mut rows = Vec::new();
            for (table, counts) in [
                ("rollups", "sessions <> 0 OR messages <> 0 OR responses <> 0"),
                ("rollup_counts", "count <> 0"),
                ("session_usage", "responses <> 0 OR cost <> 0"),
            ] {
                let mut found = dump(&database, &format!("SELECT * FROM {table} WHERE {counts}")).await;
                found.sort();
                rows.extend(found);
            }
            rows
        };
        let before = totals().await;
        world.clock.advance_seconds(40 * DAY);
        let team = world.scope.team_id();
        let step = async |db: &Db| {
            let due = retention::due(db, team, 30, None, 1).await.unwrap();
            for session in &due {
                retention::purge(db, team, 30, session).await.unwrap();
            }
            !due.is_empty()
        };
        let processes = killed_at_each_boundary(&database, &world.clock, kek, step).await;
        assert!(processes >= 4, "{processes}");
        assert_same(&totals().await, &before);
        for table in
            ["segments", "messages", "search_terms", "tool_results", "file_changes", "todos", "tasks"]
        {
            assert_eq!(number(&database, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
);

/// The next piece of what was requested to be deleted.
async fn deletion_step(db: &Db) -> bool {
    for request in deletion_requests::due(db).await.unwrap() {
        if deletion_requests::advance(db, &request).await.unwrap() != Advance::Waiting {
            return true;
        }
    }
    false
}

both_databases!(
    async fn deletions_on_request(database: TestDatabase) {
        let world = filled(&database, "kept").await;
        let kept = contents(&database, &world).await;
        for target in ["session", "data"] {
            let doomed = World {
                db: world.db.clone(),
                clock: world.clock.clone(),
                scope: match target {
                    "session" => world.scope.clone(),
                    _ => support::team(&world.db, "doomed").await,
                },
            };
            push_in_pieces(&doomed, &files("doomed"), 30, 4).await;
            while index_step(&world.db).await {}
            let sessions: Vec<String> = match target {
                "session" => files("doomed").into_iter().map(|(session, ..)| session).collect(),
                _ => vec![String::new()],
            };
            for session in sessions {
                let target = match target {
                    "session" => Target::Session(session.parse().unwrap()),
                    _ => Target::Data,
                };
                let now = world.clock.now();
                let asked = deletion_requests::request(&doomed.scope, &world.db, &target, now).await.unwrap();
                assert!(matches!(asked, Requested::Stored(_)));
            }
            let processes = killed_at_each_boundary(&database, &world.clock, kek, deletion_step).await;
            assert!(processes >= 2, "{target}: {processes}");
            let left = "SELECT count(*) FROM sessions WHERE session_id LIKE 'doomed%'";
            assert_eq!(number(&database, left).await, 0, "{target}");
            for name in columns(&database).await {
                if let Some(table) = name.strip_suffix(".session") {
                    let orphans = format!(
                        "SELECT count(*) FROM {table} x WHERE NOT EXISTS \
                         (SELECT 1 FROM sessions s WHERE s.team = x.team AND s.number = x.session)"
                    );
                    assert_eq!(number(&database, &orphans).await, 0, "{target}: {table}");
                }
            }
            assert_same(&contents(&database, &world).await, &kept);
            assert_eq!(
                number(&database, "SELECT count(*) FROM deletion_requests WHERE finished_at IS NULL").await,
                0
            );
        }
    }
);

both_databases!(
    async fn the_deletion_of_a_team(database: TestDatabase) {
        let world = world(&database).await;
        world.clock.advance_seconds(DAY);
        push_in_pieces(&world, &eventful(), 30, 4).await;
        while index_step(&world.db).await {}
        let id = world.scope.team_id().clone();
        let team = number(&database, &format!("SELECT number FROM teams WHERE id = '{id}'")).await;
        team_deletion::begin(&world.db, &id).await.unwrap();
        let step = async |db: &Db| {
            let work = team_work::unfinished(db).await.unwrap();
            for work in &work {
                team_work::advance(db, work).await.unwrap();
            }
            !work.is_empty()
        };
        let processes = killed_at_each_boundary(&database, &world.clock, kek, step).await;
        assert!(processes > 20, "{processes}");
        let mut left = BTreeMap::new();
        for name in columns(&database).await {
            let condition = match name.split_once('.').unwrap() {
                (_, "team") => format!("team = {team}"),
                (table, "team_id") if table != "changes" => format!("team_id = '{id}'"),
                ("teams", "id") => format!("id = '{id}'"),
                _ => continue,
            };
            let (table, _) = name.split_once('.').unwrap();
            let n = number(&database, &format!("SELECT count(*) FROM {table} WHERE {condition}")).await;
            if n > 0 {
                left.insert(name.clone(), n);
            }
        }
        assert_eq!(left, BTreeMap::new());
    }
);

both_databases!(
    async fn the_rotation_of_the_kek(database: TestDatabase) {
        let world = world(&database).await;
        for n in 0..20 {
            let scope = support::team(&world.db, &format!("team-{n}")).await;
            github_accounts::signed_in(&world.db, scope.user_id(), Some("token")).await.unwrap();
        }
        let (old, new) = ([7u8; 32], [8u8; 32]);
        let rotating = process(&database, &world.clock, kek_ring(new, &[old])).await;
        keks::activate(&rotating).await.unwrap();
        rotating.close().await;
        let step = async |db: &Db| keks::rewrap_batch(db).await.unwrap() > 0;
        let ring = || kek_ring(new, &[old]);
        let processes = killed_at_each_boundary(&database, &world.clock, ring, step).await;
        assert!(processes > 5, "{processes}");
        let retired = process(&database, &world.clock, kek_ring(new, &[])).await;
        retired.check_keks().await.unwrap();
        assert_eq!(keks::verify(&retired).await.unwrap().failures, []);
        retired.close().await;
    }
);
