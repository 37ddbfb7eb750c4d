//! What lines add to the rollups, by quarter-hour. All values are integers and can be subtracted, so a correction is the
//! difference between the old and the new value. It is written to one row for each length of time (`grain`).

use std::collections::BTreeMap;

use sea_orm::Value;
use serde::{Deserialize, Serialize};

use super::grain::Grain;
use super::usage::{Tally, Tokens};
use crate::DbError;
use crate::bulk_insert::{BulkInsert, Column, Writes};
use crate::tx::Tx;

/// The number of rows that the writers of one time are distributed over. Readers sum them.
const SHARDS: u64 = 8;

/// What a row of `rollup_counts` counts, and the meaning of its key. docs/METRICS.md describes the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Compactions, by trigger; key `continuation`: summaries that continue a conversation.
    Compaction,
    /// Lines that are anything but one complete record.
    Damage,
    /// Changes of files.
    File,
    /// Hooks that ended, by label: `passed`, `failed`, and the duration where it is known.
    Hook,
    /// The agent's own tasks, by when they were created.
    NativeBegun,
    /// The agent's own tasks, by when they were completed, with their duration.
    NativeDone,
    /// Sentiments, by level of frustration; `score` is the sum of the sentiment scores, in thousandths.
    Sentiment,
    /// Subagents that were started, by the label of their type; the key is empty if the type is unknown.
    Subagent,
    /// Han's tasks, by type, by when they began.
    TaskBegun,
    /// Han's tasks, by `type/outcome`, by when they ended, with their duration; `score` is the sum of confidences,
    /// `error` the sum of their distances from the outcomes, in millionths.
    TaskEnded,
    /// Tool uses, by name.
    Tool,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Damage => "damage",
            Self::File => "file",
            Self::Hook => "hook",
            Self::NativeBegun => "native_begun",
            Self::NativeDone => "native_done",
            Self::Sentiment => "sentiment",
            Self::Subagent => "subagent",
            Self::TaskBegun => "task_begun",
            Self::TaskEnded => "task_ended",
            Self::Tool => "tool",
        }
    }
}

/// The key of continuations among compactions.
pub(crate) const CONTINUATION: &str = "continuation";

/// One row of `rollups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rollup {
    #[serde(skip_serializing_if = "is_zero")]
    pub sessions: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub messages: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub turns: i64,
    // Never stored apart from the rollups: `answer_copies` has it.
    #[serde(skip)]
    pub usage: Tally,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Rollup {
    fn plus(self, sign: i64, other: &Self) -> Self {
        Self {
            sessions: self.sessions + sign * other.sessions,
            messages: self.messages + sign * other.messages,
            turns: self.turns + sign * other.turns,
            usage: self.usage.plus(sign, &other.usage),
        }
    }
}

/// One row of `rollup_counts`. [`Kind`] determines which of the numbers are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    #[serde(skip_serializing_if = "is_zero")]
    pub count: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub passed: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: i64,
    /// The number of those with a duration.
    #[serde(skip_serializing_if = "is_zero")]
    pub timed: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub duration_ms: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_added: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_removed: i64,
    /// The number of those with a score.
    #[serde(skip_serializing_if = "is_zero")]
    pub scored: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub score: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub error: i64,
}

impl Counts {
    fn plus(self, sign: i64, other: &Self) -> Self {
        let add = |a: i64, b: i64| a.saturating_add(sign * b);
        Self {
            count: add(self.count, other.count),
            passed: add(self.passed, other.passed),
            failed: add(self.failed, other.failed),
            timed: add(self.timed, other.timed),
            duration_ms: add(self.duration_ms, other.duration_ms),
            lines_added: add(self.lines_added, other.lines_added),
            lines_removed: add(self.lines_removed, other.lines_removed),
            scored: add(self.scored, other.scored),
            score: add(self.score, other.score),
            error: add(self.error, other.error),
        }
    }

