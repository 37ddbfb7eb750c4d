//! Users: finding and making them. How a user comes back from GitHub is in `sign_ins`.

use han_types::{Timestamp, UserId};
use sea_orm::{FromQueryResult, QueryResult, Value};

use crate::entities::User;
use crate::stored::stored_id;
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError, ScopedTx};

#[derive(FromQueryResult)]
pub(crate) struct UserRecord {
    id: String,
    username: String,
    avatar_url: Option<String>,
    email: Option<String>,
    created_at: i64,
}

impl TryFrom<UserRecord> for User {
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

pub(super) const USER: &str = "SELECT id, username, avatar_url, email, created_at FROM users";

/// The ids of users that a statement selects as `id`.
pub(super) async fn ids<C: FromIterator<UserId>>(
    tx: &Tx,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<C, DbError> {
    let rows = tx.rows(sql, values).await?;
    let id = |row: &QueryResult| {
        let id: String = row.try_get("", "id")?;
        stored_id(&id, "users", "id")
    };
    rows.iter().map(id).collect()
}

/// A user by id: a person, or a service account.
pub async fn by_id(db: &Db, id: &UserId) -> Result<Option<User>, DbError> {
    let tx = db.read_system("users.find").await?;
    let row: Option<UserRecord> = tx.one(&format!("{USER} WHERE id = $1"), [id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// As [`by_id`], but no service account.
pub async fn person_by_id(db: &Db, id: &UserId) -> Result<Option<User>, DbError> {
    let tx = db.read_system("users.find_person").await?;
    let sql = format!("{USER} WHERE id = $1 AND kind = 'person'");
    let row: Option<UserRecord> = tx.one(&sql, [id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// Everybody of that name, the oldest first, at most ten. Service accounts are left out.
pub async fn by_name(db: &Db, username: &str) -> Result<Vec<User>, DbError> {
    let tx = db.read_system("users.find_named").await?;
    let rows: Vec<UserRecord> = tx
        .all(
            &format!("{USER} WHERE username = $1 AND kind = 'person' ORDER BY created_at, id LIMIT 10"),
            [username.into()],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The first `limit` people, the oldest first. Service accounts are left out.
pub async fn oldest(db: &Db, limit: u32) -> Result<Vec<User>, DbError> {
    let tx = db.read_system("users.list").await?;
    let rows: Vec<UserRecord> = tx
        .all(
            &format!("{USER} WHERE kind = 'person' ORDER BY created_at, id LIMIT $1"),
            [i64::from(limit).into()],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The users with these ids whose names the data of a team shows: its members, and the owners of its sessions.
pub async fn by_ids(tx: &ScopedTx, ids: &[UserId]) -> Result<Vec<User>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let ids = dialect.list(ids.iter().map(UserId::as_str));
    let (sql, values) = dialect.users_of_team(tx.team(), ids);
    let rows: Vec<UserRecord> = tx.all(&sql, values).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Makes a person who signs in by link.
pub async fn create(db: &Db, username: &str) -> Result<User, DbError> {
    let user = new_user(db, username)?;
    let row = &user;
    db.write_system("users.create", |tx| async move { insert_user(&tx, row).await }).await?;
    Ok(user)
}

pub(super) fn new_user(db: &Db, username: &str) -> Result<User, DbError> {
    Ok(User {
        id: db.new_id()?,
        username: username.to_owned(),
        avatar_url: None,
        email: None,
        created_at: db.clock().now(),
    })
}

pub(super) async fn insert_user(tx: &SystemTx, user: &User) -> Result<(), DbError> {
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
