//! Whether a credential may still be used, whatever its kind.

use han_types::{Actor, Credential, TeamId, UserId};
use sea_orm::FromQueryResult;

use crate::queries::audit::{Entry, Event};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// How coarsely `last_used_at` and `last_seen_at` are kept: five minutes. Reads in between write nothing.
pub const USE_RECORDED_EVERY_SECONDS: i64 = 5 * 60;

/// Whether the credential itself may still be used: a key or a session that was revoked or has ended may not, nor a
/// browser's session that has switched to another team meanwhile. A key whose end was moved forward is not the one that was
/// verified: it counts as ended, and may be presented again until then. An access token has ended with the sign-in it
/// came of; by its own time otherwise.
pub async fn is_live(db: &Db, actor: &Actor) -> Result<bool, DbError> {
    let now = db.clock().now();
    if actor.expires_at.is_some_and(|end| now >= end) {
        // A web session slides: what was its end may not be any more.
        if !matches!(actor.credential, Credential::WebSession { .. }) {
            return Ok(false);
        }
    }
    let (sql, values) = match &actor.credential {
        Credential::ApiKey { id, team_id } => (
            "SELECT expires_at FROM api_keys WHERE team_id = $1 AND id = $2 AND revoked_at IS NULL",
            vec![team_id.as_str().into(), id.as_str().into()],
        ),
        Credential::WebSession { id, team_id } => (
            "SELECT expires_at FROM web_sessions \
             WHERE id = $1 AND revoked_at IS NULL AND COALESCE(active_team_id, '') = $2",
            vec![id.as_str().into(), team_id.as_ref().map_or("", TeamId::as_str).into()],
        ),
        Credential::Jwt { family: Some(id), .. } => (
            "SELECT expires_at FROM token_families WHERE id = $1 AND revoked_at IS NULL",
            vec![id.as_str().into()],
        ),
        Credential::Jwt { family: None, .. } | Credential::Local | Credential::Operator => return Ok(true),
    };
    let tx = db.read_system("credentials.check").await?;
    let Some(Lifetime { expires_at }) = tx.one(sql, values).await? else { return Ok(false) };
    let Some(end) = expires_at else { return Ok(true) };
    let was_moved = matches!(actor.credential, Credential::ApiKey { .. })
        && actor.expires_at.is_none_or(|verified| end < verified.0);
    Ok(now.0 < end && !was_moved)
}

/// How many credentials of a user were ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedCredentials {
    /// Browsers that were signed in.
    pub browsers: u64,
    /// Programs that were signed in.
    pub programs: u64,
    /// API keys, in all teams.
    pub keys: u64,
}

/// Ends every credential of a user: cookies, tokens and keys, and thereby the open sockets; sign-in links and approved
/// programs that were not used yet. Memberships stay.
pub async fn end_all(db: &Db, user_id: &UserId) -> Result<EndedCredentials, DbError> {
    let ended =
        db.write_system("credentials.end_all", |tx| async move { end_all_in(&tx, user_id).await }).await?;
    db.rights_changed();
    Ok(ended)
}

/// As [`end_all`], in the caller's transaction. The caller reports the change of rights after its commit.
pub(crate) async fn end_all_in(tx: &SystemTx, user_id: &UserId) -> Result<EndedCredentials, DbError> {
    let now = tx.clock().now();
    let revoke =
        |table: &str| format!("UPDATE {table} SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL");
    let values = || [now.0.into(), user_id.as_str().into()];
    for sql in ["DELETE FROM login_links WHERE user_id = $1", "DELETE FROM device_logins WHERE user_id = $1"]
    {
        tx.execute(sql, [user_id.as_str().into()]).await?;
    }
    let ended = EndedCredentials {
        browsers: tx.execute(&revoke("web_sessions"), values()).await?,
        programs: tx.execute(&revoke("token_families"), values()).await?,
        keys: tx.execute(&revoke("api_keys"), values()).await?,
    };
    let entry = Entry::new(Event::AccessEnded)
        .about_user(user_id)
        .with("browsers", ended.browsers)
        .with("programs", ended.programs)
        .with("keys", ended.keys);
    tx.log_for_user(user_id, entry).await?;
    Ok(ended)
}

#[derive(FromQueryResult)]
struct Lifetime {
    expires_at: Option<i64>,
}
