//! API keys: found by the hash that a request brings; and for their owners: list, make, revoke, rotate.

use std::sync::Arc;
use std::time::Instant;

use han_crypto::{ApiKeyToken, TokenHash};
use han_types::{ApiKeyId, Capabilities, Membership, Plans, Role, Scope, TeamId, Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::entities::{ApiKey, ListedApiKey, MemberKey, Team, TeamMembership};
use crate::queries::audit::{Entry, Event};
use crate::queries::credentials::USE_RECORDED_EVERY_SECONDS;
use crate::queries::plans;
use crate::queries::teams::{self, TEAM, TeamChange, TeamRecord};
use crate::queries::users::UserRecord;
use crate::stored::{stored, stored_id};
use crate::tx::{ActingTx, SystemTx};
use crate::{Db, DbError};

/// The most live keys that a person may have in one team.
pub const MAX_KEYS: usize = 50;

/// The longest time that a rotated key may be used on: a week.
pub const MAX_GRACE_SECONDS: i64 = 7 * 86_400;

/// The number of days after which a key expires, unless its owner chooses another number.
pub const DEFAULT_DAYS: i64 = 90;

/// The most days after which a key may expire that its owner chooses.
pub const MAX_DAYS: i64 = 3650;

/// What a new API key is to be.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// The team it is bound to.
    pub team_id: &'a TeamId,
    /// Whose it is.
    pub user_id: &'a UserId,
    /// What its owner calls it.
    pub name: &'a str,
    /// `read`, `sync:write`, separated by spaces.
    pub scopes: &'a str,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// What became of a wish for a new key.
#[derive(Debug)]
pub enum Minted {
    /// Its row, and the key itself, which is stored nowhere.
    Done(Box<ListedApiKey>, ApiKeyToken),
    /// The caller is no member any more.
    NotAllowed,
    /// They have [`MAX_KEYS`] already.
    TooMany,
}

/// Which key is to be rotated.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The one that asks. Its successor ends when it would have: a key cannot prolong its own life.
    Calling(&'a ApiKeyId),
    /// One of the person's own. Its successor lives as long, from now, as it was to live; [`DEFAULT_DAYS`] if it was to live
    /// without end.
    Named(&'a ApiKeyId),
    /// The person's only one.
    Only,
}

/// What became of a wish to rotate a key.
#[derive(Debug)]
pub enum Rotated {
    /// The new key's row, and the key itself, which is stored nowhere.
    Done(Box<ListedApiKey>, ApiKeyToken),
    /// The person has no such live key.
    NotFound,
    /// They have several: which?
    Several,
    /// Another took this one's place before; it lives on only for its grace.
    AlreadyRotated,
}

#[derive(FromQueryResult)]
struct ApiKeyRecord {
    team_id: String,
    id: String,
    key_hash: String,
    user_id: String,
    scopes: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<ApiKeyRecord> for ApiKey {
    type Error = DbError;

    fn try_from(row: ApiKeyRecord) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.id, "api_keys", "id")?,
            hash: stored(&row.key_hash, "api_keys", "key_hash", &row.id)?,
            team_id: stored(&row.team_id, "api_keys", "team_id", &row.id)?,
            user_id: stored(&row.user_id, "api_keys", "user_id", &row.id)?,
            capabilities: Capabilities::from_key_scopes(&row.scopes),
            expires_at: row.expires_at.map(Timestamp),
            last_used_at: row.last_used_at.map(Timestamp),
            revoked_at: row.revoked_at.map(Timestamp),
        })
    }
}

/// The API key of that hash, live or not.
pub async fn by_hash(db: &Db, hash: &TokenHash) -> Result<Option<ApiKey>, DbError> {
    let tx = db.read_system("api_keys.find").await?;
    let row: Option<ApiKeyRecord> = tx
        .one(
            "SELECT team_id, id, key_hash, user_id, scopes, expires_at, last_used_at, revoked_at \
             FROM api_keys WHERE key_hash = $1",
            [hash.to_hex().into()],
        )
        .await?;
    row.map(TryInto::try_into).transpose()
}

