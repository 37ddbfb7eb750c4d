//! Cost at list prices. docs/METRICS.md, "Tokens and money".

use async_graphql::{ComplexObject, SimpleObject};
use han_db::queries::metrics::{self, CacheStats};
use han_types::Timestamp;

use super::names;
use crate::context::Op;
use crate::error::Result;

/// The cost of a range of days, in US dollars at list prices. docs/METRICS.md, Tokens and money, which also says which
/// fields are null, and why.
#[derive(Clone, Debug, SimpleObject)]
pub struct CostAnalysis {
    /// The cost; null if there are answers and none of them has a price (docs/METRICS.md, Tokens and money).
    estimated_cost_usd: Option<f64>,
    /// Tokens of answers without a price, which no cost includes.
    unpriced_tokens: i64,
    /// The number of answers without a price.
    unpriced_answers: i64,
    /// Whether answers without a price are missing from the cost: `unpricedAnswers` is not 0.
    is_estimated: bool,
    /// How tokens are paid for: always null, because transcripts do not record it.
    billing_type: Option<String>,
    /// The cost divided by the number of sessions that began in the range (docs/METRICS.md, Tokens and money).
    cost_per_session: Option<f64>,
    /// The cost divided by the number of tasks that ended in the range (docs/METRICS.md, Tokens and money).
    cost_per_completed_task: Option<f64>,
    /// The share of input tokens that came from the cache, from 0 to 1 (docs/METRICS.md, Tokens and money).
    cache_hit_rate: Option<f64>,
    /// The savings from the cache; negative if writing to it cost more (docs/METRICS.md, Tokens and money).
    cache_savings_usd: Option<f64>,
    /// Days with activity, in order.
    daily_cost_trend: Vec<DailyCost>,
    /// Weeks with activity, in order.
    weekly_cost_trend: Vec<WeeklyCost>,
    /// The ten most expensive sessions with activity in the range, by the cost of all their lines (docs/METRICS.md,
    /// Tokens and money).
    top_sessions_by_cost: Vec<SessionCost>,
    /// The highest price of a subscription: always null, because transcripts do not record how tokens are paid for.
    max_subscription_cost_usd: Option<f64>,
    /// The share of a subscription that is used: always null, for the same reason.
    cost_utilization_percent: Option<f64>,
    /// The daily spending at which a subscription pays off: always null, for the same reason.
    break_even_daily_spend: Option<f64>,
    /// The savings of a subscription: always null, for the same reason.
    potential_savings_usd: Option<f64>,
    /// A comparison with the prices of subscriptions: always null, for the same reason.
    subscription_comparisons: Option<Vec<SubscriptionComparison>>,
    /// The cost per directory of the agent's settings: null, because only the developer's machine knows these.
    config_dir_breakdowns: Option<Vec<ConfigDirCostBreakdown>>,
}

/// One day's cost. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct DailyCost {
    /// The date, ISO 8601, in the requested time zone.
    date: String,
    /// US dollars; null if none of its answers has a price.
    cost_usd: Option<f64>,
    /// The number of sessions that began on it.
    session_count: i64,
}

/// One week's cost. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct WeeklyCost {
    /// The date of its Monday, ISO 8601.
    week_start: String,
    /// Its display name, such as `Nov 23 – 29`.
    week_label: String,
    /// US dollars; null if none of its answers has a price.
    cost_usd: Option<f64>,
    /// The cost divided by the number of its days in the range (docs/METRICS.md, Tokens and money).
    avg_daily_cost: Option<f64>,
    /// The number of sessions that began in it.
    session_count: i64,
}

/// The cost of one session, over all of its lines. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct SessionCost {
    /// The session's raw id, as in `Session.sessionId`.
    session_id: String,
    /// The time of its earliest line, RFC 3339 in UTC.
    started_at: Option<String>,
    /// The number of messages.
    message_count: i64,
    /// Input tokens outside the cache.
    input_tokens: i64,
    /// Output tokens.
    output_tokens: i64,
    /// Tokens read from the cache.
    cache_read_tokens: i64,
    /// US dollars; null if none of its answers has a price.
    cost_usd: Option<f64>,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl SessionCost {
    /// The session's short name.
    async fn slug(&self) -> Result<Option<String>> {
        Ok(super::effectiveness::session(&self.op, &self.session_id)
            .await?
            .and_then(|session| session.details.slug.as_ref().map(|slug| slug.value.clone())))
    }
}

