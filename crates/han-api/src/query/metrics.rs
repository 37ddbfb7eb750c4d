//! Figures for dashboards. Ranges are whole days in the time zone of the arguments `timeZone` or `utcOffsetMinutes`.

use async_graphql::{Context, Object};
use han_db::queries::metrics::{self, Dimension, MAX_GROUPS, Range, Within, Zone};
use han_types::{RepoId, Timestamp};

use crate::context::{Op, operation};
use crate::error::{ApiError, Result};
use crate::optional_id::{OptionalId, ProjectScope, given};
use crate::types::metrics::activity::ActivityData;
use crate::types::metrics::dashboard::DashboardAnalytics;
use crate::types::metrics::tasks::{MetricsData, MetricsPeriod};
use crate::types::metrics::team::{Granularity, TeamMetrics};
use crate::types::metrics::usage::{UsageDimension, UsageReport};

const DAY_MS: i64 = 86_400_000;
/// The longest range, in days: ten years.
const MAX_DAYS: i32 = 3660;
/// The default range of the dashboard and of team figures, in days.
const DEFAULT_DAYS: i32 = 30;
/// The default range of activity, in days: a heatmap shows a year.
const ACTIVITY_DAYS: i32 = 365;
/// Offsets lie in this range of minutes ahead of UTC.
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
        #[graphql(
            desc = "The time zone of days: a name of the IANA database, such as `Asia/Kathmandu`. The default is `utcOffsetMinutes`."
        )]
        time_zone: Option<String>,
        #[graphql(
            desc = "Without `timeZone`: the time zone of days, in minutes ahead of UTC, -720 to 840. The default is 0."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<ActivityData>> {
        let zone = zone(time_zone.as_deref(), utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let range = last_days(&op, days.unwrap_or(ACTIVITY_DAYS), zone)?;
        let data = metrics::activity(op.tx().await?, &range, &within).await?;
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
        #[graphql(
            desc = "The time zone of days: a name of the IANA database, such as `Asia/Kathmandu`. The default is `utcOffsetMinutes`."
        )]
        time_zone: Option<String>,
        #[graphql(
            desc = "Without `timeZone`: the time zone of days, in minutes ahead of UTC, -720 to 840. The default is 0."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<DashboardAnalytics>> {
        let zone = zone(time_zone.as_deref(), utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let range = last_days(&op, days.unwrap_or(DEFAULT_DAYS), zone)?;
        let board = metrics::dashboard(op.tx().await?, &range, &within).await?;
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
        #[graphql(
            desc = "The time zone of days: a name of the IANA database, such as `Asia/Kathmandu`. The default is `utcOffsetMinutes`."
        )]
        time_zone: Option<String>,
        #[graphql(
            desc = "Without `timeZone`: the time zone of days, in minutes ahead of UTC, -720 to 840. The default is 0."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<MetricsData>> {
        let zone = zone(time_zone.as_deref(), utc_offset_minutes)?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let days = period.unwrap_or(MetricsPeriod::Month).days();
        let range = Range::days(op.db().clock().now(), days, zone);
        Ok(Some(metrics::metrics(op.tx().await?, &range, &within).await?.into()))
    }

    /// Tokens and cost of a range of days, grouped by period, model, project or person, or by several of them.
    /// docs/METRICS.md, Tokens and money.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The first day, as an ISO 8601 date or time. The default is 29 days before the last day."
        )]
        start_date: Option<String>,
        #[graphql(desc = "The last day, as an ISO 8601 date or time. The default is today.")]
        end_date: Option<String>,
        #[graphql(
            desc = "What to group by: at most one of `DAY`, `WEEK` and `MONTH`. Without any, only the total is computed."
        )]
        group_by: Option<Vec<UsageDimension>>,
        #[graphql(
            desc = "Only this project, or the projects of this repository; global or raw id. It takes precedence over `repoId`."
        )]
        project_id: OptionalId,
        #[graphql(desc = "Only the projects of this repository; global or raw id.")] repo_id: OptionalId,
        #[graphql(
            desc = "The time zone of days: a name of the IANA database, such as `Asia/Kathmandu`. The default is `utcOffsetMinutes`."
        )]
        time_zone: Option<String>,
        #[graphql(
            desc = "Without `timeZone`: the time zone of days, in minutes ahead of UTC, -720 to 840. The default is 0."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<UsageReport>> {
        let zone = zone(time_zone.as_deref(), utc_offset_minutes)?;
        let first = given(start_date.as_deref()).map(|text| day("startDate", text, &zone)).transpose()?;
        let last = given(end_date.as_deref()).map(|text| day("endDate", text, &zone)).transpose()?;
        let by = dimensions(&group_by.unwrap_or_default())?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let within = within(&op, &project_id, &repo_id).await?;
        let range = between(first, last, op.db().clock().now(), zone)?;
        let report = metrics::usage(op.tx().await?, &range, &within, &by).await?;
        let too_many = || {
            let remedy = "choose fewer days or a longer period, or group by less";
            ApiError::bad("groupBy", format!("there are more than {MAX_GROUPS} groups: {remedy}"))
        };
        Ok(Some(UsageReport::new(&op, report.ok_or_else(too_many)?)))
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
        #[graphql(
            desc = "The time zone of days: a name of the IANA database, such as `Asia/Kathmandu`. The default is `utcOffsetMinutes`."
        )]
        time_zone: Option<String>,
        #[graphql(
            desc = "Without `timeZone`: the time zone of days, in minutes ahead of UTC, -720 to 840. The default is 0."
        )]
        utc_offset_minutes: Option<i32>,
    ) -> Result<Option<TeamMetrics>> {
        let zone = zone(time_zone.as_deref(), utc_offset_minutes)?;
        let first = given(start_date.as_deref()).map(|text| day("startDate", text, &zone)).transpose()?;
        let last = given(end_date.as_deref()).map(|text| day("endDate", text, &zone)).transpose()?;
        let Some(op) = operation(ctx)? else { return Ok(None) };
        let range = between(first, last, op.db().clock().now(), zone)?;
        let period = granularity.unwrap_or_default().into();
        let tx = op.tx().await?;
        let team = metrics::team_metrics(tx, &range, &Within::Team, period).await?;
        Ok(Some(TeamMetrics::new(&op, team)))
    }
}

