//! Metrics of dashboards, as sums of the rollups that are maintained at write time: nothing here reads `messages`.
//! docs/METRICS.md has all formulas.
//!
//! Rollups are stored by UTC hour. Days are formed with the caller's offset from UTC. An hour belongs to the day in
//! which it begins, which matters only for offsets that are not whole hours.

mod activity;
mod dashboard;
mod effectiveness;
mod human_time;
mod tasks;
mod team;

use han_transcript::fold::TokenTotals;
use han_transcript::pricing::PriceTable;
use han_types::Timestamp;
use sea_orm::{FromQueryResult, Value};

pub use activity::{ActivityData, Day, DayModels, Hour, ModelUsage, activity};
pub use dashboard::{
    CacheStats, CompactionStats, CostAnalysis, DashboardAnalytics, DayCost, HookHealth, MAX_SESSIONS,
    SessionCost, SubagentUsage, ToolUsage, WeekCost, WeekPerformance, dashboard,
};
pub use effectiveness::{SentimentTrend, SessionEffectiveness};
pub use human_time::{CategoryTime, HumanTime, ToolTime};
pub use tasks::{TaskMetrics, metrics};
pub use team::{ContributorSums, Period, PeriodSums, ProjectSums, TeamMetrics, team_metrics};

use crate::{DbError, ScopedTx};

const DAY_MS: i64 = 86_400_000;

/// A time range, and the offset of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first instant, in milliseconds since the epoch.
    pub from: i64,
    /// The first instant after it, in milliseconds since the epoch.
    pub to: i64,
    /// The offset of local time from UTC, in minutes.
    pub offset_minutes: i32,
}

impl Range {
    /// The given number of whole days, at least one and at most ten years. The last one contains `now`.
    #[must_use]
    pub fn days(now: Timestamp, days: u32, offset_minutes: i32) -> Self {
        let offset = i64::from(offset_minutes) * 60_000;
        let today = (now.0 + offset).div_euclid(DAY_MS);
        let first = today - i64::from(days.clamp(1, 3660)) + 1;
        Self { from: first * DAY_MS - offset, to: (today + 1) * DAY_MS - offset, offset_minutes }
    }

    fn offset_ms(&self) -> i64 {
        i64::from(self.offset_minutes) * 60_000
    }

    /// The number of the local day of an instant, counted from 1970-01-01.
    fn day_of(&self, at: i64) -> i64 {
        at.saturating_add(self.offset_ms()).div_euclid(DAY_MS)
    }

    fn first_day(&self) -> i64 {
        self.day_of(self.from)
    }

    fn last_day(&self) -> i64 {
        self.day_of(self.to - 1)
    }
}

/// The date of a day, ISO 8601.
fn date(day: i64) -> String {
    let mut text = Timestamp(day.saturating_mul(DAY_MS)).to_rfc3339();
    text.truncate(10);
    text
}

/// The Monday of the week of a day: 1970-01-01 was a Thursday.
fn week_of(day: i64) -> i64 {
    (day + 3).div_euclid(7) * 7 - 3
}

/// A selection of the team's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Within {
    /// All sessions.
    #[default]
    Team,
    /// The sessions of a project.
    Project(String),
    /// The sessions of a repository's projects.
    Repo(String),
}

impl Within {
    /// The SQL condition on a row's project. Its value is appended to `values`. The team is parameter `$1`.
    fn condition(&self, column: &str, values: &mut Vec<Value>) -> String {
        // PostgreSQL's text cannot contain NUL, and no id does.
        let mut bind = |id: &str| {
            values.push(id.replace('\0', "\u{fffd}").into());
            values.len()
        };
        match self {
            Self::Team => String::new(),
            Self::Project(id) => format!(" AND {column} = ${}", bind(id)),
            Self::Repo(id) => format!(
                " AND {column} IN (SELECT p.id FROM projects p WHERE p.team = $1 AND p.repo_id = ${})",
                bind(id)
            ),
        }
    }
}

/// The cost of tokens in US dollars at list prices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// The cost of the tokens that have a price.
    pub usd: f64,
    /// The tokens of models without a price; they are not part of any cost.
    pub unpriced_tokens: i64,
}

impl Cost {
    fn add(&mut self, prices: &PriceTable, model: &str, tokens: &TokenTotals) {
        match prices.cost(model, tokens) {
            Some(usd) => self.usd += usd,
            None => self.unpriced_tokens += total(tokens),
        }
    }
}

/// All tokens: input, output, cache reads and cache writes.
#[must_use]
pub fn total(tokens: &TokenTotals) -> i64 {
    tokens.input + tokens.output + tokens.cache_read + tokens.cache_creation()
}

fn plus(a: &TokenTotals, b: &TokenTotals) -> TokenTotals {
    TokenTotals {
        input: a.input + b.input,
        output: a.output + b.output,
        cache_read: a.cache_read + b.cache_read,
        cache_creation_5m: a.cache_creation_5m + b.cache_creation_5m,
        cache_creation_1h: a.cache_creation_1h + b.cache_creation_1h,
    }
}

