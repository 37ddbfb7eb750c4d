//! Rotation of the KEK and of content keys, conversion and deletion of teams: interrupted anywhere and continued by
//! another process, during pushes and reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use han_crypto::{KekRing, OsEntropy};
use han_db::jobs::{Registry, TeamWork};
use han_db::page::PageRequest;
use han_db::queries::conversion::{self, Form};
use han_db::queries::keks::{self, Activation};
use han_db::queries::search::{self, Due, Within};
use han_db::queries::team_work::{self, Advance, WorkKind};
use han_db::queries::{
    github_accounts, ingest, jobs, keys, memberships, messages, plans, rebuild, sessions, team_deletion,
    teams,
};
use han_db::{Db, DbConfig, DbError, Heartbeat, HeartbeatTimes};
use han_testkit::{SyntheticSession, TestClock, TestDatabase, both_databases};
use han_transcript::words::Query;
use han_types::{PlanTier, Scope, SessionId, TeamId};
use support::corpus::{File, assert_same, contents, eventful, number, push_in_pieces, push_whole};
use support::{Killed, Random, World, batch, columns, dump, kek_ring, push};
use tokio_util::sync::CancellationToken;

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

/// Heartbeats that a test need not wait for.
const FAST: HeartbeatTimes =
    HeartbeatTimes { every: Duration::from_millis(40), live_for: Duration::from_secs(600) };

/// A process with these KEKs, whose background work changes few rows in a transaction.
async fn process(database: &TestDatabase, clock: &TestClock, keks: KekRing) -> Db {
    let config = DbConfig { work_rows: 3, ..support::billed(database) };
    Db::connect(&config, keks, Arc::new(clock.clone()), Arc::new(OsEntropy::new())).await.unwrap()
}

async fn world(database: &TestDatabase) -> World {
    let clock = TestClock::default();
    let db = process(database, &clock, kek_ring(OLD, &[])).await;
    db.migrate().await.unwrap();
    let scope = support::team(&db, "ada").await;
    World { db, clock, scope }
}

impl World {
    fn team(&self) -> &TeamId {
        self.scope.team_id()
    }

    /// Another process on the same database.
    async fn another(&self, database: &TestDatabase) -> Db {
        process(database, &self.clock, kek_ring(OLD, &[])).await
    }
}

/// Sessions with a value in each sealed column.
fn files() -> Vec<File> {
    let mut files = eventful();
    let mut session = SyntheticSession::new(5);
    let id = session.session_id().to_owned();
    files.push((id.clone(), "main".to_owned(), session.lines(30)));
    files.push((id, "han".to_owned(), session.han_events(SyntheticSession::HAN_EVENT_KINDS)));
    files
}

async fn index(world: &World) {
    for due in search::due(&world.db, None, 1_000).await.unwrap() {
        while !search::index(&world.db, &due).await.unwrap() {}
    }
}

/// Does all the work, until nothing is left.
async fn finish(db: &Db) {
    while let Some(work) = team_work::unfinished(db).await.unwrap().first() {
        assert_ne!(team_work::advance(db, work).await.unwrap(), Advance::Waiting);
    }
}

