//! Connections: which database, how many, with which settings. [`Db`] is what the program holds.
//!
//! Nothing here knows a table; how transactions are scoped is in `tx`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use han_crypto::KekRing;
use han_types::{Clock, Entropy, IdError, Origin, Plans, UserId, new_row_id};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
#[cfg(feature = "postgres")]
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::DbError;
use crate::audit_cache::AuditCache;
use crate::commits::Commits;
use crate::dialect::Dialect;
use crate::driver::{DriverTransaction, Pool};
use crate::keys::KeyStore;
use crate::prices::PriceCache;
use crate::read_slots::{ReadSlot, ReadSlots};
use crate::stats::TransactionCounters;
use crate::team_numbers::TeamNumbers;
use crate::verified_keys::VerifiedKeys;

/// A connection that was used this recently is not asked again whether it lives: it answered when it was given back. A
/// question is a round trip, which every push would wait for.
#[cfg(feature = "postgres")]
const TRUSTED: Duration = Duration::from_millis(250);

/// How many prepared statements SQLite's writer keeps.
const WRITER_STATEMENTS: usize = 256;

/// How long a checkpoint that empties SQLite's WAL waits for reads, in milliseconds. Pushes wait meanwhile.
const CHECKPOINT_MILLIS: u32 = 500;

/// Receives each statement that is run, without its values.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// Which database and how much of it.
#[derive(Clone)]
pub struct DbConfig {
    /// `postgres://…` or `sqlite:<file>`.
    pub url: String,
    /// The most connections this process opens (PostgreSQL), or readers (SQLite, which has one writer besides).
    pub max_connections: u32,
    /// How long a request waits for a connection before it fails as unavailable.
    pub acquire_timeout: Duration,
    /// The most bytes of lines that one read transaction opens. What is shown of a line is several times as large.
    pub read_bytes: usize,
    /// The bytes of segments that a page of search looks through, before it ends without being full.
    pub search_bytes: usize,
    /// How many rows a transaction of work on a whole team changes: of a rotation, a conversion, a deletion.
    pub work_rows: usize,
    /// Whether rows are refused that are marked as not sealed: on a server that seals everything, the marker must not be a
    /// way around the encryption.
    pub refuses_unsealed: bool,
    /// Whether the plans of teams are enforced.
    pub plans: Plans,
    /// Receives each statement that clients' reads and writes run.
    pub observer: Option<Observer>,
}

impl std::fmt::Debug for DbConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may carry a password.
        f.debug_struct("DbConfig").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl DbConfig {
    /// The defaults for a database at `url`: 20 connections, ten seconds' patience, 32 MiB of lines in a read,
    /// 48 MiB looked through in a search, and 1,000 rows in a transaction of work on a team. Plans are not enforced.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 20,
            acquire_timeout: Duration::from_secs(10),
            read_bytes: 32 << 20,
            search_bytes: 48 << 20,
            work_rows: 1_000,
            refuses_unsealed: false,
            plans: Plans::default(),
            observer: None,
        }
    }
}

/// The database: cheap to clone, one for a process.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
    origin: Arc<Origin>,
}

struct Inner {
    dialect: Dialect,
    #[cfg(feature = "postgres")]
    url: String,
    write: Pool,
    read: Pool,
    observer: Option<Observer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: KeyStore,
    plans: Plans,
    team_numbers: TeamNumbers,
    verified_keys: VerifiedKeys,
    prices: PriceCache,
    commits: Commits,
    transactions: TransactionCounters,
    reads: ReadSlots,
    patience: Duration,
    read_bytes: usize,
    search_bytes: usize,
    work_rows: usize,
    audit: AuditCache,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("dialect", &self.inner.dialect).finish_non_exhaustive()
    }
}

impl Db {
    /// Connects. Neither migrates nor checks the schema: see [`Db::migrate`] and [`Db::check_ready`].
    ///
    /// # Errors
    /// [`DbError::Url`] if the URL is of no known kind, [`DbError::WithoutPostgres`] if it names PostgreSQL and the crate
    /// was built without its feature `postgres`, [`DbError::Unreachable`] at once if PostgreSQL refuses the connection.
    pub async fn connect(
        config: &DbConfig,
        keks: KekRing,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DbError> {
        let (dialect, write, read) = match Dialect::of_url(&config.url)? {
            #[cfg(not(feature = "postgres"))]
            Dialect::Postgres => return Err(DbError::WithoutPostgres),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let pool = postgres_pool(config).await?;
                (Dialect::Postgres, Pool::Postgres(pool.clone()), Pool::Postgres(pool))
            }
            Dialect::Sqlite => {
                let (write, read) = sqlite_pools(config).await?;
                (Dialect::Sqlite, write, read)
            }
        };
        let reads = ReadSlots::new((connections(dialect, config) / 2).max(1));
        Ok(Self {
            origin: Arc::default(),
            inner: Arc::new(Inner {
                dialect,
                #[cfg(feature = "postgres")]
                url: config.url.clone(),
                write,
                read,
                observer: config.observer.clone(),
                clock,
                entropy,
                keys: KeyStore::new(keks, config.refuses_unsealed),
                plans: config.plans,
                team_numbers: TeamNumbers::default(),
                verified_keys: VerifiedKeys::default(),
                prices: PriceCache::default(),
                commits: Commits::default(),
                transactions: TransactionCounters::default(),
                reads,
                patience: config.acquire_timeout,
                read_bytes: config.read_bytes,
                search_bytes: config.search_bytes,
                work_rows: config.work_rows.max(1),
                audit: AuditCache::default(),
            }),
        })
    }

