//! What can go wrong between a transaction's beginning and its end, on both databases.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use han_crypto::{KekRing, OsEntropy};
use han_testkit::{TestClock, TestDatabase, both_databases, request_id};
use han_types::{Actor, Capabilities, Credential, Scope};
use sea_orm::FromQueryResult;
use sqlx::error::{DatabaseError, ErrorKind};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::queries::{memberships, teams};
use crate::team_numbers::TeamNumber;
use crate::tx::{ATTEMPTS, ScopedTx, Tx};
use crate::{Db, DbConfig, DbError, TransactionStats};

async fn connect(database: &TestDatabase, max_connections: u32) -> Db {
    let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
    let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
    let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
    let patience = Duration::from_secs(5);
    let config = DbConfig { max_connections, acquire_timeout: patience, ..DbConfig::new(database.url()) };
    Db::connect(&config, keks, clock, entropy).await.unwrap()
}

async fn world(database: &TestDatabase) -> (Db, Scope) {
    let db = connect(database, 20).await;
    db.migrate().await.unwrap();
    let (user, _) = teams::create_with_user(&db, "ada", "orchard").await.unwrap();
    let actor = Actor {
        user_id: user.id,
        credential: Credential::Local,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id: request_id(),
        client: None,
    };
    let scope = memberships::scope_for(&db, &actor).await.unwrap().unwrap().scope;
    (db, scope)
}

async fn insert(tx: &ScopedTx, id: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO deleted_sessions (team, session_id, deleted_at) VALUES ($1, $2, 0)";
    tx.execute(sql, [tx.team(), id.into()]).await.map(|_| ())
}

#[derive(Debug, FromQueryResult, PartialEq, Eq)]
struct Row {
    session_id: String,
}

async fn stored(db: &Db, scope: &Scope) -> Vec<String> {
    let tx = db.read(scope, "test.stored").await.unwrap();
    let sql = "SELECT session_id FROM deleted_sessions WHERE team = $1 ORDER BY session_id";
    let rows: Vec<Row> = tx.all(sql, [tx.team()]).await.unwrap();
    rows.into_iter().map(|row| row.session_id).collect()
}

fn outcomes(db: &Db, name: &str) -> (u64, u64, u64, u64) {
    let stats = db.transaction_stats().get(name).copied().unwrap_or_default();
    (stats.committed, stats.retried, stats.failed, stats.cancelled)
}

/// What PostgreSQL reports of a transaction that another one has overtaken.
#[derive(Debug)]
struct Conflict;

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("could not serialize access")
    }
}

impl std::error::Error for Conflict {}