    /// A count of one, with its duration.
    pub(crate) fn one(duration_ms: Option<i64>) -> Self {
        Self {
            count: 1,
            timed: i64::from(duration_ms.is_some()),
            duration_ms: duration_ms.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// What a session's lines add to the rollups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RollupDelta {
    rollups: BTreeMap<(i64, String), Rollup>,
    counts: BTreeMap<(i64, Kind, String), Counts>,
}

/// The stored form of a [`RollupDelta`] without usage.
#[derive(Default, Serialize, Deserialize)]
struct StoredDelta {
    rollups: Vec<(i64, String, Rollup)>,
    counts: Vec<(i64, Kind, String, Counts)>,
}

/// What they add to the totals in the session's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionDelta {
    /// Lines have no rollup: who counts them fills this in.
    pub lines: i64,
    pub messages: i64,
    pub turns: i64,
    pub compactions: i64,
    pub tokens: Tokens,
    pub tool_uses: i64,
    pub file_changes: i64,
    pub lines_added: i64,
    pub lines_removed: i64,
    pub tasks: i64,
    pub tasks_done: i64,
    pub sentiments: i64,
    pub sentiment_sum: i64,
    pub damaged_lines: i64,
}

impl SessionDelta {
    /// The totals in a session's row, in one place for all who write them.
    fn columns(&self) -> [(&'static str, i64); 18] {
        [
            ("line_count", self.lines),
            ("message_count", self.messages),
            ("turn_count", self.turns),
            ("compaction_count", self.compactions),
            ("input_tokens", self.tokens.input),
            ("output_tokens", self.tokens.output),
            ("cache_read_tokens", self.tokens.cache_read),
            ("cache_creation_5m_tokens", self.tokens.cache_creation_5m),
            ("cache_creation_1h_tokens", self.tokens.cache_creation_1h),
            ("tool_use_count", self.tool_uses),
            ("file_change_count", self.file_changes),
            ("lines_added", self.lines_added),
            ("lines_removed", self.lines_removed),
            ("task_count", self.tasks),
            ("task_done_count", self.tasks_done),
            ("sentiment_count", self.sentiments),
            ("sentiment_sum", self.sentiment_sum),
            ("damaged_line_count", self.damaged_lines),
        ]
    }

    /// The assignments of an `UPDATE sessions` that add [`SessionDelta::values`]; these are the parameters from `$first`
    /// on.
    pub(crate) fn add_sql(first: usize) -> String {
        Self::assignments(first, |column, parameter| format!("{column} = {column} + {parameter}"))
    }

    /// As [`SessionDelta::add_sql`], but the values are the new totals.
    pub(crate) fn set_sql(first: usize) -> String {
        Self::assignments(first, |column, parameter| format!("{column} = {parameter}"))
    }

    fn assignments(first: usize, assign: fn(&str, &str) -> String) -> String {
        let columns = Self::default().columns();
        let assigned = columns.iter().zip(first..).map(|((column, _), n)| assign(column, &format!("${n}")));
        assigned.collect::<Vec<_>>().join(", ")
    }

    /// The parameters of [`SessionDelta::add_sql`] and [`SessionDelta::set_sql`], in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> + use<> {
        self.columns().into_iter().map(|(_, n)| n.into())
    }
}

impl RollupDelta {
    /// The row of `model` (empty: without a model) in the quarter-hour that begins at `quarter`.
    pub(crate) fn rollup(&mut self, quarter: i64, model: &str) -> &mut Rollup {
        self.rollups.entry((quarter, model.to_owned())).or_default()
    }

    /// This delta with the usage of `other`.
    pub(crate) fn with_usage_of(&self, other: &Self) -> Self {
        let mut delta = self.clone();
        for row in delta.rollups.values_mut() {
            row.usage = Tally::default();
        }
        for (key, row) in &other.rollups {
            delta.rollups.entry(key.clone()).or_default().usage = row.usage;
        }
        delta
    }

