//! Look-ups and writes made before a team is known: who a token belongs to, which teams a person is in, and how
//! people, teams and credentials come to be. The only place that makes a [`Scope`]. Nothing here reads a session.

use han_crypto::{ApiKeyToken, OpaqueToken, TokenHash};
use han_types::{
    Actor, ApiKeyId, Capabilities, Credential, IdError, Membership, PlanTier, RequestId, Role, Scope, TeamId,
    Timestamp, UserId, WebSessionId, new_row_id,
};
use sea_orm::FromQueryResult;

use crate::stored::{stored, stored_id};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// What every web session's token begins with.
pub const WEB_SESSION_PREFIX: &str = "han_session_";

/// What every login link's token begins with.
pub const LOGIN_LINK_PREFIX: &str = "han_login_";

/// How long a login link may be used: 15 minutes.
pub const LOGIN_LINK_SECONDS: i64 = 15 * 60;

/// How long a web session lasts after it was last seen: 30 days.
pub const WEB_SESSION_SECONDS: i64 = 30 * 24 * 3600;

/// How coarsely `last_used_at` and `last_seen_at` are kept: five minutes. Reads in between write nothing.
pub const USE_RECORDED_EVERY_SECONDS: i64 = 5 * 60;

/// How many numbered slugs are tried for a team whose name others have, before a random one is taken.
const NUMBERED_SLUGS: u32 = 9;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Its id.
    pub id: UserId,
    /// The name shown; not unique.
    pub username: String,
    /// A picture, if there is one.
    pub avatar_url: Option<String>,
    /// An address, if one is known.
    pub email: Option<String>,
    /// When the person was first seen.
    pub created_at: Timestamp,
}

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamRow {
    /// Its id.
    pub id: TeamId,
    /// Its unique name in addresses and on command lines.
    pub slug: String,
    /// The name shown.
    pub name: String,
    /// The plan that is stored; which plan binds, [`han_types::Plans`] says.
    pub plan_tier: PlanTier,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A membership together with its team.
#[derive(Clone, Debug)]
pub struct TeamMembership {
    /// Who, where, as what.
    pub membership: Membership,
    /// The team.
    pub team: TeamRow,
}

/// What an actor may touch: one team's data.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The right to it.
    pub scope: Scope,
    /// The team.
    pub team: TeamRow,
}

