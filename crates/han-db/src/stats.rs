//! What becomes of transactions, by their names: a span for each, and counters for all of a name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use han_types::TeamId;
use tracing::Span;
use tracing::field::{Empty, display};

use crate::{Db, DbError};

/// What became of the transactions of one name since the process started. Each attempt at one is counted once:
/// `committed`, `retried`, `failed` or `cancelled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionStats {
    /// Writes that were committed, and reads that ended without an error.
    pub committed: u64,
    /// Writes that were rolled back because of a conflict, and run again.
    pub retried: u64,
    /// Those that ended with an error: writes were rolled back.
    pub failed: u64,
    /// Writes that were abandoned half-way and rolled back: their caller went away.
    pub cancelled: u64,
    /// How long all of them took together, from asking for a connection to the end.
    pub total: Duration,
    /// How long the longest took.
    pub max: Duration,
}

/// The counters of every transaction's name. There are as many as names in the program's text.
#[derive(Debug, Default)]
pub(crate) struct TransactionCounters(Mutex<BTreeMap<&'static str, TransactionStats>>);

impl TransactionCounters {
    fn count(&self, name: &'static str, outcome: Outcome, took: Duration) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = counters.entry(name).or_default();
        match outcome {
            Outcome::Committed => stats.committed += 1,
            Outcome::Retried => stats.retried += 1,
            Outcome::Failed => stats.failed += 1,
            Outcome::Cancelled => stats.cancelled += 1,
        }
        stats.total += took;
        stats.max = stats.max.max(took);
    }
}

impl Db {
    /// What became of transactions so far, by name.
    #[must_use]
    pub fn transaction_stats(&self) -> BTreeMap<&'static str, TransactionStats> {
        self.transaction_counters().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Committed,
    Retried,
    Failed,
    Cancelled,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One attempt at a transaction, counted when this is dropped: a future that is cancelled runs nothing else.
pub(crate) struct Measure {
    db: Db,
    name: &'static str,
    span: Span,
    begun: Instant,
    /// What it ends as if nothing else is known.
    outcome: Outcome,
    failed: AtomicBool,
}

impl Measure {
    /// Of a read, which ends when it is dropped.
    pub(crate) fn read(db: &Db, name: &'static str, team: Option<&TeamId>) -> Self {
        Self::start(db, name, team, Outcome::Committed)
    }

    /// Of a write, which is cancelled unless it is said to have ended otherwise.
    pub(crate) fn write(db: &Db, name: &'static str, team: Option<&TeamId>) -> Self {
        Self::start(db, name, team, Outcome::Cancelled)
    }

    fn start(db: &Db, name: &'static str, team: Option<&TeamId>, outcome: Outcome) -> Self {
        let span = tracing::info_span!("db.tx", name, team_id = Empty, outcome = Empty, error = Empty);
        if let Some(team) = team {
            span.record("team_id", display(team));
        }
        Self { db: db.clone(), name, span, begun: Instant::now(), outcome, failed: AtomicBool::new(false) }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// A read has met an error.
    pub(crate) fn note(&self, error: &DbError) {
        self.failed.store(true, Ordering::Relaxed);
        self.span.record("error", display(error));
    }

    pub(crate) fn committed(mut self) {
        self.outcome = Outcome::Committed;
    }

    pub(crate) fn retried(mut self, error: &DbError) {
        self.outcome = Outcome::Retried;
        self.span.record("error", display(error));
    }

    pub(crate) fn failed(mut self, error: &DbError) {
        self.outcome = Outcome::Failed;
        self.span.record("error", display(error));
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        let outcome = if *self.failed.get_mut() { Outcome::Failed } else { self.outcome };
        self.span.record("outcome", outcome.as_str());
        self.db.transaction_counters().count(self.name, outcome, self.begun.elapsed());
    }
}
