//! Metrics of dashboards, as sums of the rollups that are maintained at write time: nothing here reads `messages`.
//! docs/METRICS.md has all formulas.
//!
//! Rollups are stored by day, hour and quarter-hour (UTC). A day of any time zone consists of whole quarter-hours; `zone`
//! says which rows a range consists of.

mod activity;
mod dashboard;
mod effectiveness;
mod human_time;
mod tasks;
mod team;
mod usage;
mod zone;

use han_transcript::fold::TokenTotals;
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
pub use usage::{Dimension, MAX_GROUPS, UsageGroup, UsageReport, usage};
pub use zone::Zone;

use crate::queries::ingest::grain::{DAY_MS, HOUR_MS};
use crate::{DbError, ScopedTx};
use zone::Piece;

/// Whole days in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first instant, in milliseconds since the epoch.
    pub from: i64,
    /// The first instant after it, in milliseconds since the epoch.
    pub to: i64,
    zone: Zone,
    first_day: i64,
    last_day: i64,
}

impl Range {
    /// The given number of whole days, at least one and at most ten years. The last one contains `now`.
    #[must_use]
    pub fn days(now: Timestamp, days: u32, zone: Zone) -> Self {
        let today = zone.day_of(now.0);
        Self::between(today - i64::from(days.clamp(1, 3660)) + 1, today, zone)
    }

    /// The days from `first` to `last`, both included, as numbers of days since 1970-01-01.
    #[must_use]
    pub fn between(first_day: i64, last_day: i64, zone: Zone) -> Self {
        let last_day = last_day.max(first_day);
        let (from, to) = (zone.start_of_day(first_day), zone.start_of_day(last_day.saturating_add(1)));
        Self { from, to: to.max(from), zone, first_day, last_day }
    }

    /// The number of the local day of an instant, counted from 1970-01-01.
    fn day_of(&self, at: i64) -> i64 {
        self.zone.day_of(at)
    }

    fn first_day(&self) -> i64 {
        self.first_day
    }

    fn last_day(&self) -> i64 {
        self.last_day
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

/// What answers cost, in US dollars at list prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The cost of the answers that have a price, in billionths of a US dollar.
    pub billionths: i64,
    /// What the cache saved of it, in the same unit.
    pub saved: i64,
    /// The number of answers, and of other models' parts of them.
    pub answers: i64,
    /// The tokens of those without a price; they are not part of any cost.
    pub unpriced_tokens: i64,
    /// The number of those without a price.
    pub unpriced_answers: i64,
}

impl Cost {
    /// The cost of the answers that have a price, in US dollars.
    #[must_use]
    pub fn usd(&self) -> f64 {
        in_dollars(self.billionths)
    }

    /// The cost, if it is known: `None` if there are answers, and none has a price.
    #[must_use]
    pub fn known_usd(&self) -> Option<f64> {
        let is_unknown = self.unpriced_answers > 0 && self.unpriced_answers >= self.answers;
        (self.billionths != 0 || !is_unknown).then(|| self.usd())
    }

