//! Verifying the audit log: whether each entry of a team is as it was written, and none is missing.

use han_types::TeamId;
use sea_orm::FromQueryResult;

use super::chain::{Checker, Fault, Hash};
use super::read::{COLUMNS, EntryRow, LogOf};
use crate::stored::stored_id;
use crate::{Db, DbError};

/// How many entries one statement reads.
const PAGE: usize = 1_000;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of entries up to the fault, or of all: also the number of the last one.
    pub entries: u64,
    /// The hash of the last of them. Who notes it elsewhere can prove later that the log up to it was not rewritten.
    pub hash: Hash,
    /// The first fault; `None` if the log is as it was written.
    pub fault: Option<Fault>,
}

#[derive(FromQueryResult)]
struct TeamRow {
    id: String,
    slug: String,
    is_being_deleted: bool,
}

/// A team with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTeam {
    /// Its id.
    pub id: TeamId,
    /// Its short name.
    pub slug: String,
    /// Whether the rows of the team, and with them its log, are being deleted.
    pub is_being_deleted: bool,
}

/// The teams that have a log, in the order of their slugs.
pub async fn teams(db: &Db) -> Result<Vec<LoggedTeam>, DbError> {
    let tx = db.read_system("audit.teams").await?;
    let sql = "SELECT id, slug, EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete') \
               AS is_being_deleted FROM teams t ORDER BY slug";
    let rows: Vec<TeamRow> = tx.all(sql, []).await?;
    let team = |TeamRow { id, slug, is_being_deleted }: TeamRow| {
        Ok(LoggedTeam { id: stored_id(&id, "teams", "id")?, slug, is_being_deleted })
    };
    rows.into_iter().map(team).collect()
}

#[derive(FromQueryResult)]
struct HeadRow {
    seq: i64,
    hash: Vec<u8>,
}

/// Verifies a log, as it is at one moment. With `noted`, the entry with that number must have that hash.
///
/// # Errors
/// [`DbError::RowMissing`] if there is no such team.
pub async fn verify(db: &Db, log: LogOf<'_>, noted: Option<(i64, Hash)>) -> Result<Verified, DbError> {
    let missing = || DbError::RowMissing { table: "teams", row: log.hashed_id().to_owned() };
    let team = log.number(db).await?.ok_or_else(missing)?;
    let tx = db.read_system("audit.verify").await?;
    let mut checker = Checker::new(noted);
    let found = |checker: &Checker, fault| {
        let (last, hash) = checker.last();
        Verified { entries: u64::try_from(last).unwrap_or_default(), hash, fault }
    };
    // Numbers below the first one, too: they are not the program's.
    let mut after = i64::MIN;
    loop {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit_log l WHERE l.team = $1 AND l.seq > $2 ORDER BY l.seq LIMIT {PAGE}"
        );
        let rows: Vec<EntryRow> = tx.all(&sql, [team.into(), after.into()]).await?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in &rows {
            if let Err(fault) = checker.entry(&row.hashed(log.hashed_id()), &row.hash) {
                return Ok(found(&checker, Some(fault)));
            }
        }
    }
    let sql = "SELECT seq, hash FROM audit_heads WHERE team = $1";
    let head: Option<HeadRow> = tx.one(sql, [team.into()]).await?;
    let fault = checker.end(head.as_ref().map(|head| (head.seq, head.hash.as_slice()))).err();
    Ok(found(&checker, fault))
}