/// An API key as it is stored.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// The team it is bound to.
    pub team_id: TeamId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it may be used for.
    pub capabilities: Capabilities,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen, to within [`USE_RECORDED_EVERY_SECONDS`].
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKeyRow {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

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

/// A browser's session as it is stored.
#[derive(Clone, Debug)]
pub struct WebSessionRow {
    /// Its id.
    pub id: WebSessionId,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// Whose it is.
    pub user_id: UserId,
    /// The team last switched to.
    pub active_team_id: Option<TeamId>,
    /// When it was last seen, to within [`USE_RECORDED_EVERY_SECONDS`].
    pub last_seen_at: Timestamp,
    /// When it ends unless it is seen again.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl WebSessionRow {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// A session that was opened just now, and the token to hand to its browser once.
#[derive(Debug)]
pub struct OpenedWebSession {
    /// Whose it is.
    pub user_id: UserId,
    /// Its token in clear.
    pub token: OpaqueToken,
}

// ---- scopes -------------------------------------------------------------------------------------------------

/// What `actor` may touch: the team its credential names, where its user is a member; else, for a browser or a
/// token that names none, the oldest membership. `None` where there is no such membership: such an actor sees
/// empty lists.
pub async fn scope_for(db: &Db, actor: &Actor) -> Result<Option<Resolved>, DbError> {
    let found = match (&actor.credential, actor.named_team()) {
        // A browser's team is a preference, not a claim: who has left it is shown another.
        (Credential::WebSession { .. }, preferred) => preferred_team(db, &actor.user_id, preferred).await?,
        (_, Some(team_id)) => membership(db, &actor.user_id, team_id).await?,
        (_, None) => preferred_team(db, &actor.user_id, None).await?,
    };
    Ok(found.map(|found| resolve(found, actor)))
}

/// What `actor` may touch of the team `team_id`, for requests that name one. `None` where the credential is bound
/// to another team or its user is no member, just as where there is no such team.
pub async fn scope_in(db: &Db, actor: &Actor, team_id: &TeamId) -> Result<Option<Resolved>, DbError> {
    let bound_elsewhere = match &actor.credential {
        Credential::ApiKey { team_id: bound, .. } => bound != team_id,
        Credential::Jwt { team_id: named, .. } => named.as_ref().is_some_and(|named| named != team_id),
        Credential::WebSession { .. } | Credential::Local | Credential::Operator => false,
    };
    if bound_elsewhere {
        return Ok(None);
    }
    let found = membership(db, &actor.user_id, team_id).await?;
    Ok(found.map(|found| resolve(found, actor)))
}

#[expect(clippy::disallowed_methods, reason = "the membership was read from the database by the caller")]
fn resolve(found: TeamMembership, actor: &Actor) -> Resolved {
    Resolved { scope: Scope::assume_verified(found.membership, actor), team: found.team }
}

/// Whether the credential itself may still be used: a key or a session that was revoked or has ended may not, nor a
/// browser's session that has switched to another team meanwhile. An access token has ended with the sign-in it came
/// of; by its own time otherwise.
pub async fn credential_is_live(db: &Db, actor: &Actor) -> Result<bool, DbError> {
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
    let found: Option<Lifetime> = tx.one(sql, values).await?;
    Ok(found.is_some_and(|row| row.expires_at.is_none_or(|end| now.0 < end)))
}

#[derive(FromQueryResult)]
struct Lifetime {
    expires_at: Option<i64>,
}

// ---- memberships --------------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct MembershipRecord {
    user_id: String,
    role: String,
    id: String,
    slug: String,
    name: String,
    plan_tier: String,
    created_at: i64,
}

impl TryFrom<MembershipRecord> for TeamMembership {
    type Error = DbError;

    fn try_from(row: MembershipRecord) -> Result<Self, DbError> {
        let member = format_args!("{}/{}", row.id, row.user_id);
        let role: Role = stored(&row.role, "team_members", "role", member)?;
        let user_id = stored(&row.user_id, "team_members", "user_id", member)?;
        let team = TeamRow::try_from(TeamRecord {
            id: row.id,
            slug: row.slug,
            name: row.name,
            plan_tier: row.plan_tier,
            created_at: row.created_at,
        })?;
        Ok(Self { membership: Membership { team_id: team.id.clone(), user_id, role }, team })
    }
}

const MEMBERSHIP: &str = "SELECT m.user_id, m.role, t.id, t.slug, t.name, t.plan_tier, t.created_at \
     FROM team_members m JOIN teams t ON t.id = m.team_id WHERE m.user_id = $1";

/// The membership of a person in a team.
pub async fn membership(
    db: &Db,
    user_id: &UserId,
    team_id: &TeamId,
) -> Result<Option<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.find").await?;
    let row: Option<MembershipRecord> = tx
        .one(&format!("{MEMBERSHIP} AND m.team_id = $2"), [user_id.as_str().into(), team_id.as_str().into()])
        .await?;
    row.map(TryInto::try_into).transpose()
}

