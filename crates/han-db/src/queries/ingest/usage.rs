//! The answers of lines. The lines of one answer are merged to one copy: with the maximum of each counter, and the time
//! of the earliest line. What other models used inside an answer, and the searches of a tool, are copies of their own.
//! Which of the copies that sessions have of an answer counts is in `queries::ingest::answers`.

use std::collections::BTreeMap;

use han_transcript::fold::TokenTotals;
use han_transcript::rates::{Billable, Charge};
use han_transcript::record::{ANSWER_NAMESPACE, LineRecord, Terms, Usage, most_written};
use han_types::Timestamp;
use uuid::Uuid;

use super::derive::{Derive, NewLine};
use super::rollup_delta::RollupDelta;
use crate::DbError;
use crate::prices::Prices;
use crate::queries::ingest::answers::{AnswerCopy, CopyKey};

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

impl Tokens {
    /// The greater of each counter, and of the sum of those of the writes to the cache.
    pub(crate) fn max(self, other: Self) -> Self {
        let (cache_creation_5m, cache_creation_1h) = most_written(
            (self.cache_creation_5m, self.cache_creation_1h),
            (other.cache_creation_5m, other.cache_creation_1h),
        );
        Self { cache_creation_5m, cache_creation_1h, ..self.map(other, i64::max) }
    }

    /// All input tokens, cached or not.
    pub(crate) fn prompt(self) -> i64 {
        [self.cache_read, self.cache_creation_5m, self.cache_creation_1h]
            .into_iter()
            .fold(self.input, i64::saturating_add)
    }

    /// All tokens.
    pub(crate) fn total(self) -> i64 {
        self.prompt().saturating_add(self.output)
    }
}

/// What answers add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The number of answers, and of other models' parts of them.
    pub answers: i64,
    pub tokens: Tokens,
    /// The cost of those that have a price, in billionths of a US dollar.
    pub cost: i64,
    /// What the cache saved, in the same unit.
    pub saved: i64,
    /// The tokens of those without a price.
    pub unpriced_tokens: i64,
    /// The number of those without a price.
    pub unpriced_answers: i64,
}

impl Tally {
    /// Adds `other` (sign 1) or subtracts it (sign -1).
    pub(crate) fn plus(self, sign: i64, other: &Self) -> Self {
        Self {
            answers: self.answers + sign * other.answers,
            tokens: if sign < 0 { self.tokens - other.tokens } else { self.tokens + other.tokens },
            cost: self.cost + sign * other.cost,
            saved: self.saved + sign * other.saved,
            unpriced_tokens: self.unpriced_tokens + sign * other.unpriced_tokens,
            unpriced_answers: self.unpriced_answers + sign * other.unpriced_answers,
        }
    }
}

impl Prices {
    /// What an answer costs; `None` if it has no price.
    pub(crate) fn charge(&self, copy: &AnswerCopy) -> Option<Charge> {
        let answer = Billable {
            model: Some(copy.model.as_str()).filter(|model| !model.is_empty()),
            tokens: &copy.tokens.into(),
            terms: &copy.terms,
            prompt: copy.prompt,
            web_searches: copy.web_searches,
            at: Timestamp(copy.at),
        };
        self.rates.charge(&answer).ok()
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

impl Derive<'_> {
    /// Stores the answers of lines, and counts those that count for this session.
    pub(super) async fn usage(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let mut copies: BTreeMap<CopyKey, AnswerCopy> = BTreeMap::new();
        for line in new {
            let answers = line.record.usages().map(|usage| (usage.copy_key(), of_answer(line, usage)));
            for (key, copy) in answers.chain(of_tools(line)) {
                let merged = match copies.remove(&key) {
                    Some(known) => known.merge(copy),
                    None => copy,
                };
                copies.insert(key, merged);
            }
        }
        for copy in copies.values_mut() {
            copy.charge = self.prices.charge(copy);
        }
        self.answers.add(self, copies, delta).await
    }
}

fn of_answer(line: &NewLine<'_>, usage: &Usage) -> AnswerCopy {
    AnswerCopy {
        answer: usage.answer_key(),
        at: line.at,
        line: line.line,
        // No line has as many parts as fit into the column.
        part: i64::from(i16::try_from(usage.part).unwrap_or(i16::MAX)),
        model: usage.model.clone().unwrap_or_default(),
        tokens: Tokens::from(usage),
        terms: usage.terms.clone(),
        prompt: usage.prompt,
        web_searches: usage.web_searches,
        charge: None,
        purged: false,
    }
}

/// The part of copies that are no answers, but the searches of a tool.
pub(crate) const SEARCHES: i64 = -1;

/// The searches of tools that a line reports. They are not in the counters of any answer.
fn of_tools(line: &NewLine<'_>) -> impl Iterator<Item = (CopyKey, AnswerCopy)> {
    let record: &LineRecord = line.record;
    record.results.iter().filter_map(|result| {
        let web_searches = result.web_searches.filter(|searches| *searches > 0)?;
        let call = result.call_id.as_deref().unwrap_or_default();
        // A provider may give several calls one id; forks repeat a result under its uuid.
        let name = ["searches", &record.uuid, call].join("\0");
        let key = Uuid::new_v5(&ANSWER_NAMESPACE, name.as_bytes()).into_bytes();
        let copy = AnswerCopy {
            answer: key,
            at: line.at,
            line: line.line,
            part: SEARCHES,
            model: String::new(),
            tokens: Tokens::default(),
            terms: Terms::default(),
            prompt: 0,
            web_searches,
            charge: None,
            purged: false,
        };
        Some((key, copy))
    })
}
