//! Figures at the root. Ranges are whole days of the time zone that the question names.

use async_graphql::{Context, Object};
use han_db::queries::metrics::{self, Range, Within};
use han_types::{GlobalId, Timestamp};

use crate::context::{Op, operation, prices};
use crate::error::{ApiError, Result};
use crate::types::metrics::activity::ActivityData;
use crate::types::metrics::dashboard::DashboardAnalytics;
use crate::types::metrics::tasks::{MetricsData, MetricsPeriod};
use crate::types::metrics::team::{Granularity, TeamMetrics};

const DAY_MS: i64 = 86_400_000;
/// The longest range, in days: ten years.
const MAX_DAYS: i32 = 3660;
/// How many days the dashboard and a team's figures look back, unless said otherwise.
const DEFAULT_DAYS: i32 = 30;
/// How many days activity looks back, unless said otherwise: a heatmap shows a year.
const ACTIVITY_DAYS: i32 = 365;
/// The time zones there are lie between these minutes ahead of UTC.
const OFFSETS: std::ops::RangeInclusive<i32> = -12 * 60..=14 * 60;

#[derive(Debug, Default)]
pub(crate) struct MetricsQuery;

/// Figures. docs/METRICS.md says how each comes about.
#[Object]
impl MetricsQuery {
    /// How much went on in the last days, by day, hour of the day and model. docs/METRICS.md, Activity.
    async fn activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days, of which the last is today: 1 to 3660; 365 where it is not given.")]
        days: Option<i32>,
        #[graphql(desc = "Only this project, global id or raw. It outweighs `repoId`.")] project_id: Option<
            String,
        >,
        #[graphql(desc = "Only this repository's projects, global id or raw.")] repo_id: Option<String>,
        #[graphql(
            desc = "The time zone in which days begin: minutes ahead of UTC, -720 to 840; 0 where it is not given."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<ActivityData>> {
        let (offset, within) = (offset(utc_offset_minutes)?, within(project_id, repo_id));
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let range = last_days(&op, days.unwrap_or(ACTIVITY_DAYS), offset)?;
        let data = metrics::activity(op.tx().await?, &range, &within, prices(ctx)).await?;
        Ok(Some(data.into()))
    }

    /// What the last days cost and how tools, subagents, hooks and sessions fared. docs/METRICS.md.
    async fn dashboard_analytics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days, of which the last is today: 1 to 3660; 30 where it is not given.")]
        days: Option<i32>,
        #[graphql(desc = "Only this project, global id or raw. It outweighs `repoId`.")] project_id: Option<
            String,
        >,
        #[graphql(desc = "Only this repository's projects, global id or raw.")] repo_id: Option<String>,
        #[graphql(
            desc = "The time zone in which days begin: minutes ahead of UTC, -720 to 840; 0 where it is not given."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<DashboardAnalytics>> {
        let (offset, within) = (offset(utc_offset_minutes)?, within(project_id, repo_id));
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let range = last_days(&op, days.unwrap_or(DEFAULT_DAYS), offset)?;
        let board = metrics::dashboard(op.tx().await?, &range, &within, prices(ctx)).await?;
        Ok(Some(DashboardAnalytics::new(&op, board)))
    }

    /// What tasks came to, and how often persons were annoyed. docs/METRICS.md, Tasks and Moods.
    async fn metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far back; the last 30 days where it is not given.")] period: Option<
            MetricsPeriod,
        >,
        #[graphql(desc = "Only this project, global id or raw. It outweighs `repoId`.")] project_id: Option<
            String,
        >,
        #[graphql(desc = "Only this repository's projects, global id or raw.")] repo_id: Option<String>,
        #[graphql(
            desc = "The time zone in which days begin: minutes ahead of UTC, -720 to 840; 0 where it is not given."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<MetricsData>> {
        let (offset, within) = (offset(utc_offset_minutes)?, within(project_id, repo_id));
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let days = period.unwrap_or(MetricsPeriod::Month).days();
        let range = Range::days(op.db().clock().now(), days, offset);
        Ok(Some(metrics::metrics(op.tx().await?, &range, &within).await?.into()))
    }

    /// The team's work by period, project and contributor. docs/METRICS.md.
    async fn team_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The first day, ISO 8601; a time says its day. 29 days before the last where it is not given."
        )]
        start_date: Option<String>,
        #[graphql(desc = "The last day, ISO 8601; a time says its day. Today where it is not given.")]
        end_date: Option<String>,
        #[graphql(desc = "How long a period is; a day where it is not given.")] granularity: Option<
            Granularity,
        >,
        #[graphql(
            desc = "The time zone in which days begin: minutes ahead of UTC, -720 to 840; 0 where it is not given."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<TeamMetrics>> {
        let offset = offset(utc_offset_minutes)?;
        let first = start_date.map(|text| day("startDate", &text, offset)).transpose()?;
        let last = end_date.map(|text| day("endDate", &text, offset)).transpose()?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let range = between(first, last, op.db().clock().now(), offset)?;
        let period = granularity.unwrap_or_default().into();
        let tx = op.tx().await?;
        let team = metrics::team_metrics(tx, &range, &Within::Team, period, prices(ctx)).await?;
        Ok(Some(TeamMetrics::new(&op, team)))
    }
}