impl DatabaseError for Conflict {
    fn message(&self) -> &str {
        "could not serialize access"
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some("40001".into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

fn conflict() -> DbError {
    DbError::Driver(sqlx::Error::Database(Box::new(Conflict)))
}

/// PostgreSQL has begun the transaction, but the driver does not know of it.
#[tokio::test]
async fn a_connection_on_which_a_transaction_began_in_part_is_not_used_again() {
    let database = TestDatabase::postgres().await;
    let db = connect(&database, 1).await;
    db.migrate().await.unwrap();
    assert!(db.begin_write("BEGIN; SELECT 1 / 0").await.is_err());
    let mut tx = db.begin_write("BEGIN").await.unwrap();
    assert_eq!(tx.rows("SELECT 1 AS n", Vec::new()).await.unwrap().len(), 1);
}

both_databases!(
    async fn a_transaction_whose_handle_was_kept_is_not_committed(database: TestDatabase) {
        let (db, scope) = world(&database).await;
        let kept = Mutex::new(None);
        let keep = &kept;
        let done = db
            .write(&scope, "test.keep", |tx| async move {
                insert(&tx, "kept").await?;
                *keep.lock().unwrap() = Some(tx);
                Ok(())
            })
            .await;
        assert!(matches!(done, Err(DbError::TransactionInUse { name: "test.keep" })), "{done:?}");
        assert_eq!(outcomes(&db, "test.keep"), (0, 0, 1, 0));
        drop(kept.into_inner().unwrap_or_else(PoisonError::into_inner));
        // SQLite has one writer: it is free again.
        db.write(&scope, "test.insert", |tx| async move { insert(&tx, "after").await }).await.unwrap();
        assert_eq!(stored(&db, &scope).await, ["after"]);
    }
);

both_databases!(
    async fn a_conflict_rolls_back_and_runs_the_work_again(database: TestDatabase) {
        let (db, scope) = world(&database).await;
        let tries = &AtomicU32::new(0);
        db.write(&scope, "test.conflict", |tx| async move {
            let n = tries.fetch_add(1, Ordering::Relaxed);
            insert(&tx, &format!("try-{n}")).await?;
            if n < 2 { Err(conflict()) } else { Ok(()) }
        })
        .await
        .unwrap();
        assert_eq!(stored(&db, &scope).await, ["try-2"], "nothing is left of the others");
        assert_eq!(outcomes(&db, "test.conflict"), (1, 2, 0, 0));

        let done: Result<(), _> =
            db.write(&scope, "test.hopeless", |_tx| async move { Err(conflict()) }).await;
        assert!(done.unwrap_err().is_retryable(), "the last conflict is reported");
        assert_eq!(outcomes(&db, "test.hopeless"), (0, u64::from(ATTEMPTS) - 1, 1, 0));
    }
);

both_databases!(
    async fn a_write_whose_caller_goes_away_is_rolled_back(database: TestDatabase) {
        let (db, scope) = world(&database).await;
        let inserted = &tokio::sync::Notify::new();
        let held = Duration::from_millis(50);
        let endless = db.write(&scope, "test.endless", |tx| async move {
            insert(&tx, "half").await?;
            inserted.notify_one();
            std::future::pending::<Result<(), DbError>>().await
        });
        let gone = async {
            inserted.notified().await;
            tokio::time::sleep(held).await;
        };
        tokio::select! {
            done = endless => panic!("{done:?}"),
            () = gone => {}
        }
        assert_eq!(outcomes(&db, "test.endless"), (0, 0, 0, 1));
        db.write(&scope, "test.insert", |tx| async move { insert(&tx, "whole").await }).await.unwrap();
        assert_eq!(stored(&db, &scope).await, ["whole"]);
        let stats = db.transaction_stats();
        let TransactionStats { total, max, .. } = stats["test.endless"];
        assert!(total == max && max >= held, "{max:?}");
    }
);

both_databases!(
    async fn a_read_that_meets_an_error_is_counted_as_failed(database: TestDatabase) {
        let (db, scope) = world(&database).await;
        drop(db.read(&scope, "test.read").await.unwrap());
        let tx = db.read(&scope, "test.read").await.unwrap();
        assert!(tx.rows("SELECT nothing FROM nowhere", []).await.is_err());
        assert_eq!(outcomes(&db, "test.read"), (1, 0, 0, 0), "it has not ended");
        drop(tx);
        assert_eq!(outcomes(&db, "test.read"), (1, 0, 1, 0));
        // A read cannot write, on either database.
        let tx = db.read(&scope, "test.read").await.unwrap();
        assert!(insert(&tx, "x").await.is_err());
    }
);

both_databases!(
    async fn one_connection_is_enough_for_a_transaction_and_its_keys(database: TestDatabase) {
        let (_, scope) = world(&database).await;
        // A process that has opened no key yet.
        let db = connect(&database, 1).await;
        let tx = db.read(&scope, "test.read").await.unwrap();
        tx.keys_for([(false, "in plaintext")].into_iter()).await.unwrap();
        // Its holder has the only place; another waits, and is not given what it could block.
        assert!(matches!(
            tokio::time::timeout(Duration::from_secs(20), db.read(&scope, "test.second")).await,
            Ok(Err(DbError::Busy))
        ));
        assert_eq!(outcomes(&db, "test.second"), (0, 0, 1, 0));
        drop(tx);
        let db = connect(&database, 1).await;
        db.write(&scope, "test.write", |tx| async move { tx.keys().map(|_| ()) }).await.unwrap();
    }
);

both_databases!(
    async fn a_team_without_keys_is_read_and_written_but_not_opened(database: TestDatabase) {
        let (_, scope) = world(&database).await;
        database.execute("DELETE FROM team_keys").await;
        let db = connect(&database, 20).await;
        db.write(&scope, "test.insert", |tx| async move { insert(&tx, "s").await }).await.unwrap();
        assert_eq!(stored(&db, &scope).await, ["s"]);
        let tx = db.read(&scope, "test.read").await.unwrap();
        let error = tx.keys().unwrap_err();
        assert!(matches!(&error, DbError::TeamKeys(cause) if matches!(**cause, DbError::KeyMissing { .. })));
        assert!(error.to_string().contains(scope.team_id().as_str()), "{error}");
    }
);

#[derive(Debug, FromQueryResult, PartialEq, Eq)]
struct Rights {
    role: String,
    team: String,
}

async fn rights(tx: &Tx) -> Result<Rights, DbError> {
    let sql = "SELECT current_user::text AS role, COALESCE(current_setting('han.team', true), '') AS team";
    Ok(tx.one(sql, []).await?.unwrap())
}

#[tokio::test]
async fn each_kind_of_transaction_takes_its_role_and_team() {
    let database = TestDatabase::postgres().await;
    let (db, scope) = world(&database).await;
    let number = db.team_number(scope.team_id()).await.unwrap();
    let app = Rights { role: "han_app".to_owned(), team: number.setting() };
    let system = Rights { role: "han_system".to_owned(), team: String::new() };

    assert_eq!(rights(&db.read(&scope, "test.read").await.unwrap()).await.unwrap(), app);
    assert_eq!(db.write(&scope, "test.write", |tx| async move { rights(&tx).await }).await.unwrap(), app);
    assert_eq!(rights(&db.read_system("test.read").await.unwrap()).await.unwrap(), system);
    assert_eq!(rights(&db.read_system_latest("test.read").await.unwrap()).await.unwrap(), system);
    assert_eq!(db.write_system("test.write", |tx| async move { rights(&tx).await }).await.unwrap(), system);
    let acting = db.write_system_for(&scope, "test.write", |tx| async move {
        assert_eq!(tx.scope().request_id(), &request_id());
        rights(&tx).await
    });
    assert_eq!(acting.await.unwrap(), system);
}

both_databases!(
    async fn the_number_of_a_team_is_read_once_and_never_given_to_another(database: TestDatabase) {
        let (db, scope) = world(&database).await;
        let loads =
            |db: &Db| db.transaction_stats().get("team_numbers.load").map_or(0, |stats| stats.committed);
        let number = db.team_number(scope.team_id()).await.unwrap();
        let before = loads(&db);
        drop(db.read(&scope, "test.read").await.unwrap());
        db.write(&scope, "test.write", |tx| async move { insert(&tx, "s").await }).await.unwrap();
        assert_eq!((before, loads(&db)), (1, 1));

        database.execute("DELETE FROM teams").await;
        let (user, _) = teams::create_with_user(&db, "bob", "next").await.unwrap();
        let next = memberships::list(&db, &user.id).await.unwrap().pop().unwrap();
        let next = db.team_number(&next.team.id).await.unwrap();
        assert_ne!(next, number);
        assert_ne!(next, TeamNumber::NONE);
    }
);

both_databases!(
    async fn a_team_that_was_deleted_has_no_rows_and_gets_none(database: TestDatabase) {
        let (_, scope) = world(&database).await;
        database.execute("DELETE FROM teams").await;
        let db = connect(&database, 20).await;
        for _ in 0..2 {
            let tx = db.read(&scope, "test.read").await.unwrap();
            assert_eq!(tx.team_number(), TeamNumber::NONE);
            let sql = "SELECT role FROM team_members WHERE team = $1";
            assert!(tx.rows(sql, [tx.team()]).await.unwrap().is_empty());
        }
        let looked = db.transaction_stats()["team_numbers.load"].committed;
        assert_eq!(looked, 2, "a team may come to be later");
        let refused = db.write(&scope, "test.write", |tx| async move { insert(&tx, "s").await }).await;
        assert!(matches!(refused, Err(DbError::RowMissing { table: "teams", .. })), "{refused:?}");
        let refused = db.write_system_for(&scope, "test.write", |_tx| async move { Ok(()) }).await;
        assert!(matches!(refused, Err(DbError::RowMissing { table: "teams", .. })), "{refused:?}");
        if database.is_postgres() {
            let tx = db.read(&scope, "test.read").await.unwrap();
            let seen = tx.rows("SELECT role FROM team_members", []).await.unwrap();
            assert!(seen.is_empty(), "not even without a condition");
        }
    }
);

type FieldMap = BTreeMap<&'static str, String>;

/// The fields of each transaction's span, in the order in which they began.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, FieldMap)>>>);

struct Fields<'a>(&'a mut FieldMap);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, span: &tracing::span::Attributes<'_>, id: &tracing::Id, _: Context<'_, S>) {
        if span.metadata().name() == "db.tx" {
            let mut fields = FieldMap::new();
            span.record(&mut Fields(&mut fields));
            self.0.lock().unwrap().push((id.into_u64(), fields));
        }
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        // An id may be used again once its span is gone.
        if let Some((_, fields)) = spans.iter_mut().rfind(|(span, _)| *span == id.into_u64()) {
            values.record(&mut Fields(fields));
        }
    }
}