    /// What the cache saved, in US dollars.
    #[must_use]
    pub fn saved_usd(&self) -> f64 {
        in_dollars(self.saved)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.billionths = self.billionths.saturating_add(other.billionths);
        self.saved = self.saved.saturating_add(other.saved);
        self.answers += other.answers;
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(other.unpriced_tokens);
        self.unpriced_answers += other.unpriced_answers;
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum.add(&cost);
            sum
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 needs no exact billionths")]
fn in_dollars(billionths: i64) -> f64 {
    billionths as f64 / 1e9
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

/// The bucket of all rows, if they are not grouped by time.
const NO_BUCKET: &str = "CAST(0 AS bigint)";

/// The name of all rows, if they are not grouped by it.
const NO_NAME: &str = "''";

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
    /// The SQL of the bucket (a number) and the name (a text) of a row `r` of a piece `wanted`.
    fn sql(self) -> (String, &'static str) {
        match self {
            Self::Whole => (NO_BUCKET.to_owned(), NO_NAME),
            Self::Day => (format!("(r.start + wanted.ahead) / {DAY_MS}"), NO_NAME),
            Self::HourOfDay => (format!("(r.start + wanted.ahead) / {HOUR_MS} % 24"), NO_NAME),
            Self::Project => (NO_BUCKET.to_owned(), "r.project_id"),
            Self::User => (NO_BUCKET.to_owned(), "r.user_id"),
        }
    }

    fn pieces(self, range: &Range) -> Vec<Piece> {
        match self {
            Self::Whole | Self::Project | Self::User => Zone::whole(range.from, range.to),
            Self::Day => range.zone.by_day(range.from, range.to),
            Self::HourOfDay => range.zone.by_hour(range.from, range.to),
        }
    }
}

/// Which rows of a rollup are read: those without a model, or all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    WithoutModel,
    All,
}

/// The rows `r` of a table of rollups that pieces consist of, each with its piece `wanted`, as an item of a `FROM` clause
/// and the condition on it. The parameters are those of `values` so far, whose first is the team; those of the pieces are
/// appended.
fn source(
    tx: &ScopedTx,
    table: &str,
    pieces: &[Piece],
    rows: Rows,
    condition: &str,
    values: &mut Vec<Value>,
) -> String {
    let with_models: &[bool] = if rows == Rows::All { &[false, true] } else { &[false] };
    let numbers = with_models.iter().flat_map(|has_model| {
        pieces.iter().map(move |piece| {
            [piece.grain.code(*has_model), piece.from, piece.to, piece.offset, piece.without]
        })
    });
    let columns = ["grain", "from_start", "to_start", "ahead", "without_hour"];
    let (wanted, numbers) = tx.dialect().number_rows(values.len() + 1, columns, numbers);
    values.extend(numbers);
    let condition = format!(
        "r.team = $1 AND r.grain = wanted.grain AND r.start >= wanted.from_start AND r.start < wanted.to_start{condition}"
    );
    let rows = tx.dialect().joined_each(&wanted, table, "r", &condition);
    format!("{rows} WHERE r.start / {HOUR_MS} % 24 <> wanted.without_hour")
}

/// What answers used and cost: columns that `rollups` and `session_usage` have in common.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct UsageColumns {
    /// The number of answers.
    pub responses: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
    cost: i64,
    saved: i64,
    unpriced_tokens: i64,
    unpriced_answers: i64,
}

impl UsageColumns {
    /// Their cost.
    pub(crate) fn cost(&self) -> Cost {
        Cost {
            billionths: self.cost,
            saved: self.saved,
            answers: self.responses,
            unpriced_tokens: self.unpriced_tokens,
            unpriced_answers: self.unpriced_answers,
        }
    }

