//! Refresh tokens: each is used once and is replaced by the next of its family. A second use of a token shows that two
//! parties hold it, so it revokes the family (RFC 9700, section 4.14.2), unless it is the retry of a request whose
//! response was lost.

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{Timestamp, TokenFamilyId, UserId};
use sea_orm::FromQueryResult;

use super::audit::{Entry, Event};
use super::sign_ins::clip;
use crate::stored::{CountRow, stored, stored_id};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// The prefix of a refresh token.
pub const REFRESH_PREFIX: &str = "han_refresh_";

/// How long a family is valid after its last refresh: 30 days, as long as a browser session.
pub const FAMILY_SECONDS: i64 = 30 * 24 * 3600;

/// How long after its first use a token may be used again, because the response may have been lost.
pub const RETRY_SECONDS: i64 = 10;

/// A new refresh token.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its family.
    pub family: TokenFamilyId,
    /// The user.
    pub user_id: UserId,
    /// The plaintext token, which is returned once.
    pub token: OpaqueToken,
    /// When the family expires unless it is refreshed again.
    pub expires_at: Timestamp,
}

/// The result of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// The next token of the family.
    Issued(IssuedToken),
    /// The token had been used before, so two parties hold it. Its family was revoked.
    Reused(TokenFamilyId),
    /// There is no such token, or its family has ended.
    Refused,
}

/// Creates a family for a user who has signed in. `label` is the name that the program gives itself.
pub async fn begin(db: &Db, user_id: &UserId, label: &str) -> Result<IssuedToken, DbError> {
    let new = NewFamily::mint(db)?;
    let family = &new;
    db.write_system("token_families.begin", |tx| async move {
        family.insert(&tx, user_id, label, "github").await
    })
    .await?;
    Ok(new.issued(user_id.clone()))
}

/// A new family and its first token.
pub(super) struct NewFamily {
    id: TokenFamilyId,
    token: OpaqueToken,
    now: Timestamp,
}

impl NewFamily {
    pub(super) fn mint(db: &Db) -> Result<Self, DbError> {
        let token = OpaqueToken::mint(REFRESH_PREFIX, db.entropy());
        Ok(Self { id: db.new_id()?, token, now: db.clock().now() })
    }

    /// Stores it, and deletes families that ended a month ago. `by` says how the user has signed in.
    pub(super) async fn insert(
        &self,
        tx: &SystemTx,
        user_id: &UserId,
        label: &str,
        by: &'static str,
    ) -> Result<(), DbError> {
        let long_ago = self.now.plus_seconds(-FAMILY_SECONDS).0;
        tx.execute(
            "DELETE FROM refresh_tokens WHERE family_id IN (SELECT id FROM token_families WHERE expires_at < $1)",
            [long_ago.into()],
        )
        .await?;
        tx.execute("DELETE FROM token_families WHERE expires_at < $1", [long_ago.into()]).await?;
        tx.execute(
            "INSERT INTO token_families (id, user_id, label, created_at, last_used_at, expires_at) \
             VALUES ($1, $2, $3, $4, $4, $5)",
            [
                self.id.as_str().into(),
                user_id.as_str().into(),
                clip(label).into(),
                self.now.0.into(),
                self.now.plus_seconds(FAMILY_SECONDS).0.into(),
            ],
        )
        .await?;
        insert_token(tx, &self.token.hash().to_hex(), &self.id, None, self.now).await?;
        let entry = Entry::new(Event::SignedIn).about("program", self.id.as_str()).with("by", by);
        tx.log_for_user(user_id, entry).await
    }

    pub(super) fn issued(self, user_id: UserId) -> IssuedToken {
        let expires_at = self.now.plus_seconds(FAMILY_SECONDS);
        IssuedToken { family: self.id, user_id, token: self.token, expires_at }
    }
}

async fn insert_token(
    tx: &SystemTx,
    hash: &str,
    family: &TokenFamilyId,
    parent: Option<&str>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, parent_hash, created_at) VALUES ($1, $2, $3, $4)",
        [hash.into(), family.as_str().into(), parent.map(str::to_owned).into(), now.0.into()],
    )
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Owner {
    user_id: String,
}