#[tokio::test]
async fn a_span_says_which_transaction_of_which_team_ended_how() {
    let database = TestDatabase::sqlite().await;
    let (db, scope) = world(&database).await;
    // Reading the team's keys is a transaction of its own, the first time.
    drop(db.read(&scope, "test.keys").await.unwrap());
    let spans = Spans::default();
    let (db, team) = (&db, scope.team_id().to_string());
    let scope = &scope;
    async move {
        db.write(scope, "test.write", |tx| async move { insert(&tx, "s").await }).await.unwrap();
        let twice = db.write(scope, "test.twice", |tx| async move { insert(&tx, "s").await }).await;
        assert!(twice.unwrap_err().is_duplicate());
        drop(db.read(scope, "test.read").await.unwrap());
        drop(db.read_system("test.system").await.unwrap());
    }
    .with_subscriber(tracing_subscriber::registry().with(spans.clone()))
    .await;
    let spans = spans.0.lock().unwrap();
    let found: Vec<_> = spans
        .iter()
        .map(|(_, fields)| {
            let field = |name| fields.get(name).map_or("", String::as_str);
            (field("name"), field("team_id"), field("outcome"), !field("error").is_empty())
        })
        .collect();
    assert_eq!(
        found,
        [
            ("test.write", team.as_str(), "committed", false),
            ("test.twice", &team, "failed", true),
            ("test.read", &team, "committed", false),
            ("test.system", "", "committed", false),
        ]
    );
}
