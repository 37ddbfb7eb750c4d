//! The people whose names a team's data shows: its members, and whoever pushed sessions to it before they left.

use han_types::UserId;

use crate::dialect::Dialect;
use crate::queries::identity::{UserRecord, UserRow};
use crate::{DbError, ScopedTx};

/// People by id; whoever is neither a member of the team nor behind one of its sessions is left out.
pub async fn by_ids(tx: &ScopedTx, ids: &[UserId]) -> Result<Vec<UserRow>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let ids = dialect.list(ids.iter().map(UserId::as_str));
    let rows: Vec<UserRecord> = match dialect {
        // The app role may not read `users`; this function of the owner's does, for the team of the transaction.
        Dialect::Postgres => {
            tx.all("SELECT id, username, avatar_url, email, created_at FROM han_people($1)", [ids]).await?
        }
        Dialect::Sqlite => {
            let sql = format!(
                "SELECT u.id, u.username, u.avatar_url, u.email, u.created_at FROM users u WHERE {} \
                 AND (EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = $1 AND m.user_id = u.id) \
                   OR EXISTS (SELECT 1 FROM sessions s WHERE s.team_id = $1 AND s.user_id = u.id))",
                dialect.is_any("u.id", 2)
            );
            tx.all(&sql, [tx.team(), ids]).await?
        }
    };
    rows.into_iter().map(TryInto::try_into).collect()
}
