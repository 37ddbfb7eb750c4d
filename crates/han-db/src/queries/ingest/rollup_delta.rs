//! What lines add to the rollups, by hour. All values are integers and can be subtracted, so a correction is the
//! difference between the old and the new value.

use std::collections::BTreeMap;

use sea_orm::Value;

use super::usage::Tokens;
use crate::bulk_insert::{BulkInsert, Column};
use crate::{DbError, ScopedTx};

/// The number of rows that the writers of one hour are distributed over. Readers sum them.
const SHARDS: u64 = 8;

/// What a row of `rollup_counts` counts, and the meaning of its key. docs/METRICS.md describes the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Compactions, by trigger; key `continuation`: summaries that continue a conversation.
    Compaction,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollup {
    pub sessions: i64,
    pub messages: i64,
    pub turns: i64,
    pub responses: i64,
    pub tokens: Tokens,
}

impl Rollup {
    fn plus(self, sign: i64, other: &Self) -> Self {
        Self {
            sessions: self.sessions + sign * other.sessions,
            messages: self.messages + sign * other.messages,
            turns: self.turns + sign * other.turns,
            responses: self.responses + sign * other.responses,
            tokens: if sign < 0 { self.tokens - other.tokens } else { self.tokens + other.tokens },
        }
    }
}

/// One row of `rollup_counts`. [`Kind`] determines which of the numbers are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub count: i64,
    pub passed: i64,
    pub failed: i64,
    /// The number of those with a duration.
    pub timed: i64,
    pub duration_ms: i64,
    pub lines_added: i64,
    pub lines_removed: i64,
    /// The number of those with a score.
    pub scored: i64,
    pub score: i64,
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

/// What they add to the session's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionDelta {
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
}

impl RollupDelta {
    /// The row of `model` (empty: without a model) in the hour that begins at `hour`.
    pub(crate) fn rollup(&mut self, hour: i64, model: &str) -> &mut Rollup {
        self.rollups.entry((hour, model.to_owned())).or_default()
    }

