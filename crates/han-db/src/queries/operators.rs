//! What an operator lists and ends on the command line: users, members and keys of all teams. No one who signed in gets
//! here; the commands run where the database is.

use han_types::{ApiKeyId, Role, TeamId, Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::entities::{TeamMember, User};
use crate::queries::audit::{Entry, Event};
use crate::queries::teams::{self, MemberRecord, TeamChange};
use crate::queries::users::UserRecord;
use crate::stored::stored_id;
use crate::team_numbers::TeamNumber;
use crate::{Db, DbError};

/// A user, with the number of live credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The user.
    pub user: User,
    /// GitHub's number of the account, if the user has signed in through GitHub.
    pub github_id: Option<i64>,
    /// The number of teams.
    pub teams: i64,
    /// Browsers and programs that are signed in.
    pub sign_ins: i64,
    /// API keys, in all teams.
    pub keys: i64,
}

#[derive(FromQueryResult)]
struct UserCounts {
    #[sea_orm(nested)]
    user: UserRecord,
    github_id: Option<i64>,
    teams: i64,
    sign_ins: i64,
    keys: i64,
}

/// Users by age, the oldest first: up to `limit` of those after `after`. Service accounts are left out.
pub async fn users(db: &Db, after: Option<&User>, limit: u32) -> Result<Vec<UserRow>, DbError> {
    let tx = db.read_system("users.list").await?;
    let (at, id) = after.map_or((i64::MIN, ""), |user| (user.created_at.0, user.id.as_str()));
    let rows: Vec<UserCounts> = tx
        .all(
            "SELECT u.id, u.username, u.avatar_url, u.email, u.created_at, u.github_id, \
               (SELECT count(*) FROM team_members m WHERE m.user_id = u.id) AS teams, \
               (SELECT count(*) FROM web_sessions c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                  AND c.expires_at > $3) + \
               (SELECT count(*) FROM token_families c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                  AND c.expires_at > $3) AS sign_ins, \
               (SELECT count(*) FROM api_keys c WHERE c.user_id = u.id AND c.revoked_at IS NULL \
                  AND (c.expires_at IS NULL OR c.expires_at > $3)) AS keys \
             FROM users u WHERE u.kind = 'person' AND (u.created_at, u.id) > ($1, $2) ORDER BY u.created_at, u.id LIMIT $4",
            [at.into(), id.into(), db.clock().now().0.into(), i64::from(limit).into()],
        )
        .await?;
    let row = |row: UserCounts| {
        Ok(UserRow {
            user: row.user.try_into()?,
            github_id: row.github_id,
            teams: row.teams,
            sign_ins: row.sign_ins,
            keys: row.keys,
        })
    };
    rows.into_iter().map(row).collect()
}

/// Every member of a team, the oldest membership first.
pub async fn members(db: &Db, team_id: &TeamId) -> Result<Vec<TeamMember>, DbError> {
    let tx = db.read_system("memberships.list").await?;
    let sql = format!("{} ORDER BY m.joined_at, m.user_id", teams::MEMBER);
    let rows: Vec<MemberRecord> = tx.all(&sql, [team_id.as_str().into()]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Ends a membership, and the keys of the user for the team. The last admin cannot be removed.
pub async fn remove_member(db: &Db, team_id: &TeamId, user_id: &UserId) -> Result<TeamChange, DbError> {
    let team = db.team_number(team_id).await?;
    let change = db
        .write_system("memberships.end", |tx| async move {
            teams::lock(&tx, team_id).await?;
            teams::end_membership(&tx, &tx.log_of(team_id, team), team_id, user_id).await
        })
        .await?;
    db.rights_changed();
    Ok(change)
}

/// Gives a member another role. The last admin stays one.
pub async fn set_role(
    db: &Db,
    team_id: &TeamId,
    user_id: &UserId,
    role: Role,
) -> Result<TeamChange, DbError> {
    let team = db.team_number(team_id).await?;
    let change = db
        .write_system("memberships.role", |tx| async move {
            teams::lock(&tx, team_id).await?;
            teams::change_role(&tx, &tx.log_of(team_id, team), user_id, role).await
        })
        .await?;
    db.rights_changed();
    Ok(change)
}

/// A live API key of any team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The slug of its team.
    pub team: String,
    /// The name of its owner.
    pub user: String,
    /// `read`, `sync:write`, separated by spaces.
    pub scopes: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used, approximately.
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct KeyRecord {
    id: String,
    name: String,
    team: String,
    owner: String,
    scopes: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
}

/// Live keys, the newest first, at most 10,000; only those of a team or of a user, if one is given.
pub async fn keys(
    db: &Db,
    team_id: Option<&TeamId>,
    user_id: Option<&UserId>,
) -> Result<Vec<KeyRow>, DbError> {
    let tx = db.read_system("api_keys.list_all").await?;
    let rows: Vec<KeyRecord> = tx
        .all(
            "SELECT k.id, k.name, t.slug AS team, u.username AS owner, k.scopes, k.created_at, k.last_used_at, \
               k.expires_at FROM api_keys k JOIN teams t ON t.id = k.team_id JOIN users u ON u.id = k.user_id \
             WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1) \
               AND $2 IN ('', k.team_id) AND $3 IN ('', k.user_id) \
             ORDER BY k.created_at DESC, k.id DESC LIMIT 10000",
            [
                db.clock().now().0.into(),
                team_id.map_or("", TeamId::as_str).into(),
                user_id.map_or("", UserId::as_str).into(),
            ],
        )
        .await?;
    let row = |row: KeyRecord| {
        Ok(KeyRow {
            id: stored_id(&row.id, "api_keys", "id")?,
            name: row.name,
            team: row.team,
            user: row.owner,
            scopes: row.scopes,
            created_at: Timestamp(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp),
            expires_at: row.expires_at.map(Timestamp),
        })
    };
    rows.into_iter().map(row).collect()
}

#[derive(FromQueryResult)]
struct RevokedRow {
    number: Option<i32>,
    team_id: String,
}

/// Ends a key of any team. Returns false if no live key has this id.
pub async fn revoke_key(db: &Db, id: &ApiKeyId) -> Result<bool, DbError> {
    let now = db.clock().now();
    let revoked = db
        .write_system("api_keys.revoke_any", |tx| async move {
            let sql = "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL RETURNING \
                       (SELECT t.number FROM teams t WHERE t.id = team_id) AS number, team_id";
            let values = [now.0.into(), id.as_str().into()];
            let Some(RevokedRow { number, team_id }) = tx.one(sql, values).await? else { return Ok(false) };
            // The team may be deleted at this moment.
            if let Some(number) = number {
                let log =
                    tx.log_of(&stored_id(&team_id, "api_keys", "team_id")?, TeamNumber::of_column(number));
                log.write(Entry::new(Event::KeyRevoked).about("api_key", id.as_str())).await?;
            }
            Ok(true)
        })
        .await?;
    db.rights_changed();
    Ok(revoked)
}
