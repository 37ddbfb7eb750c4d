//! What a backup needs of the database itself: a copy or a snapshot of one moment, and the rows of `team_keys`, which are
//! kept apart from the rest. On PostgreSQL, the programs of PostgreSQL write and read everything else.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, FromQueryResult};
use serde::{Deserialize, Serialize};

use crate::tx::SystemTx;
use crate::{Db, DbError, Dialect};

/// A row of `team_keys`: a team key, wrapped by the KEK.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, FromQueryResult)]
pub struct StoredKey {
    team_id: String,
    purpose: String,
    version: i64,
    wrapped: String,
    kek_id: String,
    active: bool,
    created_at: i64,
    uses: i64,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey")
            .field("team_id", &self.team_id)
            .field("purpose", &self.purpose)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "team_id, purpose, version, wrapped, kek_id, active, created_at, uses";

async fn stored_keys(tx: &SystemTx) -> Result<Vec<StoredKey>, DbError> {
    tx.all(&format!("SELECT {COLUMNS} FROM team_keys ORDER BY team_id, purpose, version"), []).await
}

/// PostgreSQL as it was at one moment, for as long as this exists, but at most a minute without use.
pub struct Snapshot {
    /// The name by which other sessions see the same moment (`pg_dump --snapshot`).
    pub name: String,
    /// The team keys of that moment.
    pub keys: Vec<StoredKey>,
    /// Keeps the snapshot.
    _tx: SystemTx,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A snapshot of PostgreSQL.
///
/// # Errors
/// [`DbError::RowMissing`] on another database.
pub async fn snapshot(db: &Db) -> Result<Snapshot, DbError> {
    let missing = || DbError::RowMissing { table: "pg_snapshots", row: "a new snapshot".to_owned() };
    if db.dialect() != Dialect::Postgres {
        return Err(missing());
    }
    let tx = db.read_system("backup.snapshot").await?;
    let keys = stored_keys(&tx).await?;
    let rows = tx.rows("SELECT pg_export_snapshot() AS name", []).await?;
    let name = rows.first().ok_or_else(missing)?.try_get("", "name")?;
    Ok(Snapshot { name, keys, _tx: tx })
}

/// Writes SQLite as it is at one moment to an empty file. Servers go on reading and writing.
pub async fn copy_to(db: &Db, file: &Path) -> Result<(), DbError> {
    let name = file.display().to_string().replace('\'', "''");
    db.writer().execute_unprepared(&format!("VACUUM INTO '{name}'")).await?;
    Ok(())
}

/// Takes the team keys out of a copy of the database. The file of a SQLite copy does not contain them afterwards.
pub async fn take_keys(copy: &Db) -> Result<Vec<StoredKey>, DbError> {
    let keys = copy
        .write_system("backup.take_keys", |tx| async move {
            let keys = stored_keys(&tx).await?;
            tx.execute("DELETE FROM team_keys", []).await?;
            Ok(keys)
        })
        .await?;
    copy.writer().execute_unprepared("VACUUM").await?;
    Ok(keys)
}

/// The statements that store team keys as [`put_keys`] does, for a program of PostgreSQL that has restored the tables.
#[must_use]
pub fn keys_as_sql(keys: &[StoredKey]) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut sql = String::from("RESET search_path;\nDELETE FROM replicas;\n");
    for key in keys {
        let StoredKey { team_id, purpose, version, wrapped, kek_id, active, created_at, uses } = key;
        let (team_id, purpose) = (text(team_id), text(purpose));
        let (wrapped, kek_id) = (text(wrapped), text(kek_id));
        sql.push_str(&format!(
            "INSERT INTO team_keys ({COLUMNS}) VALUES ({team_id}, {purpose}, {version}, {wrapped}, {kek_id}, {active}, \
             {created_at}, {uses}) ON CONFLICT DO NOTHING;\n"
        ));
    }
    sql
}

/// Stores the team keys of a backup; returns how many. Keys that are stored already are left as they are. The replicas
/// that reported before the backup are forgotten: they do not run on this database.
pub async fn put_keys(db: &Db, keys: &[StoredKey]) -> Result<u64, DbError> {
    db.write_system("backup.put_keys", |tx| async move {
        tx.execute("DELETE FROM replicas", []).await?;
        insert_keys(&tx, keys).await
    })
    .await
}

/// Stores all team keys of SQLite again. Pages of the table may contain copies of rows that were moved to other pages; they
/// are overwritten when the table is emptied.
pub(crate) async fn rewrite_keys(tx: &SystemTx) -> Result<(), DbError> {
    let keys = stored_keys(tx).await?;
    tx.execute("DELETE FROM team_keys", []).await?;
    insert_keys(tx, &keys).await?;
    Ok(())
}

async fn insert_keys(tx: &SystemTx, keys: &[StoredKey]) -> Result<u64, DbError> {
    let sql = format!(
        "INSERT INTO team_keys ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (team_id, purpose, version) DO NOTHING"
    );
    let mut stored = 0;
    for key in keys {
        let StoredKey { team_id, purpose, version, wrapped, kek_id, active, created_at, uses } = key.clone();
        let values = [
            team_id.into(),
            purpose.into(),
            version.into(),
            wrapped.into(),
            kek_id.into(),
            active.into(),
            created_at.into(),
            uses.into(),
        ];
        stored += tx.execute(&sql, values).await?;
    }
    Ok(stored)
}
