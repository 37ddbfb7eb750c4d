//! Counts tokens. Each `message.id` counts once: with the maximum of each counter over its lines, in the hour of its
//! earliest line, for the session that stored it first.

use std::collections::{BTreeMap, HashSet};

use han_transcript::fold::TokenTotals;
use han_transcript::record::Usage;
use han_types::Timestamp;
use sea_orm::FromQueryResult;

use super::derive::{Derive, NewLine};
use super::rollup_delta::RollupDelta;
use crate::DbError;
use crate::bulk_insert::{BulkInsert, Column};

/// Token counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_creation_5m: i64,
    pub cache_creation_1h: i64,
}

impl Tokens {
    fn map(self, other: Self, f: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            input: f(self.input, other.input),
            output: f(self.output, other.output),
            cache_read: f(self.cache_read, other.cache_read),
            cache_creation_5m: f(self.cache_creation_5m, other.cache_creation_5m),
            cache_creation_1h: f(self.cache_creation_1h, other.cache_creation_1h),
        }
    }
}

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.map(other, i64::saturating_add)
    }
}

impl std::ops::Sub for Tokens {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.map(other, i64::saturating_sub)
    }
}

impl From<&Usage> for Tokens {
    fn from(usage: &Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_creation_5m: usage.cache_creation_5m,
            cache_creation_1h: usage.cache_creation_1h,
        }
    }
}

impl From<Tokens> for TokenTotals {
    fn from(tokens: Tokens) -> Self {
        Self {
            input: tokens.input,
            output: tokens.output,
            cache_read: tokens.cache_read,
            cache_creation_5m: tokens.cache_creation_5m,
            cache_creation_1h: tokens.cache_creation_1h,
        }
    }
}

#[derive(FromQueryResult)]
struct UsageRow {
    message_id: String,
    session_id: String,
    model: String,
    at: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
}

impl From<UsageRow> for Answer {
    fn from(row: UsageRow) -> Self {
        Self {
            tokens: Tokens {
                input: row.input_tokens,
                output: row.output_tokens,
                cache_read: row.cache_read_tokens,
                cache_creation_5m: row.cache_creation_5m_tokens,
                cache_creation_1h: row.cache_creation_1h_tokens,
            },
            model: row.model,
            at: row.at,
        }
    }
}

/// The merged lines of one `message.id`.
#[derive(Clone, PartialEq, Eq)]
struct Answer {
    model: String,
    at: i64,
    tokens: Tokens,
}

impl Answer {
    /// Merges two lines of the same answer.
    fn merge(self, other: Self) -> Self {
        Self {
            model: self.model.max(other.model),
            at: self.at.min(other.at),
            tokens: self.tokens.map(other.tokens, i64::max),
        }
    }
}

/// The change of one `message.id` by a batch.
struct Change {
    before: Option<Answer>,
    after: Answer,
}

