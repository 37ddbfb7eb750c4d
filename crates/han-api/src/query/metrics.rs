//! Figures for dashboards. Ranges are whole days in the time zone of the `utcOffsetMinutes` argument.

use async_graphql::{Context, Object};
use han_db::queries::metrics::{self, Range, Within};
use han_types::{RepoId, Timestamp};

use crate::context::{Op, operation, prices};
use crate::error::{ApiError, Result};
use crate::optional_id::{OptionalId, ProjectScope, given};
use crate::types::metrics::activity::ActivityData;
use crate::types::metrics::dashboard::DashboardAnalytics;
use crate::types::metrics::tasks::{MetricsData, MetricsPeriod};
use crate::types::metrics::team::{Granularity, TeamMetrics};

const DAY_MS: i64 = 86_400_000;
/// The longest range, in days: ten years.
const MAX_DAYS: i32 = 3660;
/// The default range of the dashboard and of team figures, in days.
const DEFAULT_DAYS: i32 = 30;
/// The default range of activity, in days: a heatmap shows a year.
const ACTIVITY_DAYS: i32 = 365;
/// Time zones lie in this range of minutes ahead of UTC.
const OFFSETS: std::ops::RangeInclusive<i32> = -12 * 60..=14 * 60;

#[derive(Debug, Default)]
pub(crate) struct MetricsQuery;

/// Figures. docs/METRICS.md defines each of them.
#[Object]
impl MetricsQuery {
    /// Activity of the last days: by day, by hour of the day, and by model. docs/METRICS.md, Activity.
    async fn activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of days up to today, 1 to 3660. The default is 365.")] days: Option<i32>,
        #[graphql(
            desc = "Only this project, or the projects of this repository; global or raw id. It takes precedence over `repoId`."
        )]
        project_id: OptionalId,
        #[graphql(desc = "Only the projects of this repository; global or raw id.")] repo_id: OptionalId,
        #[graphql(desc = "The time zone of days, in minutes ahead of UTC: -720 to 840. The default is 0.")]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<ActivityData>> {
        let offset = offset(utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let range = last_days(&op, days.unwrap_or(ACTIVITY_DAYS), offset)?;
        let data = metrics::activity(op.tx().await?, &range, &within, prices(ctx)).await?;
        Ok(Some(data.into()))
    }

    /// Cost of the last days, and figures about tools, subagents, hooks and sessions. docs/METRICS.md.
    async fn dashboard_analytics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of days up to today, 1 to 3660. The default is 30.")] days: Option<i32>,
        #[graphql(
            desc = "Only this project, or the projects of this repository; global or raw id. It takes precedence over `repoId`."
        )]
        project_id: OptionalId,
        #[graphql(desc = "Only the projects of this repository; global or raw id.")] repo_id: OptionalId,
        #[graphql(desc = "The time zone of days, in minutes ahead of UTC: -720 to 840. The default is 0.")]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<DashboardAnalytics>> {
        let offset = offset(utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let range = last_days(&op, days.unwrap_or(DEFAULT_DAYS), offset)?;
        let board = metrics::dashboard(op.tx().await?, &range, &within, prices(ctx)).await?;
        Ok(Some(DashboardAnalytics::new(&op, board)))
    }

    /// Outcomes of tasks, and how often people were frustrated. docs/METRICS.md, Tasks and Sentiments.
    async fn metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The range. The default is the last 30 days.")] period: Option<MetricsPeriod>,
        #[graphql(
            desc = "Only this project, or the projects of this repository; global or raw id. It takes precedence over `repoId`."
        )]
        project_id: OptionalId,
        #[graphql(desc = "Only the projects of this repository; global or raw id.")] repo_id: OptionalId,
        #[graphql(desc = "The time zone of days, in minutes ahead of UTC: -720 to 840. The default is 0.")]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<MetricsData>> {
        let offset = offset(utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let days = period.unwrap_or(MetricsPeriod::Month).days();
        let range = Range::days(op.db().clock().now(), days, offset);
        Ok(Some(metrics::metrics(op.tx().await?, &range, &within).await?.into()))
    }

    /// The team's work by period, by project and by contributor. docs/METRICS.md.
    async fn team_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The first day, as an ISO 8601 date or time. The default is 29 days before the last day."
        )]
        start_date: Option<String>,
        #[graphql(desc = "The last day, as an ISO 8601 date or time. The default is today.")]
        end_date: Option<String>,
        #[graphql(desc = "The length of a period. The default is a day.")] granularity: Option<Granularity>,
        #[graphql(desc = "The time zone of days, in minutes ahead of UTC: -720 to 840. The default is 0.")]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<TeamMetrics>> {
        let offset = offset(utc_offset_minutes)?;
        let first = given(start_date.as_deref()).map(|text| day("startDate", text, offset)).transpose()?;
        let last = given(end_date.as_deref()).map(|text| day("endDate", text, offset)).transpose()?;
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
        Err(ApiError::bad("utcOffsetMinutes", format!("{minutes} is not a time zone: use -720 to 840")))
    }
}

