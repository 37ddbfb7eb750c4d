//! Deletes a session: its lines, its derived data, and its part of the rollups. One row remains, which records that the
//! session was deleted, so that the next push does not store it again. `deletion_requests` decides what is deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use han_types::{Scope, SessionId};
use sea_orm::FromQueryResult;

use crate::entities::Origin;
use crate::queries::audit;
use crate::queries::ingest::answers::{self, Answers, Copies};
use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::rollup_delta::{RollupDelta, RollupPart, empty_rollups};
use crate::queries::purged_sessions;
use crate::queries::sessions::{self, open_details};
use crate::{Db, DbError, ScopedTx, tables};

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    line_count: i64,
}

/// The team has no such session.
struct Missing;

/// Deletes a session of the team; returns whether it existed. A later push of its lines is refused as `gone`.
///
/// Answers that another session repeats count for that session afterwards.
///
/// # Errors
/// If a line cannot be opened. Then nothing is deleted.
pub async fn session(scope: &Scope, db: &Db, session_id: &SessionId) -> Result<bool, DbError> {
    delete(scope, db, session_id, None, Rollups::OfLines).await
}

/// As [`session`], for a request. If its lines cannot be opened, the session is deleted nevertheless, and the counts of its
/// lines stay in the rollups until a rebuild; its answers are subtracted.
pub(crate) async fn requested(
    scope: &Scope,
    db: &Db,
    session_id: &SessionId,
    request_id: &str,
) -> Result<bool, DbError> {
    match delete(scope, db, session_id, Some(request_id), Rollups::OfLines).await {
        Err(error) if error.is_unreadable() => {
            tracing::warn!(%error, session = %session_id, "a session that cannot be opened is deleted; \
                rebuild its team to correct the metrics");
            delete(scope, db, session_id, Some(request_id), Rollups::OfAnswers).await
        }
        done => done,
    }
}

/// What is subtracted from the rollups.
#[derive(Clone, Copy)]
enum Rollups {
    /// Everything that the session's lines add.
    OfLines,
    /// What is known without its lines.
    OfAnswers,
}

async fn delete(
    scope: &Scope,
    db: &Db,
    session_id: &SessionId,
    request_id: Option<&str>,
    rollups: Rollups,
) -> Result<bool, DbError> {
    let (session, prices) = (session_id.as_str(), &db.prices().await?);
    let delete = |tx: Arc<ScopedTx>, locks: Arc<BTreeSet<String>>| async move {
        let mut answers = Answers::lock(&tx, &locks, session).await?;
        let lock = tx.dialect().for_update();
        let sql = format!(
            "SELECT number, user_id, project_id, metadata, sealed, line_count FROM sessions \
             WHERE team = $1 AND session_id = $2{lock}"
        );
        let Some(row) = tx.one::<SessionRow, _>(&sql, [tx.team(), session.into()]).await? else {
            return Ok(Err(Missing));
        };
        answers.lock_rest(&tx, &locks, session).await?;
        let keys = tx.keys()?;
        let number = i64::from(row.number);
        let origin = match rollups {
            Rollups::OfLines => open_details(keys, session, row.sealed, row.metadata)?.origin(),
            Rollups::OfAnswers => Origin::default(),
        };
        let (seals, answers_of) = (row.sealed, &answers);
        let derive = Derive { tx: &tx, keys, seals, session, number, origin, answers: answers_of, prices };
        let counted = match rollups {
            Rollups::OfLines => derive.rederive().await?.counted,
            Rollups::OfAnswers => {
                let purged = purged_sessions::find(&tx, number).await?;
                let usage = derive.forget_derived(purged.as_ref()).await?;
                purged.map_or_else(RollupDelta::default, |purged| purged.counted).with_usage_of(&usage)
            }
        };
        let mut delta = RollupDelta::default();
        delta.add(-1, &counted);
        answers.forget(&derive, Copies::All).await?;
        for table in tables::deleted_with_session() {
            let key = if table == "sessions" { "number" } else { "session" };
            let sql = format!("DELETE FROM {table} WHERE team = $1 AND {key} = $2");
            tx.execute(&sql, [tx.team(), number.into()]).await?;
        }
        delete_segments(&tx, number).await?;
        audit::forget_session(&tx, session).await?;
        tx.execute(
            "INSERT INTO deleted_sessions (team, session_id, deleted_at, request_id, lines) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (team, session_id) DO NOTHING",
            [tx.team(), session.into(), tx.clock().now().0.into(), request_id.into(), row.line_count.into()],
        )
        .await?;
        let part = RollupPart {
            user_id: row.user_id,
            session_id: session.to_owned(),
            project_id: row.project_id.unwrap_or_default(),
            delta,
        };
        answers.write_rollups(&tx, vec![part], None).await?;
        Ok(Ok(()))
    };
    let deleted = answers::with_locks(scope, db, "deletion.session", session, delete).await?.is_ok();
    if deleted {
        db.commits().notify();
    }
    Ok(deleted)
}

