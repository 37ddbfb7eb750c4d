//! What is stored of the lines of a session that were purged: how many they were, their times, what they have added to the
//! rollups, and what metrics read besides. `retention` writes it, and whatever derives a session again adds it to what the
//! other lines give.

use std::fmt::Display;

use sea_orm::FromQueryResult;

use crate::queries::ingest::rollup_delta::RollupDelta;
use crate::{DbError, ScopedTx};

/// Lines of a session that were purged.
#[derive(Clone, Debug)]
pub(crate) struct PurgedLines {
    /// How many.
    pub lines: i64,
    /// The time of the earliest one, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// The time of the latest one, or when the session was first pushed.
    pub last_activity_at: i64,
    /// What they have added to the rollups, without their answers.
    pub counted: RollupDelta,
    /// The items of the last to-do list, and how many of them were completed.
    pub todos: (i64, i64),
    /// The scores of their sentiments, in order.
    pub sentiments: Vec<i64>,
}

#[derive(FromQueryResult)]
struct PurgedRow {
    lines: i64,
    started_at: Option<i64>,
    last_activity_at: i64,
    counted: String,
    todos: i64,
    todos_done: i64,
    sentiments: String,
}

/// The purged lines of a session, given by its number; `None` if it has none.
///
/// # Errors
/// If the row is malformed.
pub(crate) async fn find(tx: &ScopedTx, session: i64) -> Result<Option<PurgedLines>, DbError> {
    let sql = "SELECT lines, started_at, last_activity_at, counted, todos, todos_done, sentiments FROM purged_sessions \
               WHERE team = $1 AND session = $2";
    let Some(row) = tx.one::<PurgedRow, _>(sql, [tx.team(), session.into()]).await? else { return Ok(None) };
    let malformed = || DbError::malformed("purged_sessions", "counted", session);
    Ok(Some(PurgedLines {
        todos: (row.todos, row.todos_done),
        sentiments: scores(&row.sentiments, session)?,
        lines: row.lines,
        started_at: row.started_at,
        last_activity_at: row.last_activity_at,
        counted: RollupDelta::from_json(&row.counted).ok_or_else(malformed)?,
    }))
}

/// Reads the column `sentiments`. `session` names the row in the error.
pub(crate) fn scores(text: &str, session: impl Display) -> Result<Vec<i64>, DbError> {
    serde_json::from_str(text).map_err(|_| DbError::malformed("purged_sessions", "sentiments", session))
}

/// Stores the purged lines of a session in place of those that were stored.
pub(crate) async fn put(tx: &ScopedTx, session: i64, purged: &PurgedLines) -> Result<(), DbError> {
    let sql = "INSERT INTO purged_sessions (team, session, lines, started_at, last_activity_at, counted, todos, todos_done, \
                 sentiments) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT (team, session) DO UPDATE SET lines = excluded.lines, started_at = excluded.started_at, \
               last_activity_at = excluded.last_activity_at, counted = excluded.counted, todos = excluded.todos, \
               todos_done = excluded.todos_done, sentiments = excluded.sentiments";
    let values = [
        tx.team(),
        session.into(),
        purged.lines.into(),
        purged.started_at.into(),
        purged.last_activity_at.into(),
        purged.counted.to_json().into(),
        purged.todos.0.into(),
        purged.todos.1.into(),
        serde_json::json!(purged.sentiments).to_string().into(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}