fn offset(minutes: Option<i32>) -> Result<i32> {
    let minutes = minutes.unwrap_or_default();
    if OFFSETS.contains(&minutes) {
        Ok(minutes)
    } else {
        Err(ApiError::bad("utcOffsetMinutes", format!("{minutes} is no time zone: give -720 to 840")))
    }
}

fn within(project_id: Option<String>, repo_id: Option<String>) -> Within {
    match (project_id, repo_id) {
        (Some(id), _) => Within::Project(GlobalId::raw("Project", &id).to_owned()),
        (None, Some(id)) => Within::Repo(GlobalId::raw("Repo", &id).to_owned()),
        (None, None) => Within::Team,
    }
}

fn last_days(op: &Op, days: i32, offset: i32) -> Result<Range> {
    match u32::try_from(days) {
        Ok(count @ 1..) if days <= MAX_DAYS => Ok(Range::days(op.db().clock().now(), count, offset)),
        _ => Err(ApiError::bad("days", format!("{days} is out of range: give 1 to {MAX_DAYS}"))),
    }
}

/// The number of a day, counted from 1970-01-01: a date, or the local date of a time.
fn day(argument: &'static str, text: &str, offset: i32) -> Result<i64> {
    let date = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
    let local_ms = match date {
        Some(midnight) => Timestamp::parse_rfc3339(&midnight).map(|at| at.0),
        None => Timestamp::parse_rfc3339(text).map(|at| at.0 + i64::from(offset) * 60_000),
    };
    let bad = || ApiError::bad(argument, "give a date such as 2026-11-23, or a time as RFC 3339 has it");
    Ok(local_ms.ok_or_else(bad)?.div_euclid(DAY_MS))
}

fn between(first: Option<i64>, last: Option<i64>, now: Timestamp, offset: i32) -> Result<Range> {
    let offset_ms = i64::from(offset) * 60_000;
    let last = last.unwrap_or_else(|| (now.0 + offset_ms).div_euclid(DAY_MS));
    let first = first.unwrap_or(last - i64::from(DEFAULT_DAYS) + 1);
    if first > last {
        return Err(ApiError::bad("startDate", "it is after endDate: exchange them"));
    }
    if last - first >= i64::from(MAX_DAYS) {
        return Err(ApiError::bad("startDate", format!("it is more than {MAX_DAYS} days before endDate")));
    }
    Ok(Range {
        from: first * DAY_MS - offset_ms,
        to: (last + 1) * DAY_MS - offset_ms,
        offset_minutes: offset,
    })
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;

    use super::{between, day, offset};

    fn told(first: Option<&str>, last: Option<&str>, offset: i32) -> Option<(String, String)> {
        let now = Timestamp::parse_rfc3339("2026-11-23T23:30:00Z").unwrap();
        let day = |text: &str| day("startDate", text, offset);
        let range = between(first.map(day).transpose().ok()?, last.map(day).transpose().ok()?, now, offset);
        range.ok().map(|range| (Timestamp(range.from).to_rfc3339(), Timestamp(range.to).to_rfc3339()))
    }

    #[test]
    fn ranges_are_whole_days_of_the_time_zone() {
        let is = |from: &str, to: &str| Some((format!("{from}:00.000Z"), format!("{to}:00.000Z")));
        assert_eq!(told(None, None, 0), is("2026-10-25T00:00", "2026-11-24T00:00"));
        // It is already the 24th in Kolkata.
        assert_eq!(told(None, None, 330), is("2026-10-25T18:30", "2026-11-24T18:30"));
        let first = Some("2026-11-01");
        assert_eq!(told(first, first, -300), is("2026-11-01T05:00", "2026-11-02T05:00"));
        let time = Some("2026-11-01T23:00:00Z");
        assert_eq!(told(time, time, 120), is("2026-11-01T22:00", "2026-11-02T22:00"));
        assert_eq!(told(Some("2026-11-02"), first, 0), None);
        assert_eq!(told(Some("2016-10-01"), first, 0), None);
        for text in ["", "soon", "2026-13-01", "2026-11-1", "20261101"] {
            assert_eq!(told(Some(text), None, 0), None, "{text}");
        }
        assert!(offset(Some(841)).is_err() && offset(Some(-721)).is_err() && offset(None).is_ok());
    }
}
