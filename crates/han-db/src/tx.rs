//! Transactions: on one team's data, or of the system's own look-ups; read-only, or retried on conflict.
//!
//! A [`ScopedTx`] carries its scope, the team's number and keys, the clock and the entropy, so that these cannot
//! disagree. On PostgreSQL each transaction opens by taking on a role to which row-level security applies and by naming
//! the team, both for this transaction only, so that a pooler in transaction mode is safe.
//!
//! Each transaction has a name, `noun.verb`: of its span, and of its counters (`stats`).

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use han_crypto::sealed_key_id;
use han_types::{Clock, Entropy, Origin, Plans, Scope, TeamId};
use sea_orm::{FromQueryResult, QueryResult, Value};
use tokio::sync::{Mutex, MutexGuard};
use tracing::Instrument as _;

#[cfg(feature = "postgres")]
use crate::bulk_insert::Column;
use crate::dialect::{Dialect, Role};
use crate::driver::DriverTransaction;
use crate::keys::{KeyStore, TeamKeys};
use crate::read_slots::ReadSlot;
use crate::segments::OpenedSegments;
use crate::stats::Measure;
use crate::team_numbers::TeamNumber;
use crate::{Db, DbError};

/// How often a transaction is tried before its conflict is reported.
pub(crate) const ATTEMPTS: u32 = 5;

/// An open transaction without a team: what [`ScopedTx`] and [`SystemTx`] have in common. Dropped without
/// [`Tx::commit`], it is rolled back.
pub struct Tx {
    /// Locked while a statement runs: several parts of an operation may share the transaction.
    inner: Mutex<DriverTransaction>,
    db: Db,
    budget: Mutex<Budget>,
    /// The segments that it has opened: each is opened once.
    opened: OpenedSegments,
    /// A read's; a write is measured from outside, together with its commit.
    measure: Option<Measure>,
    /// A client's read holds its place among those that may run at once.
    _slot: Option<ReadSlot>,
}

/// An open transaction on one team's data, with everything that queries on it need.
pub struct ScopedTx {
    tx: Tx,
    scope: Scope,
    team: TeamNumber,
    keys: Keys,
}

/// A team's keys, or why there are none: that is the business of those who need them only. Most queries do not.
type Keys = Result<Arc<TeamKeys>, Arc<DbError>>;

/// An open transaction of the system's own look-ups and writes. It sees every team.
pub(crate) struct SystemTx {
    tx: Tx,
}

/// An open transaction of the system's own writes on behalf of a member: the app role may not touch users, teams and
/// credentials. It sees every team; the scope says who acts.
pub(crate) struct ActingTx {
    tx: SystemTx,
    scope: Scope,
    team: TeamNumber,
}

/// How many bytes of lines a transaction may still open.
pub(crate) struct Budget {
    left: usize,
    limit: usize,
    room: Option<Room>,
}

/// Asks whether there is room for so many more bytes of lines. An error says which limit does not allow it.
type Room = Box<dyn Fn(usize) -> Result<(), String> + Send + Sync>;

impl Budget {
    fn of(limit: usize) -> Self {
        Self { left: limit, limit, room: None }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Takes `bytes` of it.
    ///
    /// # Errors
    /// [`DbError::TooMuch`] where less is left; [`DbError::NoRoom`] if the reader has no room for them.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), DbError> {
        let left = self.left.checked_sub(bytes).ok_or_else(|| self.passed())?;
        if let Some(room) = &self.room {
            room(bytes).map_err(DbError::NoRoom)?;
        }
        self.left = left;
        Ok(())
    }

    pub(crate) fn passed(&self) -> DbError {
        DbError::TooMuch { limit: self.limit }
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ScopedTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopedTx").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Deref for ScopedTx {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl Deref for SystemTx {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl Deref for ActingTx {
    type Target = SystemTx;

    fn deref(&self) -> &SystemTx {
        &self.tx
    }
}

impl From<ScopedTx> for Tx {
    fn from(tx: ScopedTx) -> Self {
        tx.tx
    }
}

impl From<SystemTx> for Tx {
    fn from(tx: SystemTx) -> Self {
        tx.tx
    }
}

impl From<ActingTx> for Tx {
    fn from(tx: ActingTx) -> Self {
        tx.tx.tx
    }
}

impl ScopedTx {
    /// The right that the transaction was opened with: whose data it sees, and who acts.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Asks `room` before lines are opened, with their bytes. If it refuses them, the query fails with
    /// [`DbError::NoRoom`], which has the reason that it gives.
    #[must_use]
    pub fn with_room(mut self, room: impl Fn(usize) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.tx.budget.get_mut().room = Some(Box::new(room));
        self
    }