/// The cost of the same tokens under a subscription.
#[derive(Clone, Debug, SimpleObject)]
pub struct SubscriptionComparison {
    /// The subscription.
    tier_name: String,
    /// Its price per month.
    monthly_cost_usd: Option<f64>,
    /// The cost at list prices per month.
    api_credit_cost_usd: Option<f64>,
    /// The difference.
    savings_usd: Option<f64>,
    /// The difference as a percentage of the cost.
    savings_percent: Option<f64>,
    /// The option to prefer.
    recommendation: Option<String>,
}

/// The cost under one directory of the agent's settings, which only the coordinator knows.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConfigDirCostBreakdown {
    /// The directory's id.
    config_dir_id: String,
    /// The directory's name.
    config_dir_name: Option<String>,
    /// The cost at list prices.
    estimated_cost_usd: Option<f64>,
    /// Whether the cost is an estimate.
    is_estimated: bool,
    /// The number of sessions.
    total_sessions: i64,
    /// The number of messages.
    total_messages: i64,
    /// The number of models used.
    model_count: i64,
    /// The cost per session.
    cost_per_session: Option<f64>,
    /// The share of input tokens that came from the cache.
    cache_hit_rate: Option<f64>,
    /// The savings from the cache.
    cache_savings_usd: Option<f64>,
    /// Days with activity, in order.
    daily_cost_trend: Vec<DailyCost>,
    /// Weeks with activity, in order.
    weekly_cost_trend: Vec<WeeklyCost>,
    /// The most expensive sessions.
    top_sessions_by_cost: Vec<SessionCost>,
    /// The percentage of a subscription that is used.
    cost_utilization_percent: Option<f64>,
    /// The daily spending at which a subscription pays off.
    break_even_daily_spend: Option<f64>,
    /// The savings of a subscription.
    potential_savings_usd: Option<f64>,
    /// A comparison with the prices of subscriptions.
    subscription_comparisons: Option<Vec<SubscriptionComparison>>,
}

impl CostAnalysis {
    pub(super) fn new(op: &Op, cost: metrics::CostAnalysis, cache: &CacheStats) -> Self {
        let known = cost.total.known_usd().is_some();
        Self {
            estimated_cost_usd: cost.total.known_usd(),
            unpriced_tokens: cost.total.unpriced_tokens,
            unpriced_answers: cost.total.unpriced_answers,
            is_estimated: cost.total.unpriced_answers > 0,
            billing_type: None,
            cost_per_session: cost.per_session.filter(|_| known),
            cost_per_completed_task: cost.per_completed_task.filter(|_| known),
            cache_hit_rate: cache.hit_rate,
            cache_savings_usd: known.then_some(cache.savings_usd),
            daily_cost_trend: cost.days.into_iter().map(DailyCost::from).collect(),
            weekly_cost_trend: cost.weeks.into_iter().map(WeeklyCost::from).collect(),
            top_sessions_by_cost: cost
                .sessions
                .into_iter()
                .map(|session| SessionCost::new(op, session))
                .collect(),
            max_subscription_cost_usd: None,
            cost_utilization_percent: None,
            break_even_daily_spend: None,
            potential_savings_usd: None,
            subscription_comparisons: None,
            config_dir_breakdowns: None,
        }
    }
}

impl From<metrics::DayCost> for DailyCost {
    fn from(day: metrics::DayCost) -> Self {
        Self { cost_usd: day.cost.known_usd(), session_count: day.sessions, date: day.date }
    }
}

impl From<metrics::WeekCost> for WeeklyCost {
    fn from(week: metrics::WeekCost) -> Self {
        let cost_usd = week.cost.known_usd();
        Self {
            week_label: names::week(&week.week_start),
            cost_usd,
            avg_daily_cost: cost_usd.map(|_| week.per_day),
            session_count: week.sessions,
            week_start: week.week_start,
        }
    }
}

impl SessionCost {
    fn new(op: &Op, session: metrics::SessionCost) -> Self {
        Self {
            started_at: session.started_at.map(|at| Timestamp(at).to_rfc3339()),
            message_count: session.messages,
            input_tokens: session.tokens.input,
            output_tokens: session.tokens.output,
            cache_read_tokens: session.tokens.cache_read,
            cost_usd: session.cost.known_usd(),
            session_id: session.session_id,
            op: Op::clone(op),
        }
    }
}
