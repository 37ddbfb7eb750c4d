//! Login links: each opens a session of a browser once.

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{UserId, WebSessionId};
use sea_orm::FromQueryResult;

use crate::queries::audit::{Entry, Event};
use crate::queries::web_sessions::{OpenedWebSession, WEB_SESSION_PREFIX, WEB_SESSION_SECONDS};
use crate::stored::stored_id;
use crate::{Db, DbError};

/// What every login link's token begins with.
pub const LOGIN_LINK_PREFIX: &str = "han_login_";

/// How long a login link may be used: 15 minutes.
pub const LOGIN_LINK_SECONDS: i64 = 15 * 60;

/// Makes a link that signs `user_id` in once, within [`LOGIN_LINK_SECONDS`]. Links that ended a day ago are
/// forgotten on the way.
pub async fn create(db: &Db, user_id: &UserId) -> Result<OpaqueToken, DbError> {
    let token = OpaqueToken::mint(LOGIN_LINK_PREFIX, db.entropy());
    let (hash, now) = (token.hash().to_hex(), db.clock().now());
    let hash = &hash;
    db.write_system("login_links.create", |tx| async move {
        tx.execute("DELETE FROM login_links WHERE expires_at < $1", [now.plus_seconds(-86_400).0.into()])
            .await?;
        tx.execute(
            "INSERT INTO login_links (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            [
                hash.as_str().into(),
                user_id.as_str().into(),
                now.0.into(),
                now.plus_seconds(LOGIN_LINK_SECONDS).0.into(),
            ],
        )
        .await?;
        tx.log_for_user(user_id, Entry::new(Event::LinkCreated).about_user(user_id)).await
    })
    .await?;
    Ok(token)
}

#[derive(FromQueryResult)]
struct LinkOwner {
    user_id: String,
}

#[derive(FromQueryResult)]
struct AccountName {
    username: String,
}

/// The name of the user whom a link signs in. `None` where there is no such link, it has ended, or it was used.
pub async fn account(db: &Db, hash: &TokenHash) -> Result<Option<String>, DbError> {
    let tx = db.read_system("login_links.account").await?;
    let found: Option<AccountName> = tx
        .one(
            "SELECT u.username FROM login_links l JOIN users u ON u.id = l.user_id \
             WHERE l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2",
            [hash.to_hex().into(), db.clock().now().0.into()],
        )
        .await?;
    Ok(found.map(|found| found.username))
}

/// Uses a login link up and opens a browser session for whom it was made. `None` where there is no such link, it
/// has ended, or it was used: of two who try at once, one gets in.
pub async fn redeem(db: &Db, hash: &TokenHash) -> Result<Option<OpenedWebSession>, DbError> {
    let token = OpaqueToken::mint(WEB_SESSION_PREFIX, db.entropy());
    let id: WebSessionId = db.new_id()?;
    let (link, session, id, now) = (&hash.to_hex(), &token.hash().to_hex(), &id, db.clock().now());
    let user_id: Option<UserId> = db
        .write_system("login_links.redeem", |tx| async move {
            let owner: Option<LinkOwner> = tx
                .one(
                    "UPDATE login_links SET used_at = $1 \
                     WHERE token_hash = $2 AND used_at IS NULL AND expires_at > $1 RETURNING user_id",
                    [now.0.into(), link.as_str().into()],
                )
                .await?;
            let Some(owner) = owner else { return Ok(None) };
            let user_id = stored_id(&owner.user_id, "login_links", "user_id")?;
            tx.execute(
                "INSERT INTO web_sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $4, $5)",
                [
                    id.as_str().into(),
                    session.as_str().into(),
                    owner.user_id.as_str().into(),
                    now.0.into(),
                    now.plus_seconds(WEB_SESSION_SECONDS).0.into(),
                ],
            )
            .await?;
            let entry = Entry::new(Event::SignedIn).about("browser", id.as_str()).with("by", "link");
            tx.log_for_user(&user_id, entry).await?;
            Ok(Some(user_id))
        })
        .await?;
    Ok(user_id.map(|user_id| OpenedWebSession { user_id, token }))
}
