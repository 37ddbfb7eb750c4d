//! A new, empty database for each test, on either engine, and the macro that runs one test on both. Not here: schemas,
//! which migrations create.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::pg::Cluster;

/// An empty database for one test. Dropping it deletes the database.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    location: DatabaseLocation,
}

#[derive(Debug)]
enum DatabaseLocation {
    Sqlite { directory: tempfile::TempDir },
    Postgres { name: String },
}

impl TestDatabase {
    /// A SQLite file in its own directory, which also has the WAL files. SQLite creates the file on first use.
    pub async fn sqlite() -> Self {
        let directory =
            tempfile::Builder::new().prefix("han-test.").tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("han.db").display());
        Self { url, location: DatabaseLocation::Sqlite { directory } }
    }

    /// A database in [`Cluster::shared`]. Its collation is that of a language, as on hosted databases, not byte
    /// order: a query that needs SQLite's order has to state `COLLATE "C"`.
    ///
    /// # Panics
    /// Without PostgreSQL: a test suite that skips its main database must not pass.
    pub async fn postgres() -> Self {
        let shared = tokio::task::spawn_blocking(Cluster::shared).await.expect("the cluster starts");
        let cluster = match shared {
            Ok(cluster) => cluster,
            Err(e) => panic!("{e}"),
        };
        let name = unique_name();
        let mut admin = PgConnection::connect(cluster.url()).await.expect("the cluster accepts connections");
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' \
             LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.expect("a new database");
        let _ = admin.close().await;
        Self { url: cluster.url_of(&name), location: DatabaseLocation::Postgres { name } }
    }

    /// The value for `DATABASE_URL`. On PostgreSQL, the account is a superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.location, DatabaseLocation::Postgres { .. })
    }

    /// Runs SQL statements directly on the database, with all permissions.
    ///
    /// # Panics
    /// If they fail.
    pub async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("the database answers");
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("the statements run");
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the database opens");
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("the statements run");
        }
    }

    /// The one text that a query returns, read with all permissions.
    ///
    /// # Panics
    /// If the query fails, or returns no row.
    pub async fn text(&self, sql: &str) -> String {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("the database answers");
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a row")
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the database opens");
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a row")
        }
    }

    /// Blocks writes to sessions until [`WriteBlock::release`].
    ///
    /// # Panics
    /// If the database cannot be locked.
    pub async fn block_writes(&self) -> WriteBlock {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("the database answers");
            let lock = sqlx::raw_sql("BEGIN; LOCK TABLE sessions IN EXCLUSIVE MODE");
            lock.execute(&mut connection).await.expect("a lock");
            WriteBlock::Postgres(connection)
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the database opens");
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("a lock");
            WriteBlock::Sqlite(connection)
        }
    }

    /// The directory of the SQLite file, which a test may use for other files; `None` on PostgreSQL.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.location {
            DatabaseLocation::Sqlite { directory } => Some(directory.path()),
            DatabaseLocation::Postgres { .. } => None,
        }
    }
}

/// A lock that blocks writes.
#[derive(Debug)]
pub enum WriteBlock {
    /// The connection that holds a table lock.
    Postgres(PgConnection),
    /// The connection that holds a write transaction.
    Sqlite(SqliteConnection),
}

impl WriteBlock {
    /// Unblocks writes.
    ///
    /// # Panics
    /// If the connection is broken.
    pub async fn release(self) {
        let rollback = sqlx::raw_sql("ROLLBACK");
        match self {
            Self::Postgres(mut connection) => rollback.execute(&mut connection).await.map(|_| ()),
            Self::Sqlite(mut connection) => rollback.execute(&mut connection).await.map(|_| ()),
        }
        .expect("the lock ends");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let DatabaseLocation::Postgres { name } = &self.location else { return };
        let Ok(cluster) = Cluster::shared() else { return };
        let (admin, drop_database) =
            (cluster.url().to_owned(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // A drop cannot await, and the test's runtime may be shutting down, so this needs a thread with its own
        // runtime. Failures are ignored, because the whole cluster is deleted soon after.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin).await.ok()?;
                sqlx::raw_sql(AssertSqlSafe(drop_database)).execute(&mut connection).await.ok()?;
                connection.close().await.ok()
            })
        })
        .join();
    }
}

/// A name that is unique among the processes of a test run, which share one cluster, and among test runs on one server.
fn unique_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The standard library seeds each of its hashers from the operating system.
    let seed = std::hash::RandomState::new().build_hasher().finish();
    format!("han_test_{}_{}_{seed:016x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Turns one test into two, `name::sqlite` and `name::postgres`, each with its own empty database.
///
/// ```ignore
/// both_databases!(async fn a_session_is_stored_once(db: TestDatabase) {
///     let store = connect(db.url()).await;
///     …
/// });
/// ```
#[macro_export]
macro_rules! both_databases {
    ($(#[$meta:meta])* async fn $name:ident($db:ident: TestDatabase) $body:block) => {
        #[allow(
            clippy::unwrap_used,
            clippy::expect_used,
            clippy::panic,
            reason = "the module is a test, but clippy does not recognise its body as one"
        )]
        mod $name {
            #[allow(unused_imports, reason = "the test's body uses the imports of its file")]
            use super::*;

            async fn body($db: $crate::TestDatabase) $body

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::TestDatabase::sqlite().await).await;
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::TestDatabase::postgres().await).await;
            }
        }
    };
}
