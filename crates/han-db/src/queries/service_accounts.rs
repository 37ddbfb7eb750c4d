//! Service accounts: users that are programs. Each is in one team, has the rights of a member there through its API keys,
//! and is listed apart from members. It cannot sign in: triggers refuse its credentials of persons
//! (`migrations::m0012_retention`). Admins look after it, and after its keys.
//!
//! Its row stays when it is removed, until its team is deleted: its sessions have its name.

use std::collections::BTreeSet;

use han_crypto::ApiKeyToken;
use han_types::{Scope, TeamId, Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::entities::ListedApiKey;
use crate::queries::api_keys::{self, MAX_KEYS, NewKey};
use crate::queries::audit::{Entry, Event};
use crate::queries::teams::{self, TeamChange};
use crate::queries::users;
use crate::stored::{CountRow, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{ActingTx, SystemTx, Tx};
use crate::{Db, DbError};

/// The most service accounts of a team.
pub const MAX_ACCOUNTS: usize = 50;

/// The most days after which a key of a service account expires.
pub const MAX_KEY_DAYS: i64 = 366;

/// What a key of a service account allows.
const SCOPES: &str = "sync:write";

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its id among users.
    pub id: UserId,
    /// Its name, unique in its team.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What became of a wish for a service account, or for another name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// It is stored.
    Done(ServiceAccount),
    /// Only an admin of the team may.
    NotAllowed,
    /// The team has no such account.
    NotFound,
    /// Another account of the team has the name.
    NameTaken,
    /// The team has [`MAX_ACCOUNTS`] already.
    TooMany,
}

/// What became of a wish for a key of a service account.
#[derive(Debug)]
pub enum AccountKey {
    /// Its row, and the key itself, which is stored nowhere.
    Done(Box<ListedApiKey>, ApiKeyToken),
    /// Only an admin of the team may.
    NotAllowed,
    /// The team has no such account.
    NotFound,
    /// The account has [`MAX_KEYS`] already.
    TooMany,
}

#[derive(FromQueryResult)]
struct AccountRow {
    id: String,
    username: String,
    created_at: i64,
}

impl TryFrom<AccountRow> for ServiceAccount {
    type Error = DbError;

    fn try_from(row: AccountRow) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.id, "users", "id")?,
            name: row.username,
            created_at: Timestamp(row.created_at),
        })
    }
}

const ACCOUNT: &str =
    "SELECT id, username, created_at FROM users WHERE removed_at IS NULL AND service_team =";

/// The service accounts of a team, the oldest first. The caller has checked that they may see the team.
pub async fn list(db: &Db, team_id: &TeamId) -> Result<Vec<ServiceAccount>, DbError> {
    let tx = db.read_system("service_accounts.list").await?;
    let sql = format!("{ACCOUNT} (SELECT number FROM teams WHERE id = $1) ORDER BY created_at, id");
    let rows: Vec<AccountRow> = tx.all(&sql, [team_id.as_str().into()]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The ids of all service accounts that a team has or had. The caller has checked that they may see the team.
pub async fn all_ids(db: &Db, team_id: &TeamId) -> Result<BTreeSet<UserId>, DbError> {
    let tx = db.read_system("service_accounts.ids").await?;
    let sql = "SELECT id FROM users WHERE service_team = (SELECT number FROM teams WHERE id = $1)";
    users::ids(&tx, sql, [team_id.as_str().into()]).await
}

/// Makes a service account in the scope's team.
pub async fn create(scope: &Scope, db: &Db, name: &str) -> Result<AccountChange, DbError> {
    let account = ServiceAccount { id: db.new_id()?, name: name.to_owned(), created_at: db.clock().now() };
    let row = &account;
    let change = db
        .write_system_for(scope, "service_accounts.create", |tx| async move {
            if !lock(&tx).await? {
                return Ok(AccountChange::NotAllowed);
            }
            let team = tx.team_number();
            if is_taken(&tx, name).await? {
                return Ok(AccountChange::NameTaken);
            }
            let sql = "SELECT count(*) AS n FROM users WHERE service_team = $1 AND removed_at IS NULL";
            let known = tx.one::<CountRow, _>(sql, [team.into()]).await?.map_or(0, |row| row.n);
            if usize::try_from(known).is_ok_and(|known| known >= MAX_ACCOUNTS) {
                return Ok(AccountChange::TooMany);
            }
            insert(&tx, team, row).await?;
            tx.log().write(Entry::new(Event::ServiceAccountCreated).about_user(&row.id)).await?;
            Ok(AccountChange::Done(row.clone()))
        })
        .await?;
    if matches!(change, AccountChange::Done(_)) {
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), account = %account.id,
            "a service account was made");
    }
    Ok(change)
}

