//! Tasks: Han's and the agent's own. Events are stored, and folded again whenever one arrives or its call turns out to
//! have failed; the difference goes into the rollup delta.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use han_crypto::FieldContext;
use han_transcript::fold::{self, NativeTask, Task};
use han_transcript::record::{NativeTaskEvent, NativeTaskRecord, TaskOutcome, TaskRecord};
use han_types::Timestamp;
use sea_orm::FromQueryResult;

use super::derive::{Derive, NewLine, Outcomes, known, line_columns, numbered_row_id, tool_results};
use super::grain::quarter_of;
use super::rollup_delta::{Counts, Kind, RollupDelta};
use crate::DbError;
use crate::bulk_insert::{BulkInsert, Column};
use crate::entities::{NativeTaskDetails, TaskDetails};
use crate::line_id::call_key;
use crate::stored::CountRow;

const HAN: &str = "han";
const NATIVE: &str = "native";

/// The maximum bytes of a session's events that its tasks are folded from, earliest first. Real sessions have about a
/// hundred events of a few hundred bytes. Without a bound, each batch of a hostile session would open all its events.
const MAX_EVENT_BYTES: i64 = 8 << 20;

/// Types of tasks that may be stored unencrypted.
const TYPES: &[&str] = &["implementation", "fix", "refactor", "research"];
/// Statuses of the agent's own tasks that may be stored unencrypted.
const STATUSES: &[&str] = &["pending", "in_progress", "completed", "deleted"];

fn event_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "task_events", row_id, column: "event" }
}

/// The context of the sealed part of a task; its row id is `session/task`.
pub(crate) fn task_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "tasks", row_id, column: "details" }
}

/// The context of the sealed part of one of the agent's own tasks; its row id is `session/task`.
pub(crate) fn native_task_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "native_tasks", row_id, column: "details" }
}

/// An event to store.
struct NewEvent<'a> {
    kind: &'static str,
    line: &'a NewLine<'a>,
    n: usize,
    call_id: Option<&'a str>,
    json: String,
}

#[derive(FromQueryResult)]
struct EventRow {
    kind: String,
    ordinal: i32,
    n: i16,
    at: i64,
    transcript: String,
    line: i32,
    sealed: bool,
    event: String,
}

/// A session's events, opened.
#[derive(Default)]
struct Events {
    han: Vec<(fold::LinePosition, TaskRecord)>,
    native: Vec<(fold::LinePosition, NativeTaskRecord)>,
    /// The ordinals of the lines of the events in `han` and in `native`.
    han_lines: Vec<i32>,
    lines: Vec<i32>,
}

impl Events {
    fn calls(&self) -> impl Iterator<Item = &str> {
        let han = self.han.iter().filter_map(|(_, event)| event.call_id.as_deref());
        han.chain(self.native.iter().map(|(_, event)| event.call_id.as_str()))
    }

    /// Gives calls with the same id ids of their own, and returns the ids of those that failed.
    fn tell_calls_apart(&mut self, outcomes: &Outcomes) -> BTreeSet<String> {
        let mut failed = BTreeSet::new();
        let mut tell_apart = |call_id: &mut String, line: i32| {
            let (key, line) = (call_key(call_id), i64::from(line));
            if let Some(call) = outcomes.repeated_call(&key, line) {
                *call_id = format!("{call_id}#{call}");
            }
            if outcomes.of(&key, line).failed {
                failed.insert(call_id.clone());
            }
        };
        for ((_, event), line) in self.han.iter_mut().zip(&self.han_lines) {
            if let Some(call_id) = &mut event.call_id {
                tell_apart(call_id, *line);
            }
        }
        for ((_, event), line) in self.native.iter_mut().zip(&self.lines) {
            tell_apart(&mut event.call_id, *line);
        }
        failed
    }
}

/// A row of `tasks`. The columns other than `details` are unencrypted, for lists and totals.
#[derive(Clone, PartialEq, Eq, FromQueryResult)]
struct TaskRow {
    task_id: String,
    task_type: Option<String>,
    status: String,
    outcome: Option<String>,
    confidence: Option<i64>,
    started_at: i64,
    completed_at: Option<i64>,
    sealed: bool,
    details: String,
}

