//! The replicas, as they last reported, and the epoch of the team keys. `heartbeat` reports.

use han_types::Timestamp;
use sea_orm::FromQueryResult;

use crate::DbError;
use crate::commits::JOBS_CHANNEL;
use crate::tx::SystemTx;

/// A replica, as it last reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its id.
    pub id: String,
    /// The command that it runs.
    pub program: String,
    /// The ids of its KEKs, that of `KEK_SECRET` first.
    pub kek_ids: Vec<String>,
    /// It uses no team key that was replaced in this epoch or before.
    pub key_epoch: i64,
    /// When it started.
    pub started_at: Timestamp,
    /// Until when it is considered alive.
    pub live_until: Timestamp,
    /// Whether it is considered alive.
    pub live: bool,
}

#[derive(FromQueryResult)]
struct ReplicaRow {
    id: String,
    program: String,
    kek_ids: String,
    key_epoch: i64,
    started_at: i64,
    live_until: i64,
}

/// The replicas that reported within the last hour, by their start.
pub(crate) async fn all(tx: &SystemTx) -> Result<Vec<Replica>, DbError> {
    let now = tx.dialect().shared_now(tx, tx.clock()).await?;
    let sql = "SELECT id, program, kek_ids, key_epoch, started_at, live_until FROM replicas ORDER BY started_at, id";
    let rows: Vec<ReplicaRow> = tx.all(sql, []).await?;
    let replica = |row: ReplicaRow| Replica {
        id: row.id,
        program: row.program,
        kek_ids: row.kek_ids.split_whitespace().map(str::to_owned).collect(),
        key_epoch: row.key_epoch,
        started_at: Timestamp(row.started_at),
        live_until: Timestamp(row.live_until),
        live: row.live_until > now,
    };
    Ok(rows.into_iter().map(replica).collect())
}

/// Whether no live replica uses a team key that was replaced in `epoch` or before.
pub(crate) async fn all_reached(tx: &SystemTx, epoch: i64) -> Result<bool, DbError> {
    Ok(all(tx).await?.iter().all(|replica| !replica.live || replica.key_epoch >= epoch))
}

#[derive(FromQueryResult)]
struct EpochRow {
    key_epoch: i64,
}

/// The epoch of the team keys; 0 before any key was made.
pub(crate) async fn epoch(tx: &SystemTx) -> Result<i64, DbError> {
    let row = tx.one::<EpochRow, _>("SELECT key_epoch FROM kek_state WHERE id = 1", []).await?;
    Ok(row.map_or(0, |row| row.key_epoch))
}

/// Begins a new epoch: team keys are replaced or destroyed in this transaction. Concurrent ones wait. The commit wakes
/// the heartbeats of other replicas.
pub(crate) async fn next_epoch(tx: &SystemTx) -> Result<i64, DbError> {
    tx.dialect().notify(tx, JOBS_CHANNEL).await?;
    let sql = "UPDATE kek_state SET key_epoch = key_epoch + 1 WHERE id = 1 RETURNING key_epoch";
    let missing = || DbError::RowMissing { table: "kek_state", row: "1".to_owned() };
    Ok(tx.one::<EpochRow, _>(sql, []).await?.ok_or_else(missing)?.key_epoch)
}
