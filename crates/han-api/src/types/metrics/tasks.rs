//! Tasks and moods of a range. docs/METRICS.md, "Tasks" and "Moods".

use std::collections::BTreeMap;

use async_graphql::{Enum, SimpleObject};
use han_db::queries::metrics::TaskMetrics;

use crate::types::task::{TaskOutcome, TaskType};

/// How far back figures go, in whole days of the time zone asked for.
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

/// What tasks came to, and how often persons were annoyed. docs/METRICS.md, Tasks and Moods.
#[derive(Clone, Debug, SimpleObject)]
pub struct MetricsData {
    /// Tasks begun, Han's and the agent's own (docs/METRICS.md, Tasks).
    total_tasks: i64,
    /// Tasks ended, Han's however and the agent's own completed (docs/METRICS.md, Tasks).
    completed_tasks: i64,
    /// Han's tasks begun, by type.
    tasks_by_type: Vec<TaskTypeCount>,
    /// Han's tasks ended, by outcome.
    tasks_by_outcome: Vec<TaskOutcomeCount>,
    /// The share of Han's tasks with an outcome that ended well, from 0 to 1 (docs/METRICS.md, Tasks).
    success_rate: Option<f64>,
    /// The mean confidence of those that tell it and their outcome, from 0 to 1 (docs/METRICS.md, Tasks).
    average_confidence: Option<f64>,
    /// How well confidence foretold the outcome, from 0 to 1 (docs/METRICS.md, Tasks).
    calibration_score: Option<f64>,
    /// Seconds from a task's first event to its end, on average (docs/METRICS.md, Tasks).
    average_duration: Option<f64>,
    /// Moods that were moderately or highly frustrated (docs/METRICS.md, Moods).
    significant_frustrations: i64,
    /// Their share of the moods read, from 0 to 1 (docs/METRICS.md, Moods).
    significant_frustration_rate: Option<f64>,
}

/// How many of Han's tasks are of one type. docs/METRICS.md, Tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskTypeCount {
    /// The type; null for tasks that are of none of these.
    #[graphql(name = "type")]
    task_type: Option<TaskType>,
    /// How many.
    count: i64,
}

/// How many of Han's tasks ended in one way. docs/METRICS.md, Tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskOutcomeCount {
    /// The way.
    outcome: TaskOutcome,
    /// How many.
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