    /// This delta without usage, as JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut stored = StoredDelta::default();
        for ((quarter, model), row) in &self.rollups {
            let row = Rollup { usage: Tally::default(), ..*row };
            if row != Rollup::default() {
                stored.rollups.push((*quarter, model.clone(), row));
            }
        }
        for ((quarter, kind, key), row) in &self.counts {
            if *row != Counts::default() {
                stored.counts.push((*quarter, *kind, key.clone(), *row));
            }
        }
        serde_json::json!(stored).to_string()
    }

    /// Reads what [`RollupDelta::to_json`] wrote; `None` if it did not write this.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        let stored: StoredDelta = serde_json::from_str(text).ok()?;
        let rollups = stored.rollups.into_iter().map(|(quarter, model, row)| ((quarter, model), row));
        let counts = stored.counts.into_iter().map(|(quarter, kind, key, row)| ((quarter, kind, key), row));
        Some(Self { rollups: rollups.collect(), counts: counts.collect() })
    }

    /// The usage by model.
    pub(crate) fn usage(&self) -> BTreeMap<String, Tally> {
        let mut usage: BTreeMap<String, Tally> = BTreeMap::new();
        for ((_, model), row) in &self.rollups {
            let sum = usage.entry(model.clone()).or_default();
            *sum = sum.plus(1, &row.usage);
        }
        usage
    }

    /// Adds `counts` (sign 1) or subtracts them (sign -1).
    pub(crate) fn count(&mut self, quarter: i64, kind: Kind, key: &str, sign: i64, counts: &Counts) {
        let row = self.counts.entry((quarter, kind, key.to_owned())).or_default();
        *row = row.plus(sign, counts);
    }

    /// Adds another delta (sign 1) or subtracts it (sign -1).
    pub(crate) fn add(&mut self, sign: i64, other: &Self) {
        for (key, rollup) in &other.rollups {
            let row = self.rollups.entry(key.clone()).or_default();
            *row = row.plus(sign, rollup);
        }
        for (key, counts) in &other.counts {
            let row = self.counts.entry(key.clone()).or_default();
            *row = row.plus(sign, counts);
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_zero(&self) -> bool {
        self.rollups.values().all(|row| *row == Rollup::default())
            && self.counts.values().all(|row| *row == Counts::default())
    }

    /// What the lines add to the session's totals, without the number of lines.
    pub(crate) fn session_delta(&self) -> SessionDelta {
        let mut delta = SessionDelta::default();
        for rollup in self.rollups.values() {
            delta.messages += rollup.messages;
            delta.turns += rollup.turns;
            delta.tokens = delta.tokens + rollup.usage.tokens;
        }
        for ((_, kind, key), counts) in &self.counts {
            match kind {
                Kind::Compaction if key != CONTINUATION => delta.compactions += counts.count,
                Kind::Compaction | Kind::Hook | Kind::Subagent => {}
                Kind::Damage => delta.damaged_lines += counts.count,
                Kind::File => {
                    delta.file_changes += counts.count;
                    delta.lines_added += counts.lines_added;
                    delta.lines_removed += counts.lines_removed;
                }
                Kind::NativeBegun | Kind::TaskBegun => delta.tasks += counts.count,
                Kind::NativeDone => delta.tasks_done += counts.count,
                // Success, or no outcome.
                Kind::TaskEnded if key.ends_with("/success") || key.ends_with('/') => {
                    delta.tasks_done += counts.count;
                }
                Kind::TaskEnded => {}
                Kind::Sentiment => {
                    delta.sentiments += counts.scored;
                    delta.sentiment_sum += counts.score;
                }
                Kind::Tool => delta.tool_uses += counts.count,
            }
        }
        delta
    }
}

/// What a session adds to the rollups, under one project.
#[derive(Clone, Debug)]
pub(crate) struct RollupPart {
    pub user_id: String,
    pub session_id: String,
    /// Empty for a session without a project.
    pub project_id: String,
    pub delta: RollupDelta,
}

/// A row of `rollups`: grain, start, user, project, model, shard.
type RollupKey<'a> = (i64, i64, &'a str, &'a str, &'a str, i64);

