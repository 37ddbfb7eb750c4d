//! Work on all rows of a team, in batches: re-wrapping DEKs after its content key was replaced, sealing or unsealing
//! its content, deleting it. A row of `team_work` says what is to be done and how far it is. The job `team-work`
//! calls [`advance`] until everything is done.
//!
//! Each batch is one transaction, which also moves the cursor and does nothing if the cursor was moved by someone
//! else. So the work can be interrupted anywhere, and two processes that do it at the same time do no harm.

use std::fmt;
use std::str::FromStr;

use han_types::{TeamId, Timestamp};
use sea_orm::{FromQueryResult, Value};

use crate::queries::{reseal, team_deletion};
use crate::stored::{stored, stored_id};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// What is done with a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkKind {
    /// DEKs are re-wrapped with the active content key.
    Rotate,
    /// Content is sealed, or unsealed.
    Convert,
    /// The rows of the team are deleted.
    Delete,
}

impl WorkKind {
    /// The value in `team_work.kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Convert => "convert",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for WorkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            [Self::Rotate, Self::Convert, Self::Delete].into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is none of rotate, convert and delete"))
    }
}

/// Work on a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The team.
    pub team_id: TeamId,
    /// What is done.
    pub kind: WorkKind,
    /// The version of the content key, or `sealed` or `plaintext`; empty for a deletion.
    pub target: String,
    /// How many rows were changed.
    pub done: u64,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When it was complete; `None` if it is not.
    pub finished_at: Option<Timestamp>,
    /// The epoch that replicas must have reached before it can be complete.
    pub(crate) key_epoch: i64,
    /// Where the next batch begins.
    pub(crate) cursor: Option<String>,
}

/// What a call of [`advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// A batch. There may be more.
    More,
    /// Nothing: the work waits for replicas that may use an older key, or for rows that others change.
    Waiting,
    /// The rest.
    Finished,
}

#[derive(FromQueryResult)]
struct WorkRow {
    team_id: String,
    kind: String,
    target: String,
    key_epoch: i64,
    cursor: Option<String>,
    done: i64,
    requested_at: i64,
    finished_at: Option<i64>,
}

impl TryFrom<WorkRow> for Work {
    type Error = DbError;

    fn try_from(row: WorkRow) -> Result<Self, DbError> {
        Ok(Self {
            kind: stored(&row.kind, "team_work", "kind", &row.team_id)?,
            team_id: stored_id(&row.team_id, "team_work", "team_id")?,
            target: row.target,
            done: u64::try_from(row.done).unwrap_or_default(),
            requested_at: Timestamp(row.requested_at),
            finished_at: row.finished_at.map(Timestamp),
            key_epoch: row.key_epoch,
            cursor: row.cursor,
        })
    }
}

const WORK: &str =
    "SELECT team_id, kind, target, key_epoch, cursor, done, requested_at, finished_at FROM team_work";

/// All work, finished or not, the oldest first.
pub async fn list(db: &Db) -> Result<Vec<Work>, DbError> {
    let tx = db.read_system("team_work.list").await?;
    let rows: Vec<WorkRow> = tx.all(&format!("{WORK} ORDER BY requested_at, team_id, kind"), []).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Work that is not finished, the oldest first.
pub async fn unfinished(db: &Db) -> Result<Vec<Work>, DbError> {
    let tx = db.read_system("team_work.due").await?;
    let sql = format!("{WORK} WHERE finished_at IS NULL ORDER BY requested_at, team_id, kind");
    let rows: Vec<WorkRow> = tx.all(&sql, []).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The work of a kind on a team, finished or not.
pub async fn find(db: &Db, team_id: &TeamId, kind: WorkKind) -> Result<Option<Work>, DbError> {
    let tx = db.read_system("team_work.find").await?;
    let sql = format!("{WORK} WHERE team_id = $1 AND kind = $2");
    let row: Option<WorkRow> = tx.one(&sql, [team_id.as_str().into(), kind.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// Requests work, which begins from the start if it was requested before.
pub(crate) async fn request(
    tx: &SystemTx,
    team_id: &TeamId,
    kind: WorkKind,
    target: &str,
    key_epoch: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO team_work (team_id, kind, target, key_epoch, requested_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (team_id, kind) DO UPDATE SET target = excluded.target, key_epoch = excluded.key_epoch, \
               requested_at = excluded.requested_at, cursor = NULL, done = 0, finished_at = NULL";
    let values = [
        team_id.as_str().into(),
        kind.as_str().into(),
        target.into(),
        key_epoch.into(),
        tx.clock().now().0.into(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Does the next batch of some work. Fails where it cannot go on; it may be called again.
///
/// # Errors
/// [`DbError::KeyMissing`] if the team has no keys.
pub async fn advance(db: &Db, work: &Work) -> Result<Advance, DbError> {
    match work.kind {
        WorkKind::Rotate | WorkKind::Convert => reseal::advance(db, work).await,
        WorkKind::Delete => team_deletion::advance(db, work).await,
    }
}

/// Moves the cursor of some work in the transaction of its batch. `false` if it is not where it was when `work` was
/// read: then the batch must not be committed.
pub(crate) async fn move_cursor(
    tx: &SystemTx,
    work: &Work,
    cursor: &str,
    changed: u64,
) -> Result<bool, DbError> {
    let set = "cursor = $6, done = done + $7";
    let values = [cursor.into(), i64::try_from(changed).unwrap_or(i64::MAX).into()];
    Ok(update(tx, work, set, values).await? > 0)
}

/// Says that the work is complete. `false` as in [`move_cursor`].
pub(crate) async fn finish(tx: &SystemTx, work: &Work) -> Result<bool, DbError> {
    let values = [tx.clock().now().0.into(), 0_i64.into()];
    Ok(update(tx, work, "finished_at = $6, cursor = NULL, done = done + $7", values).await? > 0)
}

async fn update(tx: &SystemTx, work: &Work, set: &str, values: [Value; 2]) -> Result<u64, DbError> {
    let sql = format!(
        "UPDATE team_work SET {set} WHERE team_id = $1 AND kind = $2 AND target = $3 AND key_epoch = $4 \
         AND finished_at IS NULL AND cursor IS NOT DISTINCT FROM $5"
    );
    let found = [
        work.team_id.as_str().into(),
        work.kind.as_str().into(),
        work.target.as_str().into(),
        work.key_epoch.into(),
        work.cursor.clone().into(),
    ];
    tx.execute(&sql, found.into_iter().chain(values)).await
}