/// The zone with this name, else the one with this offset.
fn zone(name: Option<&str>, minutes: Option<i32>) -> Result<Zone> {
    if let Some(name) = given(name) {
        let unknown = || {
            let wanted = "use a name of the IANA database, such as Europe/Berlin or Asia/Kathmandu";
            ApiError::bad("timeZone", format!("{name:?} is not a known time zone: {wanted}"))
        };
        return Zone::named(name).ok_or_else(unknown);
    }
    let minutes = minutes.unwrap_or_default();
    if OFFSETS.contains(&minutes) {
        Ok(Zone::fixed(minutes))
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

fn last_days(op: &Op, days: i32, zone: Zone) -> Result<Range> {
    match u32::try_from(days) {
        Ok(count @ 1..) if days <= MAX_DAYS => Ok(Range::days(op.db().clock().now(), count, zone)),
        _ => Err(ApiError::bad("days", format!("{days} is out of range: use 1 to {MAX_DAYS}"))),
    }
}

/// The number of a day, counted from 1970-01-01: a date, or the local date of a time.
fn day(argument: &'static str, text: &str, zone: &Zone) -> Result<i64> {
    let date = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
    let day = match date {
        Some(midnight) => Timestamp::parse_rfc3339(&midnight).map(|at| at.0.div_euclid(DAY_MS)),
        None => Timestamp::parse_rfc3339(text).map(|at| zone.day_of(at.0)),
    };
    day.ok_or_else(|| ApiError::bad(argument, "use a date such as 2026-11-23, or an RFC 3339 time"))
}

fn between(first: Option<i64>, last: Option<i64>, now: Timestamp, zone: Zone) -> Result<Range> {
    let last = last.unwrap_or_else(|| zone.day_of(now.0));
    let first = first.unwrap_or(last - i64::from(DEFAULT_DAYS) + 1);
    if first > last {
        return Err(ApiError::bad("startDate", "it is after endDate: swap them"));
    }
    if last - first >= i64::from(MAX_DAYS) {
        return Err(ApiError::bad("startDate", format!("it is more than {MAX_DAYS} days before endDate")));
    }
    Ok(Range::between(first, last, zone))
}

/// What a report is grouped by: at most one period, and nothing twice.
fn dimensions(group_by: &[UsageDimension]) -> Result<Vec<Dimension>> {
    let by: Vec<Dimension> = group_by.iter().copied().map(Dimension::from).collect();
    let periods = by.iter().filter(|dimension| matches!(dimension, Dimension::Period(_))).count();
    let repeats = by.iter().enumerate().any(|(i, dimension)| by[..i].contains(dimension));
    if periods > 1 || repeats {
        return Err(ApiError::bad(
            "groupBy",
            "use at most one of DAY, WEEK and MONTH, and each other value once",
        ));
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use han_db::queries::metrics::Zone;
    use han_types::Timestamp;

    use super::{UsageDimension, between, day, dimensions, zone};

    fn range(first: Option<&str>, last: Option<&str>, zone: &Zone) -> Option<(String, String)> {
        let now = Timestamp::parse_rfc3339("2026-11-23T23:30:00Z").unwrap();
        let day = |text: &str| day("startDate", text, zone);
        let (first, last) = (first.map(day).transpose().ok()?, last.map(day).transpose().ok()?);
        let found = between(first, last, now, zone.clone());
        found.ok().map(|range| (Timestamp(range.from).to_rfc3339(), Timestamp(range.to).to_rfc3339()))
    }

    #[test]
    fn ranges_are_whole_days_of_the_time_zone() {
        let is = |from: &str, to: &str| Some((format!("{from}:00.000Z"), format!("{to}:00.000Z")));
        let utc = &Zone::utc();
        assert_eq!(range(None, None, utc), is("2026-10-25T00:00", "2026-11-24T00:00"));
        // It is already the 24th in Kolkata.
        for kolkata in [Zone::fixed(330), Zone::named("Asia/Kolkata").unwrap()] {
            assert_eq!(range(None, None, &kolkata), is("2026-10-25T18:30", "2026-11-24T18:30"));
        }
        let first = Some("2026-11-01");
        // The clocks are put back on that day.
        let new_york = &Zone::named("America/New_York").unwrap();
        assert_eq!(range(first, first, new_york), is("2026-11-01T04:00", "2026-11-02T05:00"));
        let time = Some("2026-11-01T23:00:00Z");
        assert_eq!(range(time, time, &Zone::fixed(120)), is("2026-11-01T22:00", "2026-11-02T22:00"));
        assert_eq!(range(Some("2026-11-02"), first, utc), None);
        assert_eq!(range(Some("2016-10-01"), first, utc), None);
        for text in ["", "soon", "2026-13-01", "2026-11-1", "20261101"] {
            assert_eq!(range(Some(text), None, utc), None, "{text}");
        }
    }

    #[test]
    fn a_name_of_a_time_zone_takes_precedence_over_an_offset() {
        assert!(zone(None, Some(841)).is_err() && zone(None, Some(-721)).is_err());
        assert_eq!(zone(None, None).ok(), Some(Zone::utc()));
        assert_eq!(zone(Some(""), Some(60)).ok(), Some(Zone::fixed(60)));
        assert_eq!(zone(Some("Asia/Kathmandu"), Some(60)).ok(), Zone::named("Asia/Kathmandu"));
        assert!(zone(Some("Mars/Olympus"), None).is_err());
    }

    #[test]
    fn a_report_has_at_most_one_period() {
        use UsageDimension::{Day, Model, Person, Week};
        assert!(dimensions(&[]).is_ok() && dimensions(&[Day, Model, Person]).is_ok());
        assert!(dimensions(&[Day, Week]).is_err() && dimensions(&[Model, Model]).is_err());
    }
}
