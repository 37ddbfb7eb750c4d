//! The GitHub accounts of users: what is needed to ask GitHub again whether a user may still sign in, and the end of
//! the credentials of those who may not (docs/adr/0026).

use std::time::Duration;

use han_crypto::FieldContext;
use han_types::{Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::queries::credentials::{self, EndedCredentials};
use crate::stored::stored_id;
use crate::{Db, DbError};

/// A user with a GitHub account and live credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubUser {
    /// The user.
    pub user_id: UserId,
    /// The name of the account at the last sign-in.
    pub login: String,
    /// GitHub's token of the last sign-in; `None` if none was stored, or it cannot be opened because its KEK is gone.
    pub token: Option<GithubToken>,
    /// The time of the last sign-in, if it is known.
    signed_in_at: Option<i64>,
}

/// A token of GitHub, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct GithubToken(String);

impl GithubToken {
    /// The token.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for GithubToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GithubToken(..)")
    }
}

/// The place of a token.
pub(super) fn context(user_id: &str) -> FieldContext<'_> {
    FieldContext { table: "github_accounts", row_id: user_id, column: "token" }
}

/// Records that GitHub has admitted a user who signs in now, with the token to ask again with, if that is needed.
pub async fn signed_in(db: &Db, user_id: &UserId, token: Option<&str>) -> Result<(), DbError> {
    let now = db.clock().now();
    db.write_system("github_accounts.signed_in", |tx| async move {
        let sealed = match token {
            Some(token) => Some(db.keys().seal_system(&tx, context(user_id.as_str()), token).await?),
            None => None,
        };
        tx.execute(
            "INSERT INTO github_accounts (user_id, token, signed_in_at, checked_at) VALUES ($1, $2, $3, $3) \
             ON CONFLICT (user_id) DO UPDATE SET token = EXCLUDED.token, signed_in_at = EXCLUDED.signed_in_at, \
             checked_at = EXCLUDED.checked_at",
            [user_id.as_str().into(), sealed.into(), now.0.into()],
        )
        .await
    })
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct DueRow {
    id: String,
    username: String,
    token: Option<String>,
    signed_in_at: Option<i64>,
}

/// Users with a GitHub account and a live credential about whom GitHub was not asked for `every`, by id: up to `limit` of
/// those after `after`.
pub async fn due(
    db: &Db,
    every: Duration,
    after: Option<&UserId>,
    limit: u32,
) -> Result<Vec<GithubUser>, DbError> {
    let now = db.clock().now();
    let before = now.0.saturating_sub(i64::try_from(every.as_millis()).unwrap_or(i64::MAX));
    let tx = db.read_system("github_accounts.due").await?;
    let rows: Vec<DueRow> = tx
        .all(
            "SELECT u.id, u.username, g.token, g.signed_in_at FROM users u \
             LEFT JOIN github_accounts g ON g.user_id = u.id \
             WHERE u.github_id IS NOT NULL AND u.id > $1 AND (g.checked_at IS NULL OR g.checked_at <= $2) AND ( \
               EXISTS (SELECT 1 FROM web_sessions c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                 AND c.expires_at > $3) \
               OR EXISTS (SELECT 1 FROM token_families c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                 AND c.expires_at > $3) \
               OR EXISTS (SELECT 1 FROM api_keys c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                 AND (c.expires_at IS NULL OR c.expires_at > $3))) \
             ORDER BY u.id LIMIT $4",
            [
                after.map_or("", UserId::as_str).into(),
                before.into(),
                now.0.into(),
                i64::from(limit).into(),
            ],
        )
        .await?;
    rows.into_iter().map(|row| open(db, row)).collect()
}

fn open(db: &Db, row: DueRow) -> Result<GithubUser, DbError> {
    let token = row.token.as_ref().and_then(|sealed| {
        let opened = db.keys().open_system(context(&row.id), sealed);
        let opened = opened.inspect_err(
            |error| tracing::error!(%error, user = row.id, "a token of GitHub cannot be opened"),
        );
        opened.ok().map(GithubToken)
    });
    Ok(GithubUser {
        user_id: stored_id(&row.id, "users", "id")?,
        login: row.username,
        token,
        signed_in_at: row.signed_in_at,
    })
}

/// Records that GitHub still admits a user.
pub async fn admitted(db: &Db, user: &GithubUser) -> Result<(), DbError> {
    let now = db.clock().now();
    db.write_system("github_accounts.admitted", |tx| async move {
        tx.execute(
            "UPDATE github_accounts SET checked_at = $1 WHERE user_id = $2",
            [now.0.into(), user.user_id.as_str().into()],
        )
        .await
    })
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct SignedInRow {
    signed_in_at: i64,
}

/// Ends every credential of a user whom GitHub no longer admits, and forgets the token. `None`, and nothing is ended, if the
/// user has signed in again since `user` was read.
pub async fn end(db: &Db, user: &GithubUser) -> Result<Option<EndedCredentials>, DbError> {
    let now: Timestamp = db.clock().now();
    let ended = db
        .write_system("github_accounts.end", |tx| async move {
            let lock = tx.dialect().for_update();
            let sql = format!("SELECT signed_in_at FROM github_accounts WHERE user_id = $1{lock}");
            let found: Option<SignedInRow> = tx.one(&sql, [user.user_id.as_str().into()]).await?;
            if found.map(|row| row.signed_in_at) != user.signed_in_at {
                return Ok(None);
            }
            tx.execute(
                "UPDATE github_accounts SET token = NULL, checked_at = $1 WHERE user_id = $2",
                [now.0.into(), user.user_id.as_str().into()],
            )
            .await?;
            credentials::end_all_in(&tx, &user.user_id).await.map(Some)
        })
        .await?;
    db.rights_changed();
    Ok(ended)
}
