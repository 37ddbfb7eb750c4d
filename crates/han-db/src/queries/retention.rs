//! Retention: after how many days the content of a team's sessions is purged, and purging it. The row of a session stays,
//! with its files, its totals, and its part of the rollups; `purged_sessions` has what cannot be derived again
//! (docs/adr/0034). The job `retention` calls [`purge`] for every session that is [`due`].
//!
//! One session is one transaction, which checks again whether it is due. So the work can be interrupted anywhere, and two
//! processes that do it at the same time do no harm.

use std::collections::BTreeSet;
use std::sync::Arc;

use han_types::{Feature, PlanRefusal, PlanTier, RequestId, Scope, SessionId, TeamId, Timestamp, UserId};
use sea_orm::{FromQueryResult, Value};

use crate::entities::SessionDetails;
use crate::prices::Prices;
use crate::queries::audit::{Entry, Event};
use crate::queries::deletion::delete_segments;
use crate::queries::ingest::answers::{self, Answers};
use crate::queries::ingest::derive::Derive;
use crate::queries::ingest::rollup_delta::{RollupDelta, RollupPart, SessionDelta};
use crate::queries::memberships;
use crate::queries::purged_sessions::{self, PurgedLines};
use crate::queries::sessions::{details_context, open_details};
use crate::queries::teams;
use crate::stored::{CountRow, stored, stored_id};
use crate::{Db, DbError, ScopedTx, tables};

/// The fewest and the most days for which a team may keep content, if it does not keep it without end.
pub const DAYS: std::ops::RangeInclusive<i64> = 1..=3650;

const DAY_SECONDS: i64 = 86_400;

/// What became of a change of the retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is stored.
    Done,
    /// Only an admin of the team may.
    NotAllowed,
    /// The plan of the team does not allow it.
    NotInPlan(PlanRefusal),
}

/// Sets after how many days the content of the scope's team is purged; `None` keeps it. It does not apply while the plan of
/// the team does not include it: then nothing is purged. The caller has checked that the
/// days are among [`DAYS`].
pub async fn set(scope: &Scope, db: &Db, days: Option<i64>) -> Result<Changed, DbError> {
    let changed = db
        .write_system_for(scope, "retention.set", |tx| async move {
            let team = teams::lock(&tx, tx.team_id()).await?;
            if !teams::is_admin(&tx, tx.team_number(), scope.user_id()).await? {
                return Ok(Changed::NotAllowed);
            }
            if days.is_some()
                && let Err(refusal) = team.policy(tx.plans()).require(Feature::CustomRetention)
            {
                return Ok(Changed::NotInPlan(refusal));
            }
            let sql = "UPDATE teams SET retention_days = $2 WHERE number = $1";
            tx.execute(sql, [tx.team_number().into(), days.into()]).await?;
            let entry = Entry::new(Event::SettingChanged).with("setting", "retentionDays");
            tx.log().write(entry.with("value", days)).await?;
            Ok(Changed::Done)
        })
        .await?;
    if changed == Changed::Done {
        tracing::info!(team = %scope.team_id(), by = %scope.user_id(), ?days, "the retention was changed");
    }
    Ok(changed)
}

#[derive(FromQueryResult)]
struct DaysRow {
    retention_days: Option<i32>,
}

/// After how many days the content of a team is purged; `None` if it is kept, or if there is no such team.
pub async fn of_team(db: &Db, team_id: &TeamId) -> Result<Option<i64>, DbError> {
    let tx = db.read_system("retention.of_team").await?;
    let sql = "SELECT retention_days FROM teams WHERE id = $1";
    let row: Option<DaysRow> = tx.one(sql, [team_id.as_str().into()]).await?;
    Ok(row.and_then(|row| row.retention_days).map(i64::from))
}

/// A team that limits how long its content is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The team.
    pub team_id: TeamId,
    /// Its name in addresses.
    pub slug: String,
    /// Whether its plan includes that.
    pub applies: bool,
    /// After how many days content is purged.
    pub days: i64,
    /// How many of its sessions were purged.
    pub purged: u64,
}

#[derive(FromQueryResult)]
struct RetentionRow {
    id: String,
    slug: String,
    plan_tier: String,
    before_billing: bool,
    retention_days: i32,
    purged: i64,
}