async fn preferred_team(
    db: &Db,
    user_id: &UserId,
    preferred: Option<&TeamId>,
) -> Result<Option<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.prefer").await?;
    let row: Option<MembershipRecord> = tx
        .one(
            &format!(
                "{MEMBERSHIP} ORDER BY CASE WHEN m.team_id = $2 THEN 0 ELSE 1 END, m.joined_at, m.team_id LIMIT 1"
            ),
            [user_id.as_str().into(), preferred.map_or("", |id| id.as_str()).into()],
        )
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Every team that a person is a member of, the oldest membership first.
pub async fn memberships(db: &Db, user_id: &UserId) -> Result<Vec<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.list").await?;
    let rows: Vec<MembershipRecord> =
        tx.all(&format!("{MEMBERSHIP} ORDER BY m.joined_at, m.team_id"), [user_id.as_str().into()]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Teams as their longest-standing admin may touch them, by slug: for the operator's own commands, which run where the
/// database is and for no one who signed in. `request_id` names the command. `team`, an id or a slug, leaves all
/// others out. A team without any admin is left out.
pub async fn teams_for_operator(
    db: &Db,
    request_id: &RequestId,
    team: Option<&str>,
) -> Result<Vec<Resolved>, DbError> {
    let tx = db.read_system("teams.list").await?;
    let sql = "SELECT m.user_id, m.role, t.id, t.slug, t.name, t.plan_tier, t.created_at FROM teams t \
         JOIN team_members m ON m.team_id = t.id AND m.user_id = (SELECT a.user_id FROM team_members a \
           WHERE a.team_id = t.id AND a.role = $2 ORDER BY a.joined_at, a.user_id LIMIT 1) \
         WHERE $1 IN ('', t.id, t.slug) ORDER BY t.slug";
    let rows: Vec<MembershipRecord> =
        tx.all(sql, [team.unwrap_or_default().into(), Role::Admin.as_str().into()]).await?;
    let resolved = |row: MembershipRecord| {
        let found = TeamMembership::try_from(row)?;
        let actor = Actor {
            user_id: found.membership.user_id.clone(),
            credential: Credential::Operator,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: request_id.clone(),
        };
        Ok(resolve(found, &actor))
    };
    rows.into_iter().map(resolved).collect()
}

// ---- people and teams ---------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
pub(crate) struct UserRecord {
    id: String,
    username: String,
    avatar_url: Option<String>,
    email: Option<String>,
    created_at: i64,
}

impl TryFrom<UserRecord> for UserRow {
    type Error = DbError;

    fn try_from(row: UserRecord) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.id, "users", "id")?,
            username: row.username,
            avatar_url: row.avatar_url,
            email: row.email,
            created_at: Timestamp(row.created_at),
        })
    }
}

#[derive(FromQueryResult)]
pub(crate) struct TeamRecord {
    id: String,
    slug: String,
    name: String,
    plan_tier: String,
    created_at: i64,
}

impl TryFrom<TeamRecord> for TeamRow {
    type Error = DbError;

    fn try_from(row: TeamRecord) -> Result<Self, DbError> {
        Ok(Self {
            plan_tier: stored(&row.plan_tier, "teams", "plan_tier", &row.id)?,
            id: stored_id(&row.id, "teams", "id")?,
            slug: row.slug,
            name: row.name,
            created_at: Timestamp(row.created_at),
        })
    }
}

pub(super) const USER: &str = "SELECT id, username, avatar_url, email, created_at FROM users";