    /// Their tokens.
    pub(crate) fn tokens(&self) -> TokenTotals {
        TokenTotals {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_tokens,
            cache_creation_5m: self.cache_creation_5m_tokens,
            cache_creation_1h: self.cache_creation_1h_tokens,
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
    #[sea_orm(nested)]
    usage: UsageColumns,
}

/// The columns of `rollups` that count what sessions did.
const ACTIVITY_SUMS: [&str; 3] = ["sessions", "messages", "turns"];

/// The columns of [`UsageColumns`].
const USAGE_SUMS: [&str; 10] = [
    "responses",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_1h_tokens",
    "cost",
    "saved",
    "unpriced_tokens",
    "unpriced_answers",
];

/// The SQL of the sums of columns of the rows `r`.
fn sums(columns: &[&str]) -> String {
    let sums = columns.iter().map(|column| format!("CAST(sum(r.{column}) AS bigint) AS {column}"));
    sums.collect::<Vec<_>>().join(", ")
}

/// The positions of the columns to group by, given the expressions of the first columns: those that are not constant. A
/// constant would be hashed for each row.
fn group(columns: &[&str]) -> String {
    let is_constant = |column: &str| column == NO_BUCKET || column == NO_NAME;
    let varying = (1..).zip(columns).filter(|(_, column)| !is_constant(column));
    let positions: Vec<String> = varying.map(|(position, _)| i32::to_string(&position)).collect();
    // Without rows, there is no group.
    if positions.is_empty() { "1".to_owned() } else { positions.join(", ") }
}

async fn rollups(
    tx: &ScopedTx,
    range: &Range,
    within: &Within,
    by: By,
    models: bool,
) -> Result<Vec<RollupRow>, DbError> {
    let mut values: Vec<Value> = vec![tx.team()];
    let within = within.condition("r.project_id", &mut values);
    let source = source(tx, "rollups", &by.pieces(range), Rows::All, &within, &mut values);
    let (bucket, name) = by.sql();
    let model = if models { "r.model" } else { NO_NAME };
    let group = group(&[&bucket, name, model]);
    let sql = format!(
        "SELECT {bucket} AS bucket, {name} AS name, {model} AS model, {}, {} FROM {source} \
         GROUP BY {group} ORDER BY {group}",
        sums(&ACTIVITY_SUMS),
        sums(&USAGE_SUMS)
    );
    tx.all(&sql, values).await
}

/// Sessions and messages by local hour of the day.
#[derive(Clone, Debug, FromQueryResult)]
struct HourRow {
    bucket: i64,
    sessions: i64,
    messages: i64,
}

async fn hours_of_day(tx: &ScopedTx, range: &Range, within: &Within) -> Result<Vec<HourRow>, DbError> {
    let mut values: Vec<Value> = vec![tx.team()];
    let within = within.condition("r.project_id", &mut values);
    let pieces = By::HourOfDay.pieces(range);
    let source = source(tx, "rollups", &pieces, Rows::WithoutModel, &within, &mut values);
    let (bucket, _) = By::HourOfDay.sql();
    let sums = sums(&["sessions", "messages"]);
    tx.all(&format!("SELECT {bucket} AS bucket, {sums} FROM {source} GROUP BY 1 ORDER BY 1"), values).await
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
    let mut values: Vec<Value> = vec![tx.team(), dialect.list(kinds)];
    let mut condition = format!(" AND {}", dialect.is_any("r.kind", 2));
    condition.push_str(&within.condition("r.project_id", &mut values));
    let pieces = by.pieces(range);
    let source = source(tx, "rollup_counts", &pieces, Rows::WithoutModel, &condition, &mut values);
    let (bucket, name) = by.sql();
    let columns = [
        "count",
        "passed",
        "failed",
        "timed",
        "duration_ms",
        "lines_added",
        "lines_removed",
        "scored",
        "score",
        "error",
    ];
    let group = group(&[&bucket, name, "r.kind", "r.key"]);
    let sql = format!(
        "SELECT {bucket} AS bucket, {name} AS name, r.kind, r.key, {} FROM {source} \
         GROUP BY {group} HAVING sum(r.count) <> 0 ORDER BY {group}",
        sums(&columns)
    );
    tx.all(&sql, values).await
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;

    use super::{Cost, DAY_MS, Range, Zone, date, week_of};

    #[test]
    fn days_begin_at_local_midnight() {
        // 2026-11-23T23:30:00Z is the 24th in Kolkata (+05:30) and the 23rd in New York (-05:00).
        let now = Timestamp::parse_rfc3339("2026-11-23T23:30:00Z").unwrap();
        for kolkata in [Zone::fixed(330), Zone::named("Asia/Kolkata").unwrap()] {
            let range = Range::days(now, 2, kolkata);
            assert_eq!(
                (date(range.first_day()), date(range.last_day())),
                ("2026-11-23".into(), "2026-11-24".into())
            );
            assert_eq!(Timestamp(range.from).to_rfc3339(), "2026-11-22T18:30:00.000Z");
        }
        let range = Range::days(now, 1, Zone::named("America/New_York").unwrap());
        assert_eq!(
            (date(range.first_day()), date(range.last_day())),
            ("2026-11-23".into(), "2026-11-23".into())
        );
        assert_eq!(range.to - range.from, DAY_MS);
        assert_eq!(Range::days(now, 0, Zone::utc()), Range::days(now, 1, Zone::utc()));
        // Clocks were put back on 2026-11-01.
        let range = Range::days(now, 23, Zone::named("America/New_York").unwrap());
        assert_eq!(Timestamp(range.from).to_rfc3339(), "2026-11-01T04:00:00.000Z");
        assert_eq!(range.to - range.from, 23 * DAY_MS + 3_600_000);
    }

    #[test]
    fn a_cost_is_unknown_only_if_no_answer_has_a_price() {
        let cost = |billionths, answers, unpriced_answers| {
            Cost { billionths, answers, unpriced_answers, ..Cost::default() }.known_usd()
        };
        assert_eq!(cost(0, 0, 0), Some(0.0));
        assert_eq!(cost(0, 2, 2), None);
        assert_eq!(cost(0, 2, 1), Some(0.0));
        assert_eq!(cost(2_500_000_000, 2, 1), Some(2.5));
        assert_eq!(cost(0, 0, 1), None);
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
