//! Tokens and cost by period, model, project and person. docs/METRICS.md, "Tokens and money".

use async_graphql::{ComplexObject, Enum, SimpleObject};
use han_db::queries::metrics::{self, Dimension, Period, total};
use han_types::{ProjectId, UserId};

use super::names;
use crate::context::Op;
use crate::error::Result;

/// What a report of usage is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum UsageDimension {
    /// The day in the requested time zone.
    Day,
    /// The week, from Monday.
    Week,
    /// The month.
    Month,
    /// The model.
    Model,
    /// The project.
    Project,
    /// The user who pushed the session.
    Person,
}

impl From<UsageDimension> for Dimension {
    fn from(dimension: UsageDimension) -> Self {
        match dimension {
            UsageDimension::Day => Self::Period(Period::Day),
            UsageDimension::Week => Self::Period(Period::Week),
            UsageDimension::Month => Self::Period(Period::Month),
            UsageDimension::Model => Self::Model,
            UsageDimension::Project => Self::Project,
            UsageDimension::Person => Self::Person,
        }
    }
}

/// Tokens and cost of a range of days. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageReport {
    /// Of the whole range.
    total: UsageTotals,
    /// Of each group with answers, by period, then most tokens first. Empty if nothing is grouped by.
    groups: Vec<UsageGroup>,
}

/// The tokens and the cost of answers. docs/METRICS.md, Tokens and money.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct UsageTotals {
    /// The number of answers. What another model used inside an answer counts as one of that model.
    answer_count: i64,
    /// Input tokens outside the cache.
    input_tokens: i64,
    /// Output tokens.
    output_tokens: i64,
    /// Tokens read from the cache.
    cache_read_tokens: i64,
    /// Tokens written to the cache.
    cache_creation_tokens: i64,
    /// The sum of these.
    total_tokens: i64,
    /// Their cost at list prices, in US dollars, without that of the answers that have no price; null if none has one
    /// (docs/METRICS.md, Tokens and money).
    cost_usd: Option<f64>,
    /// The savings from the cache, in US dollars; negative if writing to it cost more. Null if no answer has a price.
    cache_savings_usd: Option<f64>,
    /// Tokens of answers without a price, which the cost does not include.
    unpriced_tokens: i64,
    /// The number of answers without a price.
    unpriced_answers: i64,
}

/// One group. Only the fields by which the report is grouped are set. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct UsageGroup {
    /// The date of the day or of the week's Monday, such as `2026-11-23`, or the month, such as `2026-11`.
    period: Option<String>,
    /// The model's id; null if the answers name none.
    model: Option<String>,
    /// The model's display name.
    model_name: Option<String>,
    /// The project's raw id, as in `Project.projectId`; null for sessions without a project.
    project_id: Option<String>,
    /// The user's raw id: `User.id` without `User:`.
    person_id: Option<String>,
    /// Its answers.
    totals: UsageTotals,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl UsageGroup {
    /// The last part of the project's path.
    async fn project_name(&self) -> Result<Option<String>> {
        let Some(id) = self.project_id.as_ref().and_then(|id| id.parse::<ProjectId>().ok()) else {
            return Ok(None);
        };
        Ok(self.op.loader().load_one(id).await?.map(|project| project.details.name().to_owned()))
    }

    /// The user's display name; null if the user no longer exists.
    async fn person_name(&self) -> Result<Option<String>> {
        let Some(id) = self.person_id.as_ref().and_then(|id| id.parse::<UserId>().ok()) else {
            return Ok(None);
        };
        Ok(self.op.loader().load_one(id).await?.map(|user| user.username))
    }
}

impl UsageReport {
    pub(crate) fn new(op: &Op, report: metrics::UsageReport) -> Self {
        let named = |name: Option<String>| name.filter(|name| !name.is_empty());
        let group = |group: metrics::UsageGroup| UsageGroup {
            totals: UsageTotals::from(&group),
            period: group.period,
            model_name: named(group.model.clone()).map(|model| names::model(&model)),
            model: named(group.model),
            project_id: named(group.project_id),
            person_id: named(group.user_id),
            op: Op::clone(op),
        };
        Self {
            total: UsageTotals::from(&report.total),
            groups: report.groups.into_iter().map(group).collect(),
        }
    }
}

impl From<&metrics::UsageGroup> for UsageTotals {
    fn from(group: &metrics::UsageGroup) -> Self {
        let (tokens, cost) = (&group.tokens, &group.cost);
        Self {
            answer_count: cost.answers,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cache_read_tokens: tokens.cache_read,
            cache_creation_tokens: tokens.cache_creation(),
            total_tokens: total(tokens),
            cost_usd: cost.known_usd(),
            cache_savings_usd: cost.known_usd().map(|_| cost.saved_usd()),
            unpriced_tokens: cost.unpriced_tokens,
            unpriced_answers: cost.unpriced_answers,
        }
    }
}