    /// The same database, for what is done on behalf of `origin` and has no [`Scope`](han_types::Scope), which would say
    /// so: a sign-in, a command of an operator. The audit log records it. Without this, the server itself acts.
    #[must_use]
    pub fn on_behalf_of(&self, origin: Origin) -> Self {
        Self { inner: Arc::clone(&self.inner), origin: Arc::new(origin) }
    }

    /// On whose behalf it is used.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What this process knows about openings of sessions.
    pub(crate) fn audit_cache(&self) -> &AuditCache {
        &self.inner.audit
    }

    /// Which database this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// The clock that stamps rows.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// The source of ids and keys.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.inner.entropy
    }

    /// A new id for a row.
    ///
    /// # Errors
    /// [`DbError::Id`], never in practice: a generated id is always valid.
    pub(crate) fn new_id<T: TryFrom<String, Error = IdError>>(&self) -> Result<T, DbError> {
        Ok(new_row_id(self.clock(), self.entropy()).try_into()?)
    }

    /// The key rings of teams.
    #[must_use]
    pub fn keys(&self) -> &KeyStore {
        &self.inner.keys
    }

    /// Whether the plans of teams are enforced.
    #[must_use]
    pub fn plans(&self) -> Plans {
        self.inner.plans
    }

    /// The numbers of teams that are known already.
    pub(crate) fn team_numbers(&self) -> &TeamNumbers {
        &self.inner.team_numbers
    }

    /// The prices that this process has read.
    #[must_use]
    pub(crate) fn price_cache(&self) -> &PriceCache {
        &self.inner.prices
    }

    /// The API keys that were verified a moment ago.
    pub(crate) fn verified_keys(&self) -> &VerifiedKeys {
        &self.inner.verified_keys
    }

    /// Says that this process has committed a change of rights. It takes effect here before this returns; other
    /// replicas get it from the outbox.
    pub(crate) fn rights_changed(&self) {
        self.verified_keys().rights_changed();
        self.commits().notify();
    }

    /// Wakes the reader of the outbox after a commit of this process.
    pub(crate) fn commits(&self) -> &Commits {
        &self.inner.commits
    }

    /// What became of transactions so far.
    pub(crate) fn transaction_counters(&self) -> &TransactionCounters {
        &self.inner.transactions
    }

    /// The most bytes of lines that one read opens.
    pub(crate) fn read_bytes(&self) -> usize {
        self.inner.read_bytes
    }

    /// The bytes of segments that a page of search looks through.
    pub(crate) fn search_bytes(&self) -> usize {
        self.inner.search_bytes
    }

    /// How many rows a transaction of work on a whole team changes.
    pub(crate) fn work_rows(&self) -> usize {
        self.inner.work_rows
    }

    /// The place of a person's read among those that may run at once.
    pub(crate) async fn read_slot(&self, user: &UserId) -> Result<ReadSlot, DbError> {
        let slot = tokio::time::timeout(self.inner.patience, self.inner.reads.acquire(user)).await;
        slot.ok().flatten().ok_or(DbError::Busy)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn url(&self) -> &str {
        &self.inner.url
    }

    /// Begins a transaction that may write, with the statements `begin`.
    pub(crate) async fn begin_write(&self, begin: &str) -> Result<DriverTransaction, DbError> {
        self.inner.write.begin(begin, self.inner.observer.clone()).await
    }

    /// Begins a transaction that reads, with the statements `begin`.
    pub(crate) async fn begin_read(&self, begin: &str) -> Result<DriverTransaction, DbError> {
        self.inner.read.begin(begin, self.inner.observer.clone()).await
    }

    /// What migrations write through.
    pub(crate) fn writer(&self) -> DatabaseConnection {
        self.inner.write.sea_orm()
    }

    /// What migrations are looked up through.
    pub(crate) fn reader(&self) -> DatabaseConnection {
        self.inner.read.sea_orm()
    }

    /// Empties the WAL of SQLite, which keeps earlier versions of pages, if no read needs it at this moment; returns
    /// whether it is empty. Pushes wait for it. On PostgreSQL, nothing is done.
    pub(crate) async fn empty_wal(&self) -> Result<bool, DbError> {
        if self.dialect() == Dialect::Postgres {
            return Ok(true);
        }
        // By default, it would wait for readers as long as a request waits for a connection.
        let restore = format!("PRAGMA busy_timeout = {}", self.inner.patience.as_millis());
        let writer = self.writer();
        writer.execute_unprepared(&format!("PRAGMA busy_timeout = {CHECKPOINT_MILLIS}")).await?;
        let checkpoint = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let done = writer.query_one_raw(checkpoint).await;
        writer.execute_unprepared(&restore).await?;
        let busy: i32 = match done? {
            Some(row) => row.try_get("", "busy")?,
            None => 0,
        };
        Ok(busy == 0)
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// Where it gives none.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.inner.read.ping().await
    }

    /// Closes every connection after what runs on it has ended.
    pub async fn close(&self) {
        self.inner.write.close().await;
        self.inner.read.close().await;
    }
}