/// Deletes what no session of the team refers to any more: projects, repositories and labels, which are sealed but name
/// what was deleted, and rollups that count nothing. Where there is something to delete besides rollups, pushes wait
/// meanwhile.
pub(crate) async fn leftovers(scope: &Scope, db: &Db) -> Result<(), DbError> {
    db.write(scope, "deletion.rollups", |tx| async move {
        for (table, zero) in empty_rollups() {
            tx.execute(&format!("DELETE FROM {table} WHERE team = $1 AND {zero}"), [tx.team()]).await?;
        }
        Ok(())
    })
    .await?;
    db.write(scope, "deletion.leftovers", |tx| async move {
        let mut found = false;
        for (table, unused) in UNUSED {
            let sql = format!("SELECT id FROM {table} WHERE team = $1 AND {unused} LIMIT 1");
            found |= !tx.rows(&sql, [tx.team()]).await?.is_empty();
        }
        if !found {
            return Ok(());
        }
        // So this sees what refers to a row, or what will refer to it inserts it again.
        tx.dialect().lock_all_sessions(&tx).await?;
        for (table, unused) in UNUSED {
            tx.execute(&format!("DELETE FROM {table} WHERE team = $1 AND {unused}"), [tx.team()]).await?;
        }
        Ok(())
    })
    .await
}

/// Tables, each with the condition on rows that nothing refers to. A repository goes with its last project.
const UNUSED: [(&str, &str); 3] = [
    (
        "labels",
        "id NOT IN (SELECT hook FROM hook_executions WHERE team = $1) \
         AND id NOT IN (SELECT plugin FROM hook_executions WHERE team = $1 AND plugin IS NOT NULL) \
         AND id NOT IN (SELECT hook_type FROM hook_executions WHERE team = $1 AND hook_type IS NOT NULL) \
         AND id NOT IN (SELECT directory FROM hook_executions WHERE team = $1 AND directory IS NOT NULL) \
         AND id NOT IN (SELECT key FROM rollup_counts WHERE team = $1)",
    ),
    (
        "projects",
        "id NOT IN (SELECT project_id FROM sessions WHERE team = $1 AND project_id IS NOT NULL) \
         AND id NOT IN (SELECT project_id FROM rollups WHERE team = $1)",
    ),
    ("repos", "id NOT IN (SELECT repo_id FROM projects WHERE team = $1 AND repo_id IS NOT NULL)"),
];

/// One of the sessions that was deleted, if there is one.
pub async fn any_deleted(tx: &ScopedTx, ids: &BTreeSet<SessionId>) -> Result<Option<SessionId>, DbError> {
    sessions::first_id(tx, "deleted_sessions", |id| ids.contains(id)).await
}

/// Whether the team had a session with this id that was deleted.
pub async fn was_deleted(tx: &ScopedTx, session_id: &SessionId) -> Result<bool, DbError> {
    let sql = "SELECT session_id FROM deleted_sessions WHERE team = $1 AND session_id = $2";
    Ok(!tx.rows(sql, [tx.team(), session_id.as_str().into()]).await?.is_empty())
}

/// Deletes the segments of a session. A merge may replace segments while this waits for their rows; the statement does not
/// see the new ones, so it is repeated until there are none. Each merge leaves fewer.
pub(crate) async fn delete_segments(tx: &ScopedTx, session: i64) -> Result<(), DbError> {
    let key = [tx.team(), session.into()];
    let left = "SELECT first_ordinal FROM segments WHERE team = $1 AND session = $2 LIMIT 1";
    while !tx.rows(left, key.clone()).await?.is_empty() {
        tx.execute("DELETE FROM segments WHERE team = $1 AND session = $2", key.clone()).await?;
    }
    Ok(())
}