#[derive(Clone, PartialEq, Eq, FromQueryResult)]
struct NativeRow {
    task_id: String,
    status: String,
    created_at: i64,
    updated_at: i64,
    completed_at: Option<i64>,
    ordinal: i32,
    sealed: bool,
    details: String,
}

impl Derive<'_> {
    pub(super) async fn tasks(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let events = new_events(new);
        if events.is_empty() && !self.voids_events(new).await? {
            return Ok(());
        }
        self.insert_events(&events).await?;
        let mut events = self.events().await?;
        let calls = events.calls().map(|call_id| call_key(call_id).to_vec()).collect();
        let failed = events.tell_calls_apart(&self.outcomes(&calls).await?);
        if !events.han.is_empty() {
            self.replace_tasks(&fold::tasks(&events.han, &failed), delta).await?;
        }
        if !events.native.is_empty() {
            let tasks = fold::native_tasks(&events.native, &failed);
            self.replace_native(&tasks, &created_by(&events, &failed), delta).await?;
        }
        Ok(())
    }

    /// Whether a new result says that a call of the stored events failed, or may answer another of several such calls than
    /// was known.
    async fn voids_events(&self, new: &[NewLine<'_>]) -> Result<bool, DbError> {
        let answered: BTreeSet<[u8; 16]> = tool_results(new).map(|(call_id, _)| call_key(call_id)).collect();
        if answered.is_empty() {
            return Ok(false);
        }
        let failed: BTreeSet<[u8; 16]> =
            tool_results(new).filter(|result| result.1).map(|(call_id, _)| call_key(call_id)).collect();
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT count(*) AS n FROM (SELECT call FROM task_events WHERE team = $1 AND session = $2 AND {} \
             GROUP BY call HAVING count(DISTINCT ordinal) > 1 OR {}) AS voided",
            dialect.is_any_bytes("call", 3),
            dialect.is_any_bytes("call", 4)
        );
        let values =
            [self.tx.team(), self.number.into(), dialect.byte_list(answered), dialect.byte_list(failed)];
        Ok(self.tx.one::<CountRow, _>(&sql, values).await?.is_some_and(|found| found.n > 0))
    }

    async fn insert_events(&self, events: &[NewEvent<'_>]) -> Result<(), DbError> {
        let (mut stored, mut sealed) = (Vec::new(), Vec::new());
        for event in events {
            let row_id = format!("{}/{}", event.kind, event.line.row_id(self.session, event.n));
            let (text, is_sealed) = self.seal(event_context(&row_id), &event.json)?;
            stored.push(text);
            sealed.push(is_sealed);
        }
        let mut columns = line_columns(events.iter().map(|event| event.line));
        columns.extend([
            Column::Text("kind", events.iter().map(|event| event.kind.to_owned()).collect()),
            Column::Int("n", events.iter().map(|event| event.n as i64).collect()),
            Column::NullableBytes(
                "call",
                events.iter().map(|event| Some(call_key(event.call_id?).to_vec())).collect(),
            ),
            Column::Bool("sealed", sealed),
            Column::Text("event", stored),
        ]);
        let insert = BulkInsert {
            table: "task_events",
            constants: self.constants(),
            columns,
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// The session's events in the order of their lines, by the names of files. Where a rewritten file has two lines at
    /// one place, the one that was written first comes first.
    async fn events(&self) -> Result<Events, DbError> {
        let rows: Vec<EventRow> = self
            .tx
            .all(
                "WITH events AS (SELECT e.kind, e.ordinal, e.n, e.at, f.name AS transcript, e.line, e.sealed, e.event \
                   FROM task_events e JOIN transcripts f \
                     ON f.team = e.team AND f.session = e.session AND f.number = e.transcript \
                   WHERE e.team = $1 AND e.session = $2), \
                 sized AS (SELECT kind, ordinal, n, at, transcript, line, sealed, event, SUM(octet_length(event)) OVER \
                   (ORDER BY at, transcript, line, ordinal, n, kind ROWS UNBOUNDED PRECEDING) AS so_far FROM events) \
                 SELECT kind, ordinal, n, at, transcript, line, sealed, event FROM sized WHERE so_far <= $3 \
                 ORDER BY at, transcript, line, ordinal, n, kind",
                [self.tx.team(), self.number.into(), MAX_EVENT_BYTES.into()],
            )
            .await?;
        let mut events = Events::default();
        for row in rows {
            let row_id = numbered_row_id(self.session, row.ordinal.into(), row.n.into());
            let row_id = format!("{}/{row_id}", row.kind);
            let json = self.keys.open(row.sealed, event_context(&row_id), row.event)?;
            let malformed = |_| DbError::malformed("task_events", "event", &row_id);
            let place = fold::LinePosition {
                time: Timestamp(row.at),
                transcript: row.transcript,
                line: u64::try_from(row.line).unwrap_or_default(),
            };
            if row.kind == HAN {
                events.han.push((place, serde_json::from_str(&json).map_err(malformed)?));
                events.han_lines.push(row.ordinal);
            } else {
                events.native.push((place, serde_json::from_str(&json).map_err(malformed)?));
                events.lines.push(row.ordinal);
            }
        }
        Ok(events)
    }

    async fn replace_tasks(&self, tasks: &[Task], delta: &mut RollupDelta) -> Result<(), DbError> {
        let stored: Vec<TaskRow> = self
            .tx
            .all(
                "SELECT task_id, task_type, status, outcome, confidence, started_at, completed_at, sealed, details \
                 FROM tasks WHERE team = $1 AND session = $2",
                [self.tx.team(), self.number.into()],
            )
            .await?;
        let mut before: HashMap<String, TaskRow> =
            stored.into_iter().map(|row| (row.task_id.clone(), row)).collect();
        let mut changed = Vec::new();
        for task in tasks {
            let row_id = format!("{}/{}", self.session, task.task_id);
            let mut row = task_row(task);
            if let Some(mut old) = before.remove(&row.task_id) {
                old.details = self.keys.open(old.sealed, task_context(&row_id), old.details)?;
                old.sealed = false;
                if old == row {
                    continue;
                }
                count_task(&old, -1, delta);
            }
            count_task(&row, 1, delta);
            (row.details, row.sealed) = self.seal(task_context(&row_id), &row.details)?;
            changed.push(row);
        }
        before.values().for_each(|gone| count_task(gone, -1, delta));
        self.forget("tasks", before.keys()).await?;
        let texts = |value: &dyn Fn(&TaskRow) -> String| changed.iter().map(value).collect::<Vec<_>>();
        let ints = |value: &dyn Fn(&TaskRow) -> i64| changed.iter().map(value).collect::<Vec<_>>();
        let insert = BulkInsert {
            table: "tasks",
            constants: self.constants(),
            columns: vec![
                Column::Text("task_id", texts(&|t| t.task_id.clone())),
                Column::NullableText("task_type", changed.iter().map(|t| t.task_type.clone()).collect()),
                Column::Text("status", texts(&|t| t.status.clone())),
                Column::NullableText("outcome", changed.iter().map(|t| t.outcome.clone()).collect()),
                Column::NullableInt("confidence", changed.iter().map(|t| t.confidence).collect()),
                Column::Int("started_at", ints(&|t| t.started_at)),
                Column::NullableInt("completed_at", changed.iter().map(|t| t.completed_at).collect()),
                Column::Bool("sealed", changed.iter().map(|t| t.sealed).collect()),
                Column::Text("details", texts(&|t| t.details.clone())),
            ],
            on_conflict: "(team, session, task_id) DO UPDATE SET task_type = excluded.task_type, \
                 status = excluded.status, outcome = excluded.outcome, confidence = excluded.confidence, \
                 started_at = excluded.started_at, completed_at = excluded.completed_at, sealed = excluded.sealed, \
                 details = excluded.details",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    async fn replace_native(
        &self,
        tasks: &[NativeTask],
        created_by: &HashMap<String, i32>,
        delta: &mut RollupDelta,
    ) -> Result<(), DbError> {
        let stored: Vec<NativeRow> = self
            .tx
            .all(
                "SELECT task_id, status, created_at, updated_at, completed_at, ordinal, sealed, details \
                 FROM native_tasks WHERE team = $1 AND session = $2",
                [self.tx.team(), self.number.into()],
            )
            .await?;
        let mut before: HashMap<String, NativeRow> =
            stored.into_iter().map(|row| (row.task_id.clone(), row)).collect();
        let mut changed = Vec::new();
        for task in tasks {
            let row_id = format!("{}/{}", self.session, task.task_id);
            let mut row = native_row(task, created_by);
            if let Some(mut old) = before.remove(&row.task_id) {
                old.details = self.keys.open(old.sealed, native_task_context(&row_id), old.details)?;
                old.sealed = false;
                if old == row {
                    continue;
                }
                count_native(&old, -1, delta);
            }
            count_native(&row, 1, delta);
            (row.details, row.sealed) = self.seal(native_task_context(&row_id), &row.details)?;
            changed.push(row);
        }
        before.values().for_each(|gone| count_native(gone, -1, delta));
        self.forget("native_tasks", before.keys()).await?;
        let texts = |value: &dyn Fn(&NativeRow) -> String| changed.iter().map(value).collect::<Vec<_>>();
        let ints = |value: &dyn Fn(&NativeRow) -> i64| changed.iter().map(value).collect::<Vec<_>>();
        let insert = BulkInsert {
            table: "native_tasks",
            constants: self.constants(),
            columns: vec![
                Column::Text("task_id", texts(&|t| t.task_id.clone())),
                Column::Text("status", texts(&|t| t.status.clone())),
                Column::Int("created_at", ints(&|t| t.created_at)),
                Column::Int("updated_at", ints(&|t| t.updated_at)),
                Column::NullableInt("completed_at", changed.iter().map(|t| t.completed_at).collect()),
                Column::Int("ordinal", ints(&|t| t.ordinal.into())),
                Column::Bool("sealed", changed.iter().map(|t| t.sealed).collect()),
                Column::Text("details", texts(&|t| t.details.clone())),
            ],
            on_conflict: "(team, session, task_id) DO UPDATE SET status = excluded.status, \
                 created_at = excluded.created_at, updated_at = excluded.updated_at, \
                 completed_at = excluded.completed_at, ordinal = excluded.ordinal, \
                 sealed = excluded.sealed, details = excluded.details",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// Deletes tasks that no longer exist: those named by their call before the result named them, or that were never
    /// started.
    async fn forget<'i>(&self, table: &str, ids: impl Iterator<Item = &'i String>) -> Result<(), DbError> {
        let ids: Vec<&String> = ids.collect();
        if !ids.is_empty() {
            let dialect = self.tx.dialect();
            let sql = format!(
                "DELETE FROM {table} WHERE team = $1 AND session = $2 AND {}",
                dialect.is_any("task_id", 3)
            );
            self.tx.execute(&sql, [self.tx.team(), self.number.into(), dialect.list(ids)]).await?;
        }
        Ok(())
    }
}

fn new_events<'a>(new: &'a [NewLine<'a>]) -> Vec<NewEvent<'a>> {
    let mut events = Vec::new();
    for line in new {
        for (n, task) in line.record.tasks.iter().enumerate() {
            let json = serde_json::json!(task).to_string();
            events.push(NewEvent { kind: HAN, line, n, call_id: task.call_id.as_deref(), json });
        }
        for (n, task) in line.record.native_tasks.iter().enumerate() {
            let json = serde_json::json!(task).to_string();
            events.push(NewEvent { kind: NATIVE, line, n, call_id: Some(&task.call_id), json });
        }
    }
    events
}

/// The ordinal of the first line of each of the agent's own tasks.
fn created_by(events: &Events, failed: &BTreeSet<String>) -> HashMap<String, i32> {
    let counted = || {
        let all = events.native.iter().zip(&events.lines);
        all.filter(|((_, event), _)| !failed.contains(&event.call_id))
    };
    let is_naming = |event: &NativeTaskRecord| matches!(event.event, NativeTaskEvent::Named);
    // As in the fold: the last of several names counts.
    let mut namings: Vec<_> = counted().filter(|((_, event), _)| is_naming(event)).collect();
    namings.sort_by_key(|((place, event), _)| (place, &event.call_id, &event.task_id));
    let names: HashMap<&str, &str> = namings
        .iter()
        .filter_map(|((_, event), _)| Some((event.call_id.as_str(), event.task_id.as_deref()?)))
        .collect();
    let mut first: BTreeMap<&str, (&fold::LinePosition, i32)> = BTreeMap::new();
    for ((place, event), ordinal) in counted().filter(|((_, event), _)| !is_naming(event)) {
        let by_call = || names.get(event.call_id.as_str()).copied().unwrap_or(&event.call_id);
        let id = event.task_id.as_deref().unwrap_or_else(by_call);
        let known = first.entry(id).or_insert((place, *ordinal));
        *known = (*known).min((place, *ordinal));
    }
    first.into_iter().map(|(id, (_, ordinal))| (id.to_owned(), ordinal)).collect()
}

/// The row of a task, with unsealed details.
fn task_row(task: &Task) -> TaskRow {
    let details = TaskDetails {
        description: task.description.clone(),
        task_type: task.task_type.clone(),
        complexity: task.complexity.clone(),
        notes: task.notes.clone(),
    };
    TaskRow {
        task_id: task.task_id.clone(),
        task_type: task.task_type.as_deref().map(|word| known(Some(word), TYPES).to_owned()),
        status: task.status.as_str().to_owned(),
        outcome: task.outcome.map(|outcome| outcome.as_str().to_owned()),
        confidence: task.confidence.map(millionths),
        started_at: task.started_at.0,
        completed_at: task.completed_at.map(|at| at.0),
        sealed: false,
        details: serde_json::json!(details).to_string(),
    }
}

fn native_row(task: &NativeTask, created_by: &HashMap<String, i32>) -> NativeRow {
    let details = NativeTaskDetails {
        subject: task.subject.clone(),
        description: task.description.clone(),
        active_form: task.active_form.clone(),
        status: task.status.clone(),
        owner: task.owner.clone(),
        blocks: task.blocks.iter().cloned().collect(),
        blocked_by: task.blocked_by.iter().cloned().collect(),
    };
    NativeRow {
        task_id: task.task_id.clone(),
        status: known(Some(&task.status), STATUSES).to_owned(),
        created_at: task.created_at.0,
        updated_at: task.updated_at.0,
        completed_at: task.completed_at.map(|at| at.0),
        ordinal: created_by.get(&task.task_id).copied().unwrap_or_default(),
        sealed: false,
        details: serde_json::json!(details).to_string(),
    }
}

fn count_task(task: &TaskRow, sign: i64, delta: &mut RollupDelta) {
    let task_type = task.task_type.as_deref().unwrap_or_default();
    let begun = quarter_of(task.started_at);
    delta.count(begun, Kind::TaskBegun, task_type, sign, &Counts::one(None));
    let Some(at) = task.completed_at else { return };
    let outcome = task.outcome.as_deref().unwrap_or_default();
    // The ideal confidence.
    let came_out = match outcome.parse() {
        Ok(TaskOutcome::Success) => Some(1_000_000),
        Ok(TaskOutcome::Partial) => Some(500_000),
        Ok(TaskOutcome::Failure) => Some(0),
        Err(()) => None,
    };
    let judged = task.confidence.zip(came_out);
    let counted = Counts {
        scored: i64::from(judged.is_some()),
        score: judged.map_or(0, |(confidence, _)| confidence),
        error: judged.map_or(0, |(confidence, came_out)| (confidence - came_out).abs()),
        ..Counts::one(Some((at - task.started_at).max(0)))
    };
    delta.count(quarter_of(at), Kind::TaskEnded, &format!("{task_type}/{outcome}"), sign, &counted);
}

fn count_native(task: &NativeRow, sign: i64, delta: &mut RollupDelta) {
    if task.status == "deleted" {
        return;
    }
    delta.count(quarter_of(task.created_at), Kind::NativeBegun, "", sign, &Counts::one(None));
    if let Some(at) = task.completed_at {
        let counted = Counts::one(Some((at - task.created_at).max(0)));
        delta.count(quarter_of(at), Kind::NativeDone, "", sign, &counted);
    }
}

/// A share between 0 and 1, in millionths.
#[expect(clippy::cast_possible_truncation, reason = "it is clamped first, and rounding is wanted")]
fn millionths(share: f64) -> i64 {
    (share.clamp(0.0, 1.0) * 1_000_000.0).round() as i64
}