#[derive(FromQueryResult)]
struct MemberKeyRecord {
    key_id: String,
    key_team_id: String,
    key_hash: String,
    user_id: String,
    scopes: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    role: Option<String>,
    members_before: i64,
    #[sea_orm(nested)]
    team: Option<TeamRecord>,
}

impl MemberKeyRecord {
    fn found(self, plans: Plans) -> Result<MemberKey, DbError> {
        let row = self;
        let key = ApiKey::try_from(ApiKeyRecord {
            team_id: row.key_team_id,
            id: row.key_id,
            key_hash: row.key_hash,
            user_id: row.user_id,
            scopes: row.scopes,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })?;
        let membership = match (row.role, row.team) {
            (Some(role), Some(team)) => {
                let member = format_args!("{}/{}", key.team_id, key.user_id);
                let role = stored(&role, "team_members", "role", member)?;
                let membership =
                    Membership { team_id: key.team_id.clone(), user_id: key.user_id.clone(), role };
                let team = Team::try_from(team)?;
                let policy = team.policy(plans).after_members(plans::count(row.members_before));
                Some(TeamMembership { membership, policy, team })
            }
            _ => None,
        };
        Ok(MemberKey { key, membership })
    }
}

/// The API key of that hash, live or not, with the membership of its owner: for pushes, which come often. It may have
/// been read a few seconds ago, but not before a change of rights that this process knows of, and only while the change
/// feed is connected and current (`verified_keys`). The caller checks whether the key is live now.
pub async fn for_push(db: &Db, hash: &TokenHash) -> Result<Option<Arc<MemberKey>>, DbError> {
    let (keys, now) = (db.verified_keys(), db.clock().now());
    // If its use is to be recorded, it is read again with the time of the last one.
    if let Some(found) = keys.get(hash, Instant::now()).filter(|found| !use_is_due(&found.key, now)) {
        return Ok(Some(found));
    }
    let look_up = keys.begin(Instant::now());
    let tx = db.read_system("api_keys.for_push").await?;
    let sql = format!(
        "SELECT k.id AS key_id, k.team_id AS key_team_id, k.key_hash, k.user_id, k.scopes, k.expires_at, \
           k.last_used_at, k.revoked_at, \
           COALESCE(m.role, CASE WHEN s.id IS NOT NULL THEN 'member' END) AS role, {}, {TEAM} \
         FROM api_keys k LEFT JOIN teams t ON t.id = k.team_id \
         LEFT JOIN team_members m ON m.team = t.number AND m.user_id = k.user_id \
         LEFT JOIN users s ON s.id = k.user_id AND s.service_team = t.number AND s.removed_at IS NULL \
         WHERE k.key_hash = $1",
        plans::members_before(db.plans())
    );
    let row: Option<MemberKeyRecord> = tx.one(&sql, [hash.to_hex().into()]).await?;
    let Some(found) = row.map(|row| row.found(db.plans())).transpose()? else { return Ok(None) };
    if found.key.is_live(now) && found.membership.is_some() {
        let mut verified = found.clone();
        if use_is_due(&verified.key, now) {
            // The caller records it.
            verified.key.last_used_at = Some(now);
        }
        keys.put(look_up, Arc::new(verified));
    }
    Ok(Some(Arc::new(found)))
}

/// The name of a key and when it ends; `None` if it does not end, or there is none.
pub async fn expiry(
    db: &Db,
    team_id: &TeamId,
    id: &ApiKeyId,
) -> Result<Option<(String, Timestamp)>, DbError> {
    let tx = db.read_system("api_keys.expiry").await?;
    let sql =
        "SELECT name, expires_at FROM api_keys WHERE team_id = $1 AND id = $2 AND expires_at IS NOT NULL";
    let row: Option<ExpiryRecord> = tx.one(sql, [team_id.as_str().into(), id.as_str().into()]).await?;
    Ok(row.map(|row| (row.name, Timestamp(row.expires_at))))
}

#[derive(FromQueryResult)]
struct ExpiryRecord {
    name: String,
    expires_at: i64,
}

