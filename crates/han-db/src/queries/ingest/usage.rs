//! The answers of lines. The lines of one answer are merged to one copy: with the maximum of each counter, and the time
//! of the earliest line. Which of the copies that sessions have of an answer counts is in `queries::ingest::answers`.

use std::collections::BTreeMap;

use han_transcript::fold::TokenTotals;
use han_transcript::record::Usage;

use super::derive::{Derive, NewLine};
use super::rollup_delta::RollupDelta;
use crate::DbError;
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
    /// The greater of each counter.
    pub(crate) fn max(self, other: Self) -> Self {
        self.map(other, i64::max)
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
            let Some(usage) = &line.record.usage else { continue };
            let copy = AnswerCopy {
                answer: usage.answer_key(),
                at: line.at,
                line: line.line,
                model: usage.model.clone().unwrap_or_default(),
                tokens: Tokens::from(usage),
            };
            let key = usage.copy_key();
            let merged = match copies.remove(&key) {
                Some(known) => known.merge(copy),
                None => copy,
            };
            copies.insert(key, merged);
        }
        self.answers.add(self, copies, delta).await
    }
}
