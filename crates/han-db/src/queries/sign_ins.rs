//! Signing in through GitHub: pending attempts, and the users who return from GitHub. Also lists and ends the sessions
//! that a sign-in opened. Refresh tokens are in `token_families`.

use han_crypto::{OpaqueToken, TokenHash};
use han_types::{Credential, Timestamp, TokenFamilyId, UserId, WebSessionId, is_visible};
use sea_orm::FromQueryResult;

use crate::entities::User;
use crate::queries::audit::{Entry, Event};
use crate::queries::web_sessions::WEB_SESSION_PREFIX;
use crate::queries::web_sessions::WEB_SESSION_SECONDS;
use crate::queries::{teams, users};
use crate::stored::stored_id;
use crate::{Db, DbError};

/// The prefix of an attempt's token.
pub const SIGN_IN_PREFIX: &str = "han_signin_";

/// How long an attempt is valid: 10 minutes, as long as GitHub's own code.
pub const SIGN_IN_SECONDS: i64 = 10 * 60;

/// The longest name of a browser or program that is kept, in characters.
const MAX_LABEL: usize = 200;

/// A user's GitHub account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubPerson {
    /// GitHub's number of the account. Unlike its name and address, it never belongs to another person.
    pub github_id: i64,
    /// The current name of the account.
    pub login: String,
    /// The account's picture.
    pub avatar_url: Option<String>,
    /// The verified primary address; `None` if GitHub did not send it. The stored address then stays.
    pub email: Option<String>,
}

/// A user who signed in through GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The person.
    pub user: User,
    /// Whether the user was created by this sign-in.
    pub is_new: bool,
}

/// The kind of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A browser's cookie.
    Browser,
    /// A program's tokens.
    Tokens,
}

/// A browser or a program in which a user is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    /// Its id, unique together with its kind.
    pub id: String,
    /// The kind.
    pub means: Means,
    /// The name that the browser or program gives itself.
    pub label: Option<String>,
    /// When it was signed in.
    pub created_at: Timestamp,
    /// When it was last used, approximately.
    pub last_seen_at: Timestamp,
    /// When it expires unless it is used again.
    pub expires_at: Timestamp,
}

// ---- attempts -----------------------------------------------------------------------------------------------

/// Starts an attempt; its token is stored in the browser's cookie. Deletes attempts that expired an hour ago.
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

/// Consumes an attempt and returns the page to go to afterwards. `None` if there is no such attempt, it has expired, or
/// it was consumed: of two concurrent calls, one succeeds.
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

/// The user with this GitHub account; a new user gets a team of their own. Updates name, picture and address. Users are
/// never looked up by name or address, because another person may get these.
pub async fn upsert_github_person(db: &Db, person: &GithubPerson) -> Result<SignedIn, DbError> {
    let new_id: UserId = db.new_id()?;
    let team = teams::new_team_of_user(db, &person.login)?;
    let (id, team, now) = (&new_id, &team, db.clock().now());
    let user = db
        .write_system("users.upsert_github", |tx| async move {
            // Of two concurrent first sign-ins, the second one finds the user that the first one created.
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

/// Opens a browser session. `label` is the name that the browser gives itself.
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
        .await?;
        let entry = Entry::new(Event::SignedIn).about("browser", id.as_str()).with("by", "github");
        tx.log_for_user(user_id, entry).await
    })
    .await?;
    Ok(token)
}

/// A name for display: one line of limited length.
pub(super) fn clip(label: &str) -> String {
    label.chars().filter(|c| is_visible(*c)).take(MAX_LABEL).collect()
}

// ---- lists of sign-ins ----------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct SignInRecord {
    means: String,
    id: String,
    label: Option<String>,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
}

/// The user's sign-ins, the last used first, at most 200.
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

/// Ends one sign-in of a user. Returns false if there is no such sign-in, or it has ended.
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
    let kind = match means {
        Means::Browser => "browser",
        Means::Tokens => "program",
    };
    let revoked = db
        .write_system("sign_ins.revoke", |tx| async move {
            let revoked = tx.execute(sql, [now.0.into(), id.into(), user_id.as_str().into()]).await? > 0;
            if revoked {
                tx.log_for_user(user_id, Entry::new(Event::SignedOut).about(kind, id)).await?;
            }
            Ok(revoked)
        })
        .await?;
    db.rights_changed();
    Ok(revoked)
}

/// The sign-in that a credential comes from, if it comes from one.
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