/// A row of `rollup_counts`: grain, kind, start, user, project, key, shard.
type CountKey<'a> = (i64, &'a str, i64, &'a str, &'a str, &'a str, i64);

/// Adds to the rollups of a team.
pub(crate) async fn add_rollups(tx: &Tx, team: Value, parts: &[RollupPart]) -> Result<(), DbError> {
    rollup_writes(team, parts).run(tx).await
}

/// What adds to the rollups of a team, to both tables together. The rows of a table are locked in the order of their keys,
/// whatever the number of sessions, so that two transactions do not wait for each other.
pub(crate) fn rollup_writes(team: Value, parts: &[RollupPart]) -> Writes<'_> {
    let mut rollups: BTreeMap<RollupKey<'_>, Rollup> = BTreeMap::new();
    let mut counts: BTreeMap<CountKey<'_>, Counts> = BTreeMap::new();
    for part in parts {
        let (user, project, shard) =
            (part.user_id.as_str(), part.project_id.as_str(), shard(&part.session_id));
        for ((quarter, model), rollup) in &part.delta.rollups {
            for (grain, start) in Grain::of_quarter(*quarter) {
                let grain = grain.code(!model.is_empty());
                let row = rollups.entry((grain, start, user, project, model, shard)).or_default();
                *row = row.plus(1, rollup);
            }
        }
        for ((quarter, kind, key), row) in &part.delta.counts {
            for (grain, start) in Grain::of_quarter(*quarter) {
                let id = (grain.code(false), kind.as_str(), start, user, project, key.as_str(), shard);
                let sum = counts.entry(id).or_default();
                *sum = sum.plus(1, row);
            }
        }
    }
    rollups.retain(|_, row| *row != Rollup::default());
    counts.retain(|_, row| *row != Counts::default());
    let keys = vec![
        Column::Int("grain", rollups.keys().map(|key| key.0).collect()),
        Column::Int("start", rollups.keys().map(|key| key.1).collect()),
        Column::Str("user_id", rollups.keys().map(|key| key.2).collect()),
        Column::Str("project_id", rollups.keys().map(|key| key.3).collect()),
        Column::Str("model", rollups.keys().map(|key| key.4).collect()),
        Column::Int("shard", rollups.keys().map(|key| key.5).collect()),
    ];
    let constants = vec![("team", team.clone())];
    let rollups = rows_insert(&ROLLUPS, constants, keys, &rollups.values().collect::<Vec<_>>());
    let keys = vec![
        Column::Int("grain", counts.keys().map(|key| key.0).collect()),
        Column::Str("kind", counts.keys().map(|key| key.1).collect()),
        Column::Int("start", counts.keys().map(|key| key.2).collect()),
        Column::Str("user_id", counts.keys().map(|key| key.3).collect()),
        Column::Str("project_id", counts.keys().map(|key| key.4).collect()),
        Column::Str("key", counts.keys().map(|key| key.5).collect()),
        Column::Int("shard", counts.keys().map(|key| key.6).collect()),
    ];
    let constants = vec![("team", team)];
    let counts = rows_insert(&ROLLUP_COUNTS, constants, keys, &counts.values().collect::<Vec<_>>());
    Writes { update: None, inserts: vec![rollups, counts] }
}

/// An insert that adds rows to a table; `columns` are the columns of their keys.
pub(super) fn rows_insert<'k, Row>(
    sums: &Sums<Row>,
    constants: Vec<(&'static str, Value)>,
    mut columns: Vec<Column<'k>>,
    rows: &[&Row],
) -> BulkInsert<'k> {
    let column =
        |(name, value): &SumColumn<Row>| Column::Int(name, rows.iter().map(|row| value(row)).collect());
    columns.extend(sums.columns.iter().map(column));
    BulkInsert { table: sums.table, constants, columns, on_conflict: sums.on_conflict, returning: "" }
}

