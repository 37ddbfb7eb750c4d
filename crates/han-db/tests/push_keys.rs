//! API keys of pushes are remembered for a moment, and end at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use han_crypto::{ApiKeyToken, TokenHash};
use han_db::Db;
use han_db::changes::{Changes, DbChangeEvent};
use han_db::queries::api_keys::{self, NewApiKey, Rotated, Which};
use han_db::queries::{credentials, memberships, teams};
use han_testkit::{TestDatabase, both_databases};
use han_types::{ApiKeyId, PlanTier, Role, Scope};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use support::{World, member, world};
use tokio_util::sync::CancellationToken;

/// How long an answer about a key may be used (docs/SECURITY.md).
const BOUND: Duration = Duration::from_secs(5);

async fn key_of(world: &World, owner: &Scope) -> (ApiKeyId, TokenHash) {
    let (team_id, user_id) = (owner.team_id(), owner.user_id());
    let new = NewApiKey { team_id, user_id, name: "ci", scopes: "sync:write", expires_at: None };
    let (id, token) = api_keys::create_for(&world.db, &new).await.unwrap();
    (id, token.hash())
}

/// How many look-ups the database has answered.
fn look_ups(db: &Db) -> u64 {
    db.transaction_stats().get("api_keys.for_push").map_or(0, |stats| stats.committed)
}

/// Whether a push with the key would be accepted.
async fn is_accepted(db: &Db, hash: &TokenHash) -> bool {
    let found = api_keys::for_push(db, hash).await.unwrap();
    found.is_some_and(|found| found.key.is_live(db.clock().now()) && found.membership.is_some())
}

/// Whether the key is accepted without the database.
async fn is_remembered(db: &Db, hash: &TokenHash) -> bool {
    let before = look_ups(db);
    assert!(is_accepted(db, hash).await);
    look_ups(db) == before
}

/// Waits until the key is accepted without the database.
async fn until_remembered(db: &Db, hash: &TokenHash) {
    let remembered = async { while !is_remembered(db, hash).await {} };
    tokio::time::timeout(Duration::from_secs(30), remembered).await.expect("the key is remembered");
}

/// Pushes until the key is refused; returns how long that took.
async fn until_refused(db: &Db, hash: &TokenHash) -> Duration {
    let begun = Instant::now();
    let refused = async { while is_accepted(db, hash).await {} };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("the key is refused");
    begun.elapsed()
}

async fn start(db: &Db) -> Changes {
    db.start_changes(CancellationToken::new()).await.unwrap()
}

both_databases!(
    async fn a_key_is_remembered_only_while_a_feed_runs(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let (_, hash) = key_of(&world, &world.scope).await;
        for _ in 0..3 {
            assert!(!is_remembered(db, &hash).await, "no feed reports the end of rights");
        }
        let shutdown = CancellationToken::new();
        let changes = db.start_changes(shutdown.clone()).await.unwrap();
        until_remembered(db, &hash).await;
        for _ in 0..10 {
            assert!(is_remembered(db, &hash).await);
        }
        shutdown.cancel();
        changes.stopped().await;
        assert!(!is_remembered(db, &hash).await, "the feed has stopped");
    }
);

both_databases!(
    async fn a_right_ended_by_this_process_ends_before_the_call_returns(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let _feed = start(db).await;
        let ada = &world.scope;

        let (id, hash) = key_of(&world, ada).await;
        until_remembered(db, &hash).await;
        api_keys::revoke(ada, db, &id).await.unwrap();
        assert!(!is_accepted(db, &hash).await, "revoked");

        let (id, hash) = key_of(&world, ada).await;
        until_remembered(db, &hash).await;
        let rotated = api_keys::rotate(ada, db, Which::Named(&id), 0).await.unwrap();
        assert!(matches!(rotated, Rotated::Done(..)));
        assert!(!is_accepted(db, &hash).await, "rotated without a grace period");

        let (id, hash) = key_of(&world, ada).await;
        until_remembered(db, &hash).await;
        api_keys::rotate(ada, db, Which::Named(&id), 60).await.unwrap();
        until_remembered(db, &hash).await;
        world.clock.advance_seconds(60);
        assert!(!is_accepted(db, &hash).await, "the grace period has ended");

        let bob = member(&world, "bob", Role::Member).await;
        let (_, hash) = key_of(&world, &bob).await;
        until_remembered(db, &hash).await;
        let role = async || {
            let found = api_keys::for_push(db, &hash).await.unwrap().unwrap();
            found.membership.as_ref().unwrap().membership.role
        };
        teams::set_role(ada, db, bob.user_id(), Role::Admin).await.unwrap();
        assert_eq!(role().await, Role::Admin);
        until_remembered(db, &hash).await;
        memberships::put(db, ada.team_id(), bob.user_id(), Role::Member).await.unwrap();
        assert_eq!(role().await, Role::Member);
        until_remembered(db, &hash).await;
        teams::remove(ada, db, bob.user_id()).await.unwrap();
        assert!(!is_accepted(db, &hash).await, "removed from the team");
    }
);