    /// Opens at most so many bytes of lines, instead of what the configuration says.
    pub(crate) fn with_budget(mut self, bytes: usize) -> Self {
        *self.tx.budget.get_mut() = Budget::of(bytes);
        self
    }

    /// The team whose data it sees.
    #[must_use]
    pub fn team_id(&self) -> &TeamId {
        self.scope.team_id()
    }

    /// The number of the team, by which its rows name it, as a statement's parameter. A team that was deleted has the
    /// number of no team.
    pub(crate) fn team(&self) -> Value {
        self.team.into()
    }

    /// As [`ScopedTx::team`], for functions that take the number of a team.
    pub(crate) fn team_number(&self) -> TeamNumber {
        self.team
    }

    /// The team's keys, as they were when the transaction was opened.
    ///
    /// # Errors
    /// [`DbError::TeamKeys`] where there are none (the team was deleted, which shreds its content), or no KEK at hand
    /// opens them.
    pub(crate) fn keys(&self) -> Result<&Arc<TeamKeys>, DbError> {
        self.keys.as_ref().map_err(|error| DbError::TeamKeys(Arc::clone(error)))
    }

    /// The team's keys, read again where one of the `stored` columns was sealed with a key that another replica made
    /// since the transaction was opened.
    ///
    /// # Errors
    /// As [`ScopedTx::keys`].
    pub(crate) async fn keys_for<'a>(
        &self,
        stored: impl Iterator<Item = (bool, &'a str)>,
    ) -> Result<Arc<TeamKeys>, DbError> {
        let sealed = stored.filter(|(sealed, _)| *sealed);
        let versions = sealed.filter_map(|(_, text)| sealed_key_id(text).ok());
        self.tx.keys_holding(self.team_id(), self.keys()?, versions).await
    }
}

impl ActingTx {
    /// Who acts, for which team.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The team that is acted for.
    pub(crate) fn team_id(&self) -> &TeamId {
        self.scope.team_id()
    }

    /// The number of the team, by which its rows name it.
    pub(crate) fn team_number(&self) -> TeamNumber {
        self.team
    }
}

impl Tx {
    pub(crate) fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// The clock that stamps rows.
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.db.clock()
    }

