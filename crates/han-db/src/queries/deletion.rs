//! Deleting a session: its lines, what was derived from them, and its part in every sum. What remains says only that
//! there was such a session, so that it does not come back with the next push.

use han_types::{Scope, SessionId};
use sea_orm::FromQueryResult;

use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::sums::{Owner, Sums};
use crate::{Db, DbError, tables};

#[derive(FromQueryResult)]
struct SessionRow {
    user_id: String,
    project_id: Option<String>,
    sealed: bool,
}

/// Deletes a session of the team; says whether there was one. A later push of its lines is refused as `gone`.
///
/// Answers that a fork of it copied were counted for it, and are not counted for the fork hereafter: the ids of its
/// answers are kept, without their figures.
///
/// # Errors
/// Where a line cannot be opened; nothing is deleted then.
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
            let whole = derive.again().await?.sums;
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
            let mut left = Sums::default();
            left.add(-1, &whole);
            let owner = Owner { user: &row.user_id, session };
            owner.add(&tx, &[(row.project_id.as_deref().unwrap_or_default(), &left)]).await?;
            Ok(true)
        })
        .await?;
    if deleted {
        db.commits().notify();
    }
    Ok(deleted)
}
