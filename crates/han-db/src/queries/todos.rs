//! Reading to-dos, for many sessions at once.

use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::{TodoCounts, Todos};
use crate::queries::ingest::derive::todos_context;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct TodosRow {
    session_id: String,
    at: i64,
    sealed: bool,
    items: String,
}

/// The latest to-do lists of sessions; omits sessions without one.
///
/// # Errors
/// If a list cannot be opened.
pub async fn by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<Todos>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, t.at, t.sealed, t.items \
         FROM sessions s JOIN todos t ON t.team = s.team AND t.session = s.number WHERE s.team = $1 AND {}",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<TodosRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let stored = rows.iter().map(|row| (row.sealed, row.items.as_str()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let json = keys.open(row.sealed, todos_context(&row.session_id), row.items)?;
            let items = serde_json::from_str(&json)
                .map_err(|_| DbError::malformed("todos", "items", &row.session_id))?;
            Ok(Todos { session_id: row.session_id, at: row.at, items })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct CountsRow {
    session_id: String,
    pending: i64,
    in_progress: i64,
    completed: i64,
}

/// The number of to-dos of sessions by status, without opening them; omits sessions without a to-do list.
pub async fn counts_by_sessions(
    tx: &ScopedTx,
    sessions: &[SessionId],
) -> Result<Vec<(String, TodoCounts)>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, t.pending, t.in_progress, t.completed \
         FROM sessions s JOIN todos t ON t.team = s.team AND t.session = s.number WHERE s.team = $1 AND {}",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<CountsRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let counts = |row: &CountsRow| TodoCounts {
        pending: row.pending,
        in_progress: row.in_progress,
        completed: row.completed,
    };
    Ok(rows.into_iter().map(|row| (row.session_id.clone(), counts(&row))).collect())
}
