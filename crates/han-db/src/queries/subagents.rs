//! Subagents, by the names of their transcript files.

use han_types::{SessionId, TranscriptName};
use sea_orm::FromQueryResult;

use crate::stored::stored;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct FileRow {
    transcript: String,
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
        "SELECT transcripts.transcript, transcripts.session_id FROM transcripts JOIN sessions \
         ON sessions.team_id = transcripts.team_id AND sessions.session_id = transcripts.session_id \
         WHERE transcripts.team_id = $1 AND {} \
         ORDER BY COALESCE(sessions.last_activity_at, sessions.created_at) DESC, transcripts.session_id DESC",
        dialect.is_any("transcripts.transcript", 2)
    );
    let names = names.iter().map(TranscriptName::as_str);
    let rows: Vec<FileRow> = tx.all(&sql, [tx.team(), dialect.list(names)]).await?;
    rows.iter()
        .map(|row| {
            let id = row.session_id.as_str();
            let name = stored(&row.transcript, "transcripts", "transcript", id)?;
            Ok((name, stored(id, "transcripts", "session_id", id)?))
        })
        .collect()
}