both_databases!(
    async fn an_expired_key_is_not_accepted_from_memory(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let _feed = start(db).await;
        let (team_id, user_id) = (world.scope.team_id(), world.scope.user_id());
        let expires_at = Some(db.clock().now().plus_seconds(10));
        let new = NewApiKey { team_id, user_id, name: "ci", scopes: "sync:write", expires_at };
        let hash = api_keys::create_for(db, &new).await.unwrap().1.hash();
        until_remembered(db, &hash).await;
        world.clock.advance_seconds(10);
        assert!(!is_accepted(db, &hash).await);
    }
);

both_databases!(
    async fn a_right_ended_by_another_process_ends_within_the_bound(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let _feed = start(db).await;
        let team = world.scope.team_id();
        for (name, end) in [
            ("revoked", "UPDATE api_keys SET revoked_at = 1 WHERE user_id = 'WHO'"),
            ("deleted", "DELETE FROM api_keys WHERE user_id = 'WHO'"),
            ("left", "DELETE FROM team_members WHERE user_id = 'WHO'"),
        ] {
            let person = member(&world, name, Role::Member).await;
            let (_, hash) = key_of(&world, &person).await;
            until_remembered(db, &hash).await;
            database.execute(&end.replace("WHO", person.user_id().as_str())).await;
            assert!(until_refused(db, &hash).await < BOUND, "{name}");
        }
        let (_, hash) = key_of(&world, &world.scope).await;
        until_remembered(db, &hash).await;
        database.execute(&format!("UPDATE teams SET plan_tier = 'pro' WHERE id = '{team}'")).await;
        let begun = Instant::now();
        let plan = async || {
            let found = api_keys::for_push(db, &hash).await.unwrap().unwrap();
            found.membership.as_ref().unwrap().team.plan_tier
        };
        while plan().await != PlanTier::Pro {
            assert!(begun.elapsed() < BOUND);
        }
        until_remembered(db, &hash).await;
        database.execute("UPDATE api_keys SET scopes = 'read'").await;
        let may_push = async || {
            let found = api_keys::for_push(db, &hash).await.unwrap().unwrap();
            found.key.capabilities.allow(han_types::Capability::SyncWrite)
        };
        let begun = Instant::now();
        while may_push().await {
            assert!(begun.elapsed() < BOUND);
        }
        until_remembered(db, &hash).await;
        database.execute(&format!("DELETE FROM teams WHERE id = '{team}'")).await;
        assert!(until_refused(db, &hash).await < BOUND, "the team was deleted");
    }
);

both_databases!(
    async fn the_use_of_a_remembered_key_is_recorded(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let _feed = start(db).await;
        let (_, hash) = key_of(&world, &world.scope).await;
        let due = async || {
            let found = api_keys::for_push(db, &hash).await.unwrap().unwrap();
            let due = api_keys::use_is_due(&found.key, db.clock().now());
            if due {
                api_keys::touch(db, &found.key).await.unwrap();
            }
            due
        };
        assert!(due().await);
        until_remembered(db, &hash).await;
        assert!(!due().await);
        world.clock.advance_seconds(credentials::USE_RECORDED_EVERY_SECONDS);
        assert!(due().await, "the interval has passed while the key is remembered");
        assert!(!due().await);
        let stored = api_keys::by_hash(db, &hash).await.unwrap().unwrap();
        assert_eq!(stored.last_used_at, Some(db.clock().now()));
    }
);

