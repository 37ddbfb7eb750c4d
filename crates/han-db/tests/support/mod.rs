//! Shared by the tests of this crate: a migrated database with a team, and batches prepared like the server does.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests; each test binary uses some of them"
)]

pub mod corpus;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use han_crypto::{KekRing, OsEntropy};
use han_db::queries::ingest::{self, Batch, Outcome, Preparer, ReceivedBatch, ReceivedLine};
use han_db::queries::{memberships, teams, users};
use han_db::{Db, DbConfig};
use han_testkit::{TestClock, TestDatabase};
use han_transcript::pricing::Price;
use han_transcript::rates::Rate;
use han_types::sync::SessionMetadata;
use han_types::{Actor, Capabilities, Credential, PlanTier, Plans, Policy, Scope, Timestamp, UserId};
use secrecy::SecretString;

/// A database with a team.
pub struct World {
    pub db: Db,
    pub clock: TestClock,
    pub scope: Scope,
}

/// The KEK of every test.
pub fn keks() -> KekRing {
    kek_ring([7u8; 32], &[])
}

/// A KEK ring from secrets, as in the environment.
pub fn kek_ring(current: [u8; 32], previous: &[[u8; 32]]) -> KekRing {
    let secret = |bytes: &[u8; 32]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let previous: Vec<String> = previous.iter().map(secret).collect();
    let previous = SecretString::from(previous.join(","));
    KekRing::from_secrets(&SecretString::from(secret(&current)), Some(&previous)).unwrap()
}

pub async fn connect(url: &str, clock: &TestClock) -> Db {
    connect_with(url, clock, keks()).await
}

pub async fn connect_as(config: &DbConfig, clock: &TestClock) -> Db {
    Db::connect(config, keks(), Arc::new(clock.clone()), Arc::new(OsEntropy::new())).await.unwrap()
}

pub async fn try_connect(url: &str, clock: &TestClock) -> Result<Db, han_db::DbError> {
    let entropy = Arc::new(OsEntropy::new());
    Db::connect(&DbConfig::new(url), keks(), Arc::new(clock.clone()), entropy).await
}

pub async fn connect_with(url: &str, clock: &TestClock, keks: KekRing) -> Db {
    Db::connect(&DbConfig::new(url), keks, Arc::new(clock.clone()), Arc::new(OsEntropy::new())).await.unwrap()
}

pub async fn world(database: &TestDatabase) -> World {
    let clock = TestClock::default();
    let db = connect(database.url(), &clock).await;
    db.migrate().await.unwrap();
    db.check_ready().await.unwrap();
    let scope = team(&db, "ada").await;
    World { db, clock, scope }
}

/// A new user with their own team.
pub async fn team(db: &Db, name: &str) -> Scope {
    let (user, _) = teams::create_with_user(db, name, name).await.unwrap();
    scope(db, user.id).await
}

/// A user who has signed in.
pub fn actor(user_id: UserId) -> Actor {
    Actor {
        user_id,
        credential: Credential::Local,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id: han_testkit::request_id(),
        client: None,
    }
}

pub async fn scope(db: &Db, user_id: UserId) -> Scope {
    memberships::scope_for(db, &actor(user_id)).await.unwrap().unwrap().scope
}

/// A new member of Ada's team. It is their only membership, so their scope is for that team.
pub async fn member(world: &World, name: &str, role: han_types::Role) -> Scope {
    let user = users::create(&world.db, name).await.unwrap();
    memberships::put(&world.db, world.scope.team_id(), &user.id, role).await.unwrap();
    scope(&world.db, user.id).await
}

/// A batch as the server makes it: projected and packed, to be sealed if `seals`.
pub fn batch(seals: bool, session: &str, transcript: &str, offset: Option<u64>, lines: &[String]) -> Batch {
    let policy = Policy::of(if seals { PlanTier::Enterprise } else { PlanTier::Free });
    Preparer::new(policy).prepare(received(session, transcript, offset, lines)).unwrap()
}

