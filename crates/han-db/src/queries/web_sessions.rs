//! Sessions of browsers: found by the hash of the cookie, and prolonged by use. Listing and ending them is in `sign_ins`.

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::entities::WebSession;
use crate::queries::credentials::USE_RECORDED_EVERY_SECONDS;
use crate::stored::{stored, stored_id};
use crate::{Db, DbError};

/// What every web session's token begins with.
pub const WEB_SESSION_PREFIX: &str = "han_session_";

/// How long a web session lasts after it was last seen: 30 days.
pub const WEB_SESSION_SECONDS: i64 = 30 * 24 * 3600;

/// A session that was opened just now, and the token to hand to its browser once.
#[derive(Debug)]
pub struct OpenedWebSession {
    /// Whose it is.
    pub user_id: UserId,
    /// Its token, unencrypted.
    pub token: OpaqueToken,
}

#[derive(FromQueryResult)]
struct WebSessionRecord {
    id: String,
    token_hash: String,
    user_id: String,
    active_team_id: Option<String>,
    last_seen_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

impl TryFrom<WebSessionRecord> for WebSession {
    type Error = DbError;

    fn try_from(row: WebSessionRecord) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.id, "web_sessions", "id")?,
            hash: stored(&row.token_hash, "web_sessions", "token_hash", &row.id)?,
            user_id: stored(&row.user_id, "web_sessions", "user_id", &row.id)?,
            active_team_id: row
                .active_team_id
                .map(|id| stored(&id, "web_sessions", "active_team_id", &row.id))
                .transpose()?,
            last_seen_at: Timestamp(row.last_seen_at),
            expires_at: Timestamp(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp),
        })
    }
}

/// The browser session of that hash, live or not.
pub async fn by_hash(db: &Db, hash: &TokenHash) -> Result<Option<WebSession>, DbError> {
    let tx = db.read_system("web_sessions.find").await?;
    let row: Option<WebSessionRecord> = tx
        .one(
            "SELECT id, token_hash, user_id, active_team_id, last_seen_at, expires_at, revoked_at \
             FROM web_sessions WHERE token_hash = $1",
            [hash.to_hex().into()],
        )
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Notes that a browser was seen just now and moves its session's end, at most once every
/// [`USE_RECORDED_EVERY_SECONDS`]. Says when the session ends now.
pub async fn touch(db: &Db, session: &WebSession) -> Result<Timestamp, DbError> {
    let now = db.clock().now();
    let due = now.plus_seconds(-USE_RECORDED_EVERY_SECONDS);
    if session.last_seen_at > due {
        return Ok(session.expires_at);
    }
    let end = now.plus_seconds(WEB_SESSION_SECONDS);
    db.write_system("web_sessions.touch", |tx| async move {
        tx.execute(
            "UPDATE web_sessions SET last_seen_at = $1, expires_at = $2 \
             WHERE id = $3 AND revoked_at IS NULL AND last_seen_at <= $4",
            [now.0.into(), end.0.into(), session.id.as_str().into(), due.0.into()],
        )
        .await
    })
    .await?;
    Ok(end)
}