    /// The source of ids and keys.
    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.db.entropy()
    }

    /// On whose behalf the database is used, where no scope says so.
    pub(crate) fn origin(&self) -> &Origin {
        self.db.origin()
    }

    /// Whether the plans of teams are enforced.
    pub(crate) fn plans(&self) -> Plans {
        self.db.plans()
    }

    /// The key rings of teams.
    pub(crate) fn key_store(&self) -> &KeyStore {
        self.db.keys()
    }

    /// `keys`, or the team's keys read again if one of the content keys `versions` is not among them.
    pub(crate) async fn keys_holding(
        &self,
        team_id: &TeamId,
        keys: &Arc<TeamKeys>,
        versions: impl Iterator<Item = u32>,
    ) -> Result<Arc<TeamKeys>, DbError> {
        let newer: Vec<u32> = versions.filter(|version| !keys.holds(*version)).collect();
        if newer.is_empty() {
            return Ok(Arc::clone(keys));
        }
        self.db.keys().team_with(&self.db, team_id, &newer).await
    }

    /// Runs a statement inside the span of a read. A write's span is entered for the whole of it. The driver's futures are
    /// large: they are boxed, so that those of all queries, which contain them, are not.
    async fn run<T>(
        &self,
        statement: Pin<Box<impl Future<Output = Result<T, DbError>>>>,
    ) -> Result<T, DbError> {
        let Some(measure) = &self.measure else { return statement.await };
        let done = statement.instrument(measure.span().clone()).await;
        done.inspect_err(|error| measure.note(error))
    }

    /// Runs `sql` (placeholders `$1`, `$2`, … on both databases) and gives the number of rows it touched.
    pub(crate) async fn execute<I>(&self, sql: &str, values: I) -> Result<u64, DbError>
    where
        I: IntoIterator<Item = Value>,
    {
        let values = values.into_iter().collect();
        self.run(Box::pin(async { self.inner.lock().await.execute(sql, values).await })).await
    }

    pub(crate) async fn rows<I>(&self, sql: &str, values: I) -> Result<Vec<QueryResult>, DbError>
    where
        I: IntoIterator<Item = Value>,
    {
        let values = values.into_iter().collect();
        self.run(Box::pin(async { self.inner.lock().await.rows(sql, values).await })).await
    }

    /// Runs `sql` with `values` and then whole columns as its parameters, as arrays.
    #[cfg(feature = "postgres")]
    pub(crate) async fn rows_of_columns(
        &self,
        sql: &str,
        values: Vec<Value>,
        columns: &[Column<'_>],
    ) -> Result<Vec<QueryResult>, DbError> {
        let rows = async { self.inner.lock().await.rows_of_columns(sql, values, columns).await };
        self.run(Box::pin(rows)).await
    }

    pub(crate) async fn all<T, I>(&self, sql: &str, values: I) -> Result<Vec<T>, DbError>
    where
        T: FromQueryResult,
        I: IntoIterator<Item = Value>,
    {
        let rows = self.rows(sql, values).await?;
        rows.iter().map(|row| T::from_query_result(row, "").map_err(DbError::from)).collect()
    }

    pub(crate) async fn one<T, I>(&self, sql: &str, values: I) -> Result<Option<T>, DbError>
    where
        T: FromQueryResult,
        I: IntoIterator<Item = Value>,
    {
        let values = values.into_iter().collect();
        match self.run(Box::pin(async { self.inner.lock().await.row(sql, values).await })).await? {
            Some(row) => Ok(Some(T::from_query_result(&row, "")?)),
            None => Ok(None),
        }
    }

    /// What of lines may still be opened; held while it is spent, so that two lists do not spend the same.
    pub(crate) async fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().await
    }

    /// The bytes of segments that a page of search looks through.
    pub(crate) fn search_bytes(&self) -> usize {
        self.db.search_bytes()
    }

    /// The segments that it has opened.
    pub(crate) fn opened(&self) -> &OpenedSegments {
        &self.opened
    }

    /// Makes everything this transaction wrote durable and visible.
    async fn commit(self) -> Result<(), DbError> {
        Box::pin(self.inner.into_inner().commit()).await
    }

    /// Discards everything this transaction wrote.
    async fn rollback(self) -> Result<(), DbError> {
        Box::pin(self.inner.into_inner().rollback()).await
    }
}

/// How a transaction is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Read-only; all reads see one moment.
    Snapshot,
    /// Read-only; each read sees what is committed by then.
    Latest,
    /// Writes.
    Write,
}

/// What a transaction is opened as.
#[derive(Clone, Copy)]
struct Opening<'a> {
    name: &'static str,
    role: Role,
    /// The team that the span names.
    team_id: Option<&'a TeamId>,
    /// The team whose rows the app role sees.
    team: TeamNumber,
}

impl<'a> Opening<'a> {
    fn app(name: &'static str, scope: &'a Scope, team: TeamNumber) -> Self {
        Self { name, role: Role::App, team_id: Some(scope.team_id()), team }
    }

    fn system(name: &'static str) -> Self {
        Self::without_team(name, Role::System)
    }

    fn without_team(name: &'static str, role: Role) -> Self {
        Self { name, role, team_id: None, team: TeamNumber::NONE }
    }
}

