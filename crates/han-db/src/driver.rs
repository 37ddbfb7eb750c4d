//! Pools and transactions of the driver, sqlx. SeaORM's own transactions copy all values of a statement before they
//! pass them on, and take up to three round trips to begin. These move the values, and begin with one round trip.
//! SeaORM still maps rows and runs migrations (docs/adr/0023).

use sea_orm::sea_query::Values;
use sea_orm::{DatabaseConnection, DbErr, QueryResult, RuntimeErr, Value};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, SqlSafeStr as _, Sqlite, SqlitePool};
#[cfg(feature = "postgres")]
use sqlx::{IntoArguments, PgPool, Postgres};
// sqlx does not export this trait.
use sqlx_core::transaction::TransactionManager as _;

use crate::DbError;
#[cfg(feature = "postgres")]
use crate::bulk_insert::Column;
use crate::connection::Observer;

/// A pool of connections.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Pool {
    /// The same pool, for migrations.
    pub(crate) fn sea_orm(&self) -> DatabaseConnection {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.clone().into(),
            Self::Sqlite(pool) => pool.clone().into(),
        }
    }

    /// Asks the database for an answer.
    pub(crate) async fn ping(&self) -> Result<(), DbError> {
        let done = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()),
            Self::Sqlite(pool) => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()),
        };
        Ok(done?)
    }

    /// Closes every connection after what runs on it has ended.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }

    /// Waits for a connection, and begins a transaction on it with the statements `begin`.
    pub(crate) async fn begin(
        &self,
        begin: &str,
        observer: Option<Observer>,
    ) -> Result<DriverTransaction, DbError> {
        let unreachable = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        let connection = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await.map_err(unreachable)?),
            Self::Sqlite(pool) => Connection::Sqlite(pool.acquire().await.map_err(unreachable)?),
        };
        let mut tx = DriverTransaction { connection, observer, state: State::Beginning };
        let begin = Some(AssertSqlSafe(begin).into_sql_str());
        let begun = match &mut tx.connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                <Postgres as Database>::TransactionManager::begin(connection, begin).await
            }
            Connection::Sqlite(connection) => {
                <Sqlite as Database>::TransactionManager::begin(connection, begin).await
            }
        };
        begun.map_err(failed)?;
        tx.state = State::Open;
        Ok(tx)
    }
}

/// A statement failed.
fn failed(error: sqlx::Error) -> DbError {
    DbErr::Query(RuntimeErr::SqlxError(error.into())).into()
}

/// An open transaction. Dropped without [`DriverTransaction::commit`], it is rolled back.
pub(crate) struct DriverTransaction {
    connection: Connection,
    observer: Option<Observer>,
    state: State,
}

enum Connection {
    #[cfg(feature = "postgres")]
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Beginning,
    Open,
    Ended,
}

/// Fetches rows of the statement `$sql` with its values, on either driver.
macro_rules! on_driver {
    ($tx:expr, $sql:expr, $values:expr, $method:ident) => {{
        let (sql, values) = (AssertSqlSafe($sql), SqlxValues(Values($values)));
        match &mut $tx.connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let done = sqlx::query_with(sql, values).$method(&mut **connection).await;
                done.map(|done| done.into_iter().map(Into::into).collect())
            }
            Connection::Sqlite(connection) => {
                let done = sqlx::query_with(sql, values).$method(&mut **connection).await;
                done.map(|done| done.into_iter().map(Into::into).collect())
            }
        }
    }};
}

impl DriverTransaction {
    fn observe(&self, sql: &str) {
        if let Some(observer) = &self.observer {
            observer(sql);
        }
    }

    /// Runs a statement and returns the number of rows it touched.
    pub(crate) async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<u64, DbError> {
        self.observe(sql);
        let (sql, values) = (AssertSqlSafe(sql), SqlxValues(Values(values)));
        let rows = match &mut self.connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let done = sqlx::query_with(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
            Connection::Sqlite(connection) => {
                let done = sqlx::query_with(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
            }
        };
        rows.map_err(failed)
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn rows(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbError> {
        self.observe(sql);
        let rows: Result<Vec<QueryResult>, sqlx::Error> = on_driver!(self, sql, values, fetch_all);
        rows.map_err(failed)
    }

    /// Runs a statement and returns its first row, if it has any.
    pub(crate) async fn row(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Option<QueryResult>, DbError> {
        self.observe(sql);
        let row: Result<Vec<QueryResult>, sqlx::Error> = on_driver!(self, sql, values, fetch_optional);
        Ok(row.map_err(failed)?.pop())
    }

    /// Runs a statement with `values` and then whole columns as its parameters, as arrays. The columns are encoded
    /// from where they are.
    #[cfg(feature = "postgres")]
    pub(crate) async fn rows_of_columns(
        &mut self,
        sql: &str,
        values: Vec<Value>,
        columns: &[Column<'_>],
    ) -> Result<Vec<QueryResult>, DbError> {
        self.observe(sql);
        let Connection::Postgres(connection) = &mut self.connection else {
            return Err(DbErr::Custom("arrays are parameters on PostgreSQL only".to_owned()).into());
        };
        let values = SqlxValues(Values(values));
        let mut arguments = IntoArguments::<Postgres>::into_arguments(values);
        for column in columns {
            column.add_to(&mut arguments).map_err(|error| failed(sqlx::Error::Encode(error)))?;
        }
        let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(&mut **connection).await;
        Ok(rows.map_err(failed)?.into_iter().map(Into::into).collect())
    }

    /// Makes everything that it wrote durable and visible.
    pub(crate) async fn commit(mut self) -> Result<(), DbError> {
        let committed = match &mut self.connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                <Postgres as Database>::TransactionManager::commit(connection).await
            }
            Connection::Sqlite(connection) => {
                <Sqlite as Database>::TransactionManager::commit(connection).await
            }
        };
        committed.map_err(failed)?;
        self.state = State::Ended;
        Ok(())
    }

    /// Discards everything that it wrote.
    pub(crate) async fn rollback(mut self) -> Result<(), DbError> {
        let rolled_back = match &mut self.connection {
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                <Postgres as Database>::TransactionManager::rollback(connection).await
            }
            Connection::Sqlite(connection) => {
                <Sqlite as Database>::TransactionManager::rollback(connection).await
            }
        };
        rolled_back.map_err(failed)?;
        self.state = State::Ended;
        Ok(())
    }
}

impl Drop for DriverTransaction {
    fn drop(&mut self) {
        match (self.state, &mut self.connection) {
            (State::Ended, _) => {}
            // It may be in a transaction of which the driver does not know, so it must not be used again.
            #[cfg(feature = "postgres")]
            (State::Beginning, Connection::Postgres(connection)) => connection.close_on_drop(),
            // The driver ends a transaction that was begun for nothing.
            (State::Beginning, Connection::Sqlite(_)) => {}
            #[cfg(feature = "postgres")]
            (State::Open, Connection::Postgres(connection)) => {
                <Postgres as Database>::TransactionManager::start_rollback(connection);
            }
            (State::Open, Connection::Sqlite(connection)) => {
                <Sqlite as Database>::TransactionManager::start_rollback(connection);
            }
        }
    }
}
