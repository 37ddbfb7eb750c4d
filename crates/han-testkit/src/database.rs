//! A fresh database for each test, on either engine, and the macro that runs one test on both. Schemas are the
//! migrations' business: a new database is empty.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::pg::Cluster;

/// An empty database of a test's own, gone when it is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite { directory: tempfile::TempDir },
    Postgres { name: String },
}

impl TestDatabase {
    /// A SQLite file in a directory of its own (WAL files lie beside it); the file is made on first use.
    pub async fn sqlite() -> Self {
        let directory =
            tempfile::Builder::new().prefix("han-test.").tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("han.db").display());
        Self { url, place: Place::Sqlite { directory } }
    }

    /// A database in [`Cluster::shared`]. Its collation is a language's, as hosted databases have it, not
    /// byte order: whoever needs the order of SQLite has to say `COLLATE "C"`.
    ///
    /// # Panics
    /// Where there is no PostgreSQL: a suite that leaves out its main database must not pass.
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
        Self { url: cluster.url_of(&name), place: Place::Postgres { name } }
    }

    /// What `DATABASE_URL` would say. On PostgreSQL it is a superuser's.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres { .. })
    }

    /// Runs statements on it past the program, with every right.
    ///
    /// # Panics
    /// Where they fail.
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

    /// Holds up whoever stores something, until [`WritesHeld::release`].
    ///
    /// # Panics
    /// Where the database cannot be locked.
    pub async fn hold_writes(&self) -> WritesHeld {
        if self.is_postgres() {
            let mut connection = PgConnection::connect(self.url()).await.expect("the database answers");
            let lock = sqlx::raw_sql("BEGIN; LOCK TABLE sessions IN EXCLUSIVE MODE");
            lock.execute(&mut connection).await.expect("a lock");
            WritesHeld::Postgres(connection)
        } else {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the database opens");
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("a lock");
            WritesHeld::Sqlite(connection)
        }
    }

    /// A directory for files of the test beside the database; only SQLite has one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Sqlite { directory } => Some(directory.path()),
            Place::Postgres { .. } => None,
        }
    }
}

/// Writes that are held up.
#[derive(Debug)]
pub enum WritesHeld {
    /// By a lock of this connection's.
    Postgres(PgConnection),
    /// By a transaction of this connection's.
    Sqlite(SqliteConnection),
}

impl WritesHeld {
    /// Lets them through.
    ///
    /// # Panics
    /// Where the database has gone.
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
        let Place::Postgres { name } = &self.place else { return };
        let Ok(cluster) = Cluster::shared() else { return };
        let (admin, drop_it) =
            (cluster.url().to_owned(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // A drop cannot await, and the test's own runtime may be ending: a thread with a runtime of its own.
        // Best effort, since the whole cluster goes soon after.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin).await.ok()?;
                sqlx::raw_sql(AssertSqlSafe(drop_it)).execute(&mut connection).await.ok()?;
                connection.close().await.ok()
            })
        })
        .join();
    }
}

/// Unique among the processes of a run, which share one cluster, and among runs that share a server.
fn unique_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The standard library seeds each of its hashers from the operating system.
    let seed = std::hash::RandomState::new().build_hasher().finish();
    format!("han_test_{}_{}_{seed:016x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes one test into two, `name::sqlite` and `name::postgres`, each with an empty database of its own.
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
            reason = "all of it is a test, though its body is not marked as one"
        )]
        mod $name {
            #[allow(unused_imports, reason = "the test's body uses what its file imports")]
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
