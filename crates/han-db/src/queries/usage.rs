//! Reading the tokens and the cost of sessions by model, their counters, and whose answers they repeat.

use han_transcript::fold::TokenTotals;
use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::SessionCounts;
use crate::queries::metrics::{Cost, UsageColumns};
use crate::{DbError, ScopedTx};

/// The tokens of one session and one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUsage {
    /// The session.
    pub session_id: String,
    /// The model; empty if the answers name none.
    pub model: String,
    /// The number of answers, and of other models' parts of them.
    pub responses: i64,
    /// The tokens of the answers.
    pub tokens: TokenTotals,
    /// Their cost.
    pub cost: Cost,
}

#[derive(FromQueryResult)]
struct UsageRow {
    session_id: String,
    model: String,
    #[sea_orm(nested)]
    usage: UsageColumns,
}

impl From<UsageRow> for SessionUsage {
    fn from(row: UsageRow) -> Self {
        Self {
            session_id: row.session_id,
            model: row.model,
            responses: row.usage.responses,
            tokens: row.usage.tokens(),
            cost: row.usage.cost(),
        }
    }
}

/// The tokens and the cost of sessions by model.
pub async fn by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<SessionUsage>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, u.model, u.responses, u.input_tokens, u.output_tokens, u.cache_read_tokens, \
           u.cache_creation_5m_tokens, u.cache_creation_1h_tokens, u.cost, u.saved, u.unpriced_tokens, \
           u.unpriced_answers \
         FROM sessions s JOIN session_usage u ON u.team = s.team AND u.session = s.number \
         WHERE s.team = $1 AND {} AND (u.responses <> 0 OR u.cost <> 0 OR u.unpriced_answers <> 0) ORDER BY s.session_id, u.model",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<UsageRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    Ok(rows.into_iter().map(SessionUsage::from).collect())
}

#[derive(FromQueryResult)]
struct OriginRow {
    session_id: String,
    origin: Option<String>,
}

/// The sessions that these were forked or continued from, by session: the owner of the first answer that a session repeats.
/// Omits sessions that repeat none.
pub async fn origins_by_sessions(
    tx: &ScopedTx,
    sessions: &[SessionId],
) -> Result<Vec<(String, String)>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, \
           (SELECT origin.session_id FROM answer_copies c \
            JOIN answer_copies own ON own.team = c.team AND own.answer = c.answer AND own.owner \
            JOIN sessions origin ON origin.team = own.team AND origin.number = own.session \
            WHERE c.team = s.team AND c.session = s.number AND NOT c.owner AND own.session <> s.number \
            ORDER BY c.at, c.line, origin.session_id LIMIT 1) AS origin \
         FROM sessions s WHERE s.team = $1 AND {}",
        dialect.is_any("s.session_id", 2)
    );
    let rows: Vec<OriginRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.session_id, row.origin?))).collect())
}

#[derive(FromQueryResult)]
struct CountsRow {
    session_id: String,
    tool_use_count: i64,
    file_change_count: i64,
    lines_added: i64,
    lines_removed: i64,
    task_count: i64,
    task_done_count: i64,
    sentiment_count: i64,
    sentiment_sum: i64,
}

/// The counters of sessions.
pub async fn counts_by_sessions(
    tx: &ScopedTx,
    sessions: &[SessionId],
) -> Result<Vec<(String, SessionCounts)>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, tool_use_count, file_change_count, lines_added, lines_removed, task_count, \
           task_done_count, sentiment_count, sentiment_sum FROM sessions WHERE team = $1 AND {}",
        dialect.is_any("session_id", 2)
    );
    let rows: Vec<CountsRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let counts = |row: &CountsRow| SessionCounts {
        tool_uses: row.tool_use_count,
        file_changes: row.file_change_count,
        lines_added: row.lines_added,
        lines_removed: row.lines_removed,
        tasks: row.task_count,
        tasks_done: row.task_done_count,
        sentiments: row.sentiment_count,
        sentiment_sum: row.sentiment_sum,
    };
    Ok(rows.into_iter().map(|row| (row.session_id.clone(), counts(&row))).collect())
}