    /// Adds `counts` (sign 1) or subtracts them (sign -1).
    pub(crate) fn count(&mut self, hour: i64, kind: Kind, key: &str, sign: i64, counts: &Counts) {
        let row = self.counts.entry((hour, kind, key.to_owned())).or_default();
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

    pub(crate) fn session_delta(&self) -> SessionDelta {
        let mut delta = SessionDelta::default();
        for rollup in self.rollups.values() {
            delta.messages += rollup.messages;
            delta.turns += rollup.turns;
            delta.tokens = delta.tokens + rollup.tokens;
        }
        for ((_, kind, key), counts) in &self.counts {
            match kind {
                Kind::Compaction if key != CONTINUATION => delta.compactions += counts.count,
                Kind::Compaction | Kind::Hook | Kind::Subagent => {}
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

/// The part of the key of rollups that is the same for all rows of a session.
pub(crate) struct RollupKey<'a> {
    pub user: &'a str,
    pub session: &'a str,
}

impl RollupKey<'_> {
    /// Adds the deltas of a session to the rollups, each under its project. Runs at most one statement for each of the
    /// two tables; rows are locked in the order of their keys.
    pub(crate) async fn add(&self, tx: &ScopedTx, parts: &[(&str, &RollupDelta)]) -> Result<(), DbError> {
        let mut rollups = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for (project, delta) in parts {
            for ((hour, model), rollup) in &delta.rollups {
                if *rollup != Rollup::default() {
                    rollups.insert((*hour, *project, model.as_str()), rollup);
                }
            }
            for ((hour, kind, key), row) in &delta.counts {
                if *row != Counts::default() {
                    counts.insert((*hour, *project, kind.as_str(), key.as_str()), row);
                }
            }
        }
        self.add_rollups(tx, &rollups).await?;
        self.add_counts(tx, &counts).await
    }

    fn constants(&self, tx: &ScopedTx) -> Vec<(&'static str, Value)> {
        vec![("team_id", tx.team()), ("user_id", self.user.into()), ("shard", shard(self.session).into())]
    }

    async fn add_rollups(
        &self,
        tx: &ScopedTx,
        rows: &BTreeMap<(i64, &str, &str), &Rollup>,
    ) -> Result<(), DbError> {
        let of =
            |value: &dyn Fn(&Rollup) -> i64| -> Vec<i64> { rows.values().map(|row| value(row)).collect() };
        let insert = BulkInsert {
            table: "rollups",
            constants: self.constants(tx),
            columns: vec![
                Column::Int("hour", rows.keys().map(|key| key.0).collect()),
                Column::Text("project_id", rows.keys().map(|key| key.1.to_owned()).collect()),
                Column::Text("model", rows.keys().map(|key| key.2.to_owned()).collect()),
                Column::Int("sessions", of(&|s| s.sessions)),
                Column::Int("messages", of(&|s| s.messages)),
                Column::Int("turns", of(&|s| s.turns)),
                Column::Int("responses", of(&|s| s.responses)),
                Column::Int("input_tokens", of(&|s| s.tokens.input)),
                Column::Int("output_tokens", of(&|s| s.tokens.output)),
                Column::Int("cache_read_tokens", of(&|s| s.tokens.cache_read)),
                Column::Int("cache_creation_5m_tokens", of(&|s| s.tokens.cache_creation_5m)),
                Column::Int("cache_creation_1h_tokens", of(&|s| s.tokens.cache_creation_1h)),
            ],
            on_conflict: "(team_id, hour, user_id, project_id, model, shard) DO UPDATE SET \
                 sessions = rollups.sessions + excluded.sessions, \
                 messages = rollups.messages + excluded.messages, \
                 turns = rollups.turns + excluded.turns, \
                 responses = rollups.responses + excluded.responses, \
                 input_tokens = rollups.input_tokens + excluded.input_tokens, \
                 output_tokens = rollups.output_tokens + excluded.output_tokens, \
                 cache_read_tokens = rollups.cache_read_tokens + excluded.cache_read_tokens, \
                 cache_creation_5m_tokens = rollups.cache_creation_5m_tokens + excluded.cache_creation_5m_tokens, \
                 cache_creation_1h_tokens = rollups.cache_creation_1h_tokens + excluded.cache_creation_1h_tokens",
            returning: "",
        };
        insert.run(tx).await?;
        Ok(())
    }

    async fn add_counts(
        &self,
        tx: &ScopedTx,
        rows: &BTreeMap<(i64, &str, &str, &str), &Counts>,
    ) -> Result<(), DbError> {
        let of =
            |value: &dyn Fn(&Counts) -> i64| -> Vec<i64> { rows.values().map(|row| value(row)).collect() };
        let insert = BulkInsert {
            table: "rollup_counts",
            constants: self.constants(tx),
            columns: vec![
                Column::Int("hour", rows.keys().map(|key| key.0).collect()),
                Column::Text("project_id", rows.keys().map(|key| key.1.to_owned()).collect()),
                Column::Text("kind", rows.keys().map(|key| key.2.to_owned()).collect()),
                Column::Text("key", rows.keys().map(|key| key.3.to_owned()).collect()),
                Column::Int("count", of(&|c| c.count)),
                Column::Int("passed", of(&|c| c.passed)),
                Column::Int("failed", of(&|c| c.failed)),
                Column::Int("timed", of(&|c| c.timed)),
                Column::Int("duration_ms", of(&|c| c.duration_ms)),
                Column::Int("lines_added", of(&|c| c.lines_added)),
                Column::Int("lines_removed", of(&|c| c.lines_removed)),
                Column::Int("scored", of(&|c| c.scored)),
                Column::Int("score", of(&|c| c.score)),
                Column::Int("error", of(&|c| c.error)),
            ],
            on_conflict: "(team_id, hour, user_id, project_id, kind, key, shard) DO UPDATE SET \
                 count = rollup_counts.count + excluded.count, \
                 passed = rollup_counts.passed + excluded.passed, \
                 failed = rollup_counts.failed + excluded.failed, \
                 timed = rollup_counts.timed + excluded.timed, \
                 duration_ms = rollup_counts.duration_ms + excluded.duration_ms, \
                 lines_added = rollup_counts.lines_added + excluded.lines_added, \
                 lines_removed = rollup_counts.lines_removed + excluded.lines_removed, \
                 scored = rollup_counts.scored + excluded.scored, \
                 score = rollup_counts.score + excluded.score, \
                 error = rollup_counts.error + excluded.error",
            returning: "",
        };
        insert.run(tx).await?;
        Ok(())
    }
}

/// The shard of a session: FNV-1a of its id, the same in every process.
fn shard(session_id: &str) -> i64 {
    let hash = session_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i64::try_from(hash % SHARDS).unwrap_or_default()
}
