//! Signing in through GitHub: attempts that are under way, and the people who come back from one. Listing and ending
//! what a sign-in opened is here, too; refresh tokens themselves are in `token_families`.

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{Credential, Timestamp, TokenFamilyId, UserId, WebSessionId};
use sea_orm::FromQueryResult;

use crate::entities::User;
use crate::queries::web_sessions::WEB_SESSION_PREFIX;
use crate::queries::web_sessions::WEB_SESSION_SECONDS;
use crate::queries::{teams, users};
use crate::stored::stored_id;
use crate::{Db, DbError};

/// What the token of every attempt begins with.
pub const SIGN_IN_PREFIX: &str = "han_signin_";

/// How long somebody may take at GitHub: 10 minutes, as long as GitHub's own code lasts.
pub const SIGN_IN_SECONDS: i64 = 10 * 60;

/// The longest name of a browser or program that is kept, in characters.
const MAX_LABEL: usize = 200;

/// A person as GitHub knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubPerson {
    /// GitHub's number for them: the one thing about an account that never changes hands.
    pub github_id: i64,
    /// The name they have there now.
    pub login: String,
    /// Their picture.
    pub avatar_url: Option<String>,
    /// Their verified primary address; `None` where GitHub did not say, and the one that is known stays.
    pub email: Option<String>,
}

/// Who has come in through GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The person.
    pub user: User,
    /// Whether they were seen for the first time.
    pub is_new: bool,
}

/// How somebody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A browser's cookie.
    Browser,
    /// A program's tokens.
    Tokens,
}

/// Where a person is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    /// Its id, unique together with its means.
    pub id: String,
    /// How.
    pub means: Means,
    /// What the browser or program calls itself.
    pub label: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last seen, coarsely.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is seen again.
    pub expires_at: Timestamp,
}

// ---- attempts -----------------------------------------------------------------------------------------------

/// Begins an attempt; its token goes into the browser's cookie. Attempts that ended an hour ago are forgotten.
pub async fn begin(db: &Db, return_to: &str) -> Result<OpaqueToken, DbError> {
    let token = OpaqueToken::mint(SIGN_IN_PREFIX, db.entropy());
    let (hash, now) = (&token.hash().to_hex(), db.clock().now());
    db.write_system("sign_ins.begin", |tx| async move {
        tx.execute("DELETE FROM sign_ins WHERE expires_at < $1", [now.plus_seconds(-3600).0.into()]).await?;
        tx.execute(
            "INSERT INTO sign_ins (token_hash, return_to, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            [
                hash.as_str().into(),
                return_to.into(),
                now.0.into(),
                now.plus_seconds(SIGN_IN_SECONDS).0.into(),
            ],
        )
        .await
    })
    .await?;
    Ok(token)
}

#[derive(FromQueryResult)]
struct Attempt {
    return_to: String,
}

/// Uses an attempt up and gives where its browser wanted to go. `None` where there is no such attempt, it has ended,
/// or it was used: of two who try at once, one goes on.
pub async fn finish(db: &Db, hash: &TokenHash) -> Result<Option<String>, DbError> {
    let (hash, now) = (&hash.to_hex(), db.clock().now());
    db.write_system("sign_ins.finish", |tx| async move {
        let attempt: Option<Attempt> = tx
            .one(
                "UPDATE sign_ins SET used_at = $1 \
                 WHERE token_hash = $2 AND used_at IS NULL AND expires_at > $1 RETURNING return_to",
                [now.0.into(), hash.as_str().into()],
            )
            .await?;
        Ok(attempt.map(|attempt| attempt.return_to))
    })
    .await
}

// ---- people -------------------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct KnownId {
    id: String,
}