/// The teams that limit how long their content is kept, by slug. Teams that are being deleted are left out.
pub async fn list(db: &Db) -> Result<Vec<Retention>, DbError> {
    let tx = db.read_system("retention.list").await?;
    let sql = "SELECT t.id, t.slug, t.plan_tier, t.before_billing, t.retention_days, \
                 (SELECT count(*) FROM sessions s WHERE s.team = t.number AND s.purged_at IS NOT NULL) AS purged \
               FROM teams t WHERE t.retention_days IS NOT NULL \
               AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete') ORDER BY t.slug";
    let rows: Vec<RetentionRow> = tx.all(sql, []).await?;
    let retention = |row: RetentionRow| {
        let tier: PlanTier = stored(&row.plan_tier, "teams", "plan_tier", &row.id)?;
        Ok(Retention {
            applies: db.plans().policy(tier, row.before_billing).allows(Feature::CustomRetention),
            team_id: stored_id(&row.id, "teams", "id")?,
            slug: row.slug,
            days: row.retention_days.into(),
            purged: u64::try_from(row.purged).unwrap_or_default(),
        })
    };
    rows.into_iter().map(retention).collect()
}

/// A session whose content is to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    number: i32,
    session_id: SessionId,
    user_id: UserId,
}

impl Due {
    /// The session.
    #[must_use]
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

#[derive(FromQueryResult)]
struct DueRow {
    number: i32,
    session_id: String,
    user_id: String,
}

/// The condition on sessions whose last line arrived before `$2`, and whose content was not purged since.
const IS_DUE: &str = "synced_at < $2 AND (purged_at IS NULL OR purged_at <= synced_at)";

/// The time before which the last line of a session has arrived, if its content is to be purged now.
fn limit(now: Timestamp, days: i64) -> Timestamp {
    now.plus_seconds(-days.saturating_mul(DAY_SECONDS))
}

/// Sessions of a team whose last line arrived more than `days` days ago, in order, after `after`, at most `limit`.
pub async fn due(
    db: &Db,
    team_id: &TeamId,
    days: i64,
    after: Option<&Due>,
    most: usize,
) -> Result<Vec<Due>, DbError> {
    let team = db.team_number(team_id).await?;
    let tx = db.read_system("retention.due").await?;
    let sql = format!(
        "SELECT number, session_id, user_id FROM sessions WHERE team = $1 AND {IS_DUE} AND number > $3 \
         ORDER BY number LIMIT {most}"
    );
    let after = after.map_or(0, |due| due.number);
    let values: [Value; 3] = [team.into(), limit(db.clock().now(), days).0.into(), after.into()];
    let rows: Vec<DueRow> = tx.all(&sql, values).await?;
    let due = |row: DueRow| {
        Ok(Due {
            number: row.number,
            user_id: stored(&row.user_id, "sessions", "user_id", &row.session_id)?,
            session_id: stored_id(&row.session_id, "sessions", "session_id")?,
        })
    };
    rows.into_iter().map(due).collect()
}

/// Purges the content of a session, if it is still due; returns whether it was. If its lines cannot be opened, they are
/// purged nevertheless. What they have added to the rollups is not known then, besides their answers: a rebuild loses it.
///
/// # Errors
/// [`DbError::KeyMissing`] if the team has no keys.
pub async fn purge(db: &Db, team_id: &TeamId, days: i64, due: &Due) -> Result<bool, DbError> {
    let request_id = RequestId::generate(db.clock(), db.entropy());
    let scope = &memberships::scope_of_work(team_id, due.user_id.clone(), request_id);
    match purge_as(scope, db, days, due, Lines::Opened).await {
        Err(error) if error.is_unreadable() => {
            tracing::warn!(%error, session = %due.session_id, "a session that cannot be opened is purged; \
                a rebuild of its team will not count its lines");
            purge_as(scope, db, days, due, Lines::Unreadable).await
        }
        done => done,
    }
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    line_count: i64,
    started_at: Option<i64>,
    last_activity_at: i64,
}

/// Whether the lines of the session can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Opened,
    Unreadable,
}

/// It is not due any more, or was deleted.
struct NotDue;

async fn purge_as(scope: &Scope, db: &Db, days: i64, due: &Due, lines: Lines) -> Result<bool, DbError> {
    let (session, prices) = (due.session_id.as_str(), &db.prices().await?);
    let purge = |tx: Arc<ScopedTx>, locks: Arc<BTreeSet<String>>| async move {
        let mut answers = Answers::lock(&tx, &locks, session).await?;
        let sql = format!(
            "SELECT number, user_id, project_id, metadata, sealed, line_count, started_at, \
             COALESCE(last_activity_at, created_at) AS last_activity_at \
             FROM sessions WHERE team = $1 AND {IS_DUE} AND session_id = $3{}",
            tx.dialect().for_update()
        );
        let values = [tx.team(), limit(tx.clock().now(), days).0.into(), session.into()];
        let Some(row) = tx.one::<SessionRow, _>(&sql, values).await? else { return Ok(Err(NotDue)) };
        answers.lock_rest(&tx, &locks, session).await?;
        let change = take_out(&tx, &row, session, lines, &answers, prices).await?;
        let part = RollupPart {
            user_id: row.user_id,
            session_id: session.to_owned(),
            project_id: row.project_id.unwrap_or_default(),
            delta: change,
        };
        answers.write_rollups(&tx, vec![part], None).await?;
        Ok(Ok(()))
    };
    let purged = answers::with_locks(scope, db, "retention.purge", session, purge).await?.is_ok();
    if purged {
        db.commits().notify();
    }
    Ok(purged)
}

