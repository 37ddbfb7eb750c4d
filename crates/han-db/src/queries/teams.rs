//! A team and its members: who is in, as what, and how that changes. Every change locks the team's row first and
//! reads the roles after that, so that people who act at once see each other's doing. How a team comes to be is in
//! `identity`; how people come in, in `invites`.

use han_types::{Role, Scope, TeamId, Timestamp, UserId, WebSessionId};
use sea_orm::FromQueryResult;

use crate::dialect::Dialect;
use crate::page::MAX_PAGE;
use crate::queries::identity::{TeamRecord, TeamRow, UserRecord, UserRow};
use crate::stored::{CountRow, stored};
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// A member of a team.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Who.
    pub user: UserRow,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// What became of a change that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeamChange {
    /// It is done.
    Done,
    /// Only an admin of the team may; or whoever asks is no member any more.
    NotAllowed,
    /// The team has no such member, invite or key.
    NotFound,
    /// It would leave the team without an admin.
    LastAdmin,
}

#[derive(FromQueryResult)]
struct MemberRecord {
    #[sea_orm(nested)]
    user: UserRecord,
    role: String,
    joined_at: i64,
}

impl TryFrom<MemberRecord> for MemberRow {
    type Error = DbError;

    fn try_from(row: MemberRecord) -> Result<Self, DbError> {
        let user = UserRow::try_from(row.user)?;
        Ok(Self {
            role: stored(&row.role, "team_members", "role", &user.id)?,
            joined_at: Timestamp(row.joined_at),
            user,
        })
    }
}

const MEMBER: &str = "SELECT u.id, u.username, u.avatar_url, u.email, u.created_at, m.role, m.joined_at \
     FROM team_members m JOIN users u ON u.id = m.user_id WHERE m.team_id = $1";