/// The ratio of two counts; `None` if the whole is zero.
#[expect(clippy::cast_precision_loss, reason = "real counts are below 2^53")]
fn share(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// How rows of rollups are grouped.
#[derive(Clone, Copy)]
enum By {
    Whole,
    Day,
    HourOfDay,
    Project,
    User,
}

impl By {
    /// The SQL of the bucket (a number) and the name (a text) of a row.
    fn sql(self, range: &Range) -> (String, &'static str) {
        let local = format!("(hour + {})", range.offset_ms());
        match self {
            Self::Whole => ("CAST(0 AS bigint)".to_owned(), "''"),
            Self::Day => (format!("{local} / {DAY_MS}"), "''"),
            Self::HourOfDay => (format!("{local} / {} % 24", Timestamp::HOUR_MS), "''"),
            Self::Project => ("CAST(0 AS bigint)".to_owned(), "project_id"),
            Self::User => ("CAST(0 AS bigint)".to_owned(), "user_id"),
        }
    }
}

/// Sums of `rollups`.
#[derive(Clone, Debug, FromQueryResult)]
struct RollupRow {
    bucket: i64,
    name: String,
    model: String,
    sessions: i64,
    messages: i64,
    turns: i64,
    responses: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
}

impl RollupRow {
    fn tokens(&self) -> TokenTotals {
        TokenTotals {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_tokens,
            cache_creation_5m: self.cache_creation_5m_tokens,
            cache_creation_1h: self.cache_creation_1h_tokens,
        }
    }
}

async fn rollups(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    by: By,
    models: bool,
) -> Result<Vec<RollupRow>, DbError> {
    let mut values: Vec<Value> = vec![tx.team(), range.from.into(), range.to.into()];
    let within = within.condition("project_id", &mut values);
    let (bucket, name) = by.sql(range);
    let (model, group) = if models { ("model", "1, 2, 3") } else { ("''", "1, 2") };
    let sql = format!(
        "SELECT {bucket} AS bucket, {name} AS name, {model} AS model, CAST(sum(sessions) AS bigint) AS sessions, \
           CAST(sum(messages) AS bigint) AS messages, CAST(sum(turns) AS bigint) AS turns, \
           CAST(sum(responses) AS bigint) AS responses, CAST(sum(input_tokens) AS bigint) AS input_tokens, \
           CAST(sum(output_tokens) AS bigint) AS output_tokens, \
           CAST(sum(cache_read_tokens) AS bigint) AS cache_read_tokens, \
           CAST(sum(cache_creation_5m_tokens) AS bigint) AS cache_creation_5m_tokens, \
           CAST(sum(cache_creation_1h_tokens) AS bigint) AS cache_creation_1h_tokens \
         FROM rollups WHERE team = $1 AND hour >= $2 AND hour < $3{within} GROUP BY {group} ORDER BY {group}"
    );
    tx.all(&sql, values).await
}

/// Sums of `rollup_counts`.
#[derive(Clone, Debug, FromQueryResult)]
struct RollupCountRow {
    bucket: i64,
    name: String,
    kind: String,
    key: String,
    count: i64,
    passed: i64,
    failed: i64,
    timed: i64,
    duration_ms: i64,
    lines_added: i64,
    lines_removed: i64,
    scored: i64,
    score: i64,
    error: i64,
}

async fn counts(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    by: By,
    kinds: &[&str],
) -> Result<Vec<RollupCountRow>, DbError> {
    let dialect = tx.dialect();
    let mut values: Vec<Value> = vec![tx.team(), range.from.into(), range.to.into(), dialect.list(kinds)];
    let kinds = dialect.is_any("kind", 4);
    let within = within.condition("project_id", &mut values);
    let (bucket, name) = by.sql(range);
    let sql = format!(
        "SELECT {bucket} AS bucket, {name} AS name, kind, key, CAST(sum(count) AS bigint) AS count, \
           CAST(sum(passed) AS bigint) AS passed, CAST(sum(failed) AS bigint) AS failed, \
           CAST(sum(timed) AS bigint) AS timed, CAST(sum(duration_ms) AS bigint) AS duration_ms, \
           CAST(sum(lines_added) AS bigint) AS lines_added, CAST(sum(lines_removed) AS bigint) AS lines_removed, \
           CAST(sum(scored) AS bigint) AS scored, CAST(sum(score) AS bigint) AS score, \
           CAST(sum(error) AS bigint) AS error \
         FROM rollup_counts WHERE team = $1 AND hour >= $2 AND hour < $3 AND {kinds}{within} \
         GROUP BY 1, 2, 3, 4 HAVING sum(count) <> 0 ORDER BY 1, 2, 3, 4"
    );
    tx.all(&sql, values).await
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;

    use super::{DAY_MS, Range, date, week_of};

    #[test]
    fn days_begin_at_local_midnight() {
        // 2026-11-23T23:30:00Z is the 24th in Kolkata (+05:30) and the 23rd in New York (-05:00).
        let now = Timestamp::parse_rfc3339("2026-11-23T23:30:00Z").unwrap();
        let range = Range::days(now, 2, 330);
        assert_eq!(
            (date(range.first_day()), date(range.last_day())),
            ("2026-11-23".into(), "2026-11-24".into())
        );
        assert_eq!(Timestamp(range.from).to_rfc3339(), "2026-11-22T18:30:00.000Z");
        let range = Range::days(now, 1, -300);
        assert_eq!(
            (date(range.first_day()), date(range.last_day())),
            ("2026-11-23".into(), "2026-11-23".into())
        );
        assert_eq!(range.to - range.from, DAY_MS);
        assert_eq!(Range::days(now, 0, 0), Range::days(now, 1, 0));
    }

    #[test]
    fn weeks_begin_on_monday() {
        let day = |text: &str| Timestamp::parse_rfc3339(&format!("{text}T12:00:00Z")).unwrap().0 / DAY_MS;
        assert_eq!(date(week_of(day("2026-11-23"))), "2026-11-23");
        assert_eq!(date(week_of(day("2026-11-29"))), "2026-11-23");
        assert_eq!(date(week_of(day("2026-11-30"))), "2026-11-30");
        assert_eq!(week_of(0), -3);
    }
}