/// A person by id.
pub async fn user(db: &Db, id: &UserId) -> Result<Option<UserRow>, DbError> {
    let tx = db.read_system("users.find").await?;
    let row: Option<UserRecord> = tx.one(&format!("{USER} WHERE id = $1"), [id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// Everybody of that name, the oldest first, at most ten.
pub async fn users_named(db: &Db, username: &str) -> Result<Vec<UserRow>, DbError> {
    let tx = db.read_system("users.find_named").await?;
    let rows: Vec<UserRecord> = tx
        .all(&format!("{USER} WHERE username = $1 ORDER BY created_at, id LIMIT 10"), [username.into()])
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The first `limit` people, the oldest first.
pub async fn oldest_users(db: &Db, limit: u32) -> Result<Vec<UserRow>, DbError> {
    let tx = db.read_system("users.list").await?;
    let rows: Vec<UserRecord> =
        tx.all(&format!("{USER} ORDER BY created_at, id LIMIT $1"), [i64::from(limit).into()]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A team by its slug.
pub async fn team_by_slug(db: &Db, slug: &str) -> Result<Option<TeamRow>, DbError> {
    let tx = db.read_system("teams.find").await?;
    let row: Option<TeamRecord> = tx
        .one("SELECT id, slug, name, plan_tier, created_at FROM teams WHERE slug = $1", [slug.into()])
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Makes a person who signs in by link.
pub async fn create_user(db: &Db, username: &str) -> Result<UserRow, DbError> {
    let user = UserRow {
        id: new_id(db)?,
        username: username.to_owned(),
        avatar_url: None,
        email: None,
        created_at: db.clock().now(),
    };
    let row = &user;
    db.write_system("users.create", |tx| async move { insert_user(&tx, row).await }).await?;
    Ok(user)
}

/// Makes a team with its keys and its first admin. The slug comes from the name; where another team has it, a
/// number follows.
pub async fn create_team(db: &Db, name: &str, admin: &UserId) -> Result<TeamRow, DbError> {
    let team = new_team(db, name)?;
    let row = &team;
    db.write_system("teams.create", |tx| async move { insert_team(&tx, row, admin).await }).await
}

/// Makes a person and their team in one transaction: how an empty database begins.
pub async fn create_user_with_team(
    db: &Db,
    username: &str,
    team: &str,
) -> Result<(UserRow, TeamRow), DbError> {
    let user = UserRow {
        id: new_id(db)?,
        username: username.to_owned(),
        avatar_url: None,
        email: None,
        created_at: db.clock().now(),
    };
    let team = new_team(db, team)?;
    let (user_row, team_row) = (&user, &team);
    let team = db
        .write_system("teams.create_with_user", |tx| async move {
            insert_user(&tx, user_row).await?;
            insert_team(&tx, team_row, &user_row.id).await
        })
        .await?;
    Ok((user, team))
}

/// Makes a person a member of a team, or gives a member another role.
pub async fn put_member(db: &Db, team_id: &TeamId, user_id: &UserId, role: Role) -> Result<(), DbError> {
    db.write_system("memberships.put", |tx| async move { insert_member(&tx, team_id, user_id, role).await })
        .await?;
    db.commits().notify();
    Ok(())
}

pub(super) async fn insert_user(tx: &SystemTx, user: &UserRow) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO users (id, username, avatar_url, email, created_at) VALUES ($1, $2, $3, $4, $5)",
        [
            user.id.as_str().into(),
            user.username.as_str().into(),
            user.avatar_url.clone().into(),
            user.email.clone().into(),
            user.created_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn insert_member(
    tx: &SystemTx,
    team_id: &TeamId,
    user_id: &UserId,
    role: Role,
) -> Result<(), DbError> {
    let now = tx.clock().now();
    tx.execute(
        "INSERT INTO team_members (team_id, user_id, role, joined_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (team_id, user_id) DO UPDATE SET role = EXCLUDED.role",
        [team_id.as_str().into(), user_id.as_str().into(), role.as_str().into(), now.0.into()],
    )
    .await?;
    Ok(())
}

pub(super) fn new_team(db: &Db, name: &str) -> Result<TeamRow, DbError> {
    Ok(TeamRow {
        id: new_id(db)?,
        slug: slug_of(name),
        name: name.to_owned(),
        plan_tier: PlanTier::Free,
        created_at: db.clock().now(),
    })
}

pub(super) async fn insert_team(tx: &SystemTx, team: &TeamRow, admin: &UserId) -> Result<TeamRow, DbError> {
    let mut team = team.clone();
    let base = std::mem::take(&mut team.slug);
    for attempt in 1.. {
        team.slug = match attempt {
            1 => base.clone(),
            2..=NUMBERED_SLUGS => format!("{base}-{attempt}"),
            _ => format!("{base}-{}", team.id),
        };
        let inserted = tx
            .execute(
                "INSERT INTO teams (id, slug, name, plan_tier, created_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (slug) DO NOTHING",
                [
                    team.id.as_str().into(),
                    team.slug.as_str().into(),
                    team.name.as_str().into(),
                    team.plan_tier.as_str().into(),
                    team.created_at.0.into(),
                ],
            )
            .await?;
        if inserted == 1 || attempt > NUMBERED_SLUGS {
            break;
        }
    }
    insert_member(tx, &team.id, admin, Role::Admin).await?;
    tx.key_store().insert_team_keys(tx, &team.id).await?;
    Ok(team)
}

/// The letters and digits of a name in lower case, everything between them a hyphen: `Acme, Inc.` is `acme-inc`.
fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "team".to_owned() } else { slug.to_owned() }
}

// ---- API keys -----------------------------------------------------------------------------------------------

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

impl TryFrom<ApiKeyRecord> for ApiKeyRow {
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
pub async fn api_key(db: &Db, hash: &TokenHash) -> Result<Option<ApiKeyRow>, DbError> {
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

/// Makes an API key. The key itself is in the answer and nowhere else.
pub async fn create_api_key(db: &Db, new: &NewApiKey<'_>) -> Result<(ApiKeyId, ApiKeyToken), DbError> {
    let id: ApiKeyId = new_id(db)?;
    let token = ApiKeyToken::mint(db.entropy());
    let (row_id, hash, now) = (&id, token.hash().to_hex(), db.clock().now());
    let hash = &hash;
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
        .await
    })
    .await?;
    Ok((id, token))
}

/// Notes that a key was used just now, at most once every [`USE_RECORDED_EVERY_SECONDS`]: in between, nothing is
/// written.
pub async fn touch_api_key(db: &Db, key: &ApiKeyRow) -> Result<(), DbError> {
    let now = db.clock().now();
    let due = now.plus_seconds(-USE_RECORDED_EVERY_SECONDS);
    if key.last_used_at.is_some_and(|last| last > due) {
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

/// Ends a key for good. `false` where the team has no such live key.
pub async fn revoke_api_key(db: &Db, team_id: &TeamId, id: &ApiKeyId) -> Result<bool, DbError> {
    let now = db.clock().now();
    let revoked = db
        .write_system("api_keys.revoke", |tx| async move {
            tx.execute(
                "UPDATE api_keys SET revoked_at = $1 WHERE team_id = $2 AND id = $3 AND revoked_at IS NULL",
                [now.0.into(), team_id.as_str().into(), id.as_str().into()],
            )
            .await
        })
        .await?;
    db.commits().notify();
    Ok(revoked > 0)
}

// ---- browsers -----------------------------------------------------------------------------------------------

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

impl TryFrom<WebSessionRecord> for WebSessionRow {
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
pub async fn web_session(db: &Db, hash: &TokenHash) -> Result<Option<WebSessionRow>, DbError> {
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
pub async fn touch_web_session(db: &Db, session: &WebSessionRow) -> Result<Timestamp, DbError> {
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

/// Ends a browser's session for good.
pub async fn revoke_web_session(db: &Db, id: &WebSessionId) -> Result<(), DbError> {
    let now = db.clock().now();
    db.write_system("web_sessions.revoke", |tx| async move {
        tx.execute(
            "UPDATE web_sessions SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
            [now.0.into(), id.as_str().into()],
        )
        .await
    })
    .await?;
    db.commits().notify();
    Ok(())
}

/// Makes a link that signs `user_id` in once, within [`LOGIN_LINK_SECONDS`]. Links that ended a day ago are
/// forgotten on the way.
pub async fn create_login_link(db: &Db, user_id: &UserId) -> Result<OpaqueToken, DbError> {
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
        .await
    })
    .await?;
    Ok(token)
}

#[derive(FromQueryResult)]
struct LinkOwner {
    user_id: String,
}

/// Uses a login link up and opens a browser session for whom it was made. `None` where there is no such link, it
/// has ended, or it was used: of two who try at once, one gets in.
pub async fn redeem_login_link(db: &Db, hash: &TokenHash) -> Result<Option<OpenedWebSession>, DbError> {
    let token = OpaqueToken::mint(WEB_SESSION_PREFIX, db.entropy());
    let id: WebSessionId = new_id(db)?;
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
            Ok(Some(user_id))
        })
        .await?;
    Ok(user_id.map(|user_id| OpenedWebSession { user_id, token }))
}

// ---- helpers ------------------------------------------------------------------------------------------------

pub(super) fn new_id<T: TryFrom<String, Error = IdError>>(db: &Db) -> Result<T, DbError> {
    Ok(new_row_id(db.clock(), db.entropy()).try_into()?)
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn a_slug_is_what_an_address_can_hold() {
        for (name, slug) in [
            ("Acme, Inc.", "acme-inc"),
            ("  --orchard--  ", "orchard"),
            ("Ünïcode", "n-code"),
            ("日本", "team"),
            ("", "team"),
        ] {
            assert_eq!(slug_of(name), slug, "{name:?}");
        }
        assert!(slug_of(&"x".repeat(500)).len() <= 60);
    }
}