/// Purges the content of a session, whose row is locked; returns what changes in the rollups: nothing, unless prices or the
/// rules of deriving have changed since its lines were counted.
async fn take_out(
    tx: &ScopedTx,
    row: &SessionRow,
    session: &str,
    lines: Lines,
    answers: &Answers,
    prices: &Prices,
) -> Result<RollupDelta, DbError> {
    let (keys, number) = (tx.keys()?, i64::from(row.number));
    let details = open_details(keys, session, row.sealed, row.metadata.clone());
    let known = purged_sessions::find(tx, number).await?;
    let mut change = RollupDelta::default();
    let (details, counted, started_at) = match lines {
        Lines::Opened => {
            let details = details?;
            let (origin, seals) = (details.origin(), row.sealed);
            let derive = Derive { tx, keys, seals, session, number, origin, answers, prices };
            let rederived = derive.rederive().await?;
            change.add(1, &rederived.delta);
            change.add(-1, &rederived.counted);
            (details, rederived.delta, rederived.started_at)
        }
        Lines::Unreadable => {
            let counted = known.as_ref().map(|known| known.counted.clone()).unwrap_or_default();
            (details.unwrap_or_default(), counted, None)
        }
    };
    let mut sentiments = known.as_ref().map(|known| known.sentiments.clone()).unwrap_or_default();
    sentiments.extend(scores(tx, number).await?);
    let purged = PurgedLines {
        lines: row.line_count,
        started_at: started_at.or(row.started_at),
        last_activity_at: row.last_activity_at,
        counted,
        todos: todos(tx, number).await?.or(known.map(|known| known.todos)).unwrap_or_default(),
        sentiments,
    };
    purged_sessions::put(tx, number, &purged).await?;
    let key: [Value; 2] = [tx.team(), number.into()];
    for table in tables::purged() {
        tx.execute(&format!("DELETE FROM {table} WHERE team = $1 AND session = $2"), key.clone()).await?;
    }
    delete_segments(tx, number).await?;
    let sql = "UPDATE answer_copies SET purged = true WHERE team = $1 AND session = $2 AND NOT purged";
    tx.execute(sql, key.clone()).await?;
    let sql = format!(
        "UPDATE transcripts SET purged_line = {}(purged_line, next_offset, end_line), has_leaves = false \
         WHERE team = $1 AND session = $2",
        tx.dialect().greatest()
    );
    tx.execute(&sql, key).await?;
    write_session(tx, row, session, details.without_lines(), &change).await?;
    Ok(change)
}

#[derive(FromQueryResult)]
struct TodosRow {
    todos: i64,
    done: i64,
}

/// The items of the session's to-do list, and how many are completed; `None` if it has none.
async fn todos(tx: &ScopedTx, session: i64) -> Result<Option<(i64, i64)>, DbError> {
    let sql = "SELECT pending + in_progress + completed AS todos, completed AS done FROM todos \
               WHERE team = $1 AND session = $2";
    let row: Option<TodosRow> = tx.one(sql, [tx.team(), session.into()]).await?;
    Ok(row.map(|row| (row.todos, row.done)))
}

/// The scores of the session's sentiments, in order.
async fn scores(tx: &ScopedTx, session: i64) -> Result<Vec<i64>, DbError> {
    let sql = "SELECT sentiment AS n FROM sentiments WHERE team = $1 AND session = $2 AND sentiment IS NOT NULL \
               ORDER BY at, transcript, line";
    let rows: Vec<CountRow> = tx.all(sql, [tx.team(), session.into()]).await?;
    Ok(rows.into_iter().map(|row| row.n).collect())
}

/// Says in the row of the session that it was purged, and removes from it what its lines say. This notifies subscribers.
async fn write_session(
    tx: &ScopedTx,
    row: &SessionRow,
    session: &str,
    details: SessionDetails,
    change: &RollupDelta,
) -> Result<(), DbError> {
    let json = serde_json::json!(details).to_string();
    let (metadata, sealed) = tx.keys()?.seal(row.sealed, details_context(session), &json, tx.entropy())?;
    let sql = format!(
        "UPDATE sessions SET purged_at = $3, metadata = $4, sealed = $5, revision = revision + 1, {} \
         WHERE team = $1 AND number = $2",
        SessionDelta::add_sql(6)
    );
    let values: [Value; 5] =
        [tx.team(), i64::from(row.number).into(), tx.clock().now().0.into(), metadata.into(), sealed.into()];
    tx.execute(&sql, values.into_iter().chain(change.session_delta().values())).await?;
    Ok(())
}