/// Stores a new service account, whose name is free.
pub(super) async fn insert(tx: &SystemTx, team: TeamNumber, account: &ServiceAccount) -> Result<(), DbError> {
    let sql =
        "INSERT INTO users (id, username, created_at, kind, service_team) VALUES ($1, $2, $3, 'service', $4)";
    let values =
        [account.id.as_str().into(), account.name.as_str().into(), account.created_at.0.into(), team.into()];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Gives a service account another name.
pub async fn rename(scope: &Scope, db: &Db, id: &UserId, name: &str) -> Result<AccountChange, DbError> {
    db.write_system_for(scope, "service_accounts.rename", |tx| async move {
        if !lock(&tx).await? {
            return Ok(AccountChange::NotAllowed);
        }
        let Some(found) = find(&tx, id).await? else { return Ok(AccountChange::NotFound) };
        if found.name != name && is_taken(&tx, name).await? {
            return Ok(AccountChange::NameTaken);
        }
        tx.execute("UPDATE users SET username = $2 WHERE id = $1", [id.as_str().into(), name.into()]).await?;
        tx.log().write(Entry::new(Event::ServiceAccountRenamed).about_user(id)).await?;
        Ok(AccountChange::Done(ServiceAccount { name: name.to_owned(), ..found }))
    })
    .await
}

/// Removes a service account: its keys end at once, what it pushed stays.
pub async fn remove(scope: &Scope, db: &Db, id: &UserId) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "service_accounts.remove", |tx| async move {
            if !lock(&tx).await? {
                return Ok(TeamChange::NotAllowed);
            }
            if find(&tx, id).await?.is_none() {
                return Ok(TeamChange::NotFound);
            }
            let now = tx.clock().now().0;
            tx.execute("UPDATE users SET removed_at = $2 WHERE id = $1", [id.as_str().into(), now.into()])
                .await?;
            api_keys::revoke_of_owner(&tx, tx.team_id(), id).await?;
            tx.log().write(Entry::new(Event::ServiceAccountRemoved).about_user(id)).await?;
            Ok(TeamChange::Done)
        })
        .await?;
    db.rights_changed();
    if change == TeamChange::Done {
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), account = %id,
            "a service account was removed");
    }
    Ok(change)
}

/// Makes a key of a service account, which can push and nothing else.
pub async fn create_key(
    scope: &Scope,
    db: &Db,
    account: &UserId,
    name: &str,
    expires_at: Timestamp,
) -> Result<AccountKey, DbError> {
    let (id, token) = (db.new_id()?, ApiKeyToken::mint(db.entropy()));
    let new = &NewKey {
        id: &id,
        hash: &token.hash().to_hex(),
        owner: account,
        name,
        scopes: SCOPES,
        expires_at: Some(expires_at),
    };
    let made = db
        .write_system_for(scope, "service_accounts.create_key", |tx| async move {
            if !lock(&tx).await? {
                return Ok(Err(AccountKey::NotAllowed));
            }
            if find(&tx, account).await?.is_none() {
                return Ok(Err(AccountKey::NotFound));
            }
            if api_keys::live(&tx, tx.team_id(), Some(account)).await?.len() >= MAX_KEYS {
                return Ok(Err(AccountKey::TooMany));
            }
            let row = api_keys::insert(&tx, new).await?;
            let entry = api_keys::created(&row.id, SCOPES, Some(expires_at)).with_user("owner", account);
            tx.log().write(entry).await?;
            Ok(Ok(row))
        })
        .await?;
    Ok(match made {
        Ok(row) => {
            tracing::info!(team = %scope.team_id(), by = %scope.user_id(), %account, api_key = %row.id,
                "a key of a service account was made");
            AccountKey::Done(Box::new(row), token)
        }
        Err(refused) => refused,
    })
}

/// Whether a user is, or was, a service account of the team.
pub(crate) async fn is_of_team(tx: &Tx, team: TeamNumber, id: &UserId) -> Result<bool, DbError> {
    let sql = "SELECT id FROM users WHERE service_team = $1 AND id = $2";
    Ok(!tx.rows(sql, [team.into(), id.as_str().into()]).await?.is_empty())
}

/// Locks the team; returns whether the caller is an admin of it.
async fn lock(tx: &ActingTx) -> Result<bool, DbError> {
    teams::lock(tx, tx.team_id()).await?;
    teams::is_admin(tx, tx.team_number(), tx.scope().user_id()).await
}

async fn find(tx: &ActingTx, id: &UserId) -> Result<Option<ServiceAccount>, DbError> {
    let sql = format!("{ACCOUNT} $1 AND id = $2");
    let row: Option<AccountRow> = tx.one(&sql, [tx.team_number().into(), id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

async fn is_taken(tx: &ActingTx, name: &str) -> Result<bool, DbError> {
    let sql = format!("{ACCOUNT} $1 AND username = $2");
    Ok(!tx.rows(&sql, [tx.team_number().into(), name.into()]).await?.is_empty())
}
