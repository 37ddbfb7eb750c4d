//! Making everything that is derived from lines anew, from the lines: after a program learnt to read more of them, or
//! where somebody doubts a sum.

use std::collections::BTreeMap;

use han_types::Scope;
use sea_orm::FromQueryResult;

use crate::queries::ingest::again::Again;
use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::sums::Owner;
use crate::tables::{self, Kind};
use crate::{Db, DbError, ScopedTx};

/// How often sessions that grew meanwhile are done again before their writers have to wait.
const ROUNDS: u32 = 5;

/// What a rebuild went over.
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

/// A session's sums, and how far its lines went when they were made.
struct Made {
    next_ordinal: i64,
    project_id: Option<String>,
    again: Again,
}

const SESSIONS: &str =
    "SELECT session_id, user_id, project_id, sealed, next_ordinal FROM sessions WHERE team_id = $1";

/// Derives all of the team's lines again and replaces what was derived from them, sums included. It may run while
/// lines come in: sessions are done one by one, each under its lock. Only when the sums by hour are replaced, at the
/// end, do other writers wait, for as long as it takes to write them.
///
/// # Errors
/// Where a line cannot be opened. What is done by then stays; the sums by hour are as they were.
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
            db.write(scope, "rebuild.sums", |tx| async move { replace(&tx, known, waits).await }).await?;
        match replaced {
            Replaced::Done(rebuilt) => return Ok(rebuilt),
            Replaced::Behind(sessions) => due = sessions,
        }
        round += 1;
    }
}

/// Takes the session's lock and derives it anew; nothing where it is gone.
async fn session(tx: &ScopedTx, session_id: &str) -> Result<Option<Made>, DbError> {
    let lock = tx.dialect().for_update();
    let sql = format!("{SESSIONS} AND session_id = $2{lock}");
    let Some(row) = tx.one::<SessionRow, _>(&sql, [tx.team(), session_id.into()]).await? else {
        return Ok(None);
    };
    let again = derive(tx, &row).await?;
    let sums = again.sums.of_session();
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
            again.lines.into(),
            sums.messages.into(),
            sums.turns.into(),
            sums.compactions.into(),
            sums.tokens.input.into(),
            sums.tokens.output.into(),
            sums.tokens.cache_read.into(),
            sums.tokens.cache_creation_5m.into(),
            sums.tokens.cache_creation_1h.into(),
            sums.tool_uses.into(),
            sums.file_changes.into(),
            sums.lines_added.into(),
            sums.lines_removed.into(),
            sums.tasks.into(),
            sums.tasks_done.into(),
            sums.sentiments.into(),
            sums.sentiment_sum.into(),
            again.started_at.into(),
        ],
    )
    .await?;
    Ok(Some(Made { next_ordinal: row.next_ordinal, project_id: row.project_id, again }))
}

async fn derive(tx: &ScopedTx, row: &SessionRow) -> Result<Again, DbError> {
    Derive { tx, keys: tx.keys()?, seals: row.sealed, session: &row.session_id }.again().await
}

/// Whether the sums could be replaced.
enum Replaced {
    Done(Rebuilt),
    /// These sessions grew since they were derived. Nothing was written.
    Behind(Vec<String>),
}

async fn replace(tx: &ScopedTx, made: &BTreeMap<String, Made>, waits: bool) -> Result<Replaced, DbError> {
    let rollups: Vec<&str> = tables::of_kind(Kind::Rollup).collect();
    // Whoever has added sums and not committed is waited for; whoever is about to, waits. A session is seen here
    // with its sums or without both.
    tx.dialect().lock_tables(tx, &rollups).await?;
    let sessions: Vec<SessionRow> = tx.all(SESSIONS, [tx.team()]).await?;
    let current = |row: &SessionRow| {
        let made = made.get(&row.session_id)?;
        (made.next_ordinal == row.next_ordinal && made.project_id == row.project_id).then_some(&made.again)
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
        let owner = Owner { user: &row.user_id, session: &row.session_id };
        let late;
        let again = match current(row) {
            Some(again) => again,
            None => {
                late = derive(tx, row).await?;
                &late
            }
        };
        owner.add(tx, &[(row.project_id.as_deref().unwrap_or_default(), &again.sums)]).await?;
        rebuilt.sessions += 1;
        rebuilt.lines += u64::try_from(again.lines).unwrap_or_default();
    }
    Ok(Replaced::Done(rebuilt))
}
