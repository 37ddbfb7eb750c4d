//! Deleting a team: first its keys, in one transaction, which makes its sealed content unreadable; then its rows, in
//! batches. docs/SECURITY.md says what becomes unreadable with the keys, and what does not.

use han_types::TeamId;

use crate::queries::audit::{Entry, Event};
use crate::queries::team_work::{self, Advance, Work, WorkKind};
use crate::queries::{billing, replicas};
use crate::tables::TENANT_TABLES;
use crate::team_numbers::TeamNumber;
use crate::tx::SystemTx;
use crate::{Db, DbError, Dialect, backup};

/// Tables of the system whose rows name a team by its text id. `changes` is trimmed by age.
const BY_TEXT_ID: &[&str] = &["api_keys", "team_keys"];

/// Destroys the keys of a team, and ends every right to it. From then on its sealed content cannot be opened. The job
/// `team-work` deletes its rows.
///
/// # Errors
/// [`DbError::RowMissing`] if there is no such team.
pub async fn begin(db: &Db, team_id: &TeamId) -> Result<(), DbError> {
    let team = db.team_number(team_id).await?;
    let begun = db
        .write_system("team_deletion.begin", |tx| async move { begin_in(&tx, team_id, team).await })
        .await?;
    after_commit(db, &[begun]).await;
    Ok(())
}

/// A team whose keys are destroyed in a transaction, which has not committed yet.
pub(crate) struct BegunDeletion {
    team_id: TeamId,
    /// The epoch of the team keys without it.
    epoch: i64,
}

/// As [`begin`], in the caller's transaction. The caller calls [`after_commit`].
pub(crate) async fn begin_in(
    tx: &SystemTx,
    team_id: &TeamId,
    team: TeamNumber,
) -> Result<BegunDeletion, DbError> {
    let epoch = replicas::next_epoch(tx).await?;
    billing::end(tx, team_id, team).await?;
    for table in BY_TEXT_ID {
        let sql = format!("DELETE FROM {table} WHERE team_id = $1");
        tx.execute(&sql, [team_id.as_str().into()]).await?;
    }
    if tx.dialect() == Dialect::Sqlite {
        backup::rewrite_keys(tx).await?;
    }
    // Triggers tell every replica that the members have no right any more.
    for table in ["team_members", "team_invites"] {
        tx.execute(&format!("DELETE FROM {table} WHERE team = $1"), [team.into()]).await?;
    }
    let sql = "UPDATE web_sessions SET active_team_id = NULL WHERE active_team_id = $1";
    tx.execute(sql, [team_id.as_str().into()]).await?;
    tx.execute("DELETE FROM team_work WHERE team_id = $1", [team_id.as_str().into()]).await?;
    team_work::request(tx, team_id, WorkKind::Delete, "", epoch).await?;
    let entry = Entry::new(Event::TeamDeleted).about("team", team_id.as_str());
    tx.log_of_server().write(entry).await?;
    Ok(BegunDeletion { team_id: team_id.clone(), epoch })
}

/// What remains to be done when the transaction of [`begin_in`] has committed: this process forgets the keys, and the WAL
/// of SQLite their rows.
pub(crate) async fn after_commit(db: &Db, begun: &[BegunDeletion]) {
    if begun.is_empty() {
        return;
    }
    for BegunDeletion { team_id, epoch } in begun {
        tracing::info!(team = %team_id, "the keys of a team were destroyed; its rows are being deleted");
        db.keys_were_replaced(*epoch);
    }
    db.rights_changed();
    empty_wal(db).await;
}

/// The WAL of SQLite may still have the pages in which the keys were.
async fn empty_wal(db: &Db) {
    match db.empty_wal().await {
        Ok(true) => {}
        Ok(false) => {
            tracing::info!("a read keeps the WAL file: destroyed keys stay in it until its next checkpoints");
        }
        Err(error) => {
            tracing::warn!(%error, "the WAL file, which may have destroyed keys, could not be emptied");
        }
    }
}

/// Deletes the next rows.
pub(crate) async fn advance(db: &Db, work: &Work) -> Result<Advance, DbError> {
    let Some(team) = db.find_team_number(&work.team_id).await? else {
        return forget(db, work).await;
    };
    let deleted = db
        .write_system("team_deletion.rows", |tx| async move {
            for table in tables() {
                let some = tx.dialect().some_rows(table, db.work_rows());
                let sql = format!("DELETE FROM {table} WHERE team = $1 AND {some}");
                let deleted = tx.execute(&sql, [team.into()]).await?;
                if deleted > 0 {
                    team_work::move_cursor(&tx, work, table, deleted).await?;
                    return Ok(deleted);
                }
            }
            Ok(0)
        })
        .await?;
    if deleted > 0 {
        return Ok(Advance::More);
    }
    // A push that began with the keys of the team may still write rows.
    let tx = db.read_system("team_deletion.settled").await?;
    if !replicas::all_reached(&tx, work.key_epoch).await? {
        return Ok(Advance::Waiting);
    }
    drop(tx);
    if !is_empty(db, team).await? {
        return Ok(Advance::More);
    }
    forget(db, work).await
}

/// The tables with rows that name a team by its number.
fn tables() -> impl Iterator<Item = &'static str> {
    // On SQLite, a trigger on `search_terms` clears the index.
    TENANT_TABLES.iter().copied().chain(["search_terms"])
}

async fn is_empty(db: &Db, team: TeamNumber) -> Result<bool, DbError> {
    let tx = db.read_system("team_deletion.left").await?;
    for table in tables() {
        let sql = format!("SELECT 1 AS n FROM {table} WHERE team = $1 LIMIT 1");
        if !tx.rows(&sql, [team.into()]).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes the row of the team, and that of the work.
async fn forget(db: &Db, work: &Work) -> Result<Advance, DbError> {
    let team_id = work.team_id.as_str();
    db.write_system("team_deletion.end", |tx| async move {
        for table in BY_TEXT_ID {
            tx.execute(&format!("DELETE FROM {table} WHERE team_id = $1"), [team_id.into()]).await?;
        }
        let accounts = "DELETE FROM users WHERE service_team = (SELECT number FROM teams WHERE id = $1)";
        tx.execute(accounts, [team_id.into()]).await?;
        tx.execute("DELETE FROM teams WHERE id = $1", [team_id.into()]).await?;
        tx.execute("DELETE FROM team_work WHERE team_id = $1", [team_id.into()]).await?;
        // The receipts stay, and name nothing that the team had.
        let sql = "UPDATE deletion_requests SET subject = '', owner = '' WHERE team_id = $1";
        tx.execute(sql, [team_id.into()]).await?;
        Ok(())
    })
    .await?;
    // A read may have kept it when the keys were destroyed.
    empty_wal(db).await;
    tracing::info!(team = %work.team_id, rows = work.done, "a team was deleted");
    Ok(Advance::Finished)
}
