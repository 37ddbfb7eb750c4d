//! Activity: by day, by hour of the day, by model. docs/METRICS.md, "What is counted" and "Activity".

use async_graphql::SimpleObject;
use han_db::queries::metrics::{self, total};

use super::{cached, names};

/// Activity in a range of days. docs/METRICS.md defines each figure.
#[derive(Clone, Debug, SimpleObject)]
pub struct ActivityData {
    /// Every day of the range, in order, including days without activity.
    daily_activity: Vec<DailyActivity>,
    /// The 24 hours of the day in the requested time zone, each over all days.
    hourly_activity: Vec<HourlyActivity>,
    /// Days with tokens, in order.
    daily_model_tokens: Vec<DailyModelTokens>,
    /// Figures per model, most tokens first.
    model_usage: Vec<ModelUsageStats>,
    /// Tokens of the whole range.
    token_usage: TokenUsageStats,
    /// The number of consecutive active days up to the last day of the range or the day before (docs/METRICS.md, Activity).
    streak_days: i64,
    /// The number of days with messages or tokens (docs/METRICS.md, Activity).
    total_active_days: i64,
    /// The number of sessions that began in the range (docs/METRICS.md, What is counted).
    total_sessions: i64,
    /// The number of messages (docs/METRICS.md, What is counted).
    total_messages: i64,
    /// The day on which the earliest session began, whatever the range, ISO 8601; null if there is none.
    first_session_date: Option<String>,
}

/// One day. docs/METRICS.md, What is counted, and Activity.
#[derive(Clone, Debug, SimpleObject)]
pub struct DailyActivity {
    /// The date, ISO 8601, in the requested time zone.
    date: String,
    /// The number of sessions that began on it.
    session_count: i64,
    /// The number of messages.
    message_count: i64,
    /// Input tokens outside the cache.
    input_tokens: i64,
    /// Output tokens.
    output_tokens: i64,
    /// Tokens read from the cache and written to it.
    cached_tokens: i64,
    /// The number of changes that tools made to files (docs/METRICS.md, Activity).
    files_changed: i64,
    /// The number of lines that they added (docs/METRICS.md, Activity).
    lines_added: i64,
    /// The number of lines that they removed (docs/METRICS.md, Activity).
    lines_removed: i64,
}

/// One hour of the day, over all days of the range. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct HourlyActivity {
    /// The hour, 0 to 23, in the requested time zone.
    hour: i64,
    /// The number of sessions that began in it.
    session_count: i64,
    /// The number of messages.
    message_count: i64,
}

/// One day's tokens by model. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct DailyModelTokens {
    /// The date, ISO 8601, in the requested time zone.
    date: String,
    /// Tokens per model.
    models: Vec<ModelTokenEntry>,
    /// Tokens of all models.
    total_tokens: i64,
}

/// One model's tokens on one day. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelTokenEntry {
    /// The model's id; null if the answers have none.
    model: Option<String>,
    /// The model's display name.
    display_name: Option<String>,
    /// All tokens: input, output, cache reads and cache writes.
    tokens: i64,
}

/// One model's tokens over the range. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelUsageStats {
    /// The model's id; null if the answers have none.
    model: Option<String>,
    /// The model's display name.
    display_name: Option<String>,
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
    /// Tokens of answers without a price, which the cost does not include.
    unpriced_tokens: i64,
    /// The number of answers without a price.
    unpriced_answers: i64,
}

/// Tokens of a range. docs/METRICS.md, Tokens and money.
#[derive(Clone, Debug, SimpleObject)]
pub struct TokenUsageStats {
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
    /// The number of sessions that began in the range.
    session_count: i64,
    /// The number of messages.
    message_count: i64,
}

/// A model's id and display name; neither if the model is unknown.
fn named(model: &str) -> (Option<String>, Option<String>) {
    let known = || (!model.is_empty()).then_some(model);
    (known().map(str::to_owned), known().map(names::model))
}

impl From<metrics::ActivityData> for ActivityData {
    fn from(data: metrics::ActivityData) -> Self {
        let token_usage = TokenUsageStats {
            total_input_tokens: data.tokens.input,
            total_output_tokens: data.tokens.output,
            total_cached_tokens: cached(&data.tokens),
            total_tokens: total(&data.tokens),
            estimated_cost_usd: data.cost.known_usd(),
            unpriced_tokens: data.cost.unpriced_tokens,
            unpriced_answers: data.cost.unpriced_answers,
            session_count: data.sessions,
            message_count: data.messages,
        };
        Self {
            daily_activity: data.days.into_iter().map(DailyActivity::from).collect(),
            hourly_activity: data.hours.into_iter().map(HourlyActivity::from).collect(),
            daily_model_tokens: data.day_models.into_iter().map(DailyModelTokens::from).collect(),
            model_usage: data.models.iter().map(ModelUsageStats::from).collect(),
            token_usage,
            streak_days: data.streak_days,
            total_active_days: data.active_days,
            total_sessions: data.sessions,
            total_messages: data.messages,
            first_session_date: data.first_session_date,
        }
    }
}

impl From<metrics::Day> for DailyActivity {
    fn from(day: metrics::Day) -> Self {
        Self {
            session_count: day.sessions,
            message_count: day.messages,
            input_tokens: day.tokens.input,
            output_tokens: day.tokens.output,
            cached_tokens: cached(&day.tokens),
            files_changed: day.files_changed,
            lines_added: day.lines_added,
            lines_removed: day.lines_removed,
            date: day.date,
        }
    }
}

impl From<metrics::Hour> for HourlyActivity {
    fn from(hour: metrics::Hour) -> Self {
        Self { hour: hour.hour, session_count: hour.sessions, message_count: hour.messages }
    }
}

impl From<metrics::DayModels> for DailyModelTokens {
    fn from(day: metrics::DayModels) -> Self {
        let entry = |(model, tokens): &(String, i64)| {
            let (model, display_name) = named(model);
            ModelTokenEntry { model, display_name, tokens: *tokens }
        };
        let total_tokens = day.models.iter().map(|(_, tokens)| tokens).sum();
        Self { date: day.date, models: day.models.iter().map(entry).collect(), total_tokens }
    }
}

impl From<&metrics::ModelUsage> for ModelUsageStats {
    fn from(usage: &metrics::ModelUsage) -> Self {
        let (model, display_name) = named(&usage.model);
        Self {
            model,
            display_name,
            input_tokens: usage.tokens.input,
            output_tokens: usage.tokens.output,
            cache_read_tokens: usage.tokens.cache_read,
            cache_creation_tokens: usage.tokens.cache_creation(),
            total_tokens: total(&usage.tokens),
            cost_usd: usage.cost.known_usd(),
            unpriced_tokens: usage.cost.unpriced_tokens,
            unpriced_answers: usage.cost.unpriced_answers,
        }
    }
}