/// How many connections reads share with the rest.
fn connections(dialect: Dialect, config: &DbConfig) -> usize {
    match dialect {
        Dialect::Postgres => config.max_connections as usize,
        Dialect::Sqlite => sqlite_readers(config) as usize,
    }
}

fn sqlite_readers(config: &DbConfig) -> u32 {
    config.max_connections.clamp(1, 8)
}

#[cfg(feature = "postgres")]
async fn postgres_pool(config: &DbConfig) -> Result<sqlx::PgPool, DbError> {
    let options: PgConnectOptions = config.url.parse()?;
    let options = options.application_name("han-server").options([
        // A transaction that a stuck client leaves open holds up vacuum and the outbox's horizon.
        ("idle_in_transaction_session_timeout", "60000"),
    ]);
    // The pool would try a refused connection again and again, and then report only that time is over.
    let once = tokio::time::timeout(config.acquire_timeout, options.connect());
    match once.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(connection) => connection.close().await?,
        // It is about to be ready: the pool waits for it.
        Err(error) if is_starting(&error) => {}
        Err(error) => return Err(unreachable(&options, error)),
    }
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, use_of| {
            Box::pin(async move {
                if use_of.idle_for >= TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options.clone());
    pool.await.map_err(|error| unreachable(&options, error))
}

/// Whether PostgreSQL starts or recovers (`cannot_connect_now`).
#[cfg(feature = "postgres")]
fn is_starting(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57P03")
}

/// Names the address, never the password.
#[cfg(feature = "postgres")]
fn unreachable(options: &PgConnectOptions, error: sqlx::Error) -> DbError {
    let address = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let remedy = match &error {
        sqlx::Error::Database(_) => "Check the account, its password and the database in DATABASE_URL",
        sqlx::Error::Tls(_) => "Check its certificate, and sslmode in DATABASE_URL",
        _ => "Check that it runs, and the host and port in DATABASE_URL",
    };
    let reason = match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "there was no answer in time".to_owned(),
        error => DbError::Driver(error).said(),
    };
    DbError::Unreachable { address, reason, remedy }
}

async fn sqlite_pools(config: &DbConfig) -> Result<(Pool, Pool), DbError> {
    let options: SqliteConnectOptions = config.url.parse()?;
    let file = options.get_filename().to_path_buf();
    if let Some(dir) = file.parent().filter(|dir| *dir != Path::new("")) {
        make_dir(dir).await.map_err(sqlx::Error::Io)?;
    }
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(config.acquire_timeout);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(config.acquire_timeout)
        // Where a file cannot be written, SQLite rolls back by itself and the driver's count of open transactions
        // stays up: from then on it would nest each transaction in one that never commits.
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                let sound = !connection.is_in_transaction();
                if !sound {
                    tracing::warn!("a transaction ended in disorder: its connection is replaced");
                }
                Ok(sound)
            })
        })
        // Every statement of a push stays prepared. What is deleted is overwritten, in pages that become free as well: a
        // deletion would otherwise leave its bytes in the file until something else is stored there
        // (sqlite.org/pragma.html#pragma_secure_delete).
        .connect_with(
            options.clone().statement_cache_capacity(WRITER_STATEMENTS).pragma("secure_delete", "ON"),
        )
        .await?;
    restrict_to_owner(&file).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(sqlite_readers(config))
        .acquire_timeout(config.acquire_timeout)
        .connect_with(options.pragma("query_only", "true"))
        .await?;
    Ok((Pool::Sqlite(writer), Pool::Sqlite(readers)))
}

/// Makes the directory of a database, which only its owner may open, and those above it. Does nothing if there is one.
async fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut made = tokio::fs::DirBuilder::new();
    made.recursive(true);
    #[cfg(unix)]
    made.mode(0o700);
    made.create(dir).await
}

/// Only the owner may read a database file; SQLite gives its WAL the same mode.
#[cfg(unix)]
async fn restrict_to_owner(file: &Path) -> Result<(), DbError> {
    use std::os::unix::fs::PermissionsExt as _;
    if tokio::fs::try_exists(file).await.map_err(sqlx::Error::Io)? {
        let owner_only = std::fs::Permissions::from_mode(0o600);
        tokio::fs::set_permissions(file, owner_only).await.map_err(sqlx::Error::Io)?;
    }
    Ok(())
}

#[cfg(not(unix))]
async fn restrict_to_owner(_file: &Path) -> Result<(), DbError> {
    Ok(())
}