/// Does all the work, which may have to wait for heartbeats.
async fn finish_in_time(db: &Db) {
    let done = async {
        while let Some(work) = team_work::unfinished(db).await.unwrap().first() {
            team_work::advance(db, work).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("in time");
}

/// Does `batches` batches and dies in the next one, when it is polled for the last time. Returns whether work was left.
async fn die_after(db: &Db, batches: usize, polls: usize) -> bool {
    for _ in 0..batches {
        let Some(work) = team_work::unfinished(db).await.unwrap().into_iter().next() else { return false };
        team_work::advance(db, &work).await.unwrap();
    }
    let Some(work) = team_work::unfinished(db).await.unwrap().into_iter().next() else { return false };
    let _ = Killed { future: Box::pin(team_work::advance(db, &work)), polls }.await;
    true
}

/// Every value opens, and all that are sealed are sealed under the active key.
async fn assert_current(db: &Db, team: &TeamId, version: u32) -> u64 {
    let found = keys::verify_team(db, team).await.unwrap();
    assert_eq!(found.failures, []);
    assert_eq!((found.active, found.behind()), (version, 0), "{:?}", found.versions);
    assert_eq!(found.versions.keys().collect::<Vec<_>>(), [&version]);
    assert_eq!(found.opened, found.versions[&version]);
    found.opened
}

/// The nonces and ciphertexts of all values, which a rotation does not change.
async fn ciphertexts(database: &TestDatabase) -> Vec<String> {
    let hex = |column: &str| match database.is_postgres() {
        true => format!("encode({column}, 'hex')"),
        false => format!("hex({column})"),
    };
    let nonce = match database.is_postgres() {
        true => "(SELECT g.nonce)".to_owned(),
        false => "(SELECT k.nonce FROM segment_keys k WHERE k.team = g.team AND k.session = g.session \
                  AND k.transcript = g.transcript AND k.first_ordinal = g.first_ordinal)"
            .to_owned(),
    };
    let mut found = dump(
        database,
        &format!(
            "SELECT {} AS n, {} AS b FROM segments g ORDER BY session, transcript, first_ordinal",
            hex(&nonce),
            hex("body")
        ),
    )
    .await;
    for (table, column) in SEALED {
        let sql = format!(
            "SELECT SUBSTR({column}, 1, 20) AS n, SUBSTR({column}, 108) AS c FROM {table} \
             WHERE {column} IS NOT NULL ORDER BY 1"
        );
        found.extend(dump(database, &sql).await);
    }
    found
}

/// The sealed columns of SECURITY.md, without segments and secrets of no team.
const SEALED: [(&str, &str); 11] = [
    ("sessions", "metadata"),
    ("transcripts", "last_line_hash"),
    ("projects", "details"),
    ("repos", "details"),
    ("file_changes", "path"),
    ("sentiments", "signals"),
    ("task_events", "event"),
    ("tasks", "details"),
    ("native_tasks", "details"),
    ("todos", "items"),
    ("labels", "label"),
];

both_databases!(
    async fn a_rotated_content_key_wraps_every_dek_whatever_is_killed(database: TestDatabase) {
        let world = world(&database).await;
        push_in_pieces(&world, &files(), 7, 3).await;
        for (table, column) in SEALED {
            let sql = format!("SELECT count(*) FROM {table} WHERE sealed AND {column} IS NOT NULL");
            assert!(number(&database, &sql).await > 0, "{table} has a sealed value");
        }
        let (before, cipher) = (contents(&database, &world).await, ciphertexts(&database).await);
        assert_current(&world.db, world.team(), 1).await;
        let mut version = 1;
        for batches in 0.. {
            version += 1;
            assert_eq!(keys::rotate_team(&world.db, world.team()).await.unwrap(), version);
            let dying = world.another(&database).await;
            let left = die_after(&dying, batches, 1 + batches % 7).await;
            dying.close().await;
            let heir = world.another(&database).await;
            finish(&heir).await;
            assert_current(&heir, world.team(), version).await;
            heir.close().await;
            if !left {
                assert!(batches > 20, "there are many boundaries");
                break;
            }
        }
        assert_eq!(ciphertexts(&database).await, cipher, "content is not touched");
        assert_same(&contents(&database, &world).await, &before);
    }
);

both_databases!(
    async fn every_replica_seals_with_the_new_key_and_the_rotation_waits_for_it(database: TestDatabase) {
        let world = world(&database).await;
        let (one, two) = (world.db.clone(), world.another(&database).await);
        let beats = [
            one.start_heartbeat("serve", FAST).await.unwrap(),
            two.start_heartbeat("serve", FAST).await.unwrap(),
        ];
        push_whole(&world, &eventful()).await;
        // The other replica has the keys, and a reader holds them.
        let reader = two.read(&world.scope, "test.read").await.unwrap();
        keys::rotate_team(&one, world.team()).await.unwrap();
        let work = || async { team_work::find(&one, world.team(), WorkKind::Rotate).await.unwrap().unwrap() };
        while team_work::advance(&one, &work().await).await.unwrap() != Advance::Waiting {}
        // Everything is wrapped again, but the reader's process may still write with the old key.
        assert_current(&one, world.team(), 2).await;
        assert_eq!(team_work::advance(&one, &work().await).await.unwrap(), Advance::Waiting);
        assert_eq!(work().await.finished_at, None);

        drop(reader);
        let reached = async {
            while one.replicas().await.unwrap().iter().any(|replica| replica.key_epoch == 0) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("in time");
        let pushed = batch(true, "later", "main", Some(0), &SyntheticSession::new(9).lines(3));
        ingest::store(&world.scope, &two, pushed).await.unwrap();
        assert_current(&one, world.team(), 2).await;
        finish(&one).await;
        assert!(work().await.finished_at.is_some());
        for beat in beats {
            beat.stop().await.unwrap();
        }
        assert_eq!(one.replicas().await.unwrap(), []);
    }
);

both_databases!(
    async fn a_push_finds_what_another_replica_has_sealed_with_a_newer_key(database: TestDatabase) {
        let world = world(&database).await;
        let two = world.another(&database).await;
        let lines = SyntheticSession::new(3).lines(6);
        let store = async |db: &Db, from: usize, to: usize| {
            let pushed = batch(true, "s", "main", Some(from as u64), &lines[from..to]);
            ingest::store(&world.scope, db, pushed).await.unwrap();
        };
        store(&two, 0, 2).await;
        // Without heartbeats, the other process does not learn of the new key.
        keys::rotate_team(&world.db, world.team()).await.unwrap();
        store(&world.db, 2, 4).await;
        store(&two, 4, 6).await;
        assert_eq!(stored_lines(&world, "s").await, lines);
        assert_eq!(keys::verify_team(&two, world.team()).await.unwrap().failures, []);
    }
);

/// Pushes one line at a time to a session and reads it, until `stop`; returns the lines.
async fn live(db: &Db, scope: &Scope, session: &str, seals: bool, stop: &AtomicBool) -> Vec<String> {
    let lines = SyntheticSession::new(11).lines(400);
    let id: SessionId = session.parse().unwrap();
    let mut n = 0;
    while n < lines.len() && (n < 20 || !stop.load(Ordering::SeqCst)) {
        let line = std::slice::from_ref(&lines[n]);
        let stored = ingest::store(scope, db, batch(seals, session, "main", Some(n as u64), line)).await;
        assert!(matches!(stored.unwrap(), ingest::Outcome::Stored { stored: 1, .. }));
        n += 1;
        let tx = db.read(scope, "test.read").await.unwrap();
        let read = sessions::by_ids(&tx, std::slice::from_ref(&id)).await.unwrap();
        assert_eq!(read.len(), 1);
        assert!(read[0].details.project_path.is_some());
    }
    lines[..n].to_vec()
}

/// The lines of a session, as a reader gets them.
async fn stored_lines(world: &World, session: &str) -> Vec<String> {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let (session, main) = (session.parse().unwrap(), "main".parse().unwrap());
    let stored = messages::lines(&tx, &session, &main, 0, 100_000).await.unwrap();
    stored.into_iter().map(|line| line.text).collect()
}

both_databases!(
    async fn pushes_and_reads_go_on_during_rotations_and_lose_nothing(database: TestDatabase) {
        let world = world(&database).await;
        push_in_pieces(&world, &files(), 9, 4).await;
        let two = world.another(&database).await;
        let beats = [
            world.db.start_heartbeat("serve", FAST).await.unwrap(),
            two.start_heartbeat("serve", FAST).await.unwrap(),
        ];
        let stop = AtomicBool::new(false);
        let rotating = async {
            for _ in 0..3 {
                keys::rotate_team(&world.db, world.team()).await.unwrap();
                finish_in_time(&world.db).await;
            }
            stop.store(true, Ordering::SeqCst);
        };
        let (lines, more, ()) = tokio::join!(
            live(&two, &world.scope, "live", true, &stop),
            live(&world.db, &world.scope, "more", true, &stop),
            rotating
        );
        assert_eq!(stored_lines(&world, "live").await, lines);
        assert_eq!(stored_lines(&world, "more").await, more);
        assert_current(&world.db, world.team(), 4).await;
        for beat in beats {
            beat.stop().await.unwrap();
        }
    }
);

both_databases!(
    async fn uses_of_a_content_key_are_counted(database: TestDatabase) {
        let world = world(&database).await;
        let beat = world.db.start_heartbeat("serve", FAST).await.unwrap();
        push_whole(&world, &eventful()).await;
        let sealed = assert_current(&world.db, world.team(), 1).await;
        let uses = async {
            loop {
                let listed = keys::content_keys(&world.db, Some(world.team())).await.unwrap();
                if listed[0].uses >= sealed {
                    return listed;
                }
                tokio::task::yield_now().await;
            }
        };
        let listed = tokio::time::timeout(Duration::from_secs(30), uses).await.expect("in time");
        assert_eq!(listed.len(), 1);
        assert!(listed[0].active && !listed[0].is_worn());
        database.execute(&format!("UPDATE team_keys SET uses = {}", keys::WARN_USES)).await;
        assert!(keys::content_keys(&world.db, None).await.unwrap()[0].is_worn());

        // The new key counts what was re-wrapped, and the old one is not worn any more: it seals nothing.
        keys::rotate_team(&world.db, world.team()).await.unwrap();
        finish_in_time(&world.db).await;
        beat.stop().await.unwrap();
        let listed = keys::content_keys(&world.db, Some(world.team())).await.unwrap();
        let shown: Vec<(u32, bool, bool)> =
            listed.iter().map(|key| (key.version, key.active, key.is_worn())).collect();
        assert_eq!(shown, [(1, false, false), (2, true, false)]);
        assert!(listed[1].uses >= sealed, "{} < {sealed}", listed[1].uses);
    }
);

/// Teams, and a secret that belongs to no team.
async fn many_teams(world: &World, n: usize) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for i in 0..n {
        let scope = support::team(&world.db, &format!("team-{i}")).await;
        github_accounts::signed_in(&world.db, scope.user_id(), Some("token")).await.unwrap();
        scopes.push(scope);
    }
    scopes
}

both_databases!(
    async fn a_rotated_kek_wraps_every_key_whatever_is_killed(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &eventful()).await;
        index(&world).await;
        many_teams(&world, 4).await;
        let old_id = kek_ring(OLD, &[]).active_id().to_string();
        let mut secrets = (OLD, NEW);
        for batches in 0..7 {
            let (old, new) = secrets;
            let rotating = process(&database, &world.clock, kek_ring(new, &[old])).await;
            assert!(matches!(keks::activate(&rotating).await.unwrap(), Activation::Activated { .. }));
            for _ in 0..batches {
                keks::rewrap_batch(&rotating).await.unwrap();
            }
            let _ = Killed { future: Box::pin(keks::rewrap_batch(&rotating)), polls: 1 + batches }.await;
            rotating.close().await;
            let heir = process(&database, &world.clock, kek_ring(new, &[old])).await;
            if keks::status(&heir).await.unwrap().behind() > 0 {
                assert!(!keks::verify(&heir).await.unwrap().failures.is_empty());
            }
            keks::rotate(&heir, |_| ()).await.unwrap();
            heir.close().await;

            // Without the old KEK, everything opens.
            let retired = process(&database, &world.clock, kek_ring(new, &[])).await;
            retired.check_keks().await.unwrap();
            let verified = keks::verify(&retired).await.unwrap();
            assert_eq!(verified.failures, []);
            assert_eq!((verified.team_keys, verified.secrets), (2 * 5 + 1, 4));
            assert_current(&retired, world.team(), 1).await;
            assert_eq!(keks::status(&retired).await.unwrap().behind(), 0);
            let before = process(&database, &world.clock, kek_ring(old, &[])).await;
            assert!(matches!(before.check_keks().await, Err(DbError::KekMissing { .. })));
            retired.close().await;
            before.close().await;
            secrets = (new, old);
        }
        assert_ne!(kek_ring(secrets.0, &[]).active_id().to_string(), old_id);
    }
);

both_databases!(
    async fn the_kek_is_not_rotated_before_every_live_replica_holds_it(database: TestDatabase) {
        let world = world(&database).await;
        let old = world.db.start_heartbeat("serve", FAST).await.unwrap();
        let new = process(&database, &world.clock, kek_ring(NEW, &[OLD])).await;
        let rotated = keks::rotate(&new, |_| ()).await.unwrap();
        let Activation::Lacking(lacking) = rotated.activation else { panic!("{rotated:?}") };
        assert_eq!(lacking.iter().map(|replica| replica.id.as_str()).collect::<Vec<_>>(), [old.id()]);
        assert_eq!(
            keks::status(&new).await.unwrap().active,
            Some(kek_ring(OLD, &[]).active_id().to_string())
        );

        // A process without the KEK that writes cannot join, and cannot rotate.
        let stranger = process(&database, &world.clock, kek_ring(NEW, &[])).await;
        let error = stranger.start_heartbeat("serve", FAST).await.unwrap_err();
        assert!(matches!(error, DbError::KekMissing { .. }), "{error}");
        assert!(matches!(keks::activate(&stranger).await, Err(DbError::KekMissing { .. })));

        // The replica is restarted with both.
        old.stop().await.unwrap();
        let restarted = new.start_heartbeat("serve", FAST).await.unwrap();
        let rotated = keks::rotate(&new, |_| ()).await.unwrap();
        assert!(matches!(rotated.activation, Activation::Activated { .. }));
        assert_eq!(rotated.rewrapped, 2);
        assert_eq!(keks::activate(&new).await.unwrap(), Activation::AlreadyActive);
        // From now on the old configuration cannot join.
        assert!(world.db.start_heartbeat("serve", FAST).await.is_err());
        restarted.stop().await.unwrap();
    }
);

both_databases!(
    async fn teams_made_during_a_rotation_of_the_kek_need_the_new_one_only(database: TestDatabase) {
        let world = world(&database).await;
        let both = process(&database, &world.clock, kek_ring(NEW, &[OLD])).await;
        let making = async {
            for i in 0..40 {
                support::team(&both, &format!("during-{i}")).await;
            }
        };
        let (rotated, ()) = tokio::join!(keks::rotate(&both, |_| ()), making);
        rotated.unwrap();
        assert_eq!(
            keks::rotate(&both, |_| ()).await.unwrap().rewrapped,
            0,
            "a team's keys missed the rotation"
        );
        assert_eq!(keks::verify(&both).await.unwrap().failures, []);
    }
);

/// A world whose servers accept plaintext, with plaintext content.
async fn plaintext_world(database: &TestDatabase) -> World {
    let world = world(database).await;
    for (session, transcript, lines) in files() {
        for (n, chunk) in lines.chunks(8).enumerate() {
            let pushed = batch(false, &session, &transcript, Some(8 * n as u64), chunk);
            ingest::store(&world.scope, &world.db, pushed).await.unwrap();
        }
    }
    index(&world).await;
    world
}

/// What a search for a word finds.
async fn hits(world: &World, word: &str) -> usize {
    let tx = world.db.read(&world.scope, "test.read").await.unwrap();
    let request = PageRequest { after: None, first: 100 };
    search::search(&tx, &Query::parse(word).unwrap(), &Within::default(), &request).await.unwrap().hits.len()
}

both_databases!(
    async fn content_is_sealed_and_unsealed_whatever_is_killed(database: TestDatabase) {
        let world = plaintext_world(&database).await;
        let before = contents(&database, &world).await;
        let found = hits(&world, "orchard").await;
        assert!(found > 0);
        let values = keys::verify_team(&world.db, world.team()).await.unwrap();
        assert_eq!(values.versions.keys().collect::<Vec<_>>(), [&0]);
        let mut form = Form::Sealed;
        for batches in 0.. {
            conversion::request(&world.db, world.team(), form).await.unwrap();
            let dying = world.another(&database).await;
            let left = die_after(&dying, batches, 1 + batches % 9).await;
            dying.close().await;
            assert_same(&contents(&database, &world).await, &before);
            assert_eq!(hits(&world, "orchard").await, found);
            let heir = world.another(&database).await;
            finish(&heir).await;
            heir.close().await;
            let expected: BTreeMap<u32, u64> =
                [(u32::from(form == Form::Sealed), values.opened)].into_iter().collect();
            let converted = keys::verify_team(&world.db, world.team()).await.unwrap();
            assert_eq!((converted.versions, converted.failures), (expected, Vec::new()));
            assert_eq!(hits(&world, "orchard").await, found);
            if !left {
                assert!(batches > 20, "there are many boundaries");
                break;
            }
            form = if form == Form::Sealed { Form::Plaintext } else { Form::Sealed };
        }
        assert_same(&contents(&database, &world).await, &before);
        let segments = number(&database, "SELECT count(*) FROM segments").await;
        let indexed =
            "SELECT count(DISTINCT first_ordinal * 100000 + session * 10 + transcript) FROM search_terms";
        assert_eq!(number(&database, indexed).await, segments);
    }
);

/// Whether a reader of the database finds a text in any column of any table, as text or as bytes.
async fn is_found(database: &TestDatabase, text: &str) -> bool {
    let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for column in columns(database).await {
        let (table, column) = column.split_once('.').unwrap();
        // PostgreSQL shows bytes as lower-case digits.
        let value = match database.is_postgres() {
            true => format!("\"{column}\"::text"),
            false => format!("lower(hex(\"{column}\"))"),
        };
        let rows = dump(database, &format!("SELECT {value} AS v FROM {table}")).await;
        if rows.iter().any(|row| row.contains(text) || row.contains(&hex)) {
            return true;
        }
    }
    false
}

both_databases!(
    async fn an_upgrade_seals_everything_and_a_downgrade_unseals_nothing(database: TestDatabase) {
        const SECRET: &str = "marmalade-of-quinces";
        let world = plaintext_world(&database).await;
        let prompt = format!(
            r#"{{"type":"user","uuid":"secret","timestamp":"2026-11-02T10:00:00.000Z","message":{{"content":"{SECRET}"}}}}"#
        );
        let summary = format!(r#"{{"type":"summary","summary":"{SECRET}","leafUuid":"secret"}}"#);
        let pushed = batch(false, "plain", "main", Some(0), &[prompt, summary]);
        ingest::store(&world.scope, &world.db, pushed).await.unwrap();
        index(&world).await;
        let before = contents(&database, &world).await;
        assert!(is_found(&database, SECRET).await, "it is plaintext");

        plans::set(&world.db, world.team(), PlanTier::Pro).await.unwrap();
        let mut boundaries = 0;
        // Another process goes on each time, and dies somewhere in its second batch.
        while {
            let dying = world.another(&database).await;
            let left = die_after(&dying, 1, 1 + boundaries % 9).await;
            dying.close().await;
            left
        } {
            assert_same(&contents(&database, &world).await, &before);
            boundaries += 1;
        }
        assert!(boundaries > 5, "{boundaries}");
        finish(&world.db).await;
        assert_current(&world.db, world.team(), 1).await;
        assert!(!is_found(&database, SECRET).await, "nothing is plaintext");
        assert_same(&contents(&database, &world).await, &before);

        // The same plan again requests nothing.
        plans::set(&world.db, world.team(), PlanTier::Pro).await.unwrap();
        plans::set(&world.db, world.team(), PlanTier::Enterprise).await.unwrap();
        assert_eq!(team_work::unfinished(&world.db).await.unwrap(), []);
        // Sealed content stays sealed, and is read on; what is new is stored in the form of the new plan.
        plans::set(&world.db, world.team(), PlanTier::Free).await.unwrap();
        assert_eq!(team_work::unfinished(&world.db).await.unwrap(), []);
        assert_eq!(conversion::request_due(&world.db).await.unwrap(), 0);
        assert_current(&world.db, world.team(), 1).await;
        assert_same(&contents(&database, &world).await, &before);
    }
);

both_databases!(
    async fn the_job_seals_after_an_upgrade(database: TestDatabase) {
        let world = plaintext_world(&database).await;
        plans::set(&world.db, world.team(), PlanTier::Pro).await.unwrap();
        let stop = CancellationToken::new();
        let registry = Registry::new(world.db.clone()).with(TeamWork::new(|_| true));
        let running = tokio::spawn(registry.run(stop.clone()));
        let sealed = async {
            while team_work::find(&world.db, world.team(), WorkKind::Convert)
                .await
                .unwrap()
                .is_none_or(|work| work.finished_at.is_none())
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), sealed).await.expect("in time");
        stop.cancel();
        running.await.unwrap();
        assert_current(&world.db, world.team(), 1).await;
    }
);

both_databases!(
    async fn pushes_go_on_during_a_conversion_and_lose_nothing(database: TestDatabase) {
        let world = plaintext_world(&database).await;
        let stop = AtomicBool::new(false);
        let converting = async {
            assert_eq!(conversion::request_due(&world.db).await.unwrap(), 0, "it is free");
            // As another program might: `plans::set` would request it.
            database.execute("UPDATE teams SET plan_tier = 'pro'").await;
            assert_eq!(conversion::request_due(&world.db).await.unwrap(), 1);
            assert_eq!(conversion::request_due(&world.db).await.unwrap(), 0, "once");
            while let Some(work) = team_work::unfinished(&world.db).await.unwrap().first() {
                team_work::advance(&world.db, work).await.unwrap();
            }
            rebuild::rebuild(&world.scope, &world.db).await.unwrap();
            stop.store(true, Ordering::SeqCst);
        };
        let two = world.another(&database).await;
        // One client has been upgraded, the other one still pushes plaintext.
        let (sealed, mut late, ()) = tokio::join!(
            live(&two, &world.scope, "sealed", true, &stop),
            live(&world.db, &world.scope, "late", false, &stop),
            converting
        );
        assert_eq!(stored_lines(&world, "sealed").await, sealed);
        assert_eq!(stored_lines(&world, "late").await, late);
        // Plaintext that arrives late is found and sealed.
        let last = SyntheticSession::new(12).lines(1);
        let after_all = batch(false, "late", "main", Some(late.len() as u64), &last);
        ingest::store(&world.scope, &world.db, after_all).await.unwrap();
        late.extend(last);
        assert_eq!(conversion::request_due(&world.db).await.unwrap(), 1);
        finish(&world.db).await;
        assert_current(&world.db, world.team(), 1).await;
        assert_eq!(conversion::request_due(&world.db).await.unwrap(), 0);
        assert_eq!(stored_lines(&world, "late").await, late);
    }
);

both_databases!(
    async fn plaintext_is_not_sealed_where_it_is_refused(database: TestDatabase) {
        let world = plaintext_world(&database).await;
        let config = DbConfig { refuses_unsealed: true, ..DbConfig::new(database.url()) };
        let strict = support::connect_as(&config, &world.clock).await;
        let error = conversion::request(&strict, world.team(), Form::Sealed).await.unwrap_err();
        assert!(error.to_string().contains("HAN_UNSEALED_CONTENT"), "{error}");
        assert_eq!(conversion::request_due(&strict).await.unwrap(), 0);
        // Nor if another process requested it.
        conversion::request(&world.db, world.team(), Form::Sealed).await.unwrap();
        let work = team_work::unfinished(&strict).await.unwrap().remove(0);
        team_work::advance(&strict, &work).await.unwrap_err();
    }
);

both_databases!(
    async fn a_deleted_team_leaves_nothing_whatever_is_killed(database: TestDatabase) {
        let world = world(&database).await;
        let other = support::team(&world.db, "bob").await;
        let others = World { db: world.db.clone(), clock: world.clock.clone(), scope: other };
        push_whole(&others, &eventful()).await;
        let kept = contents_of_one(&others).await;
        for batches in [0, 1, 2, 5, 9, 14, 22, 35, 1_000] {
            let scope = support::team(&world.db, &format!("doomed-{batches}")).await;
            let doomed = World { db: world.db.clone(), clock: world.clock.clone(), scope };
            push_in_pieces(&doomed, &files(), 9, 4).await;
            index(&doomed).await;
            let id = doomed.team().clone();
            let team = number(&database, &format!("SELECT number FROM teams WHERE id = '{id}'")).await;
            team_deletion::begin(&world.db, &id).await.unwrap();

            // Nothing opens from here on, and nothing can be pushed.
            let tx = world.db.read(&doomed.scope, "test.read").await.unwrap();
            let page = sessions::page(&tx, None, &PageRequest { after: None, first: 10 }).await;
            assert!(page.is_err_and(|error| matches!(error, DbError::TeamKeys(_))));
            drop(tx);
            let pushed = batch(true, "eventful", "main", Some(0), &SyntheticSession::new(1).lines(2));
            ingest::store(&doomed.scope, &world.db, pushed).await.unwrap_err();
            let actor = support::actor(doomed.scope.user_id().clone());
            assert!(memberships::scope_for(&world.db, &actor).await.unwrap().is_none());

            let dying = world.another(&database).await;
            die_after(&dying, batches, 1 + batches % 5).await;
            dying.close().await;
            let heir = world.another(&database).await;
            finish(&heir).await;
            heir.close().await;
            assert_eq!(left_of(&database, team, &id).await, BTreeMap::new());
        }
        assert_eq!(contents_of_one(&others).await, kept);
        assert_current(&world.db, others.team(), 1).await;
        index(&others).await;
        assert!(hits(&others, "orchard").await > 0);
    }
);

async fn contents_of_one(world: &World) -> Vec<String> {
    support::corpus::opened(world).await
}

/// The tables that still have rows of a team, without the outbox, which is trimmed by age.
async fn left_of(database: &TestDatabase, team: i64, id: &TeamId) -> BTreeMap<String, i64> {
    let mut left = BTreeMap::new();
    for name in columns(database).await {
        let (table, column) = name.split_once('.').unwrap();
        let condition = match column {
            "team" => format!("team = {team}"),
            "team_id" if table != "changes" => format!("team_id = '{id}'"),
            "active_team_id" => format!("active_team_id = '{id}'"),
            "id" if table == "teams" => format!("id = '{id}'"),
            _ => continue,
        };
        let n = number(database, &format!("SELECT count(*) FROM {table} WHERE {condition}")).await;
        if n > 0 {
            left.insert(name.to_owned(), n);
        }
    }
    left
}

both_databases!(
    async fn a_deletion_waits_for_a_replica_that_may_still_write(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &eventful()).await;
        let two = world.another(&database).await;
        let beat = two.start_heartbeat("serve", FAST).await.unwrap();
        let reader = two.read(&world.scope, "test.read").await.unwrap();
        team_deletion::begin(&world.db, world.team()).await.unwrap();
        let work = || async { team_work::unfinished(&world.db).await.unwrap().remove(0) };
        while team_work::advance(&world.db, &work().await).await.unwrap() != Advance::Waiting {}
        assert!(teams::by_slug(&world.db, "ada").await.unwrap().is_some());
        drop(reader);
        let deleted = async {
            while teams::by_slug(&world.db, "ada").await.unwrap().is_some() {
                team_work::advance(&world.db, &work().await).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), deleted).await.expect("in time");
        assert_eq!(team_work::list(&world.db).await.unwrap(), []);
        beat.stop().await.unwrap();
    }
);

