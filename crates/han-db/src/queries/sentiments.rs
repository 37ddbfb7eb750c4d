//! Reading sentiments, for many sessions at once.

use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::Sentiment;
use crate::line_id::LineId;
use crate::queries::ingest::derive::{numbered_row_id, signals_context};
use crate::queries::messages::unique;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct SentimentRow {
    session_id: String,
    ordinal: i32,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    at: i64,
    message_id: Option<String>,
    sentiment: Option<i64>,
    frustration: Option<i64>,
    sentiment_level: Option<String>,
    frustration_level: Option<String>,
    sealed: bool,
    signals: String,
}

const SELECT: &str = "SELECT s.session_id, e.ordinal, f.name AS transcript, m.uuid, m.uuid_text, e.at, e.message_id, \
       e.sentiment, e.frustration, e.sentiment_level, e.frustration_level, e.sealed, e.signals \
     FROM sessions s JOIN sentiments e ON e.team = s.team AND e.session = s.number \
     JOIN messages m ON m.team = e.team AND m.session = e.session AND m.ordinal = e.ordinal \
     JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript";

const ORDER: &str = "s.session_id, e.at, f.name, e.line, m.uuid";

/// The sentiments that Han detected in prompts of sessions, in order within each session.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<Sentiment>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql =
        format!("{SELECT} WHERE s.team = $1 AND {} ORDER BY {ORDER}", dialect.is_any("s.session_id", 2));
    let rows = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    open(tx, rows).await
}

/// The sentiments that Han detected in the given prompts, each named by its session and uuid, in order.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn by_prompts(tx: &ScopedTx, prompts: &[(SessionId, String)]) -> Result<Vec<Sentiment>, DbError> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "{SELECT} WHERE s.team = $1 AND {} AND {} ORDER BY {ORDER}",
        dialect.is_any("s.session_id", 2),
        dialect.is_any("e.message_id", 3)
    );
    let values = [
        tx.team(),
        dialect.list(unique(prompts.iter().map(|(session, _)| session.as_str()))),
        dialect.list(
            unique(prompts.iter().map(|(_, uuid)| uuid.as_str())).into_iter().filter(|id| !id.contains('\0')),
        ),
    ];
    let rows = tx.all(&sql, values).await?;
    open(tx, rows).await
}

async fn open(tx: &ScopedTx, rows: Vec<SentimentRow>) -> Result<Vec<Sentiment>, DbError> {
    let stored = rows.iter().map(|row| (row.sealed, row.signals.as_str()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = numbered_row_id(&row.session_id, row.ordinal.into(), 0);
            let json = keys.open(row.sealed, signals_context(&row_id), row.signals)?;
            Ok(Sentiment {
                signals: serde_json::from_str(&json)
                    .map_err(|_| DbError::malformed("sentiments", "signals", row_id))?,
                session_id: row.session_id,
                transcript: row.transcript,
                uuid: LineId::to_text(&row.uuid, row.uuid_text),
                at: row.at,
                message_id: row.message_id,
                sentiment: row.sentiment.map(|score| score as f64 / 1e3),
                frustration: row.frustration.map(|score| score as f64 / 1e3),
                sentiment_level: row.sentiment_level,
                frustration_level: row.frustration_level,
            })
        })
        .collect()
}
