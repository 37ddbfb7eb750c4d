//! Statistics of transactions by name: a tracing span for each transaction, and counters for each name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use han_types::TeamId;
use tracing::Span;
use tracing::field::{Empty, display};

use crate::{Db, DbError};

/// The counters of the transactions of one name since the process started. Each attempt is counted once, as
/// `committed`, `refused`, `retried`, `failed` or `cancelled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionStats {
    /// Writes that were committed, and reads that ended without an error.
    pub committed: u64,
    /// Writes that were rolled back because they refused their input. This is no error of the database.
    pub refused: u64,
    /// Writes that were rolled back because of a conflict, and run again.
    pub retried: u64,
    /// Reads and writes that ended with an error; the writes were rolled back.
    pub failed: u64,
    /// Writes whose future was dropped before it ended; they were rolled back.
    pub cancelled: u64,
    /// The total duration, from the request for a connection to the end.
    pub total: Duration,
    /// The longest duration.
    pub max: Duration,
}

/// The counters by name. Names are literals in the program, so their number is bounded.
#[derive(Debug, Default)]
pub(crate) struct TransactionCounters(Mutex<BTreeMap<&'static str, TransactionStats>>);

impl TransactionCounters {
    fn count(&self, name: &'static str, outcome: Outcome, took: Duration) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = counters.entry(name).or_default();
        match outcome {
            Outcome::Committed => stats.committed += 1,
            Outcome::Refused => stats.refused += 1,
            Outcome::Retried => stats.retried += 1,
            Outcome::Failed => stats.failed += 1,
            Outcome::Cancelled => stats.cancelled += 1,
        }
        stats.total += took;
        stats.max = stats.max.max(took);
    }
}

impl Db {
    /// The counters of transactions so far, by name.
    #[must_use]
    pub fn transaction_stats(&self) -> BTreeMap<&'static str, TransactionStats> {
        self.transaction_counters().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Committed,
    Refused,
    Retried,
    Failed,
    Cancelled,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Refused => "refused",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One attempt at a transaction, counted on drop: a cancelled future runs no other code.
pub(crate) struct Measure {
    db: Db,
    name: &'static str,
    span: Span,
    begun: Instant,
    /// The outcome if no method sets another one.
    outcome: Outcome,
    failed: AtomicBool,
}

impl Measure {
    /// For a read, which ends when it is dropped.
    pub(crate) fn read(db: &Db, name: &'static str, team: Option<&TeamId>) -> Self {
        Self::start(db, name, team, Outcome::Committed)
    }

    /// For a write, which counts as cancelled unless a method sets another outcome.
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

    /// Records an error of a read.
    pub(crate) fn note(&self, error: &DbError) {
        self.failed.store(true, Ordering::Relaxed);
        self.span.record("error", display(error));
    }

    pub(crate) fn committed(mut self) {
        self.outcome = Outcome::Committed;
    }

    pub(crate) fn refused(mut self) {
        self.outcome = Outcome::Refused;
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
