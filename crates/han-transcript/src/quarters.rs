//! Quarter-hours, the buckets of rollups, and the days that they make up in a time zone. Every offset from UTC in use is
//! a multiple of a quarter-hour, so every day in every zone is a range of whole quarter-hours.

use std::ops::Range;

use chrono::{DateTime, NaiveDate};
use han_types::Timestamp;

/// The milliseconds of a quarter-hour.
pub const QUARTER_MS: i64 = 900_000;

/// The maximum distance of local time from UTC, in seconds. Zones in use are less than 15 hours away.
const MAX_OFFSET: i32 = 24 * 3600;

/// The start of the quarter-hour (UTC) of a time, in milliseconds since the epoch.
#[must_use]
pub fn quarter(time: Timestamp) -> i64 {
    time.0.div_euclid(QUARTER_MS) * QUARTER_MS
}

/// The day of a time where local time is `offset` seconds ahead of UTC. `None` if the offset is a day or more, or if the
/// year cannot be represented.
#[must_use]
pub fn local_day(time: Timestamp, offset: i32) -> Option<NaiveDate> {
    if offset.abs() >= MAX_OFFSET {
        return None;
    }
    let local = time.0.checked_add(i64::from(offset) * 1000)?;
    Some(DateTime::from_timestamp_millis(local)?.date_naive())
}

/// The quarter-hours of a day in a time zone, as a range of their starts in milliseconds since the epoch.
///
/// `offset_at` gives the zone's offset from UTC at a time, in seconds. Days on which clocks change have more or less than
/// 24 hours. A day that a zone omits is an empty range.
#[must_use]
pub fn quarters_of_day(day: NaiveDate, offset_at: impl Fn(Timestamp) -> i32) -> Range<i64> {
    let start = start_of_day(day, &offset_at);
    let end = day.succ_opt().map_or(start, |next| start_of_day(next, &offset_at));
    start..end.max(start)
}

/// The first quarter-hour whose local day is `day` or later. Local days do not decrease over time, except for the hours
/// that are repeated when clocks are put back over midnight; these belong to the later day's beginning or the end of the
/// earlier day, so that each quarter-hour belongs to exactly one day.
fn start_of_day(day: NaiveDate, offset_at: &impl Fn(Timestamp) -> i32) -> i64 {
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let is_reached = |at: i64| {
        let offset = offset_at(Timestamp(at)).clamp(-MAX_OFFSET, MAX_OFFSET);
        at + i64::from(offset) * 1000 >= midnight
    };
    // Local midnight is at most a day from midnight in UTC.
    let day_ms = i64::from(MAX_OFFSET) * 1000;
    let (mut low, mut high) = ((midnight - day_ms) / QUARTER_MS, (midnight + day_ms) / QUARTER_MS);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_reached(middle * QUARTER_MS) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low * QUARTER_MS
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use han_types::Timestamp;
    use proptest::prelude::*;

    use super::{QUARTER_MS, local_day, quarter, quarters_of_day};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn days_follow_offsets_of_half_and_quarter_hours() {
        for (offset, start) in [
            ("+05:30", "2026-11-19T18:30:00Z"),
            ("+05:45", "2026-11-19T18:15:00Z"),
            ("-03:30", "2026-11-20T03:30:00Z"),
            ("+00:00", "2026-11-20T00:00:00Z"),
            ("+14:00", "2026-11-19T10:00:00Z"),
        ] {
            let seconds = time(&format!("2026-11-20T00:00:00{offset}"));
            let seconds = i32::try_from((time("2026-11-20T00:00:00Z").0 - seconds.0) / 1000).unwrap();
            let quarters = quarters_of_day(day("2026-11-20"), |_| seconds);
            assert_eq!(quarters, time(start).0..time(start).0 + 96 * QUARTER_MS, "{offset}");
            let last = Timestamp(quarters.end - 1);
            assert_eq!(local_day(last, seconds), Some(day("2026-11-20")));
            assert_eq!(local_day(Timestamp(quarters.end), seconds), Some(day("2026-11-21")));
        }
        assert_eq!(quarter(time("2026-11-20T18:44:59.999Z")), time("2026-11-20T18:30:00Z").0);
        assert_eq!(local_day(Timestamp(0), 86_400), None);
    }

    #[test]
    fn days_on_which_clocks_change_are_shorter_or_longer() {
        // Central European Time in 2026.
        let offset = |at: Timestamp| {
            let summer = time("2026-03-29T01:00:00Z").0..time("2026-10-25T01:00:00Z").0;
            if summer.contains(&at.0) { 7200 } else { 3600 }
        };
        let hours = |text| {
            let quarters = quarters_of_day(day(text), offset);
            (quarters.end - quarters.start) / QUARTER_MS / 4
        };
        assert_eq!([hours("2026-03-28"), hours("2026-03-29"), hours("2026-10-25")], [24, 23, 25]);
    }

    proptest! {
        #[test]
        fn each_quarter_hour_belongs_to_one_day_and_days_follow_each_other(
            days in 0i64..30_000,
            before in -56i32..=56,
            after in -56i32..=56,
            change in 0i64..300,
        ) {
            let epoch = NaiveDate::default();
            let first = epoch + chrono::Days::new(days.unsigned_abs() + 2);
            let changes_at = (days + 1) * 96 * QUARTER_MS + change * QUARTER_MS;
            let offset = |at: Timestamp| 900 * if at.0 < changes_at { before } else { after };
            let next = |day: NaiveDate| day.succ_opt().unwrap();
            let (one, other) = (quarters_of_day(first, offset), quarters_of_day(next(first), offset));
            prop_assert_eq!(one.start % QUARTER_MS, 0);
            prop_assert!(one.start <= one.end && one.end <= other.end.max(one.end));
            if !one.is_empty() && before == after {
                prop_assert_eq!(one.end, other.start);
                prop_assert_eq!(local_day(Timestamp(one.start), 900 * before), Some(first));
                prop_assert_eq!(one.end - one.start, 96 * QUARTER_MS);
            }
        }
    }
}