/// A column of sums, and what a row adds to it.
type SumColumn<Row> = (&'static str, fn(&Row) -> i64);

/// A table of sums. A row with a key that is stored is added to the stored one.
pub(super) struct Sums<Row: 'static> {
    table: &'static str,
    on_conflict: &'static str,
    columns: &'static [SumColumn<Row>],
}

/// Defines a table of sums by its name, its primary key, and its columns with the value that a row adds to each.
macro_rules! sums {
    ($table:literal by $key:literal, $first:literal => $value:expr, $($column:literal => $values:expr,)*) => {
        Sums {
            table: $table,
            on_conflict: concat!(
                "(", $key, ") DO UPDATE SET ", $first, " = ", $table, ".", $first, " + excluded.", $first,
                $(", ", $column, " = ", $table, ".", $column, " + excluded.", $column,)*
            ),
            columns: &[($first, $value), $(($column, $values),)*],
        }
    };
}

const ROLLUPS: Sums<Rollup> = sums!("rollups" by "team, grain, start, user_id, project_id, model, shard",
    "sessions" => |row| row.sessions,
    "messages" => |row| row.messages,
    "turns" => |row| row.turns,
    "responses" => |row| row.usage.answers,
    "input_tokens" => |row| row.usage.tokens.input,
    "output_tokens" => |row| row.usage.tokens.output,
    "cache_read_tokens" => |row| row.usage.tokens.cache_read,
    "cache_creation_5m_tokens" => |row| row.usage.tokens.cache_creation_5m,
    "cache_creation_1h_tokens" => |row| row.usage.tokens.cache_creation_1h,
    "cost" => |row| row.usage.cost,
    "saved" => |row| row.usage.saved,
    "unpriced_tokens" => |row| row.usage.unpriced_tokens,
    "unpriced_answers" => |row| row.usage.unpriced_answers,
);

/// The tables of rollups, each with the condition on rows that count nothing.
pub(crate) fn empty_rollups() -> [(&'static str, String); 2] {
    fn zero<Row>(sums: &Sums<Row>) -> (&'static str, String) {
        let columns: Vec<String> = sums.columns.iter().map(|(name, _)| format!("{name} = 0")).collect();
        (sums.table, columns.join(" AND "))
    }
    [zero(&ROLLUPS), zero(&ROLLUP_COUNTS)]
}

pub(super) const SESSION_USAGE: Sums<Tally> = sums!("session_usage" by "team, session, model",
    "responses" => |row| row.answers,
    "input_tokens" => |row| row.tokens.input,
    "output_tokens" => |row| row.tokens.output,
    "cache_read_tokens" => |row| row.tokens.cache_read,
    "cache_creation_5m_tokens" => |row| row.tokens.cache_creation_5m,
    "cache_creation_1h_tokens" => |row| row.tokens.cache_creation_1h,
    "cost" => |row| row.cost,
    "saved" => |row| row.saved,
    "unpriced_tokens" => |row| row.unpriced_tokens,
    "unpriced_answers" => |row| row.unpriced_answers,
);

const ROLLUP_COUNTS: Sums<Counts> = sums!("rollup_counts" by "team, grain, kind, start, user_id, project_id, key, shard",
    "count" => |row| row.count,
    "passed" => |row| row.passed,
    "failed" => |row| row.failed,
    "timed" => |row| row.timed,
    "duration_ms" => |row| row.duration_ms,
    "lines_added" => |row| row.lines_added,
    "lines_removed" => |row| row.lines_removed,
    "scored" => |row| row.scored,
    "score" => |row| row.score,
    "error" => |row| row.error,
);

/// The shard of a session: FNV-1a of its id, the same in every process.
pub(crate) fn shard(session_id: &str) -> i64 {
    let hash = session_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i64::try_from(hash % SHARDS).unwrap_or_default()
}
