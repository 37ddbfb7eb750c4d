//! Transactions: scoped to one team, or of the system's own look-ups; read-only or retried on conflict.
//!
//! On PostgreSQL each opens by taking on a role to which row-level security applies and by naming the team, both
//! for this transaction only, so that a pooler in transaction mode is safe.

use std::future::Future;

use han_types::Scope;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, FromQueryResult, IsolationLevel, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};

use crate::dialect::{Dialect, Role};
use crate::{Db, DbError};

/// How often a transaction is tried before its conflict is reported.
const ATTEMPTS: u32 = 5;

/// An open transaction. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: DatabaseTransaction,
    dialect: Dialect,
    /// A client's read holds its place among those that may run at once.
    _slot: Option<OwnedSemaphorePermit>,
    budget: Mutex<Budget>,
}

/// How many bytes of lines a transaction may still open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    fn of(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    pub(crate) fn left(self) -> usize {
        self.left
    }

    /// Takes `bytes` of it.
    ///
    /// # Errors
    /// Where less is left.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), DbError> {
        self.left = self.left.checked_sub(bytes).ok_or(self.passed())?;
        Ok(())
    }

    pub(crate) fn passed(self) -> DbError {
        DbError::TooMuch { limit: self.limit }
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Tx {
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn statement<I: IntoIterator<Item = Value>>(&self, sql: &str, values: I) -> Statement {
        Statement::from_sql_and_values(self.dialect.backend(), sql, values)
    }

    /// Runs `sql` (placeholders `$1`, `$2`, … on both databases) and gives the number of rows it touched.
    pub(crate) async fn execute<I>(&self, sql: &str, values: I) -> Result<u64, DbError>
    where
        I: IntoIterator<Item = Value>,
    {
        let statement = self.statement(sql, values);
        Ok(self.inner.execute_raw(statement).await?.rows_affected())
    }

    pub(crate) async fn rows<I>(&self, sql: &str, values: I) -> Result<Vec<QueryResult>, DbError>
    where
        I: IntoIterator<Item = Value>,
    {
        let statement = self.statement(sql, values);
        Ok(self.inner.query_all_raw(statement).await?)
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
        let statement = self.statement(sql, values);
        match self.inner.query_one_raw(statement).await? {
            Some(row) => Ok(Some(T::from_query_result(&row, "")?)),
            None => Ok(None),
        }
    }

    /// What of lines may still be opened; held while it is spent, so that two lists do not spend the same.
    pub(crate) async fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().await
    }

    /// Makes everything this transaction wrote durable and visible.
    pub(crate) async fn commit(self) -> Result<(), DbError> {
        Ok(self.inner.commit().await?)
    }
}

impl Db {
    /// Opens a read-only transaction on one team's data: a GraphQL operation's, shared by its loaders. All its
    /// reads see one moment. Only so many run at once; whoever holds one must not wait for another.
    ///
    /// # Errors
    /// Where no connection is to be had.
    pub async fn read(&self, scope: &Scope) -> Result<Tx, DbError> {
        // Opening sealed columns later must not wait for a second connection while this one is held: with a full
        // pool, readers would wait for each other. Keys that cannot be had are reported by whoever needs them.
        let _ = self.keys().team(self, scope.team_id()).await;
        let slot = self.read_slot().await?;
        let tx = self.begin(true, Role::App, scope.team_id().as_str()).await?;
        Ok(Tx { _slot: Some(slot), ..tx })
    }

    /// Opens a read-only transaction of `role` that sees no team.
    pub(crate) async fn begin_as(&self, role: Role) -> Result<Tx, DbError> {
        self.begin(true, role, "").await
    }

    /// Opens a read-only transaction for the system's own look-ups.
    pub(crate) async fn read_system(&self) -> Result<Tx, DbError> {
        self.begin(true, Role::System, "").await
    }

    /// Opens a transaction for the system's own look-ups in which every statement sees what is committed by then,
    /// not what was when the transaction began.
    pub(crate) async fn read_system_latest(&self) -> Result<Tx, DbError> {
        let conn = self.reader();
        let tx = self.tx(conn.begin().await?);
        self.dialect().take_role(&tx, Role::System, "", true).await?;
        Ok(tx)
    }

    /// Runs `work` in a transaction on one team's data and commits it; a serialization failure or a deadlock
    /// runs it again. `name` stands in the log.
    ///
    /// # Errors
    /// What `work` returns, or the last conflict after several tries.
    pub async fn run_tx<T, F, Fut>(&self, name: &'static str, scope: &Scope, work: F) -> Result<T, DbError>
    where
        F: Fn(std::sync::Arc<Tx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        self.run(name, Role::App, scope.team_id().as_str(), work).await
    }

    /// As [`Db::run_tx`], for the system's own look-ups and writes.
    pub(crate) async fn run_system_tx<T, F, Fut>(&self, name: &'static str, work: F) -> Result<T, DbError>
    where
        F: Fn(std::sync::Arc<Tx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        self.run(name, Role::System, "", work).await
    }

    async fn run<T, F, Fut>(&self, name: &'static str, role: Role, team: &str, work: F) -> Result<T, DbError>
    where
        F: Fn(std::sync::Arc<Tx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(role, team, &work).await {
                Err(err) if err.is_retryable() && attempt < ATTEMPTS => {
                    tracing::debug!(transaction = name, attempt, error = %err, "transaction conflicted, trying again");
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, role: Role, team: &str, work: &F) -> Result<T, DbError>
    where
        F: Fn(std::sync::Arc<Tx>) -> Fut,
        Fut: Future<Output = Result<T, DbError>>,
    {
        let tx = std::sync::Arc::new(self.begin(false, role, team).await?);
        let value = work(std::sync::Arc::clone(&tx)).await?;
        // `work` is done with its handle: where it kept one, nothing may be committed behind its back.
        let Ok(tx) = std::sync::Arc::try_unwrap(tx) else {
            return Err(DbError::Missing(
                "a transaction was still in use when it was to be committed".to_owned(),
            ));
        };
        tx.commit().await?;
        Ok(value)
    }

    fn tx(&self, inner: DatabaseTransaction) -> Tx {
        let budget = Mutex::new(Budget::of(self.read_bytes()));
        Tx { inner, dialect: self.dialect(), _slot: None, budget }
    }

    async fn begin(&self, read_only: bool, role: Role, team: &str) -> Result<Tx, DbError> {
        let dialect = self.dialect();
        let (conn, options) = match (dialect, read_only) {
            (Dialect::Postgres, true) => (
                self.reader(),
                TransactionOptions {
                    isolation_level: Some(IsolationLevel::RepeatableRead),
                    access_mode: Some(AccessMode::ReadOnly),
                    ..TransactionOptions::default()
                },
            ),
            (Dialect::Postgres, false) => (self.writer(), TransactionOptions::default()),
            (Dialect::Sqlite, true) => (self.reader(), TransactionOptions::default()),
            (Dialect::Sqlite, false) => (
                self.writer(),
                TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..TransactionOptions::default()
                },
            ),
        };
        let tx = self.tx(conn.begin_with_options(options).await?);
        dialect.take_role(&tx, role, team, read_only).await?;
        Ok(tx)
    }
}