/// Makes an API key. The key itself is in the answer and nowhere else.
pub async fn create_for(db: &Db, new: &NewApiKey<'_>) -> Result<(ApiKeyId, ApiKeyToken), DbError> {
    let id: ApiKeyId = db.new_id()?;
    let token = ApiKeyToken::mint(db.entropy());
    let (row_id, hash, now) = (&id, token.hash().to_hex(), db.clock().now());
    let (hash, team) = (&hash, db.team_number(new.team_id).await?);
    db.write_system("api_keys.create", |tx| async move {
        tx.execute(
            "INSERT INTO api_keys (team_id, id, key_hash, user_id, name, scopes, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                new.team_id.as_str().into(),
                row_id.as_str().into(),
                hash.as_str().into(),
                new.user_id.as_str().into(),
                new.name.into(),
                new.scopes.into(),
                now.0.into(),
                new.expires_at.map(|end| end.0).into(),
            ],
        )
        .await?;
        let entry = created(row_id, new.scopes, new.expires_at).with_user("owner", new.user_id);
        tx.log_of(new.team_id, team).write(entry).await
    })
    .await?;
    Ok((id, token))
}

/// Revokes all keys of a user for a team. Triggers notify every replica.
pub(super) async fn revoke_of_owner(tx: &SystemTx, team_id: &TeamId, owner: &UserId) -> Result<(), DbError> {
    let sql =
        "UPDATE api_keys SET revoked_at = $1 WHERE team_id = $2 AND user_id = $3 AND revoked_at IS NULL";
    let values = [tx.clock().now().0.into(), team_id.as_str().into(), owner.as_str().into()];
    tx.execute(sql, values).await?;
    Ok(())
}

/// The entry about a new key.
pub(crate) fn created<'a>(id: &'a ApiKeyId, scopes: &str, expires_at: Option<Timestamp>) -> Entry<'a> {
    let expires_at = expires_at.map(Timestamp::to_rfc3339);
    Entry::new(Event::KeyCreated)
        .about("api_key", id.as_str())
        .with("scopes", scopes)
        .with("expiresAt", expires_at)
}

/// Whether a use of a key at `now` is to be recorded with [`touch`].
#[must_use]
pub fn use_is_due(key: &ApiKey, now: Timestamp) -> bool {
    key.last_used_at.is_none_or(|last| last <= now.plus_seconds(-USE_RECORDED_EVERY_SECONDS))
}

/// Notes that a key was used just now, at most once every [`USE_RECORDED_EVERY_SECONDS`]: in between, nothing is
/// written.
pub async fn touch(db: &Db, key: &ApiKey) -> Result<(), DbError> {
    let now = db.clock().now();
    let due = now.plus_seconds(-USE_RECORDED_EVERY_SECONDS);
    if !use_is_due(key, now) {
        return Ok(());
    }
    db.write_system("api_keys.touch", |tx| async move {
        // Many requests may find it due at once; the condition lets one of them write.
        tx.execute(
            "UPDATE api_keys SET last_used_at = $1 \
             WHERE team_id = $2 AND id = $3 AND (last_used_at IS NULL OR last_used_at <= $4)",
            [now.0.into(), key.team_id.as_str().into(), key.id.as_str().into(), due.0.into()],
        )
        .await
    })
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct KeyRecord {
    key_id: String,
    name: String,
    scopes: String,
    made_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    replaced_by: Option<String>,
    #[sea_orm(nested)]
    owner: UserRecord,
}

impl TryFrom<KeyRecord> for ListedApiKey {
    type Error = DbError;

    fn try_from(row: KeyRecord) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.key_id, "api_keys", "id")?,
            name: row.name,
            scopes: row.scopes,
            owner: row.owner.try_into()?,
            created_at: Timestamp(row.made_at),
            expires_at: row.expires_at.map(Timestamp),
            last_used_at: row.last_used_at.map(Timestamp),
            is_replaced: row.replaced_by.is_some(),
        })
    }
}

const LIVE_KEY: &str = "SELECT k.id AS key_id, k.name, k.scopes, k.created_at AS made_at, k.expires_at, \
       k.last_used_at, k.replaced_by, u.id, u.username, u.avatar_url, u.email, u.created_at \
     FROM api_keys k JOIN users u ON u.id = k.user_id \
     WHERE k.team_id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)";

