//! The times that rows of rollups are for: a day or an hour (UTC), or a quarter-hour. Each count is in one row of each
//! length, so that a reader takes the longest ones that fit (docs/adr/0029).
//!
//! A grain is a number: the length, and whether the row has a model. Quarter-hours have a grain for each hour of the day,
//! because a day of a time zone ends within the same hour of the day for months: what a reader needs of them is then one
//! range of the primary key.

use han_transcript::quarters::{QUARTER_MS, quarter};
use han_types::Timestamp;

/// The milliseconds of an hour and of a day.
pub(crate) const HOUR_MS: i64 = 4 * QUARTER_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// A length of time. The rows of each are divided into those with a model and those without one ([`Grain::code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grain {
    Day,
    Hour,
    /// Quarter-hours of this hour of the day, 0 to 23.
    Quarter(i64),
}

impl Grain {
    /// The stored number.
    pub(crate) fn code(self, has_model: bool) -> i64 {
        let length = match self {
            Self::Day => 0,
            Self::Hour => 1,
            Self::Quarter(hour) => 2 + hour,
        };
        2 * length + i64::from(has_model)
    }

    /// The quarter-hours of the hour in which an instant is.
    pub(crate) fn quarters_of(at: i64) -> Self {
        Self::Quarter(hour_of_day(at))
    }

    /// The grains of a quarter-hour's counts, each with the start of its row.
    pub(crate) fn of_quarter(start: i64) -> [(Self, i64); 3] {
        let floor = |length: i64| start.div_euclid(length) * length;
        [(Self::Day, floor(DAY_MS)), (Self::Hour, floor(HOUR_MS)), (Self::quarters_of(start), start)]
    }
}

/// The hour of the day (UTC) of an instant.
pub(crate) fn hour_of_day(at: i64) -> i64 {
    at.div_euclid(HOUR_MS).rem_euclid(24)
}

/// The start of the quarter-hour in which something at that time, in milliseconds since the epoch, counts.
pub(crate) fn quarter_of(at: i64) -> i64 {
    quarter(Timestamp(at))
}
