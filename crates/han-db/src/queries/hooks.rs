//! Reading hook executions, for many sessions at once: their lines, and totals.

use std::collections::{BTreeMap, HashSet};

use han_transcript::fold::{LinePosition, pair_hooks};
use han_transcript::record::{HookRecord, ResultKind};
use han_types::{SessionId, Timestamp};
use sea_orm::FromQueryResult;

use crate::entities::HookEvent;
use crate::queries::labels;
use crate::queries::tool_results::UNNAMED_HOOK;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct HookRow {
    session_id: String,
    transcript: String,
    uuid: String,
    line: i64,
    at: i64,
    is_run: bool,
    run_id: Option<String>,
    hook: String,
    plugin: Option<String>,
    hook_type: Option<String>,
    directory: Option<String>,
    success: Option<i64>,
    duration_ms: Option<i64>,
    exit_code: Option<i64>,
    cached: Option<i64>,
}

/// The hook events in the lines of sessions, in order within each session.
///
/// # Errors
/// If a name cannot be opened.
pub async fn by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<HookEvent>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, transcript, uuid, line, at, is_run, run_id, hook, plugin, hook_type, directory, success, \
           duration_ms, exit_code, cached \
         FROM hook_executions WHERE team_id = $1 AND {} ORDER BY session_id, at, transcript, line",
        dialect.is_any("session_id", 2)
    );
    let rows: Vec<HookRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let ids = rows.iter().flat_map(|row| {
        [Some(&row.hook), row.plugin.as_ref(), row.hook_type.as_ref(), row.directory.as_ref()]
            .into_iter()
            .flatten()
    });
    let names = labels::by_ids(tx, ids).await?;
    let name = |id: Option<String>| id.and_then(|id| names.get(&id).cloned()).filter(|name| !name.is_empty());
    let events = rows.into_iter().map(|row| HookEvent {
        place: LinePosition {
            time: Timestamp(row.at),
            transcript: row.transcript,
            line: u64::try_from(row.line).unwrap_or_default(),
        },
        hook: HookRecord {
            run_id: row.run_id,
            hook_name: name(Some(row.hook)),
            plugin: name(row.plugin),
            hook_type: name(row.hook_type),
            directory: name(row.directory),
            is_run: row.is_run,
            success: row.success.map(|n| n != 0),
            duration_ms: row.duration_ms,
            exit_code: row.exit_code,
            cached: row.cached.map(|n| n != 0),
        },
        session_id: row.session_id,
        uuid: row.uuid,
    });
    Ok(events.collect())
}

#[derive(FromQueryResult)]
struct ResultLine {
    session_id: String,
    transcript: String,
    uuid: String,
}

/// The starts of hook runs and their results, as [`by_sessions`] returns them, without hooks whose run and result are a
/// single line: such a line is not the result of a run that has the same name. [`pair`] pairs them.
///
/// # Errors
/// If a name cannot be opened.
pub async fn runs_and_results(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<HookEvent>, DbError> {
    let mut events = by_sessions(tx, sessions).await?;
    if !events.iter().any(|event| event.hook.is_run) {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, transcript, uuid FROM tool_results \
         WHERE team_id = $1 AND {} AND kind IN ('{}', '{UNNAMED_HOOK}')",
        dialect.is_any("session_id", 2),
        ResultKind::Hook.as_str(),
    );
    let results: Vec<ResultLine> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let results: HashSet<_> = results
        .iter()
        .map(|line| (line.session_id.as_str(), line.transcript.as_str(), line.uuid.as_str()))
        .collect();
    events.retain(|event| {
        let line = (event.session_id.as_str(), event.place.transcript.as_str(), event.uuid.as_str());
        event.hook.is_run || results.contains(&line)
    });
    Ok(events)
}

/// The runs of one session that have a result, each with it: the one rule for which result belongs to which run, that of
/// [`han_transcript::fold::pair_hooks`]. `events` are those of [`runs_and_results`].
#[must_use]
pub fn pair<'e>(events: impl IntoIterator<Item = &'e HookEvent>) -> Vec<(&'e HookEvent, &'e HookEvent)> {
    let at: BTreeMap<&LinePosition, &HookEvent> =
        events.into_iter().map(|event| (&event.place, event)).collect();
    let records: Vec<_> = at.values().map(|event| (event.place.clone(), event.hook.clone())).collect();
    pair_hooks(&records)
        .into_iter()
        .filter_map(|hook| Some((*at.get(&hook.run?.0)?, *at.get(&hook.outcome?.0)?)))
        .collect()
}

/// The totals of a session's hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookStats {
    /// The session.
    pub session_id: String,
    /// The number of hooks that ended.
    pub total: i64,
    /// The number of those that passed.
    pub passed: i64,
    /// The number of those that failed. Some report neither.
    pub failed: i64,
    /// Their total duration, in milliseconds.
    pub duration_ms: i64,
    /// Totals by hook type (such as `Stop`); the type is empty if the hook does not name one.
    pub by_type: Vec<HookTypeStats>,
}

/// The totals of the hooks of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookTypeStats {
    /// The type.
    pub hook_type: String,
    /// The number of hooks that ended.
    pub total: i64,
    /// The number of those that passed.
    pub passed: i64,
}

#[derive(FromQueryResult)]
struct StatsRow {
    session_id: String,
    hook_type: Option<String>,
    total: i64,
    passed: i64,
    failed: i64,
    duration_ms: i64,
}

/// The totals of the hooks of sessions; omits sessions without hooks.
///
/// # Errors
/// If a name cannot be opened.
pub async fn stats_by_sessions(tx: &ScopedTx, sessions: &[SessionId]) -> Result<Vec<HookStats>, DbError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, hook_type, count(*) AS total, CAST(sum(CASE WHEN success = 1 THEN 1 ELSE 0 END) AS bigint) \
           AS passed, CAST(sum(CASE WHEN success = 0 THEN 1 ELSE 0 END) AS bigint) AS failed, \
           CAST(COALESCE(sum(duration_ms), 0) AS bigint) AS duration_ms \
         FROM hook_executions WHERE team_id = $1 AND {} AND NOT is_run GROUP BY session_id, hook_type",
        dialect.is_any("session_id", 2)
    );
    let rows: Vec<StatsRow> = tx.all(&sql, [tx.team(), dialect.list(sessions)]).await?;
    let names = labels::by_ids(tx, rows.iter().filter_map(|row| row.hook_type.as_ref())).await?;
    let mut stats: BTreeMap<String, HookStats> = BTreeMap::new();
    for row in rows {
        let session = stats
            .entry(row.session_id.clone())
            .or_insert_with(|| HookStats { session_id: row.session_id, ..HookStats::default() });
        session.total += row.total;
        session.passed += row.passed;
        session.failed += row.failed;
        session.duration_ms += row.duration_ms;
        let hook_type = row.hook_type.and_then(|id| names.get(&id).cloned()).unwrap_or_default();
        session.by_type.push(HookTypeStats { hook_type, total: row.total, passed: row.passed });
    }
    let mut stats: Vec<HookStats> = stats.into_values().collect();
    for session in &mut stats {
        session.by_type.sort_by(|a, b| a.hook_type.cmp(&b.hook_type));
    }
    Ok(stats)
}
