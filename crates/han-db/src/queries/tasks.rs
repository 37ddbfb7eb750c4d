//! Reading tasks, Han's and the agent's own, for many sessions at once.

use han_transcript::fold::TaskStatus;
use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::{NativeTask, Task};
use crate::line_id::LineId;
use crate::queries::ingest::tasks::{native_task_context, task_context};
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct TaskRow {
    session_id: String,
    task_id: String,
    status: String,
    outcome: Option<String>,
    confidence: Option<i64>,
    started_at: i64,
    completed_at: Option<i64>,
    sealed: bool,
    details: String,
}

/// Han's tasks of sessions, by start time within each session.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<Task>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, t.task_id, t.status, t.outcome, t.confidence, t.started_at, t.completed_at, t.sealed, \
           t.details \
         FROM sessions s JOIN tasks t ON t.team = s.team AND t.session = s.number \
         WHERE s.team = $1 AND {} ORDER BY s.session_id, t.started_at, t.task_id",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<TaskRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let stored = rows.iter().map(|row| (row.sealed, row.details.as_str()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = format!("{}/{}", row.session_id, row.task_id);
            let json = keys.open(row.sealed, task_context(&row_id), row.details)?;
            let malformed = |column| DbError::malformed("tasks", column, &row_id);
            Ok(Task {
                status: match row.status.as_str() {
                    "ACTIVE" => TaskStatus::Active,
                    "COMPLETED" => TaskStatus::Completed,
                    "FAILED" => TaskStatus::Failed,
                    _ => return Err(malformed("status")),
                },
                outcome: row
                    .outcome
                    .map(|outcome| outcome.parse().map_err(|()| malformed("outcome")))
                    .transpose()?,
                confidence: row.confidence.map(|confidence| confidence as f64 / 1e6),
                details: serde_json::from_str(&json).map_err(|_| malformed("details"))?,
                session_id: row.session_id,
                task_id: row.task_id,
                started_at: row.started_at,
                completed_at: row.completed_at,
            })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct NativeRow {
    session_id: String,
    task_id: String,
    created_at: i64,
    updated_at: i64,
    completed_at: Option<i64>,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    sealed: bool,
    details: String,
}

/// The agent's own tasks of sessions, by creation time within each session.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn native_by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<NativeTask>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, t.task_id, t.created_at, t.updated_at, t.completed_at, f.name AS transcript, m.uuid, \
           m.uuid_text, t.sealed, t.details \
         FROM sessions s JOIN native_tasks t ON t.team = s.team AND t.session = s.number \
         JOIN messages m ON m.team = t.team AND m.session = t.session AND m.ordinal = t.ordinal \
         JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript \
         WHERE s.team = $1 AND {} ORDER BY s.session_id, t.created_at, t.task_id",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<NativeRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let stored = rows.iter().map(|row| (row.sealed, row.details.as_str()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = format!("{}/{}", row.session_id, row.task_id);
            let json = keys.open(row.sealed, native_task_context(&row_id), row.details)?;
            Ok(NativeTask {
                details: serde_json::from_str(&json)
                    .map_err(|_| DbError::malformed("native_tasks", "details", row_id))?,
                session_id: row.session_id,
                task_id: row.task_id,
                transcript: row.transcript,
                uuid: LineId::to_text(&row.uuid, row.uuid_text),
                created_at: row.created_at,
                updated_at: row.updated_at,
                completed_at: row.completed_at,
            })
        })
        .collect()
}