impl Db {
    /// Opens a read-only transaction on one team's data: a GraphQL operation's, shared by its loaders. All its
    /// reads see one moment. Only so many run at once; its holder must not wait for another.
    ///
    /// # Errors
    /// [`DbError::Busy`] where as many reads run as may, of all clients or of this person, and none ends in time.
    pub async fn read(&self, scope: &Scope, name: &'static str) -> Result<ScopedTx, DbError> {
        // The number and the keys first: neither may wait for a second connection while this one is held. With a full
        // pool, readers would wait for each other.
        let team = self.find_team_number(scope.team_id()).await?.unwrap_or(TeamNumber::NONE);
        let keys = self.team_keys(scope).await;
        let opening = Opening::app(name, scope, team);
        let measure = Measure::read(self, name, opening.team_id);
        let opened = async {
            let slot = self.read_slot(scope.user_id()).await?;
            let tx = self.begin(&opening, Mode::Snapshot).await?;
            Ok(Tx { _slot: Some(slot), ..tx })
        };
        let tx = measured(&measure, opened).await?;
        Ok(ScopedTx { tx: Tx { measure: Some(measure), ..tx }, scope: scope.clone(), team, keys })
    }

    /// Runs `work` in a transaction on one team's data and commits it; a serialization failure or a deadlock rolls it
    /// back and runs `work` again. `work` gives its handle back by ending: where it kept one, nothing is committed.
    ///
    /// It is an `Arc` because an `AsyncFn(&ScopedTx)` that borrows anything makes a future of which the compiler cannot
    /// prove that it is `Send` (Rust 1.95).
    ///
    /// # Errors
    /// What `work` returns, the last conflict after several tries, [`DbError::TransactionInUse`], or
    /// [`DbError::RowMissing`] where the team was deleted.
    pub async fn write<T, F, Fut>(&self, scope: &Scope, name: &'static str, work: F) -> Result<T, DbError>
    where
        F: Fn(Arc<ScopedTx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        self.write_with_keys(scope, name, work, |_| true).await
    }

    /// As [`Db::write`], but `work` may also refuse with `Ok(Err(…))`, which rolls the transaction back and is not an
    /// error of the database.
    pub(crate) async fn write_or_refuse<T, R, F, Fut>(
        &self,
        scope: &Scope,
        name: &'static str,
        work: F,
    ) -> Result<Result<T, R>, DbError>
    where
        F: Fn(Arc<ScopedTx>) -> Fut,
        Fut: Future<Output = Result<Result<T, R>, DbError>>,
    {
        self.write_with_keys(scope, name, work, Result::is_ok).await
    }

    /// Runs `work` with the keys of the scope's team. If it finds a value that was sealed with a newer key, which another
    /// replica has just made, it runs again with the keys of now.
    async fn write_with_keys<T, F, Fut>(
        &self,
        scope: &Scope,
        name: &'static str,
        work: F,
        commits: fn(&T) -> bool,
    ) -> Result<T, DbError>
    where
        F: Fn(Arc<ScopedTx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        let team = self.team_number(scope.team_id()).await?;
        let opening = Opening::app(name, scope, team);
        let mut keys = self.team_keys(scope).await;
        let mut read_again = false;
        loop {
            let scoped = |tx| ScopedTx { tx, scope: scope.clone(), team, keys: keys.clone() };
            match self.retry(&opening, scoped, &work, commits).await {
                Err(error) if error.needs_other_key() && !read_again => {
                    read_again = true;
                    keys = self.keys().load(self, scope.team_id()).await.map_err(Arc::new);
                }
                done => return done,
            }
        }
    }

    /// Opens a read-only transaction for the system's own look-ups.
    pub(crate) async fn read_system(&self, name: &'static str) -> Result<SystemTx, DbError> {
        Ok(SystemTx { tx: self.open_read(&Opening::system(name), Mode::Snapshot).await? })
    }

    /// As [`Db::read_system`], but every statement sees what is committed by then, not what was when the transaction
    /// began.
    pub(crate) async fn read_system_latest(&self, name: &'static str) -> Result<SystemTx, DbError> {
        Ok(SystemTx { tx: self.open_read(&Opening::system(name), Mode::Latest).await? })
    }

    /// Opens a read-only transaction of `role` that sees no team.
    pub(crate) async fn read_as(&self, role: Role, name: &'static str) -> Result<Tx, DbError> {
        self.open_read(&Opening::without_team(name, role), Mode::Snapshot).await
    }

    /// As [`Db::write`], for the system's own writes.
    pub(crate) async fn write_system<T, F, Fut>(&self, name: &'static str, work: F) -> Result<T, DbError>
    where
        F: Fn(Arc<SystemTx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        self.retry(&Opening::system(name), |tx| SystemTx { tx }, work, |_| true).await
    }

    /// As [`Db::write_system`], but `work` may also refuse, as in [`Db::write_or_refuse`].
    pub(crate) async fn write_system_or_refuse<T, R, F, Fut>(
        &self,
        name: &'static str,
        work: F,
    ) -> Result<Result<T, R>, DbError>
    where
        F: Fn(Arc<SystemTx>) -> Fut,
        Fut: Future<Output = Result<Result<T, R>, DbError>>,
    {
        self.retry(&Opening::system(name), |tx| SystemTx { tx }, work, Result::is_ok).await
    }

    /// As [`Db::write_system`], on behalf of a member.
    pub(crate) async fn write_system_for<T, F, Fut>(
        &self,
        scope: &Scope,
        name: &'static str,
        work: F,
    ) -> Result<T, DbError>
    where
        F: Fn(Arc<ActingTx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        let team = self.team_number(scope.team_id()).await?;
        let acting = |tx| ActingTx { tx: SystemTx { tx }, scope: scope.clone(), team };
        self.retry(&Opening::system(name), acting, work, |_| true).await
    }

    /// The keys of the scope's team, read before a transaction is opened.
    async fn team_keys(&self, scope: &Scope) -> Keys {
        self.keys().team(self, scope.team_id()).await.map_err(Arc::new)
    }

    async fn open_read(&self, opening: &Opening<'_>, mode: Mode) -> Result<Tx, DbError> {
        let measure = Measure::read(self, opening.name, opening.team_id);
        let tx = measured(&measure, self.begin(opening, mode)).await?;
        Ok(Tx { measure: Some(measure), ..tx })
    }

    /// Runs `work` until it does not conflict, and commits where `commits` says so of what it returned.
    async fn retry<T, C, W, F, Fut>(
        &self,
        opening: &Opening<'_>,
        wrap: W,
        work: F,
        commits: fn(&T) -> bool,
    ) -> Result<T, DbError>
    where
        C: Into<Tx>,
        W: Fn(Tx) -> C,
        F: Fn(Arc<C>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        let mut attempt = 1;
        loop {
            let measure = Measure::write(self, opening.name, opening.team_id);
            let once = async {
                let tx = Arc::new(wrap(self.begin(opening, Mode::Write).await?));
                let value = work(Arc::clone(&tx)).await?;
                let tx = Arc::into_inner(tx).ok_or(DbError::TransactionInUse { name: opening.name })?;
                if commits(&value) {
                    tx.into().commit().await?;
                } else {
                    tx.into().rollback().await?;
                }
                Ok(value)
            };
            match once.instrument(measure.span().clone()).await {
                Ok(value) => {
                    if commits(&value) {
                        measure.committed();
                    } else {
                        measure.refused();
                    }
                    return Ok(value);
                }
                Err(error) if attempt < ATTEMPTS && DbError::is_retryable(&error) => {
                    let name = opening.name;
                    tracing::debug!(transaction = name, attempt, %error, "transaction conflicted, trying again");
                    measure.retried(&error);
                    attempt += 1;
                }
                Err(error) => {
                    measure.failed(&error);
                    return Err(error);
                }
            }
        }
    }

    async fn begin(&self, opening: &Opening<'_>, mode: Mode) -> Result<Tx, DbError> {
        let begin = self.dialect().begin(mode, opening.role, opening.team);
        let inner = match mode {
            Mode::Snapshot | Mode::Latest => Box::pin(self.begin_read(&begin)).await?,
            Mode::Write => Box::pin(self.begin_write(&begin)).await?,
        };
        Ok(Tx {
            inner: Mutex::new(inner),
            db: self.clone(),
            budget: Mutex::new(Budget::of(self.read_bytes())),
            opened: OpenedSegments::default(),
            measure: None,
            _slot: None,
        })
    }
}

/// Opens a read inside its span, and notes why it could not be opened.
async fn measured<T>(
    measure: &Measure,
    opening: impl Future<Output = Result<T, DbError>>,
) -> Result<T, DbError> {
    opening.instrument(measure.span().clone()).await.inspect_err(|error| measure.note(error))
}
