//! Tasks and sentiments in a range of days. docs/METRICS.md, "Tasks" and "Sentiments".

use std::collections::BTreeMap;

use async_graphql::{Enum, SimpleObject};
use han_db::queries::metrics::TaskMetrics;

use crate::types::task::{TaskOutcome, TaskType};

/// A range of whole days up to today, in the requested time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum MetricsPeriod {
    /// Today.
    Day,
    /// The last 7 days.
    Week,
    /// The last 30 days.
    Month,
}

impl MetricsPeriod {
    pub(crate) fn days(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }
}

/// Outcomes of tasks, and how often people were frustrated. docs/METRICS.md, Tasks and Sentiments.
#[derive(Clone, Debug, SimpleObject)]
pub struct MetricsData {
    /// Tasks that were started, Han's and the agent's own (docs/METRICS.md, Tasks).
    total_tasks: i64,
    /// Tasks that ended: Han's with any outcome, and the agent's own that were completed (docs/METRICS.md, Tasks).
    completed_tasks: i64,
    /// Han's tasks that were started, by type.
    tasks_by_type: Vec<TaskTypeCount>,
    /// Han's tasks that ended, by outcome.
    tasks_by_outcome: Vec<TaskOutcomeCount>,
    /// The share of Han's tasks with an outcome that succeeded, from 0 to 1 (docs/METRICS.md, Tasks).
    success_rate: Option<f64>,
    /// The mean confidence of the tasks that have one and an outcome, from 0 to 1 (docs/METRICS.md, Tasks).
    average_confidence: Option<f64>,
    /// How well confidence predicted the outcome, from 0 to 1 (docs/METRICS.md, Tasks).
    calibration_score: Option<f64>,
    /// The mean time from a task's first event to its end, in seconds (docs/METRICS.md, Tasks).
    average_duration: Option<f64>,
    /// The number of sentiments with moderate or high frustration (docs/METRICS.md, Sentiments).
    significant_frustrations: i64,
    /// Their share of all sentiments, from 0 to 1 (docs/METRICS.md, Sentiments).
    significant_frustration_rate: Option<f64>,
}

/// The number of Han's tasks of one type. docs/METRICS.md, Tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskTypeCount {
    /// The type; null for all other types.
    #[graphql(name = "type")]
    task_type: Option<TaskType>,
    /// The number of tasks.
    count: i64,
}

/// The number of Han's tasks with one outcome. docs/METRICS.md, Tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskOutcomeCount {
    /// The outcome.
    outcome: TaskOutcome,
    /// The number of tasks.
    count: i64,
}

impl From<TaskMetrics> for MetricsData {
    fn from(metrics: TaskMetrics) -> Self {
        let mut types: BTreeMap<Option<&str>, TaskTypeCount> = BTreeMap::new();
        for (word, count) in &metrics.by_type {
            let task_type = TaskType::of_word(word);
            let key = task_type.map(|_| word.as_str());
            types.entry(key).or_insert(TaskTypeCount { task_type, count: 0 }).count += count;
        }
        let outcomes = [
            (TaskOutcome::Success, metrics.succeeded),
            (TaskOutcome::Partial, metrics.partial),
            (TaskOutcome::Failure, metrics.failed),
        ];
        Self {
            total_tasks: metrics.total(),
            completed_tasks: metrics.completed(),
            tasks_by_type: types.into_values().collect(),
            tasks_by_outcome: outcomes
                .map(|(outcome, count)| TaskOutcomeCount { outcome, count })
                .into_iter()
                .filter(|of| of.count > 0)
                .collect(),
            success_rate: metrics.success_rate,
            average_confidence: metrics.average_confidence,
            calibration_score: metrics.calibration,
            average_duration: metrics.average_seconds,
            significant_frustrations: metrics.frustrations,
            significant_frustration_rate: metrics.frustration_rate,
        }
    }
}
