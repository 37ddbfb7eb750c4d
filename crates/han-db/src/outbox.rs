//! The outbox: the rows of `changes`, which triggers write in the transaction that changed something, and how far they
//! were trimmed. All SQL on it is here, with what the two databases do differently: sequences, transaction ids, NOTIFY.
//! In which order rows are delivered is decided in `changes::feed`.

use sea_orm::FromQueryResult;

use crate::DbError;
use crate::dialect::Dialect;
use crate::tx::SystemTx;

/// A row of the outbox.
#[derive(FromQueryResult)]
pub(crate) struct ChangeRow {
    pub seq: i64,
    pub team_id: String,
    pub table_name: String,
    pub action: String,
    /// `None` for rows of other tables, and for a session that grew and was deleted since.
    pub session_id: Option<String>,
    pub ordinal_from: Option<i64>,
    pub ordinal_to: Option<i64>,
    pub user_id: Option<String>,
}

/// What can no longer appear, and what is gone.
#[derive(FromQueryResult)]
pub(crate) struct Horizon {
    /// Transactions before this id have ended.
    pub xmin: i64,
    /// Rows up to this number were trimmed.
    pub trimmed: i64,
}

#[derive(FromQueryResult)]
struct Number {
    n: i64,
}

async fn number(tx: &SystemTx, sql: &str) -> Result<Option<i64>, DbError> {
    Ok(tx.one::<Number, _>(sql, []).await?.map(|row| row.n))
}

/// The last number that the outbox handed out.
pub(crate) async fn last_seq(tx: &SystemTx) -> Result<i64, DbError> {
    let sql = match tx.dialect() {
        Dialect::Postgres => {
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS n FROM changes_seq_seq"
        }
        Dialect::Sqlite => "SELECT COALESCE(MAX(seq), 0) AS n FROM changes",
    };
    Ok(number(tx, sql).await?.unwrap_or_default())
}

/// The number up to which rows were trimmed.
pub(crate) async fn trimmed_seq(tx: &SystemTx) -> Result<i64, DbError> {
    Ok(number(tx, "SELECT trimmed_seq AS n FROM outbox_state").await?.unwrap_or_default())
}

/// The horizon at this moment.
pub(crate) async fn horizon(tx: &SystemTx) -> Result<Horizon, DbError> {
    let xmin = match tx.dialect() {
        Dialect::Postgres => "pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        // One writer: numbers commit in order, and no transaction runs before the present.
        Dialect::Sqlite => "1",
    };
    let sql = format!("SELECT {xmin} AS xmin, (SELECT trimmed_seq FROM outbox_state) AS trimmed");
    let missing = || DbError::RowMissing { table: "outbox_state", row: "1".to_owned() };
    tx.one(&sql, []).await?.ok_or_else(missing)
}

/// A transaction id taken now: every transaction that began earlier has a smaller one.
pub(crate) async fn next_xid(tx: &SystemTx) -> Result<i64, DbError> {
    match tx.dialect() {
        Dialect::Postgres => {
            Ok(number(tx, "SELECT pg_current_xact_id()::text::bigint AS n").await?.unwrap_or(i64::MAX))
        }
        Dialect::Sqlite => Ok(1),
    }
}

/// The numbers of all rows after `seq`, in order.
pub(crate) async fn seqs_after(tx: &SystemTx, seq: i64) -> Result<Vec<i64>, DbError> {
    let sql = "SELECT seq AS n FROM changes WHERE seq > $1 ORDER BY seq";
    let rows: Vec<Number> = tx.all(sql, [seq.into()]).await?;
    Ok(rows.into_iter().map(|row| row.n).collect())
}

/// The first `limit` rows after `seq`, in order. PostgreSQL expects a third of the table after a number that it does not
/// know, and a two-hundredth between two of them: without the second one it would sort the whole table for each read.
pub(crate) async fn rows_after(tx: &SystemTx, seq: i64, limit: usize) -> Result<Vec<ChangeRow>, DbError> {
    let columns = match tx.dialect() {
        // A row without a table is a session that grew, named by its numbers (docs/adr/0039).
        Dialect::Postgres => {
            "COALESCE(team_id, (SELECT id FROM teams WHERE number = team_number), '') AS team_id, \
             COALESCE(table_name, 'sessions') AS table_name, COALESCE(action, 'update') AS action, \
             COALESCE(session_id, (SELECT s.session_id FROM sessions s WHERE s.team = team_number \
               AND s.number = session_number)) AS session_id"
        }
        Dialect::Sqlite => "team_id, table_name, action, session_id",
    };
    let sql = format!(
        "SELECT seq, {columns}, ordinal_from, ordinal_to, user_id FROM changes \
         WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT {limit}"
    );
    tx.all(&sql, [seq.into(), i64::MAX.into()]).await
}

/// Wakes the feeds of other replicas once `tx` is committed.
#[cfg(feature = "postgres")]
pub(crate) async fn notify(tx: &SystemTx) -> Result<(), DbError> {
    let sql = "SELECT pg_notify($1, json_build_object('seq', last_value)::text) FROM changes_seq_seq";
    tx.rows(sql, [crate::commits::CHANGES_CHANNEL.into()]).await.map(|_| ())
}

/// Deletes rows written before `before` (milliseconds since the epoch) and returns their number.
pub(crate) async fn trim(tx: &SystemTx, before: i64) -> Result<u64, DbError> {
    let sql = "SELECT COALESCE(MAX(seq), 0) AS n FROM changes WHERE at < $1";
    let last = tx.one::<Number, _>(sql, [before.into()]).await?.map_or(0, |row| row.n);
    if last == 0 {
        return Ok(0);
    }
    let deleted = tx.execute("DELETE FROM changes WHERE at < $1", [before.into()]).await?;
    let greatest = tx.dialect().greatest();
    let sql = format!("UPDATE outbox_state SET trimmed_seq = {greatest}(trimmed_seq, $1) WHERE id = 1");
    tx.execute(&sql, [last.into()]).await?;
    Ok(deleted)
}
