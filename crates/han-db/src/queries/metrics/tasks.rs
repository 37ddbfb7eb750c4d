//! Tasks: their number, types and outcomes; and the number of frustrated prompts.

use std::collections::BTreeMap;

use super::{By, Range, RollupCountRow, Within, counts, share};
use crate::{DbError, ScopedTx};

/// The totals of tasks in a range. Han's tasks have a type and an outcome; the agent's own tasks are only completed or
/// not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskMetrics {
    /// Han's tasks started.
    pub begun: i64,
    /// Han's tasks ended.
    pub ended: i64,
    /// The agent's own tasks created.
    pub native_begun: i64,
    /// The agent's own tasks completed.
    pub native_done: i64,
    /// Han's tasks started, by type: `implementation`, `fix`, `refactor`, `research`, `other`, or empty.
    pub by_type: Vec<(String, i64)>,
    /// Han's tasks that succeeded.
    pub succeeded: i64,
    /// Han's tasks that succeeded partially.
    pub partial: i64,
    /// Han's tasks that failed or were abandoned.
    pub failed: i64,
    /// The share of successful tasks among those with an outcome; if none has an outcome but some were completed, the
    /// share of completed tasks.
    pub success_rate: Option<f64>,
    /// The mean confidence of tasks with confidence and outcome, from 0 to 1.
    pub average_confidence: Option<f64>,
    /// One minus the mean distance between confidence and outcome (success 1, partial 0.5, failure 0).
    pub calibration: Option<f64>,
    /// The mean duration of tasks that ended, Han's and the agent's own, in seconds.
    pub average_seconds: Option<f64>,
    /// Prompts with a sentiment.
    pub sentiments: i64,
    /// Prompts with moderate or high frustration.
    pub frustrations: i64,
    /// The share of frustrated prompts.
    pub frustration_rate: Option<f64>,
}

impl TaskMetrics {
    /// Tasks started, of both kinds.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.begun + self.native_begun
    }

    /// Tasks ended, of both kinds.
    #[must_use]
    pub fn completed(&self) -> i64 {
        self.ended + self.native_done
    }
}

pub(super) const KINDS: &[&str] = &["native_begun", "native_done", "sentiment", "task_begun", "task_ended"];

/// The totals of tasks. Runs one statement.
pub async fn metrics(tx: &ScopedTx, range: &Range, within: &Within) -> Result<TaskMetrics, DbError> {
    let rows = counts(tx, range, within, By::Whole, KINDS).await?;
    Ok(of_rows(rows.iter()))
}

pub(super) fn of_rows<'r>(rows: impl Iterator<Item = &'r RollupCountRow>) -> TaskMetrics {
    let mut metrics = TaskMetrics::default();
    let mut types: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut timed, mut duration, mut scored, mut score, mut error) = (0, 0, 0, 0, 0);
    for row in rows {
        match row.kind.as_str() {
            "task_begun" => {
                metrics.begun += row.count;
                *types.entry(&row.key).or_default() += row.count;
            }
            "task_ended" => {
                metrics.ended += row.count;
                match row.key.rsplit_once('/').map_or("", |(_, outcome)| outcome) {
                    "success" => metrics.succeeded += row.count,
                    "partial" => metrics.partial += row.count,
                    "failure" => metrics.failed += row.count,
                    _ => {}
                }
                scored += row.scored;
                score += row.score;
                error += row.error;
            }
            "native_begun" => metrics.native_begun += row.count,
            "native_done" => metrics.native_done += row.count,
            "sentiment" => {
                metrics.sentiments += row.count;
                if matches!(row.key.as_str(), "moderate" | "high") {
                    metrics.frustrations += row.count;
                }
            }
            _ => {}
        }
        if matches!(row.kind.as_str(), "task_ended" | "native_done") {
            timed += row.timed;
            duration += row.duration_ms;
        }
    }
    metrics.by_type = types.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let rated = metrics.succeeded + metrics.partial + metrics.failed;
    metrics.success_rate = if rated > 0 {
        share(metrics.succeeded, rated)
    } else if metrics.completed() > 0 {
        // More may end in a range than begin in it.
        share(metrics.completed(), metrics.total().max(metrics.completed()))
    } else {
        None
    };
    metrics.average_confidence = share(score, scored).map(|millionths| millionths / 1e6);
    metrics.calibration = share(error, scored).map(|millionths| 1.0 - millionths / 1e6);
    metrics.average_seconds = share(duration, timed).map(|ms| ms / 1e3);
    metrics.frustration_rate = share(metrics.frustrations, metrics.sentiments);
    metrics
}
