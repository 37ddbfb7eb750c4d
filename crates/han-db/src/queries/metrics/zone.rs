//! Time zones of dashboards, and the days and hours of ranges in them. Offsets change within a range (daylight saving
//! time), so a range is cut where they do.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use han_transcript::quarters::quarters_of_day;
use han_types::Timestamp;
use jiff::tz::TimeZone;

use crate::queries::ingest::grain::{DAY_MS, Grain, HOUR_MS, hour_of_day};

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Always this much ahead of UTC, in milliseconds.
    Fixed(i64),
    /// A zone of the IANA database.
    Named(Arc<TimeZone>),
}

/// A time in which the offset from UTC is the same, and that offset. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: i64,
    to: i64,
    offset: i64,
}

/// Rows of a grain, in a range of their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub grain: Grain,
    pub from: i64,
    pub to: i64,
    /// The offset of local time from UTC, in milliseconds.
    pub offset: i64,
    /// Without the rows of this hour of the day (UTC); -1 for no hour.
    pub without: i64,
}

/// The most changes of offset in a range that is cut at them. Zones have at most a few in a year.
const MAX_STRETCHES: usize = 1_000;

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self::fixed(0)
    }

    /// The zone that is always this many minutes ahead of UTC.
    #[must_use]
    pub fn fixed(minutes: i32) -> Self {
        Self(Kind::Fixed(i64::from(minutes) * 60_000))
    }

    /// The zone with this name in the IANA database, such as `Asia/Kathmandu`; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(Self(Kind::Named(Arc::new(TimeZone::get(name).ok()?))))
    }

    /// The offset of local time from UTC at an instant, in milliseconds.
    fn offset(&self, at: i64) -> i64 {
        match &self.0 {
            Kind::Fixed(offset) => *offset,
            Kind::Named(zone) => {
                let seconds = instant(at).map_or(0, |at| zone.to_offset(at).seconds());
                i64::from(seconds) * 1000
            }
        }
    }

    /// The number of the local day of an instant, counted from 1970-01-01.
    #[must_use]
    pub fn day_of(&self, at: i64) -> i64 {
        at.saturating_add(self.offset(at)).div_euclid(DAY_MS)
    }

    /// The quarter-hour with which a local day begins: the first one whose day it is.
    #[must_use]
    pub fn start_of_day(&self, day: i64) -> i64 {
        let offset_at = |at: Timestamp| i32::try_from(self.offset(at.0) / 1000).unwrap_or_default();
        let Some(date) =
            u64::try_from(day).ok().and_then(|day| NaiveDate::default().checked_add_days(Days::new(day)))
        else {
            return day.saturating_mul(DAY_MS);
        };
        quarters_of_day(date, offset_at).start
    }

    /// The range from `from` to `to`, cut where the offset changes.
    fn stretches(&self, from: i64, to: i64) -> Vec<Stretch> {
        let mut stretches = vec![Stretch { from, to, offset: self.offset(from) }];
        let (Kind::Named(zone), Some(start)) = (&self.0, instant(from)) else { return stretches };
        for change in zone.following(start).take(MAX_STRETCHES) {
            let at = change.timestamp().as_millisecond();
            if at >= to {
                break;
            }
            let offset = i64::from(change.offset().seconds()) * 1000;
            match stretches.last_mut() {
                Some(last) if last.offset != offset => {
                    last.to = at;
                    stretches.push(Stretch { from: at, to, offset });
                }
                _ => {}
            }
        }
        stretches
    }

    /// The rows that a sum over a range consists of: the longest that fit.
    pub(super) fn whole(from: i64, to: i64) -> Vec<Piece> {
        let (first, last) = (ceil(from, DAY_MS), floor(to, DAY_MS));
        if first >= last {
            return hours(Stretch { from, to, offset: 0 }, None);
        }
        let mut pieces = hours(Stretch { from, to: first, offset: 0 }, None);
        pieces.push(Piece { grain: Grain::Day, from: first, to: last, offset: 0, without: -1 });
        pieces.extend(hours(Stretch { from: last, to, offset: 0 }, None));
        pieces
    }

    /// The rows that sums by local day consist of.
    pub(super) fn by_day(&self, from: i64, to: i64) -> Vec<Piece> {
        let pieces = self.stretches(from, to).into_iter().flat_map(|stretch| {
            if stretch.offset % HOUR_MS == 0 {
                return hours(stretch, None);
            }
            // Local midnight is within this hour, which is therefore read by quarter-hours.
            let midnight = hour_of_day(-stretch.offset);
            let mut pieces = hours(stretch, Some(midnight));
            let Stretch { from, to, offset } = stretch;
            pieces.push(Piece { grain: Grain::Quarter(midnight), from, to, offset, without: -1 });
            pieces
        });
        pieces.collect()
    }

    /// The rows that sums by local hour of the day consist of.
    pub(super) fn by_hour(&self, from: i64, to: i64) -> Vec<Piece> {
        let pieces = self.stretches(from, to).into_iter().flat_map(|stretch| {
            if stretch.offset % HOUR_MS == 0 {
                return hours(stretch, None);
            }
            let Stretch { from, to, offset } = stretch;
            let quarters = |hour| Piece { grain: Grain::Quarter(hour), from, to, offset, without: -1 };
            (0..24).map(quarters).collect()
        });
        pieces.collect()
    }
}

