//! Subagents, by the names of their transcript files.

use han_types::{SessionId, TranscriptName};
use sea_orm::FromQueryResult;

use crate::stored::stored;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct FileRow {
    name: String,
    session_id: String,
}

/// The sessions that have files with these names. Subagents' names are unique within a session only: of several sessions
/// with one name, the one with the latest activity comes first.
pub async fn sessions_of(
    tx: &ScopedTx,
    names: &[TranscriptName],
) -> Result<Vec<(TranscriptName, SessionId)>, DbError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT f.name, s.session_id FROM transcripts f JOIN sessions s ON s.team = f.team AND s.number = f.session \
         WHERE f.team = $1 AND {} \
         ORDER BY COALESCE(s.last_activity_at, s.created_at) DESC, s.session_id DESC",
        dialect.is_any("f.name", 2)
    );
    let names = names.iter().map(TranscriptName::as_str);
    let rows: Vec<FileRow> = tx.all(&sql, [tx.team(), dialect.list(names)]).await?;
    rows.iter()
        .map(|row| {
            let id = row.session_id.as_str();
            let name = stored(&row.name, "transcripts", "name", id)?;
            Ok((name, stored(id, "sessions", "session_id", id)?))
        })
        .collect()
}
