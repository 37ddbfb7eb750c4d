//! A team's work: by period, by project, by contributor.

use std::collections::BTreeMap;

use han_transcript::fold::TokenTotals;

use super::tasks::{KINDS, TaskMetrics, of_rows};
use super::{By, Cost, Range, RollupCountRow, RollupRow, Within, counts, date, plus, rollups, week_of};
use crate::{DbError, ScopedTx};

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

impl Period {
    /// The period of a day: the date of the day or of its Monday, or year and month.
    pub(super) fn of(self, day: i64) -> String {
        match self {
            Self::Day => date(day),
            Self::Week => date(week_of(day)),
            Self::Month => {
                let mut text = date(day);
                text.truncate(7);
                text
            }
        }
    }
}

/// A team's work in a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeamMetrics {
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Their cost.
    pub cost: Cost,
    /// Totals of tasks.
    pub tasks: TaskMetrics,
    /// Periods with activity, in order.
    pub periods: Vec<PeriodSums>,
    /// Projects with activity, most sessions first.
    pub projects: Vec<ProjectSums>,
    /// Users with activity, most sessions first.
    pub contributors: Vec<ContributorSums>,
}

/// One period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeriodSums {
    /// `2026-11-23` (a day, or a week's Monday) or `2026-11`.
    pub period: String,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Tasks started, Han's and the agent's own.
    pub tasks: i64,
    /// Tokens.
    pub tokens: TokenTotals,
}

/// One project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectSums {
    /// The project; `None` for sessions without one.
    pub project_id: Option<String>,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Totals of tasks.
    pub tasks: TaskMetrics,
}

/// One user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContributorSums {
    /// The user.
    pub user_id: String,
    /// Sessions started.
    pub sessions: i64,
    /// Messages.
    pub messages: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Totals of tasks.
    pub tasks: TaskMetrics,
}

/// A team's work in a range. Runs six statements.
pub async fn team_metrics(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    period: Period,
) -> Result<TeamMetrics, DbError> {
    let by_day = rollups(tx, range, within, By::Day, true).await?;
    let tasks_by_day = counts(tx, range, within, By::Day, KINDS).await?;
    let mut metrics = TeamMetrics { tasks: of_rows(tasks_by_day.iter()), ..TeamMetrics::default() };
    for row in &by_day {
        metrics.sessions += row.sessions;
        metrics.messages += row.messages;
        metrics.tokens = plus(&metrics.tokens, &row.usage.tokens());
        metrics.cost.add(&row.usage.cost());
    }
    metrics.periods = periods(&by_day, &tasks_by_day, period);

    let by_project = rollups(tx, range, within, By::Project, false).await?;
    let tasks_by_project = counts(tx, range, within, By::Project, KINDS).await?;
    metrics.projects = named(&by_project, &tasks_by_project)
        .map(|(name, row, tasks)| ProjectSums {
            project_id: Some(name.to_owned()).filter(|id| !id.is_empty()),
            sessions: row.sessions,
            messages: row.messages,
            tokens: row.usage.tokens(),
            tasks,
        })
        .filter(|project| project.sessions > 0 || project.messages > 0)
        .collect();
    metrics.projects.sort_by_key(|project| std::cmp::Reverse((project.sessions, project.messages)));

    let by_user = rollups(tx, range, within, By::User, false).await?;
    let tasks_by_user = counts(tx, range, within, By::User, KINDS).await?;
    metrics.contributors = named(&by_user, &tasks_by_user)
        .map(|(name, row, tasks)| ContributorSums {
            user_id: name.to_owned(),
            sessions: row.sessions,
            messages: row.messages,
            tokens: row.usage.tokens(),
            tasks,
        })
        .filter(|person| person.sessions > 0 || person.messages > 0)
        .collect();
    metrics.contributors.sort_by_key(|person| std::cmp::Reverse((person.sessions, person.messages)));
    Ok(metrics)
}

/// Rows by name, each with the totals of its tasks.
fn named<'r>(
    rows: &'r [RollupRow],
    tasks: &'r [RollupCountRow],
) -> impl Iterator<Item = (&'r str, &'r RollupRow, TaskMetrics)> {
    rows.iter().map(|row| {
        let tasks = of_rows(tasks.iter().filter(|task| task.name == row.name));
        (row.name.as_str(), row, tasks)
    })
}

fn periods(rows: &[RollupRow], tasks: &[RollupCountRow], period: Period) -> Vec<PeriodSums> {
    let mut periods: BTreeMap<String, PeriodSums> = BTreeMap::new();
    for row in rows {
        let sums = periods.entry(period.of(row.bucket)).or_default();
        sums.sessions += row.sessions;
        sums.messages += row.messages;
        sums.tokens = plus(&sums.tokens, &row.usage.tokens());
    }
    for row in tasks.iter().filter(|row| matches!(row.kind.as_str(), "task_begun" | "native_begun")) {
        periods.entry(period.of(row.bucket)).or_default().tasks += row.count;
    }
    let named = periods.into_iter().map(|(period, sums)| PeriodSums { period, ..sums });
    named.filter(|sums| sums.sessions > 0 || sums.messages > 0 || sums.tasks > 0).collect()
}