/// The hours of a stretch, and the quarter-hours before and after them; without those of one hour of the day.
fn hours(stretch: Stretch, without: Option<i64>) -> Vec<Piece> {
    let Stretch { from, to, offset } = stretch;
    let quarters = |from: i64, to: i64| Piece {
        grain: Grain::quarters_of(from),
        from,
        to,
        offset,
        without: without.unwrap_or(-1),
    };
    let (first, last) = (ceil(from, HOUR_MS), floor(to, HOUR_MS));
    let pieces = if first > last {
        // Within one hour.
        vec![quarters(from, to)]
    } else {
        let hours =
            Piece { grain: Grain::Hour, from: first, to: last, offset, without: without.unwrap_or(-1) };
        vec![quarters(from, first), hours, quarters(last, to)]
    };
    let is_empty = |piece: &Piece| {
        piece.from >= piece.to || without.is_some_and(|hour| piece.grain == Grain::Quarter(hour))
    };
    pieces.into_iter().filter(|piece| !is_empty(piece)).collect()
}

fn floor(at: i64, length: i64) -> i64 {
    at.div_euclid(length) * length
}

fn ceil(at: i64, length: i64) -> i64 {
    -floor(-at, length)
}

fn instant(at: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at).ok()
}

#[cfg(test)]
mod tests {
    use han_transcript::quarters::QUARTER_MS;
    use han_types::Timestamp;

    use super::{DAY_MS, Grain, HOUR_MS, Piece, Zone};

    fn at(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text).unwrap().0
    }

    fn day(text: &str) -> i64 {
        at(&format!("{text}T00:00:00Z")) / DAY_MS
    }

    /// The quarter-hours of a row.
    fn covered(piece: &Piece, start: i64) -> Vec<i64> {
        let length = match piece.grain {
            Grain::Day => DAY_MS,
            Grain::Hour => HOUR_MS,
            Grain::Quarter(_) => QUARTER_MS,
        };
        let is_left_out = start.div_euclid(HOUR_MS).rem_euclid(24) == piece.without;
        if is_left_out { Vec::new() } else { (start..start + length).step_by(QUARTER_MS as usize).collect() }
    }

    /// The quarter-hours of the rows of pieces, each with the offset by which it is grouped, in order.
    fn quarters(pieces: &[Piece]) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        for piece in pieces {
            let length = match piece.grain {
                Grain::Day => DAY_MS,
                Grain::Hour => HOUR_MS,
                Grain::Quarter(_) => QUARTER_MS,
            };
            let mut start = super::ceil(piece.from, length);
            while start < piece.to {
                let is_of_grain = match piece.grain {
                    Grain::Quarter(hour) => super::hour_of_day(start) == hour,
                    _ => true,
                };
                if is_of_grain {
                    found.extend(covered(piece, start).into_iter().map(|quarter| (quarter, piece.offset)));
                }
                start += length;
            }
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn every_quarter_hour_of_a_range_is_read_once_and_with_its_own_offset() {
        for name in [
            "UTC",
            "Asia/Kathmandu",
            "Asia/Kolkata",
            "Europe/Berlin",
            "America/St_Johns",
            "America/New_York",
            "Australia/Lord_Howe",
            "Pacific/Chatham",
            "Pacific/Apia",
            "Asia/Beirut",
        ] {
            let zone = Zone::named(name).unwrap();
            for (first, last) in
                [("2026-01-01", "2026-12-31"), ("2026-10-25", "2026-10-25"), ("2011-12-28", "2012-01-02")]
            {
                let (from, to) = (zone.start_of_day(day(first)), zone.start_of_day(day(last) + 1));
                let wanted: Vec<(i64, i64)> = (from..to)
                    .step_by(QUARTER_MS as usize)
                    .map(|quarter| (quarter, zone.offset(quarter)))
                    .collect();
                assert!(quarters(&zone.by_day(from, to)) == wanted, "{name} {first}: days");
                assert!(quarters(&zone.by_hour(from, to)) == wanted, "{name} {first}: hours");
                let whole: Vec<i64> =
                    quarters(&Zone::whole(from, to)).into_iter().map(|(at, _)| at).collect();
                assert!(whole.iter().eq(wanted.iter().map(|(at, _)| at)), "{name} {first}: whole");
                for (quarter, offset) in wanted {
                    let local = (quarter + offset).div_euclid(DAY_MS);
                    assert!((day(first)..=day(last)).contains(&local), "{name} {first}");
                }
            }
        }
    }

    #[test]
    fn a_day_is_read_by_hours_and_only_the_hour_of_midnight_by_quarters() {
        let kathmandu = Zone::named("Asia/Kathmandu").unwrap();
        let (from, to) = (at("2026-11-19T18:15:00Z"), at("2026-11-21T18:15:00Z"));
        assert_eq!(
            (kathmandu.start_of_day(day("2026-11-20")), kathmandu.day_of(from)),
            (from, day("2026-11-20"))
        );
        let pieces = kathmandu.by_day(from, to);
        let grains: Vec<Grain> = pieces.iter().map(|piece| piece.grain).collect();
        assert_eq!(grains, [Grain::Hour, Grain::Quarter(18)]);
        assert_eq!(kathmandu.by_day(from, to), Zone::fixed(345).by_day(from, to));
        assert_eq!(Zone::named("Mars/Olympus"), None);
    }
}
