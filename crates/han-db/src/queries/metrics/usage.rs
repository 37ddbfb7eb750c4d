//! Tokens and cost of a range, grouped by period, model, project or person.

use std::collections::BTreeMap;

use han_transcript::fold::TokenTotals;
use sea_orm::Value;

use super::{
    By, Cost, NO_NAME, Period, Range, Rows, USAGE_SUMS, UsageColumns, Within, group, plus, source, sums,
    total,
};
use crate::{DbError, ScopedTx};

/// The most groups of a report.
pub const MAX_GROUPS: usize = 10_000;

/// The most rows that a report reads from the database: a month of days for each group.
const MAX_ROWS: usize = 31 * MAX_GROUPS;

/// What a report is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The local day, week or month.
    Period(Period),
    /// The model.
    Model,
    /// The project.
    Project,
    /// The user who pushed the session.
    Person,
}

/// Tokens and cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageReport {
    /// Of all groups.
    pub total: UsageGroup,
    /// By period, then most tokens first. Empty if the report is not grouped.
    pub groups: Vec<UsageGroup>,
}

/// The answers of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageGroup {
    /// `2026-11-23` (a day, or a week's Monday) or `2026-11`; `None` if the report is not grouped by period.
    pub period: Option<String>,
    /// The model, empty for answers that name none; `None` if the report is not grouped by model.
    pub model: Option<String>,
    /// The project, empty for sessions without one; `None` if the report is not grouped by project.
    pub project_id: Option<String>,
    /// The user; `None` if the report is not grouped by person.
    pub user_id: Option<String>,
    /// Their tokens.
    pub tokens: TokenTotals,
    /// Their number and cost.
    pub cost: Cost,
}

#[derive(sea_orm::FromQueryResult)]
struct GroupRow {
    bucket: i64,
    model: String,
    project_id: String,
    user_id: String,
    #[sea_orm(nested)]
    usage: UsageColumns,
}

impl GroupRow {
    fn added_to(&self, group: &mut UsageGroup) {
        group.tokens = plus(&group.tokens, &self.usage.tokens());
        group.cost.add(&self.usage.cost());
    }
}

/// The tokens and the cost of a range, grouped by all of `by`; `None` if there are more than [`MAX_GROUPS`] groups. Runs
/// one statement.
pub async fn usage(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    by: &[Dimension],
) -> Result<Option<UsageReport>, DbError> {
    let period = by.iter().find_map(|dimension| match dimension {
        Dimension::Period(period) => Some(*period),
        _ => None,
    });
    let rows = rows(tx, range, within, period.is_some(), by).await?;
    if rows.len() > MAX_ROWS {
        return Ok(None);
    }
    let is_by = |dimension| by.contains(&dimension);
    let mut report = UsageReport::default();
    let mut groups: BTreeMap<_, UsageGroup> = BTreeMap::new();
    for row in rows {
        let named = |dimension, name: &String| is_by(dimension).then(|| name.clone());
        let key = (
            period.map(|period| period.of(row.bucket)),
            named(Dimension::Model, &row.model),
            named(Dimension::Project, &row.project_id),
            named(Dimension::Person, &row.user_id),
        );
        row.added_to(&mut report.total);
        if !by.is_empty() {
            row.added_to(groups.entry(key).or_default());
        }
    }
    if groups.len() > MAX_GROUPS {
        return Ok(None);
    }
    let group = |((period, model, project_id, user_id), sums): ((_, _, _, _), UsageGroup)| UsageGroup {
        period,
        model,
        project_id,
        user_id,
        ..sums
    };
    report.groups = groups.into_iter().map(group).collect();
    report.groups.sort_by(|a, b| a.period.cmp(&b.period).then(total(&b.tokens).cmp(&total(&a.tokens))));
    Ok(Some(report))
}

async fn rows(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    by_day: bool,
    by: &[Dimension],
) -> Result<Vec<GroupRow>, DbError> {
    let buckets = if by_day { By::Day } else { By::Whole };
    let mut values: Vec<Value> = vec![tx.team()];
    let mut condition = within.condition("r.project_id", &mut values);
    // Most rows without a model only say that something was done: they are dropped before they are joined and grouped. No
    // counter is negative, so the rows that are left have the sums of all.
    condition.push_str(" AND (r.responses <> 0 OR r.cost <> 0 OR r.unpriced_answers <> 0)");
    let source = source(tx, "rollups", &buckets.pieces(range), Rows::All, &condition, &mut values);
    let (bucket, _) = buckets.sql();
    let column = |dimension, name: &'static str| if by.contains(&dimension) { name } else { NO_NAME };
    let model = column(Dimension::Model, "r.model");
    let project = column(Dimension::Project, "r.project_id");
    let user = column(Dimension::Person, "r.user_id");
    let sql = format!(
        "SELECT {bucket} AS bucket, {model} AS model, {project} AS project_id, {user} AS user_id, {} FROM {source} \
         GROUP BY {} LIMIT {}",
        sums(&USAGE_SUMS),
        group(&[&bucket, model, project, user]),
        MAX_ROWS + 1
    );
    tx.all(&sql, values).await
}