/// The sessions of the project, else those of the repository, else the team's.
async fn within(op: &Op, project_id: &OptionalId, repo_id: &OptionalId) -> Result<Within> {
    Ok(match ProjectScope::of(project_id) {
        None => repo_id.raw("Repo").map_or(Within::Team, Within::Repo),
        Some(ProjectScope::Project(id)) => Within::Project(id),
        Some(ProjectScope::Repo(id)) => Within::Repo(id),
        Some(ProjectScope::Either(id)) => {
            let is_repo = match id.parse::<RepoId>() {
                Ok(repo) => op.loader().load_one(repo).await?.is_some(),
                Err(_) => false,
            };
            if is_repo { Within::Repo(id) } else { Within::Project(id) }
        }
    })
}

fn last_days(op: &Op, days: i32, offset: i32) -> Result<Range> {
    match u32::try_from(days) {
        Ok(count @ 1..) if days <= MAX_DAYS => Ok(Range::days(op.db().clock().now(), count, offset)),
        _ => Err(ApiError::bad("days", format!("{days} is out of range: use 1 to {MAX_DAYS}"))),
    }
}

/// The number of a day, counted from 1970-01-01: a date, or the local date of a time.
fn day(argument: &'static str, text: &str, offset: i32) -> Result<i64> {
    let date = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
    let local_ms = match date {
        Some(midnight) => Timestamp::parse_rfc3339(&midnight).map(|at| at.0),
        None => Timestamp::parse_rfc3339(text).map(|at| at.0 + i64::from(offset) * 60_000),
    };
    let bad = || ApiError::bad(argument, "use a date such as 2026-11-23, or an RFC 3339 time");
    Ok(local_ms.ok_or_else(bad)?.div_euclid(DAY_MS))
}

fn between(first: Option<i64>, last: Option<i64>, now: Timestamp, offset: i32) -> Result<Range> {
    let offset_ms = i64::from(offset) * 60_000;
    let last = last.unwrap_or_else(|| (now.0 + offset_ms).div_euclid(DAY_MS));
    let first = first.unwrap_or(last - i64::from(DEFAULT_DAYS) + 1);
    if first > last {
        return Err(ApiError::bad("startDate", "it is after endDate: swap them"));
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

    fn range(first: Option<&str>, last: Option<&str>, offset: i32) -> Option<(String, String)> {
        let now = Timestamp::parse_rfc3339("2026-11-23T23:30:00Z").unwrap();
        let day = |text: &str| day("startDate", text, offset);
        let found = between(first.map(day).transpose().ok()?, last.map(day).transpose().ok()?, now, offset);
        found.ok().map(|range| (Timestamp(range.from).to_rfc3339(), Timestamp(range.to).to_rfc3339()))
    }

    #[test]
    fn ranges_are_whole_days_of_the_time_zone() {
        let is = |from: &str, to: &str| Some((format!("{from}:00.000Z"), format!("{to}:00.000Z")));
        assert_eq!(range(None, None, 0), is("2026-10-25T00:00", "2026-11-24T00:00"));
        // It is already the 24th in Kolkata.
        assert_eq!(range(None, None, 330), is("2026-10-25T18:30", "2026-11-24T18:30"));
        let first = Some("2026-11-01");
        assert_eq!(range(first, first, -300), is("2026-11-01T05:00", "2026-11-02T05:00"));
        let time = Some("2026-11-01T23:00:00Z");
        assert_eq!(range(time, time, 120), is("2026-11-01T22:00", "2026-11-02T22:00"));
        assert_eq!(range(Some("2026-11-02"), first, 0), None);
        assert_eq!(range(Some("2016-10-01"), first, 0), None);
        for text in ["", "soon", "2026-13-01", "2026-11-1", "20261101"] {
            assert_eq!(range(Some(text), None, 0), None, "{text}");
        }
        assert!(offset(Some(841)).is_err() && offset(Some(-721)).is_err() && offset(None).is_ok());
    }
}
