//! Deriving all derived data of a team again from its lines: after an update that projects more from lines, or to check
//! totals.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use han_types::Scope;
use sea_orm::{FromQueryResult, Value};

use crate::prices::Prices;
use crate::queries::ingest::answers::{self, Answers};
use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::rederive::Rederived;
use crate::queries::ingest::renew::{Renew, Renewed};
use crate::queries::ingest::rollup_delta::{RollupDelta, RollupPart, SessionDelta, add_rollups};
use crate::queries::projects;
use crate::queries::sessions::{details_context, open_details};
use crate::tables::{self, Kind};
use crate::{Db, DbError, ScopedTx};

/// The number of rounds. Sessions that grew during a round are derived again in the next one; in the last round,
/// writers wait.
const ROUNDS: u32 = 5;

/// The number of sessions whose rollups are written at once.
const PARTS: usize = 100;

/// The size of a rebuild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Sessions.
    pub sessions: u64,
    /// Lines.
    pub lines: u64,
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    session_id: String,
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    revision: i64,
    next_ordinal: i64,
}

/// A session that was derived again, and its revision at that time.
struct Made {
    revision: i64,
    project_id: Option<String>,
    rederived: Rederived,
}

const SESSIONS: &str = "SELECT number, session_id, user_id, project_id, metadata, sealed, revision, next_ordinal \
                        FROM sessions WHERE team = $1";

/// Derives all of the team's lines again, and replaces all data derived from them, including rollups. It may run during
/// pushes: it derives one session at a time, under the lock of its row. Other writers wait only at the end, while the
/// rollups are written.
///
/// # Errors
/// If a line cannot be opened. Sessions that were derived before stay so; the rollups are unchanged.
pub async fn rebuild(scope: &Scope, db: &Db) -> Result<Rebuilt, DbError> {
    let tx = db.read(scope, "rebuild.list").await?;
    let sessions: Vec<SessionRow> = tx.all(SESSIONS, [tx.team()]).await?;
    drop(tx);
    let prices = &db.prices().await?;
    let mut made = BTreeMap::new();
    let mut due: Vec<String> = sessions.into_iter().map(|row| row.session_id).collect();
    let mut round = 1;
    loop {
        for id in &due {
            let id = id.as_str();
            let one = answers::with_locks(scope, db, "rebuild.session", id, |tx, locks| async move {
                session(&tx, &locks, id, prices).await.map(Ok::<_, Infallible>)
            });
            if let Ok(Some(one)) = one.await? {
                made.insert(id.to_owned(), one);
            }
        }
        let known = &made;
        let waits = round == ROUNDS;
        let replaced = db
            .write(scope, "rebuild.rollups", |tx| async move { replace(&tx, known, waits, prices).await })
            .await?;
        match replaced {
            Replaced::Done(rebuilt) => return Ok(rebuilt),
            Replaced::Behind(sessions) => due = sessions,
        }
        round += 1;
    }
}

/// Locks the session's row and derives the session again; `None` if it was deleted.
async fn session(
    tx: &ScopedTx,
    locks: &BTreeSet<String>,
    session_id: &str,
    prices: &Prices,
) -> Result<Option<Made>, DbError> {
    let mut answers = Answers::lock(tx, locks, session_id).await?;
    let lock = tx.dialect().for_update();
    let sql = format!("{SESSIONS} AND session_id = $2{lock}");
    let Some(mut row) = tx.one::<SessionRow, _>(&sql, [tx.team(), session_id.into()]).await? else {
        return Ok(None);
    };
    answers.lock_rest(tx, locks, session_id).await?;
    renew(tx, &mut row).await?;
    let rederived = derive(tx, &row, &answers, prices).await?;
    let delta = SessionDelta { lines: rederived.lines, ..rederived.delta.session_delta() };
    let sql = format!(
        "UPDATE sessions SET started_at = COALESCE($3, started_at), price_revision = $4, {} \
         WHERE team = $1 AND number = $2",
        SessionDelta::set_sql(5)
    );
    let values: [Value; 4] =
        [tx.team(), i64::from(row.number).into(), rederived.started_at.into(), prices.revision.into()];
    tx.execute(&sql, values.into_iter().chain(delta.values())).await?;
    // Where answers passed to other sessions, or from them, these have another revision now.
    answers.write_rollups(tx, Vec::new(), None).await?;
    Ok(Some(Made { revision: row.revision, project_id: row.project_id, rederived }))
}