#[derive(FromQueryResult)]
struct TokenRecord {
    parent_hash: Option<String>,
    used_at: Option<i64>,
    superseded_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct FamilyOf {
    family_id: String,
}

/// The family of a token, used or not.
pub async fn family_of(db: &Db, hash: &TokenHash) -> Result<Option<TokenFamilyId>, DbError> {
    let tx = db.read_system("refresh_tokens.find").await?;
    let found: Option<FamilyOf> =
        tx.one("SELECT family_id FROM refresh_tokens WHERE token_hash = $1", [hash.to_hex().into()]).await?;
    found.map(|row| stored_id(&row.family_id, "refresh_tokens", "family_id")).transpose()
}

/// Consumes a refresh token and returns the next of its family. Of two concurrent uses, each gets a token of its own, as
/// after a lost response. Only one of these stays valid; using the other revokes the family. A token that was never
/// issued costs one read and no write.
pub async fn refresh(db: &Db, hash: &TokenHash) -> Result<Refreshed, DbError> {
    let Some(family) = family_of(db, hash).await? else { return Ok(Refreshed::Refused) };
    let next = OpaqueToken::mint(REFRESH_PREFIX, db.entropy());
    let (used, next_hash, id, now) = (&hash.to_hex(), &next.hash().to_hex(), &family, db.clock().now());
    let end = now.plus_seconds(FAMILY_SECONDS);
    let outcome = db
        .write_system("token_families.refresh", |tx| async move {
            // This row is the family's lock: refreshes of one family are serialized.
            let owner: Option<Owner> = tx
                .one(
                    "UPDATE token_families SET last_used_at = $1, expires_at = $2 \
                     WHERE id = $3 AND revoked_at IS NULL AND expires_at > $1 RETURNING user_id",
                    [now.0.into(), end.0.into(), id.as_str().into()],
                )
                .await?;
            let Some(owner) = owner else { return Ok(None) };
            if use_up(&tx, id, used, now).await? {
                insert_token(&tx, next_hash, id, Some(used), now).await?;
                return Ok(Some((owner.user_id, true)));
            }
            tx.execute(
                "UPDATE token_families SET revoked_at = $1 WHERE id = $2",
                [now.0.into(), id.as_str().into()],
            )
            .await?;
            let user_id = stored(&owner.user_id, "token_families", "user_id", id)?;
            let entry = Entry::new(Event::SignInEnded).about("program", id.as_str()).with("reason", "reused");
            tx.log_for_user(&user_id, entry).await?;
            Ok(Some((owner.user_id, false)))
        })
        .await?;
    Ok(match outcome {
        None => Refreshed::Refused,
        Some((_, false)) => {
            db.rights_changed();
            Refreshed::Reused(family)
        }
        Some((user_id, true)) => Refreshed::Issued(IssuedToken {
            user_id: stored(&user_id, "token_families", "user_id", &family)?,
            family,
            token: next,
            expires_at: end,
        }),
    })
}

/// Whether the token may be used now; records the use.
async fn use_up(tx: &SystemTx, family: &TokenFamilyId, hash: &str, now: Timestamp) -> Result<bool, DbError> {
    let token: Option<TokenRecord> = tx
        .one(
            "SELECT parent_hash, used_at, superseded_at FROM refresh_tokens WHERE token_hash = $1",
            [hash.into()],
        )
        .await?;
    let Some(token) = token else { return Ok(false) };
    if token.superseded_at.is_some() {
        return Ok(false);
    }
    if let Some(used_at) = token.used_at {
        // The token from the first use was used, so that response was not lost.
        let went_on: Option<CountRow> = tx
            .one(
                "SELECT count(*) AS n FROM refresh_tokens \
                 WHERE family_id = $1 AND parent_hash = $2 AND used_at IS NOT NULL",
                [family.as_str().into(), hash.into()],
            )
            .await?;
        let is_retry = now.0 - used_at <= RETRY_SECONDS * 1000 && went_on.is_none_or(|count| count.n == 0);
        return Ok(is_retry);
    }
    tx.execute("UPDATE refresh_tokens SET used_at = $1 WHERE token_hash = $2", [now.0.into(), hash.into()])
        .await?;
    if let Some(parent) = token.parent_hash {
        tx.execute(
            "UPDATE refresh_tokens SET superseded_at = $1 \
             WHERE family_id = $2 AND parent_hash = $3 AND token_hash <> $4",
            [now.0.into(), family.as_str().into(), parent.into(), hash.into()],
        )
        .await?;
    }
    // A token older than the lifetime of a family proves nothing.
    tx.execute(
        "DELETE FROM refresh_tokens WHERE family_id = $1 AND created_at < $2",
        [family.as_str().into(), now.plus_seconds(-FAMILY_SECONDS).0.into()],
    )
    .await?;
    Ok(true)
}

/// Revokes the family of a token, used or not. A token that was never issued costs one read and no write.
pub async fn revoke_by_token(db: &Db, hash: &TokenHash) -> Result<(), DbError> {
    let Some(family) = family_of(db, hash).await? else { return Ok(()) };
    let (family, now) = (&family, db.clock().now());
    db.write_system("token_families.revoke", |tx| async move {
        let sql = "UPDATE token_families SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL \
                   RETURNING user_id";
        let values = [now.0.into(), family.as_str().into()];
        let Some(owner) = tx.one::<Owner, _>(sql, values).await? else { return Ok(()) };
        let user_id = stored(&owner.user_id, "token_families", "user_id", family)?;
        let entry = Entry::new(Event::SignedOut).about("program", family.as_str());
        tx.log_for_user(&user_id, entry).await
    })
    .await?;
    db.rights_changed();
    Ok(())
}
