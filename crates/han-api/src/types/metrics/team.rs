//! A team's work: by period, by project, by contributor. docs/METRICS.md.

use async_graphql::{ComplexObject, Enum, SimpleObject};
use han_db::queries::metrics::{self, Period, TaskMetrics, total};
use han_types::{ProjectId, UserId};

use super::cached;
use crate::context::Op;
use crate::error::Result;

/// The most projects and the most contributors in a list.
const LISTED: usize = 100;

/// The length of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(rename_items = "lowercase")]
pub enum Granularity {
    /// A day.
    #[default]
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

impl From<Granularity> for Period {
    fn from(granularity: Granularity) -> Self {
        match granularity {
            Granularity::Day => Self::Day,
            Granularity::Week => Self::Week,
            Granularity::Month => Self::Month,
        }
    }
}

/// A team's work in a range of days. docs/METRICS.md defines each figure.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMetrics {
    /// The number of sessions that began in the range (docs/METRICS.md, What is counted).
    total_sessions: i64,
    /// The number of tasks that were started, Han's and the agent's own (docs/METRICS.md, Tasks).
    total_tasks: i64,
    /// The number of tokens (docs/METRICS.md, Tokens and money).
    total_tokens: i64,
    /// Their cost at list prices, in US dollars, without that of the answers that have no price; null if none has one
    /// (docs/METRICS.md, Tokens and money).
    estimated_cost_usd: Option<f64>,
    /// Periods with activity, in order: sessions, tasks and tokens.
    sessions_by_period: Vec<PeriodSessionCount>,
    /// Periods with activity, in order: sessions, messages and tasks.
    activity_timeline: Vec<ActivityTimelineEntry>,
    /// Projects with activity, most sessions first; at most 100.
    sessions_by_project: Vec<ProjectSessionCount>,
    /// Users with activity, most sessions first; at most 100.
    top_contributors: Vec<ContributorMetrics>,
    /// Outcomes of tasks (docs/METRICS.md, Tasks).
    task_completion_metrics: TaskCompletionMetrics,
    /// Tokens by kind (docs/METRICS.md, Tokens and money).
    token_usage_aggregation: TokenUsageAggregation,
}

/// One period. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct PeriodSessionCount {
    /// The date of the day or of the week's Monday, such as `2026-11-23`, or the month, such as `2026-11`.
    period: String,
    /// The number of sessions that began in it.
    session_count: i64,
    /// The number of tasks that were started in it, Han's and the agent's own.
    task_count: i64,
    /// The number of tokens.
    token_usage: i64,
}

/// One period. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ActivityTimelineEntry {
    /// The date of the day or of the week's Monday, such as `2026-11-23`, or the month, such as `2026-11`.
    period: String,
    /// The number of sessions that began in it.
    session_count: i64,
    /// The number of messages.
    message_count: i64,
    /// The number of tasks that were started in it, Han's and the agent's own.
    task_count: i64,
}

/// One project. docs/METRICS.md, What is counted, and Tasks.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ProjectSessionCount {
    /// The project's raw id, as in `Project.projectId`; null for sessions without a project.
    project_id: Option<String>,
    /// The number of sessions that began in the range.
    session_count: i64,
    /// The number of tasks that were started, Han's and the agent's own.
    task_count: i64,
    /// The share of Han's tasks with an outcome that succeeded, from 0 to 1 (docs/METRICS.md, Tasks).
    success_rate: Option<f64>,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl ProjectSessionCount {
    /// The last part of the project's path.
    async fn project_name(&self) -> Result<Option<String>> {
        let Some(id) = self.project_id.as_ref().and_then(|id| id.parse::<ProjectId>().ok()) else {
            return Ok(None);
        };
        Ok(self.op.loader().load_one(id).await?.map(|project| project.details.name()))
    }
}

/// One user. docs/METRICS.md, What is counted, and Tasks.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ContributorMetrics {
    /// The user's raw id: `User.id` without `User:`.
    contributor_id: String,
    /// The number of sessions that began in the range.
    session_count: i64,
    /// The number of tasks that were started, Han's and the agent's own.
    task_count: i64,
    /// The share of Han's tasks with an outcome that succeeded, from 0 to 1 (docs/METRICS.md, Tasks).
    success_rate: Option<f64>,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl ContributorMetrics {
    /// Their display name; null if the user no longer exists.
    async fn display_name(&self) -> Result<Option<String>> {
        let Ok(id) = self.contributor_id.parse::<UserId>() else { return Ok(None) };
        Ok(self.op.loader().load_one(id).await?.map(|user| user.username))
    }
}