/// Projects the session's messages again, and what they say about the session.
async fn renew(tx: &ScopedTx, row: &mut SessionRow) -> Result<(), DbError> {
    let keys = tx.keys()?;
    let renew = Renew {
        tx,
        keys,
        seals: row.sealed,
        session_id: &row.session_id,
        number: row.number,
        untimed: None,
        next_ordinal: Some(row.next_ordinal),
    };
    let details = open_details(keys, &row.session_id, row.sealed, row.metadata.clone())?;
    let Renewed { details, next_ordinal, last_activity_at } = renew.run(details).await?;
    let next_ordinal = next_ordinal.unwrap_or(row.next_ordinal);
    let project_id = projects::of_session(tx, keys, row.sealed, &details).await?;
    let json = serde_json::json!(details).to_string();
    let (metadata, sealed) = keys.seal(row.sealed, details_context(&row.session_id), &json, tx.entropy())?;
    let sql = "UPDATE sessions SET metadata = $3, sealed = $4, project_id = $5, next_ordinal = $6, \
               last_activity_at = COALESCE($7, last_activity_at) WHERE team = $1 AND number = $2";
    let values = [
        tx.team(),
        i64::from(row.number).into(),
        metadata.clone().into(),
        sealed.into(),
        project_id.clone().into(),
        next_ordinal.into(),
        last_activity_at.into(),
    ];
    tx.execute(sql, values).await?;
    (row.metadata, row.sealed, row.project_id, row.next_ordinal) =
        (metadata, sealed, project_id, next_ordinal);
    Ok(())
}

async fn derive(
    tx: &ScopedTx,
    row: &SessionRow,
    answers: &Answers,
    prices: &Prices,
) -> Result<Rederived, DbError> {
    let keys = tx.keys()?;
    let details = open_details(keys, &row.session_id, row.sealed, row.metadata.clone())?;
    let derive = Derive {
        tx,
        keys,
        seals: row.sealed,
        session: &row.session_id,
        number: row.number.into(),
        origin: details.origin(),
        answers,
        prices,
    };
    derive.rederive().await
}

/// Whether the rollups were replaced.
enum Replaced {
    Done(Rebuilt),
    /// These sessions grew since they were derived. Nothing was written.
    Behind(Vec<String>),
}

async fn replace(
    tx: &ScopedTx,
    made: &BTreeMap<String, Made>,
    waits: bool,
    prices: &Prices,
) -> Result<Replaced, DbError> {
    // A session is visible here together with what it has added to the rollups, or not at all.
    tx.dialect().lock_all_sessions(tx).await?;
    let sessions: Vec<SessionRow> = tx.all(SESSIONS, [tx.team()]).await?;
    let current = |row: &SessionRow| {
        let made = made.get(&row.session_id)?;
        (made.revision == row.revision && made.project_id == row.project_id).then_some(&made.rederived)
    };
    let behind = sessions.iter().filter(|row| current(row).is_none());
    let behind: Vec<String> = behind.map(|row| row.session_id.clone()).collect();
    if !behind.is_empty() && !waits {
        return Ok(Replaced::Behind(behind));
    }
    for table in tables::of_kind(Kind::Rollup) {
        tx.execute(&format!("DELETE FROM {table} WHERE team = $1"), [tx.team()]).await?;
    }
    let mut rebuilt = Rebuilt::default();
    let mut parts = Vec::new();
    let answers = Answers::with_all_locked();
    // First those that are derived here: answers may pass from one session to another.
    let (late, early): (Vec<_>, Vec<_>) = sessions.iter().partition(|row| current(row).is_none());
    let mut waiting: BTreeSet<&str> = late.iter().map(|row| row.session_id.as_str()).collect();
    for row in late {
        let rederived = derive(tx, row, &answers, prices).await?;
        waiting.remove(row.session_id.as_str());
        // A session that is derived later counts what it gained or lost by itself.
        let others = answers.write_others(tx).await?;
        parts.extend(others.into_iter().filter(|part| !waiting.contains(part.session_id.as_str())));
        rebuilt.add(&rederived);
        parts.push(part(row, rederived.delta));
    }
    for row in early {
        if let Some(rederived) = current(row) {
            rebuilt.add(rederived);
            parts.push(part(row, rederived.delta.clone()));
        }
        if parts.len() >= PARTS {
            add_rollups(tx, tx.team(), &std::mem::take(&mut parts)).await?;
        }
    }
    add_rollups(tx, tx.team(), &parts).await?;
    projects::delete_replaced(tx).await?;
    Ok(Replaced::Done(rebuilt))
}

impl Rebuilt {
    fn add(&mut self, rederived: &Rederived) {
        self.sessions += 1;
        self.lines += u64::try_from(rederived.lines).unwrap_or_default();
    }
}

fn part(row: &SessionRow, delta: RollupDelta) -> RollupPart {
    RollupPart {
        user_id: row.user_id.clone(),
        session_id: row.session_id.clone(),
        project_id: row.project_id.clone().unwrap_or_default(),
        delta,
    }
}