/// The person with that GitHub account; a new user is created with their own team. Name,
/// picture and address become what GitHub says now. No user is ever found by name or address: those change hands.
pub async fn upsert_github_person(db: &Db, person: &GithubPerson) -> Result<SignedIn, DbError> {
    let new_id: UserId = db.new_id()?;
    let team = teams::new_team(db, &person.login)?;
    let (id, team, now) = (&new_id, &team, db.clock().now());
    let user = db
        .write_system("users.upsert_github", |tx| async move {
            // Two may come for the first time at once: the second to write finds the first.
            let known: Option<KnownId> = tx
                .one(
                    "INSERT INTO users (id, github_id, username, avatar_url, email, created_at) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (github_id) DO UPDATE SET \
                     username = EXCLUDED.username, avatar_url = EXCLUDED.avatar_url, \
                     email = COALESCE(EXCLUDED.email, users.email) RETURNING id",
                    [
                        id.as_str().into(),
                        person.github_id.into(),
                        person.login.as_str().into(),
                        person.avatar_url.clone().into(),
                        person.email.clone().into(),
                        now.0.into(),
                    ],
                )
                .await?;
            let known = known.map(|row| row.id).unwrap_or_default();
            let known: UserId = stored_id(&known, "users", "id")?;
            if known == *id {
                teams::insert_team(&tx, team, &known).await?;
            }
            Ok(known)
        })
        .await?;
    let is_new = user == new_id;
    let user = users::by_id(db, &user)
        .await?
        .ok_or_else(|| DbError::RowMissing { table: "users", row: user.to_string() })?;
    Ok(SignedIn { user, is_new })
}

/// Opens a browser session. `label` is what the browser calls itself.
pub async fn open_web_session(db: &Db, user_id: &UserId, label: &str) -> Result<OpaqueToken, DbError> {
    let token = OpaqueToken::mint(WEB_SESSION_PREFIX, db.entropy());
    let id: WebSessionId = db.new_id()?;
    let (id, hash, label, now) = (&id, &token.hash().to_hex(), &clip(label), db.clock().now());
    db.write_system("web_sessions.open", |tx| async move {
        tx.execute(
            "INSERT INTO web_sessions (id, token_hash, user_id, label, created_at, last_seen_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $5, $6)",
            [
                id.as_str().into(),
                hash.as_str().into(),
                user_id.as_str().into(),
                label.as_str().into(),
                now.0.into(),
                now.plus_seconds(WEB_SESSION_SECONDS).0.into(),
            ],
        )
        .await
    })
    .await?;
    Ok(token)
}

/// A name that others will read: on one line, and not endless.
pub(super) fn clip(label: &str) -> String {
    label.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect()
}

// ---- where somebody is signed in ----------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct SignInRecord {
    means: String,
    id: String,
    label: Option<String>,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
}

/// Everywhere that a person is signed in, the one last seen first, at most 200.
pub async fn live(db: &Db, user_id: &UserId) -> Result<Vec<SignInRow>, DbError> {
    let tx = db.read_system("sign_ins.list").await?;
    let rows: Vec<SignInRecord> = tx
        .all(
            "SELECT 'browser' AS means, id, label, created_at, last_seen_at, expires_at FROM web_sessions \
               WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 \
             UNION ALL \
             SELECT 'tokens' AS means, id, label, created_at, last_used_at AS last_seen_at, expires_at \
               FROM token_families WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 \
             ORDER BY last_seen_at DESC, id LIMIT 200",
            [user_id.as_str().into(), db.clock().now().0.into()],
        )
        .await?;
    let row = |row: SignInRecord| SignInRow {
        id: row.id,
        means: if row.means == "browser" { Means::Browser } else { Means::Tokens },
        label: row.label.filter(|label| !label.is_empty()),
        created_at: Timestamp(row.created_at),
        last_seen_at: Timestamp(row.last_seen_at),
        expires_at: Timestamp(row.expires_at),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Signs a person out in one place. `false` where they are not signed in there (any more).
pub async fn revoke(db: &Db, user_id: &UserId, means: Means, id: &str) -> Result<bool, DbError> {
    let now = db.clock().now();
    let sql = match means {
        Means::Browser => {
            "UPDATE web_sessions SET revoked_at = $1 WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL"
        }
        Means::Tokens => {
            "UPDATE token_families SET revoked_at = $1 WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL"
        }
    };
    let revoked = db
        .write_system("sign_ins.revoke", |tx| async move {
            tx.execute(sql, [now.0.into(), id.into(), user_id.as_str().into()]).await
        })
        .await?;
    db.commits().notify();
    Ok(revoked > 0)
}

/// The place that a credential comes from, if it comes from a sign-in at all.
#[must_use]
pub fn place_of(credential: &Credential) -> Option<(Means, &str)> {
    match credential {
        Credential::WebSession { id, .. } => Some((Means::Browser, id.as_str())),
        Credential::Jwt { family, .. } => {
            family.as_ref().map(|id: &TokenFamilyId| (Means::Tokens, id.as_str()))
        }
        Credential::ApiKey { .. } | Credential::Local | Credential::Operator => None,
    }
}
