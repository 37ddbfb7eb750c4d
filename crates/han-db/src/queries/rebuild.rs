//! Deriving all derived data of a team again from its lines: after an update that projects more from lines, or to check
//! totals.

use std::collections::BTreeMap;

use han_types::Scope;
use sea_orm::FromQueryResult;

use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::rederive::Rederived;
use crate::queries::ingest::rollup_delta::RollupKey;
use crate::tables::{self, Kind};
use crate::{Db, DbError, ScopedTx};

/// The number of rounds. Sessions that grew during a round are derived again in the next one; in the last round,
/// writers wait.
const ROUNDS: u32 = 5;

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
    session_id: String,
    user_id: String,
    project_id: Option<String>,
    sealed: bool,
    next_ordinal: i64,
}

/// A session that was derived again, and its next ordinal at that time.
struct Made {
    next_ordinal: i64,
    project_id: Option<String>,
    rederived: Rederived,
}

const SESSIONS: &str =
    "SELECT session_id, user_id, project_id, sealed, next_ordinal FROM sessions WHERE team_id = $1";

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
    let mut made = BTreeMap::new();
    let mut due: Vec<String> = sessions.into_iter().map(|row| row.session_id).collect();
    let mut round = 1;
    loop {
        for id in &due {
            let id = id.as_str();
            let one = db.write(scope, "rebuild.session", |tx| async move { session(&tx, id).await });
            if let Some(one) = one.await? {
                made.insert(id.to_owned(), one);
            }
        }
        let known = &made;
        let waits = round == ROUNDS;
        let replaced =
            db.write(scope, "rebuild.rollups", |tx| async move { replace(&tx, known, waits).await }).await?;
        match replaced {
            Replaced::Done(rebuilt) => return Ok(rebuilt),
            Replaced::Behind(sessions) => due = sessions,
        }
        round += 1;
    }
}

/// Locks the session's row and derives the session again; `None` if it was deleted.
async fn session(tx: &ScopedTx, session_id: &str) -> Result<Option<Made>, DbError> {
    let lock = tx.dialect().for_update();
    let sql = format!("{SESSIONS} AND session_id = $2{lock}");
    let Some(row) = tx.one::<SessionRow, _>(&sql, [tx.team(), session_id.into()]).await? else {
        return Ok(None);
    };
    let rederived = derive(tx, &row).await?;
    let delta = rederived.delta.session_delta();
    tx.execute(
        "UPDATE sessions SET line_count = $3, message_count = $4, turn_count = $5, compaction_count = $6, \
           input_tokens = $7, output_tokens = $8, cache_read_tokens = $9, cache_creation_5m_tokens = $10, \
           cache_creation_1h_tokens = $11, tool_use_count = $12, file_change_count = $13, lines_added = $14, \
           lines_removed = $15, task_count = $16, task_done_count = $17, sentiment_count = $18, \
           sentiment_sum = $19, started_at = COALESCE($20, started_at) \
         WHERE team_id = $1 AND session_id = $2",
        [
            tx.team(),
            session_id.into(),
            rederived.lines.into(),
            delta.messages.into(),
            delta.turns.into(),
            delta.compactions.into(),
            delta.tokens.input.into(),
            delta.tokens.output.into(),
            delta.tokens.cache_read.into(),
            delta.tokens.cache_creation_5m.into(),
            delta.tokens.cache_creation_1h.into(),
            delta.tool_uses.into(),
            delta.file_changes.into(),
            delta.lines_added.into(),
            delta.lines_removed.into(),
            delta.tasks.into(),
            delta.tasks_done.into(),
            delta.sentiments.into(),
            delta.sentiment_sum.into(),
            rederived.started_at.into(),
        ],
    )
    .await?;
    Ok(Some(Made { next_ordinal: row.next_ordinal, project_id: row.project_id, rederived }))
}

async fn derive(tx: &ScopedTx, row: &SessionRow) -> Result<Rederived, DbError> {
    Derive { tx, keys: tx.keys()?, seals: row.sealed, session: &row.session_id }.rederive().await
}

/// Whether the rollups were replaced.
enum Replaced {
    Done(Rebuilt),
    /// These sessions grew since they were derived. Nothing was written.
    Behind(Vec<String>),
}

async fn replace(tx: &ScopedTx, made: &BTreeMap<String, Made>, waits: bool) -> Result<Replaced, DbError> {
    let rollups: Vec<&str> = tables::of_kind(Kind::Rollup).collect();
    // This waits for writers that have added to the rollups and not committed, and makes later ones wait. So a session is
    // visible here together with its rollups, or not at all.
    tx.dialect().lock_tables(tx, &rollups).await?;
    let sessions: Vec<SessionRow> = tx.all(SESSIONS, [tx.team()]).await?;
    let current = |row: &SessionRow| {
        let made = made.get(&row.session_id)?;
        (made.next_ordinal == row.next_ordinal && made.project_id == row.project_id)
            .then_some(&made.rederived)
    };
    let behind = sessions.iter().filter(|row| current(row).is_none());
    let behind: Vec<String> = behind.map(|row| row.session_id.clone()).collect();
    if !behind.is_empty() && !waits {
        return Ok(Replaced::Behind(behind));
    }
    for table in rollups {
        tx.execute(&format!("DELETE FROM {table} WHERE team_id = $1"), [tx.team()]).await?;
    }
    let mut rebuilt = Rebuilt::default();
    for row in &sessions {
        let key = RollupKey { user: &row.user_id, session: &row.session_id };
        let late;
        let rederived = match current(row) {
            Some(rederived) => rederived,
            None => {
                late = derive(tx, row).await?;
                &late
            }
        };
        key.add(tx, &[(row.project_id.as_deref().unwrap_or_default(), &rederived.delta)]).await?;
        rebuilt.sessions += 1;
        rebuilt.lines += u64::try_from(rederived.lines).unwrap_or_default();
    }
    Ok(Replaced::Done(rebuilt))
}
