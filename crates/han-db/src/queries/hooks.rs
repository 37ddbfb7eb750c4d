//! Reading hook executions, for many sessions at once: their lines, and totals.

use std::collections::{BTreeMap, HashSet};

use han_transcript::fold::{LinePosition, pair_hooks};
use han_transcript::record::HookRecord;
use han_types::{SessionId, Timestamp};
use sea_orm::FromQueryResult;

use crate::entities::HookEvent;
use crate::line_id::LineId;
use crate::queries::labels;
use crate::queries::tool_results::RowKind;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct HookRow {
    session_id: String,
    transcript: String,
    ordinal: i32,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    line: i32,
    at: i64,
    is_run: bool,
    run_id: Option<String>,
    hook: String,
    plugin: Option<String>,
    hook_type: Option<String>,
    directory: Option<String>,
    success: Option<i16>,
    duration_ms: Option<i64>,
    exit_code: Option<i64>,
    cached: Option<i16>,
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
        "SELECT s.session_id, f.name AS transcript, h.ordinal, m.uuid, m.uuid_text, h.line, h.at, h.is_run, h.run_id, h.hook, h.plugin, h.hook_type, \
           h.directory, h.success, h.duration_ms, h.exit_code, h.cached \
         FROM sessions s JOIN hook_executions h ON h.team = s.team AND h.session = s.number \
         JOIN messages m ON m.team = h.team AND m.session = h.session AND m.ordinal = h.ordinal \
         JOIN transcripts f ON f.team = h.team AND f.session = h.session AND f.number = h.transcript \
         WHERE s.team = $1 AND {} ORDER BY s.session_id, h.at, f.name, h.line, h.ordinal",
        dialect.is_any("s.session_id", 2)
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
        ordinal: row.ordinal.into(),
        uuid: LineId::to_text(&row.uuid, row.uuid_text),
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
    });
    Ok(events.collect())
}

#[derive(FromQueryResult)]
struct ResultLine {
    session_id: String,
    ordinal: i32,
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
        "SELECT s.session_id, r.ordinal FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
         WHERE s.team = $1 AND {} AND {}",
        dialect.is_any("s.session_id", 2),
        dialect.is_any("r.kind", 3),
    );
    let kinds = [RowKind::HookResult, RowKind::ResultByHookName].map(RowKind::code);
    let values = [tx.team(), dialect.list(sessions), dialect.number_list(kinds)];
    let results: Vec<ResultLine> = tx.all(&sql, values).await?;
    let results: HashSet<(&str, i64)> =
        results.iter().map(|line| (line.session_id.as_str(), line.ordinal.into())).collect();
    events.retain(|event| event.hook.is_run || results.contains(&(event.session_id.as_str(), event.ordinal)));
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
        "SELECT s.session_id, h.hook_type, count(*) AS total, \
           CAST(sum(CASE WHEN h.success = 1 THEN 1 ELSE 0 END) AS bigint) AS passed, \
           CAST(sum(CASE WHEN h.success = 0 THEN 1 ELSE 0 END) AS bigint) AS failed, \
           CAST(COALESCE(sum(h.duration_ms), 0) AS bigint) AS duration_ms \
         FROM sessions s JOIN hook_executions h ON h.team = s.team AND h.session = s.number \
         WHERE s.team = $1 AND {} AND NOT h.is_run GROUP BY s.session_id, h.hook_type",
        dialect.is_any("s.session_id", 2)
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