/// Outcomes of tasks. docs/METRICS.md, Tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskCompletionMetrics {
    /// The number of tasks that were started, Han's and the agent's own.
    total_created: i64,
    /// The number of tasks that ended: Han's with any outcome, and the agent's own that were completed.
    total_completed: i64,
    /// The number of Han's tasks that succeeded.
    success_count: i64,
    /// The number of Han's tasks that succeeded in part.
    partial_count: i64,
    /// The number of Han's tasks that failed or were abandoned.
    failure_count: i64,
    /// The share of successes among these three, from 0 to 1 (docs/METRICS.md, Tasks).
    success_rate: Option<f64>,
    /// The mean confidence of the tasks that have one and an outcome, from 0 to 1 (docs/METRICS.md, Tasks).
    average_confidence: Option<f64>,
}

/// Tokens by kind. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct TokenUsageAggregation {
    /// Input tokens outside the cache.
    total_input_tokens: i64,
    /// Output tokens.
    total_output_tokens: i64,
    /// Tokens read from the cache and written to it.
    total_cached_tokens: i64,
    /// The sum of these.
    total_tokens: i64,
    /// Their cost at list prices, in US dollars, without that of the answers that have no price; null if none has one
    /// (docs/METRICS.md, Tokens and money).
    estimated_cost_usd: Option<f64>,
    /// Tokens of answers without a price, which the cost does not include.
    unpriced_tokens: i64,
    /// The number of answers without a price.
    unpriced_answers: i64,
}

impl TeamMetrics {
    pub(crate) fn new(op: &Op, team: metrics::TeamMetrics) -> Self {
        let token_usage_aggregation = TokenUsageAggregation {
            total_input_tokens: team.tokens.input,
            total_output_tokens: team.tokens.output,
            total_cached_tokens: cached(&team.tokens),
            total_tokens: total(&team.tokens),
            estimated_cost_usd: team.cost.known_usd(),
            unpriced_tokens: team.cost.unpriced_tokens,
            unpriced_answers: team.cost.unpriced_answers,
        };
        Self {
            total_sessions: team.sessions,
            total_tasks: team.tasks.total(),
            total_tokens: total(&team.tokens),
            estimated_cost_usd: team.cost.known_usd(),
            sessions_by_period: team.periods.iter().map(PeriodSessionCount::from).collect(),
            activity_timeline: team.periods.iter().map(ActivityTimelineEntry::from).collect(),
            sessions_by_project: team
                .projects
                .into_iter()
                .take(LISTED)
                .map(|project| ProjectSessionCount::new(op, project))
                .collect(),
            top_contributors: team
                .contributors
                .into_iter()
                .take(LISTED)
                .map(|person| ContributorMetrics::new(op, person))
                .collect(),
            task_completion_metrics: TaskCompletionMetrics::from(&team.tasks),
            token_usage_aggregation,
        }
    }
}

impl From<&metrics::PeriodSums> for PeriodSessionCount {
    fn from(sums: &metrics::PeriodSums) -> Self {
        Self {
            period: sums.period.clone(),
            session_count: sums.sessions,
            task_count: sums.tasks,
            token_usage: total(&sums.tokens),
        }
    }
}

impl From<&metrics::PeriodSums> for ActivityTimelineEntry {
    fn from(sums: &metrics::PeriodSums) -> Self {
        Self {
            period: sums.period.clone(),
            session_count: sums.sessions,
            message_count: sums.messages,
            task_count: sums.tasks,
        }
    }
}

impl ProjectSessionCount {
    fn new(op: &Op, sums: metrics::ProjectSums) -> Self {
        Self {
            session_count: sums.sessions,
            task_count: sums.tasks.total(),
            success_rate: sums.tasks.success_rate,
            project_id: sums.project_id,
            op: Op::clone(op),
        }
    }
}

impl ContributorMetrics {
    fn new(op: &Op, sums: metrics::ContributorSums) -> Self {
        Self {
            session_count: sums.sessions,
            task_count: sums.tasks.total(),
            success_rate: sums.tasks.success_rate,
            contributor_id: sums.user_id,
            op: Op::clone(op),
        }
    }
}

impl From<&TaskMetrics> for TaskCompletionMetrics {
    fn from(tasks: &TaskMetrics) -> Self {
        Self {
            total_created: tasks.total(),
            total_completed: tasks.completed(),
            success_count: tasks.succeeded,
            partial_count: tasks.partial,
            failure_count: tasks.failed,
            success_rate: tasks.success_rate,
            average_confidence: tasks.average_confidence,
        }
    }
}