impl Derive<'_> {
    pub(super) async fn usage(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let changes = self.changed_answers(new).await?;
        let mut by_model: BTreeMap<&str, (i64, Tokens)> = BTreeMap::new();
        for change in &changes {
            if let Some(answer) = &change.before {
                let row = delta.rollup(Timestamp(answer.at).hour(), &answer.model);
                row.responses -= 1;
                row.tokens = row.tokens - answer.tokens;
                let row = by_model.entry(&answer.model).or_default();
                *row = (row.0 - 1, row.1 - answer.tokens);
            }
            let answer = &change.after;
            let row = delta.rollup(Timestamp(answer.at).hour(), &answer.model);
            row.responses += 1;
            row.tokens = row.tokens + answer.tokens;
            let row = by_model.entry(&answer.model).or_default();
            *row = (row.0 + 1, row.1 + answer.tokens);
        }
        by_model.retain(|_, row| *row != (0, Tokens::default()));
        self.add_session_usage(&by_model).await
    }

    async fn changed_answers(&self, new: &[NewLine<'_>]) -> Result<Vec<Change>, DbError> {
        // Sorted by id, so that sessions that share ids (forks) lock rows in the same order.
        let mut seen: BTreeMap<&str, Answer> = BTreeMap::new();
        for line in new {
            let Some(usage) = &line.record.usage else { continue };
            let model = usage.model.clone().unwrap_or_default();
            let mut answer = Answer { model, at: line.at, tokens: Tokens::from(usage) };
            if let Some(known) = seen.remove(usage.message_id.as_str()) {
                answer = known.merge(answer);
            }
            seen.insert(&usage.message_id, answer);
        }
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        // Nearly all are new: they are inserted without a read, and only those that conflict are read.
        let written = self.write_answers(&seen, "(team_id, message_id) DO NOTHING").await?;
        let mut changes = Vec::with_capacity(seen.len());
        let mut known = BTreeMap::new();
        for (id, answer) in seen {
            if written.contains(id) {
                changes.push(Change { before: None, after: answer });
            } else {
                known.insert(id, answer);
            }
        }
        changes.extend(self.change_known(known).await?);
        Ok(changes)
    }

    /// Merges new lines into stored answers. Only the session that stored an answer first changes it, and its row is
    /// locked; a fork repeats lines and changes nothing.
    async fn change_known(&self, seen: BTreeMap<&str, Answer>) -> Result<Vec<Change>, DbError> {
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT message_id, session_id, model, at, input_tokens, output_tokens, cache_read_tokens, \
               cache_creation_5m_tokens, cache_creation_1h_tokens \
             FROM message_usage WHERE team_id = $1 AND {}",
            dialect.is_any("message_id", 2)
        );
        let rows: Vec<UsageRow> = self.tx.all(&sql, [self.tx.team(), dialect.list(seen.keys())]).await?;
        let (mut changes, mut changed) = (Vec::new(), BTreeMap::new());
        for row in rows.into_iter().filter(|row| row.session_id == self.session) {
            let Some((&id, answer)) = seen.get_key_value(row.message_id.as_str()) else { continue };
            let before = Answer::from(row);
            let after = before.clone().merge(answer.clone());
            if before != after {
                changed.insert(id, after.clone());
                changes.push(Change { before: Some(before), after });
            }
        }
        let update = "(team_id, message_id) DO UPDATE SET at = excluded.at, model = excluded.model, \
             input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, \
             cache_read_tokens = excluded.cache_read_tokens, \
             cache_creation_5m_tokens = excluded.cache_creation_5m_tokens, \
             cache_creation_1h_tokens = excluded.cache_creation_1h_tokens";
        self.write_answers(&changed, update).await?;
        Ok(changes)
    }

    /// Writes usage rows; returns the ids of the written ones.
    async fn write_answers(
        &self,
        answers: &BTreeMap<&str, Answer>,
        on_conflict: &'static str,
    ) -> Result<HashSet<String>, DbError> {
        let of = |value: &dyn Fn(&Answer) -> i64| -> Vec<i64> { answers.values().map(value).collect() };
        let insert = BulkInsert {
            table: "message_usage",
            constants: self.constants(),
            columns: vec![
                Column::Text("message_id", answers.keys().map(|id| (*id).to_owned()).collect()),
                Column::Text("model", answers.values().map(|answer| answer.model.clone()).collect()),
                Column::Int("at", of(&|a| a.at)),
                Column::Int("input_tokens", of(&|a| a.tokens.input)),
                Column::Int("output_tokens", of(&|a| a.tokens.output)),
                Column::Int("cache_read_tokens", of(&|a| a.tokens.cache_read)),
                Column::Int("cache_creation_5m_tokens", of(&|a| a.tokens.cache_creation_5m)),
                Column::Int("cache_creation_1h_tokens", of(&|a| a.tokens.cache_creation_1h)),
            ],
            on_conflict,
            returning: "message_id",
        };
        let rows = insert.run(self.tx).await?;
        rows.iter().map(|row| row.try_get("", "message_id").map_err(DbError::from)).collect()
    }

    async fn add_session_usage(&self, rows: &BTreeMap<&str, (i64, Tokens)>) -> Result<(), DbError> {
        let of =
            |value: &dyn Fn(&Tokens) -> i64| -> Vec<i64> { rows.values().map(|r| value(&r.1)).collect() };
        let insert = BulkInsert {
            table: "session_usage",
            constants: self.constants(),
            columns: vec![
                Column::Text("model", rows.keys().map(|model| (*model).to_owned()).collect()),
                Column::Int("responses", rows.values().map(|row| row.0).collect()),
                Column::Int("input_tokens", of(&|t| t.input)),
                Column::Int("output_tokens", of(&|t| t.output)),
                Column::Int("cache_read_tokens", of(&|t| t.cache_read)),
                Column::Int("cache_creation_5m_tokens", of(&|t| t.cache_creation_5m)),
                Column::Int("cache_creation_1h_tokens", of(&|t| t.cache_creation_1h)),
            ],
            on_conflict: "(team_id, session_id, model) DO UPDATE SET \
                 responses = session_usage.responses + excluded.responses, \
                 input_tokens = session_usage.input_tokens + excluded.input_tokens, \
                 output_tokens = session_usage.output_tokens + excluded.output_tokens, \
                 cache_read_tokens = session_usage.cache_read_tokens + excluded.cache_read_tokens, \
                 cache_creation_5m_tokens = session_usage.cache_creation_5m_tokens + excluded.cache_creation_5m_tokens, \
                 cache_creation_1h_tokens = session_usage.cache_creation_1h_tokens + excluded.cache_creation_1h_tokens",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }
}