/// The team's members, the oldest membership first: up to `first` (at most [`MAX_PAGE`]) of those after `after`.
pub async fn members(
    scope: &Scope,
    db: &Db,
    after: Option<&UserId>,
    first: usize,
) -> Result<Vec<MemberRow>, DbError> {
    let after_key = match after {
        Some(_) => {
            " AND (m.joined_at, m.user_id) > \
               (SELECT joined_at, user_id FROM team_members WHERE team_id = $1 AND user_id = $3)"
        }
        None => "",
    };
    let sql = format!("{MEMBER}{after_key} ORDER BY m.joined_at, m.user_id LIMIT $2");
    let first = i64::try_from(first.min(MAX_PAGE)).unwrap_or(0);
    let values = [scope.team_id().as_str().into(), first.into()];
    let after = after.map(|id| id.as_str().into());
    let tx = db.read_system("memberships.page").await?;
    let rows: Vec<MemberRecord> = tx.all(&sql, values.into_iter().chain(after)).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One member of the team.
pub async fn member(scope: &Scope, db: &Db, user_id: &UserId) -> Result<Option<MemberRow>, DbError> {
    let tx = db.read_system("memberships.find").await?;
    let sql = format!("{MEMBER} AND m.user_id = $2");
    let row: Option<MemberRecord> =
        tx.one(&sql, [scope.team_id().as_str().into(), user_id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// Gives the team another name; its slug stays, since links and command lines have it.
pub async fn rename(scope: &Scope, db: &Db, name: &str) -> Result<TeamChange, DbError> {
    let team = scope.team_id();
    db.write_system_for(scope, "teams.rename", |tx| async move {
        if !is_admin(&tx, team, scope.user_id()).await? {
            return Ok(TeamChange::NotAllowed);
        }
        tx.execute("UPDATE teams SET name = $1 WHERE id = $2", [name.into(), team.as_str().into()]).await?;
        Ok(TeamChange::Done)
    })
    .await
}

/// Gives a member another role.
pub async fn set_role(scope: &Scope, db: &Db, user_id: &UserId, role: Role) -> Result<TeamChange, DbError> {
    let team = scope.team_id();
    let change = db
        .write_system_for(scope, "memberships.set_role", |tx| async move {
            lock(&tx, team).await?;
            if !is_admin(&tx, team, scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            match role_of(&tx, team, user_id).await? {
                None => return Ok(TeamChange::NotFound),
                Some(Role::Admin) if role == Role::Member && admins(&tx, team).await? < 2 => {
                    return Ok(TeamChange::LastAdmin);
                }
                Some(_) => {}
            }
            tx.execute(
                "UPDATE team_members SET role = $1 WHERE team_id = $2 AND user_id = $3",
                [role.as_str().into(), team.as_str().into(), user_id.as_str().into()],
            )
            .await?;
            Ok(TeamChange::Done)
        })
        .await?;
    db.commits().notify();
    Ok(change)
}

/// Puts a member out of the team. Their keys for it end with the membership; what they pushed stays.
pub async fn remove(scope: &Scope, db: &Db, user_id: &UserId) -> Result<TeamChange, DbError> {
    let team = scope.team_id();
    let change = db
        .write_system_for(scope, "memberships.remove", |tx| async move {
            lock(&tx, team).await?;
            if !is_admin(&tx, team, scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            end_membership(&tx, team, user_id).await
        })
        .await?;
    db.commits().notify();
    Ok(change)
}

/// Leaves the team.
pub async fn leave(scope: &Scope, db: &Db) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "memberships.leave", |tx| async move {
            lock(&tx, scope.team_id()).await?;
            end_membership(&tx, scope.team_id(), scope.user_id()).await
        })
        .await?;
    db.commits().notify();
    Ok(change)
}

/// Makes it the team that a browser's session sees. Says whether the session is the scope's own and still lives.
pub async fn switch(scope: &Scope, db: &Db, session: &WebSessionId) -> Result<bool, DbError> {
    let switched = db
        .write_system_for(scope, "web_sessions.switch_team", |tx| async move {
            tx.execute(
                "UPDATE web_sessions SET active_team_id = $1 WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL",
                [
                    scope.team_id().as_str().into(),
                    session.as_str().into(),
                    scope.user_id().as_str().into(),
                ],
            )
            .await
        })
        .await?;
    db.commits().notify();
    Ok(switched > 0)
}

async fn end_membership(tx: &SystemTx, team: &TeamId, user_id: &UserId) -> Result<TeamChange, DbError> {
    match role_of(tx, team, user_id).await? {
        None => return Ok(TeamChange::NotFound),
        Some(Role::Admin) if admins(tx, team).await? < 2 => return Ok(TeamChange::LastAdmin),
        Some(_) => {}
    }
    tx.execute(
        "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2",
        [team.as_str().into(), user_id.as_str().into()],
    )
    .await?;
    // Otherwise they would live again should the person come back.
    tx.execute(
        "UPDATE api_keys SET revoked_at = $1 WHERE team_id = $2 AND user_id = $3 AND revoked_at IS NULL",
        [tx.clock().now().0.into(), team.as_str().into(), user_id.as_str().into()],
    )
    .await?;
    Ok(TeamChange::Done)
}

// ---- what changes to a team, its invites and its keys begin with --------------------------------------------

/// Waits until nobody else is changing the team, and reads it. SQLite has one writer anyway.
pub(crate) async fn lock(tx: &SystemTx, team: &TeamId) -> Result<TeamRow, DbError> {
    let lock = if tx.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT id, slug, name, plan_tier, created_at FROM teams WHERE id = $1{lock}");
    let row: Option<TeamRecord> = tx.one(&sql, [team.as_str().into()]).await?;
    row.ok_or_else(|| DbError::RowMissing { table: "teams", row: team.to_string() })?.try_into()
}

#[derive(FromQueryResult)]
struct RoleRecord {
    role: String,
}

/// The role of a person in the team at this moment.
pub(crate) async fn role_of(tx: &Tx, team: &TeamId, user_id: &UserId) -> Result<Option<Role>, DbError> {
    let sql = "SELECT role FROM team_members WHERE team_id = $1 AND user_id = $2";
    let row: Option<RoleRecord> = tx.one(sql, [team.as_str().into(), user_id.as_str().into()]).await?;
    row.map(|row| stored(&row.role, "team_members", "role", format_args!("{team}/{user_id}"))).transpose()
}

/// Whether a person is an admin of the team at this moment.
pub(crate) async fn is_admin(tx: &Tx, team: &TeamId, user_id: &UserId) -> Result<bool, DbError> {
    Ok(role_of(tx, team, user_id).await? == Some(Role::Admin))
}

async fn admins(tx: &SystemTx, team: &TeamId) -> Result<i64, DbError> {
    count(tx, "SELECT COUNT(*) AS n FROM team_members WHERE team_id = $1 AND role = 'admin'", team).await
}

/// How many members the team has at this moment.
pub(crate) async fn member_count(tx: &SystemTx, team: &TeamId) -> Result<i64, DbError> {
    count(tx, "SELECT COUNT(*) AS n FROM team_members WHERE team_id = $1", team).await
}

async fn count(tx: &SystemTx, sql: &str, team: &TeamId) -> Result<i64, DbError> {
    Ok(tx.one::<CountRow, _>(sql, [team.as_str().into()]).await?.map_or(0, |row| row.n))
}