/// The team's live keys, the newest first: all of them for an admin, one's own for a member.
pub async fn list(scope: &Scope, db: &Db) -> Result<Vec<ListedApiKey>, DbError> {
    let tx = db.read_system("api_keys.list").await?;
    let owner = (scope.role() != Role::Admin).then(|| scope.user_id());
    live(&tx, scope.team_id(), owner).await
}

pub(super) async fn live(
    tx: &SystemTx,
    team_id: &TeamId,
    owner: Option<&UserId>,
) -> Result<Vec<ListedApiKey>, DbError> {
    let own = if owner.is_some() { " AND k.user_id = $3" } else { "" };
    let sql = format!("{LIVE_KEY}{own} ORDER BY k.created_at DESC, k.id DESC");
    let values = [team_id.as_str().into(), tx.clock().now().0.into()];
    let owner = owner.map(|id| id.as_str().into());
    let rows: Vec<KeyRecord> = tx.all(&sql, values.into_iter().chain(owner)).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Makes a key of the person's own.
pub async fn create(
    scope: &Scope,
    db: &Db,
    name: &str,
    scopes: &str,
    expires_at: Option<Timestamp>,
) -> Result<Minted, DbError> {
    let (id, token) = (db.new_id()?, ApiKeyToken::mint(db.entropy()));
    let owner = scope.user_id();
    let new = &NewKey { id: &id, hash: &token.hash().to_hex(), owner, name, scopes, expires_at };
    let made = db
        .write_system_for(scope, "api_keys.create", |tx| async move {
            teams::lock(&tx, scope.team_id()).await?;
            if teams::role_of(&tx, tx.team_number(), scope.user_id()).await?.is_none() {
                return Ok(Err(Minted::NotAllowed));
            }
            if live(&tx, tx.team_id(), Some(scope.user_id())).await?.len() >= MAX_KEYS {
                return Ok(Err(Minted::TooMany));
            }
            let row = insert(&tx, new).await?;
            tx.log().write(created(&row.id, scopes, expires_at)).await?;
            Ok(Ok(row))
        })
        .await?;
    db.commits().wake_reader();
    Ok(match made {
        Ok(row) => Minted::Done(Box::new(row), token),
        Err(refused) => refused,
    })
}

/// Ends a key: an admin any of the team, a member one of their own.
pub async fn revoke(scope: &Scope, db: &Db, id: &ApiKeyId) -> Result<TeamChange, DbError> {
    let (team, now) = (scope.team_id(), db.clock().now());
    let revoked = db
        .write_system_for(scope, "api_keys.revoke", |tx| async move {
            let admin = teams::is_admin(&tx, tx.team_number(), scope.user_id()).await?;
            let owner = if admin { "" } else { " AND user_id = $4" };
            let sql = format!(
                "UPDATE api_keys SET revoked_at = $1 WHERE team_id = $2 AND id = $3 AND revoked_at IS NULL{owner}"
            );
            let user = (!owner.is_empty()).then(|| scope.user_id().as_str().into());
            let values = [now.0.into(), team.as_str().into(), id.as_str().into()];
            let revoked = tx.execute(&sql, values.into_iter().chain(user)).await?;
            if revoked > 0 {
                tx.log().write(Entry::new(Event::KeyRevoked).about("api_key", id.as_str())).await?;
            }
            Ok(revoked)
        })
        .await?;
    db.rights_changed();
    Ok(if revoked > 0 { TeamChange::Done } else { TeamChange::NotFound })
}

/// Puts a new key in an old one's place, with its name and scopes. The old one ends at once, or may be used for
/// `grace_seconds` more (never longer than before). Of two rotations of one key, one succeeds.
pub async fn rotate(
    scope: &Scope,
    db: &Db,
    which: Which<'_>,
    grace_seconds: i64,
) -> Result<Rotated, DbError> {
    let (id, token, now) = (db.new_id()?, ApiKeyToken::mint(db.entropy()), db.clock().now());
    let (id, hash) = (&id, &token.hash().to_hex());
    let rotated = db
        .write_system_for(scope, "api_keys.rotate", |tx| async move {
            teams::lock(&tx, scope.team_id()).await?;
            let old = match find(&tx, which).await? {
                Ok(old) => old,
                Err(refused) => return Ok(Err(refused)),
            };
            let expires_at = match which {
                Which::Calling(_) => old.expires_at,
                Which::Named(_) | Which::Only => Some(match old.expires_at {
                    Some(end) => Timestamp(now.0 + (end.0 - old.created_at.0)),
                    // It was made when keys did not expire by default.
                    None => now.plus_seconds(DEFAULT_DAYS * 86_400),
                }),
            };
            replace(&tx, &old, id, grace_seconds).await?;
            let owner = scope.user_id();
            let new = NewKey { id, hash, owner, name: &old.name, scopes: &old.scopes, expires_at };
            let row = insert(&tx, &new).await?;
            let entry = Entry::new(Event::KeyRotated)
                .about("api_key", old.id.as_str())
                .with("successor", id.as_str())
                .with("graceSeconds", grace_seconds);
            tx.log().write(entry).await?;
            Ok(Ok(row))
        })
        .await?;
    db.rights_changed();
    Ok(match rotated {
        Ok(row) => Rotated::Done(Box::new(row), token),
        Err(refused) => refused,
    })
}

async fn find(tx: &ActingTx, which: Which<'_>) -> Result<Result<ListedApiKey, Rotated>, DbError> {
    let mut own = live(tx, tx.team_id(), Some(tx.scope().user_id())).await?;
    match which {
        Which::Calling(id) | Which::Named(id) => own.retain(|key| key.id == *id),
        Which::Only => own.retain(|key| !key.is_replaced),
    }
    Ok(match (own.pop(), own.is_empty()) {
        (None, _) => Err(Rotated::NotFound),
        (Some(_), false) => Err(Rotated::Several),
        (Some(key), true) if key.is_replaced => Err(Rotated::AlreadyRotated),
        (Some(key), true) => Ok(key),
    })
}

async fn replace(
    tx: &ActingTx,
    old: &ListedApiKey,
    new: &ApiKeyId,
    grace_seconds: i64,
) -> Result<(), DbError> {
    let now = tx.clock().now();
    let ends = now.plus_seconds(grace_seconds);
    let ends = old.expires_at.map_or(ends, |end| end.min(ends));
    let revoked_at = (grace_seconds <= 0).then_some(now.0);
    tx.execute(
        "UPDATE api_keys SET replaced_by = $1, revoked_at = $2, expires_at = $3 WHERE team_id = $4 AND id = $5",
        [
            new.as_str().into(),
            revoked_at.into(),
            ends.0.into(),
            tx.team_id().as_str().into(),
            old.id.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// A key to store.
pub(super) struct NewKey<'a> {
    pub id: &'a ApiKeyId,
    pub hash: &'a str,
    pub owner: &'a UserId,
    pub name: &'a str,
    pub scopes: &'a str,
    pub expires_at: Option<Timestamp>,
}

pub(super) async fn insert(tx: &ActingTx, new: &NewKey<'_>) -> Result<ListedApiKey, DbError> {
    let (team, user, now) = (tx.team_id().as_str(), new.owner.as_str(), tx.clock().now());
    tx.execute(
        "INSERT INTO api_keys (team_id, id, key_hash, user_id, name, scopes, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            team.into(),
            new.id.as_str().into(),
            new.hash.into(),
            user.into(),
            new.name.into(),
            new.scopes.into(),
            now.0.into(),
            new.expires_at.map(|end| end.0).into(),
        ],
    )
    .await?;
    let sql = format!("{LIVE_KEY} AND k.id = $3");
    let values = [team.into(), now.0.into(), new.id.as_str().into()];
    let row: Option<KeyRecord> = tx.one(&sql, values).await?;
    // The statement joins the key with its owner.
    row.ok_or_else(|| DbError::RowMissing { table: "users", row: user.to_owned() })?.try_into()
}