both_databases!(
    async fn an_unknown_key_is_looked_up_each_time(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let _feed = start(db).await;
        let (_, known) = key_of(&world, &world.scope).await;
        until_remembered(db, &known).await;
        let hash = ApiKeyToken::mint(db.entropy()).hash();
        for _ in 0..3 {
            let before = look_ups(db);
            assert!(api_keys::for_push(db, &hash).await.unwrap().is_none());
            assert_eq!(look_ups(db), before + 1);
        }
    }
);

/// While LISTEN is cut, every push asks the database, and a revoked key is refused at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_listen_connection_every_push_asks_the_database() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let db = &world.db;
    let _feed = start(db).await;
    let (id, hash) = key_of(&world, &world.scope).await;
    until_remembered(db, &hash).await;
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let (server, name) = database.url().rsplit_once('/').unwrap();
    let name = name.split('?').next().unwrap();
    // Open connections stay; the listener gets no new one. The pool needs none: it has some to spare. One person's reads
    // hold half of the places.
    let bob = support::team(db, "bob").await;
    let mut at_once = Vec::new();
    for scope in [&world.scope, &bob].repeat(4) {
        at_once.push(db.read(scope, "test.spare").await.unwrap());
    }
    drop(at_once);
    // They are given back in the background.
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'han-server' AND state = 'idle'";
    let given_back =
        async { while sqlx::query_scalar::<_, i64>(idle).fetch_one(&mut admin).await.unwrap() < 8 {} };
    tokio::time::timeout(Duration::from_secs(30), given_back).await.expect("connections are given back");
    until_remembered(db, &hash).await;
    let mut elsewhere = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let connections =
        |allowed: bool| AssertSqlSafe(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"));
    sqlx::raw_sql(connections(false)).execute(&mut elsewhere).await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&mut admin).await.unwrap();
    assert_eq!(cut, 1);
    let noticed = async { while is_remembered(db, &hash).await {} };
    tokio::time::timeout(BOUND, noticed).await.expect("the lost connection is noticed");
    for _ in 0..20 {
        assert!(!is_remembered(db, &hash).await, "the feed is not connected");
    }
    let revoke = format!("UPDATE api_keys SET revoked_at = 1 WHERE id = '{id}'");
    sqlx::raw_sql(AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
    assert!(!is_accepted(db, &hash).await, "the database is asked");

    let (_, hash) = key_of(&world, &world.scope).await;
    for _ in 0..20 {
        assert!(!is_remembered(db, &hash).await);
    }
    sqlx::raw_sql(connections(true)).execute(&mut elsewhere).await.unwrap();
    until_remembered(db, &hash).await;
}

/// Also a revocation of which nothing reaches the feed takes effect in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_the_feed_misses_takes_effect_within_the_bound() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let db = &world.db;
    let _feed = start(db).await;
    let (_, hash) = key_of(&world, &world.scope).await;
    until_remembered(db, &hash).await;
    let silently = "ALTER TABLE api_keys DISABLE TRIGGER api_keys_access; UPDATE api_keys SET revoked_at = 1";
    database.execute(silently).await;
    let took = until_refused(db, &hash).await;
    assert!(took < BOUND + Duration::from_secs(1), "{took:?}");
}

/// The database is asked; then the key is revoked, and the feed delivers that; then the answer arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_before_a_revocation_is_not_remembered() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let db = &world.db;
    let feed = start(db).await;
    let mut access = feed.access.subscribe();
    let (_, known) = key_of(&world, &world.scope).await;
    until_remembered(db, &known).await;
    let (id, hash) = key_of(&world, &world.scope).await;

    // The look-up has its snapshot when it waits for this lock.
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE team_members IN ACCESS EXCLUSIVE MODE")
        .execute(&mut admin)
        .await
        .unwrap();
    let look_up = tokio::spawn({
        let db = db.clone();
        async move { is_accepted(&db, &hash).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'team_members'::regclass AND NOT granted";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() == 0 {
        assert!(!look_up.is_finished());
    }
    database.execute(&format!("UPDATE api_keys SET revoked_at = 1 WHERE id = '{id}'")).await;
    let delivered = tokio::time::timeout(Duration::from_secs(30), access.recv()).await.expect("an event");
    assert!(matches!(delivered, Ok(DbChangeEvent::Access(_))));
    sqlx::raw_sql("ROLLBACK").execute(&mut admin).await.unwrap();
    assert!(look_up.await.unwrap(), "its snapshot was taken before the revocation");
    assert!(!is_accepted(db, &hash).await, "but it was not remembered");
}