/// A configuration that enforces plans.
pub fn billed(database: &TestDatabase) -> DbConfig {
    DbConfig { plans: Plans { billing_configured: true }, ..DbConfig::new(database.url()) }
}

/// As [`world`], where plans are enforced: its team has the Free plan.
pub async fn billed_world(database: &TestDatabase) -> World {
    let clock = TestClock::default();
    let db = connect_as(&billed(database), &clock).await;
    db.migrate().await.unwrap();
    let scope = team(&db, "ada").await;
    World { db, clock, scope }
}

/// A batch as the server receives it.
pub fn received<'a>(
    session: &str,
    transcript: &str,
    offset: Option<u64>,
    lines: &'a [String],
) -> ReceivedBatch<'a> {
    let line = |(text, index): (&'a String, u64)| ReceivedLine { index, text };
    ReceivedBatch {
        session_id: session.parse().unwrap(),
        transcript: transcript.parse().unwrap(),
        offset,
        consumed: lines.len() as u64,
        metadata: SessionMetadata {
            agent: Some("claude-code".to_owned()),
            project_path: Some("/home/dev/orchard".to_owned()),
            git_remote: Some("git@example.com:team/orchard.git".to_owned()),
            ..SessionMetadata::default()
        },
        lines: lines.iter().zip(0..).map(line).collect(),
    }
}

/// Stores lines; returns (stored, duplicates, next offset).
pub async fn push(
    world: &World,
    session: &str,
    transcript: &str,
    offset: Option<u64>,
    lines: &[String],
) -> (u64, u64, u64) {
    let batch = batch(true, session, transcript, offset, lines);
    match ingest::store(&world.scope, &world.db, batch).await.unwrap() {
        Outcome::Stored { stored, duplicates, next_offset, .. } => (stored, duplicates, next_offset),
        Outcome::Refused(error) => panic!("{error:?}"),
    }
}

/// A price of the operator's for a model, and for all days.
pub fn rate_of(model: &str) -> Rate {
    Rate {
        model: model.to_owned(),
        speed: "standard".to_owned(),
        tier: "standard".to_owned(),
        geography: "global".to_owned(),
        valid_from: Timestamp(0),
        prompt_over: 0,
        price: Price { input: 2.0, output: 7.0, cache_read: 1.0, cache_write_5m: 1.0, cache_write_1h: 1.0 },
        source: None,
    }
}

/// The columns of all tables, as `table.column`.
pub async fn columns(database: &TestDatabase) -> Vec<String> {
    let sql = match database.is_postgres() {
        true => {
            "SELECT table_name::text || '.' || column_name::text AS c FROM information_schema.columns \
             WHERE table_schema = current_schema()"
        }
        false => {
            "SELECT m.name || '.' || c.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'search_fts%'"
        }
    };
    let rows = dump(database, sql).await;
    rows.iter().map(|row| row.trim_start_matches("{\"c\":\"").trim_end_matches("\"}").to_owned()).collect()
}

/// All rows of a query as text, without row-level security: what a reader of the database file sees.
pub async fn dump(database: &TestDatabase, sql: &str) -> Vec<String> {
    use sqlx::{Connection as _, Row as _};
    if database.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let sql = format!("SELECT row_to_json(q)::text FROM ({sql}) AS q");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    } else {
        let mut conn = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await.unwrap();
        rows.iter()
            .map(|row| {
                let cells = (0..row.len()).map(|i| {
                    row.try_get::<Option<String>, _>(i)
                        .map(Option::unwrap_or_default)
                        .or_else(|_| row.try_get::<i64, _>(i).map(|n| n.to_string()))
                        .unwrap_or_default()
                });
                cells.collect::<Vec<_>>().join("|")
            })
            .collect()
    }
}

/// A future that is dropped after it was polled a number of times: a client that goes away, a server that is killed.
pub struct Killed<F> {
    pub future: Pin<Box<F>>,
    pub polls: usize,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

/// A small generator of numbers, so that a failure can be repeated from its seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (n as u64)).unwrap()
    }
}
