//! Deletes a session: its lines, its derived data, and its part of the rollups. One row remains, which records that the
//! session was deleted, so that the next push does not store it again.

use han_types::{Scope, SessionId};
use sea_orm::FromQueryResult;

use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::rollup_delta::{RollupDelta, RollupKey};
use crate::{Db, DbError, tables};

#[derive(FromQueryResult)]
struct SessionRow {
    user_id: String,
    project_id: Option<String>,
    sealed: bool,
}

/// Deletes a session of the team; returns whether it existed. A later push of its lines is refused as `gone`.
///
/// Answers that a fork copied counted for this session, and do not count for the fork afterwards: the ids of its
/// answers are kept, without their counters.
///
/// # Errors
/// If a line cannot be opened. Then nothing is deleted.
pub async fn session(scope: &Scope, db: &Db, session_id: &SessionId) -> Result<bool, DbError> {
    let session = session_id.as_str();
    let deleted = db
        .write(scope, "deletion.session", |tx| async move {
            let lock = tx.dialect().for_update();
            let sql = format!(
                "SELECT user_id, project_id, sealed FROM sessions WHERE team_id = $1 AND session_id = $2{lock}"
            );
            let Some(row) = tx.one::<SessionRow, _>(&sql, [tx.team(), session.into()]).await? else {
                return Ok(false);
            };
            let derive = Derive { tx: &tx, keys: tx.keys()?, seals: row.sealed, session };
            let whole = derive.rederive().await?.delta;
            tx.execute(
                "UPDATE message_usage SET at = 0, input_tokens = 0, output_tokens = 0, cache_read_tokens = 0, \
                   cache_creation_5m_tokens = 0, cache_creation_1h_tokens = 0, model = '' \
                 WHERE team_id = $1 AND session_id = $2",
                [tx.team(), session.into()],
            )
            .await?;
            for table in tables::deleted_with_session() {
                let sql = format!("DELETE FROM {table} WHERE team_id = $1 AND session_id = $2");
                tx.execute(&sql, [tx.team(), session.into()]).await?;
            }
            tx.execute(
                "INSERT INTO deleted_sessions (team_id, session_id, deleted_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (team_id, session_id) DO NOTHING",
                [tx.team(), session.into(), tx.clock().now().0.into()],
            )
            .await?;
            let mut left = RollupDelta::default();
            left.add(-1, &whole);
            let key = RollupKey { user: &row.user_id, session };
            key.add(&tx, &[(row.project_id.as_deref().unwrap_or_default(), &left)]).await?;
            Ok(true)
        })
        .await?;
    if deleted {
        db.commits().notify();
    }
    Ok(deleted)
}