both_databases!(
    async fn the_job_does_the_work_of_all_teams_and_completes_a_rotation_of_the_kek(database: TestDatabase) {
        let world = world(&database).await;
        push_whole(&world, &eventful()).await;
        let other = support::team(&world.db, "bob").await;
        let doomed = support::team(&world.db, "eve").await;
        let both = process(&database, &world.clock, kek_ring(NEW, &[OLD])).await;
        keks::activate(&both).await.unwrap();
        keys::rotate_team(&both, world.team()).await.unwrap();
        keys::rotate_team(&both, other.team_id()).await.unwrap();
        team_deletion::begin(&both, doomed.team_id()).await.unwrap();
        let stop = CancellationToken::new();
        let job = TeamWork::new(|_| true);
        let running = tokio::spawn(Registry::new(both.clone()).with(job).run(stop.clone()));
        let done = async {
            loop {
                let left = team_work::unfinished(&both).await.unwrap();
                let status = jobs::list(&both).await.unwrap();
                if left.is_empty() && status.iter().any(|job| job.last_finished_at.is_some()) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        let status = tokio::time::timeout(Duration::from_secs(60), done).await.expect("in time");
        stop.cancel();
        running.await.unwrap();
        assert_eq!(status[0].name, "team-work");
        assert_eq!(status[0].last_error, None);
        assert_current(&both, world.team(), 2).await;
        assert!(teams::by_slug(&both, "eve").await.unwrap().is_none());
        assert_eq!(keks::verify(&both).await.unwrap().failures, []);
    }
);

/// A heartbeat of a process that died is not waited for.
#[tokio::test]
async fn a_dead_replica_holds_up_nothing() {
    let database = TestDatabase::sqlite().await;
    let world = world(&database).await;
    push_whole(&world, &eventful()).await;
    let dead = world.another(&database).await;
    let times = HeartbeatTimes { live_for: Duration::from_secs(90), ..FAST };
    let beat: Heartbeat = dead.start_heartbeat("serve", times).await.unwrap();
    drop(beat);
    keys::rotate_team(&world.db, world.team()).await.unwrap();
    let work =
        || async { team_work::find(&world.db, world.team(), WorkKind::Rotate).await.unwrap().unwrap() };
    while team_work::advance(&world.db, &work().await).await.unwrap() != Advance::Waiting {}
    world.clock.advance_seconds(91);
    finish(&world.db).await;
    assert!(work().await.finished_at.is_some());
}

/// The words that are searched for are among the terms of each segment, so a due list must not name a deleted team.
#[tokio::test]
async fn jobs_leave_a_team_alone_that_is_being_deleted() {
    let database = TestDatabase::sqlite().await;
    let world = world(&database).await;
    push(&world, "s", "main", Some(0), &SyntheticSession::new(2).lines(5)).await;
    let due = || async { search::due(&world.db, None::<&Due>, 10).await.unwrap().len() };
    assert_eq!(due().await, 1);
    team_deletion::begin(&world.db, world.team()).await.unwrap();
    assert_eq!(due().await, 0);
}

both_databases!(
    async fn any_order_of_pushes_rotations_conversions_and_kills_keeps_every_line(database: TestDatabase) {
        let world = world(&database).await;
        let both = process(&database, &world.clock, kek_ring(OLD, &[NEW])).await;
        let turned = process(&database, &world.clock, kek_ring(NEW, &[OLD])).await;
        let replicas = [&world.db, &both, &turned];
        for seed in 0..8 {
            let mut random = Random(seed);
            let session = format!("s{seed}");
            let lines = SyntheticSession::new(seed + 20).lines(60);
            let (mut pushed, mut done) = (0, Vec::new());
            for _ in 0..25 {
                let db = replicas[1 + random.below(2)];
                let action = random.below(7);
                done.push(action);
                match action {
                    0 => drop(keys::rotate_team(db, world.team()).await.unwrap()),
                    1 => drop(keks::activate(db).await.unwrap()),
                    2 => drop(keks::rewrap_batch(db).await.unwrap()),
                    3 => {
                        let form = if random.below(2) == 0 { Form::Sealed } else { Form::Plaintext };
                        conversion::request(db, world.team(), form).await.unwrap();
                    }
                    4 => drop(die_after(db, random.below(6), 1 + random.below(12)).await),
                    _ => {
                        let end = (pushed + 1 + random.below(5)).min(lines.len());
                        let seals = random.below(3) > 0;
                        let pushes = batch(seals, &session, "main", Some(pushed as u64), &lines[pushed..end]);
                        ingest::store(&world.scope, db, pushes).await.unwrap();
                        pushed = end;
                    }
                }
            }
            // The reader holds both KEKs, too.
            let reader = World { db: both.clone(), clock: world.clock.clone(), scope: world.scope.clone() };
            if pushed > 0 {
                assert_eq!(stored_lines(&reader, &session).await, lines[..pushed], "seed {seed}: {done:?}");
            }
            assert_eq!(keys::verify_team(&both, world.team()).await.unwrap().failures, []);
        }
        conversion::request(&both, world.team(), Form::Sealed).await.unwrap();
        let version = keys::rotate_team(&turned, world.team()).await.unwrap();
        finish(&turned).await;
        keks::rotate(&turned, |_| ()).await.unwrap();
        let retired = process(&database, &world.clock, kek_ring(NEW, &[])).await;
        retired.check_keks().await.unwrap();
        assert_current(&retired, world.team(), version).await;
        assert_eq!(keks::verify(&retired).await.unwrap().failures, []);
    }
);
