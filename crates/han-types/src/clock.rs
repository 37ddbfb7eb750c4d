//! Time as a parameter: timestamps and the `Clock` trait. Not here: the wall clock, which only a binary reads.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC. Transcripts have a resolution of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds in one hour.
    pub const HOUR_MS: i64 = 3_600_000;

    /// Parses an RFC 3339 date-time. Returns `None` for any other text, and for years outside 1970 to 9999:
    /// a hostile transcript may claim them, and databases and clients cannot represent them.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let ms = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        (0..253_402_300_800_000).contains(&ms).then_some(Self(ms))
    }

    /// RFC 3339 in UTC with milliseconds, as transcripts write it: `2026-02-11T20:36:45.618Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// This instant moved by `seconds` (negative: earlier); saturates instead of wrapping.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// The days from this instant to `end`, a part of a day counted as a day; 0 if that is not later.
    #[must_use]
    pub fn days_until(self, end: Self) -> i64 {
        const DAY_MS: i64 = 24 * Timestamp::HOUR_MS;
        let left = end.0.saturating_sub(self.0).max(0);
        left / DAY_MS + i64::from(left % DAY_MS > 0)
    }

    /// Whole seconds since the epoch, the unit of `iat` and `exp` in a JWT (RFC 7519, NumericDate).
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// The source of the current time. Tests control it; only a binary reads the wall clock.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Timestamp;

    proptest! {
        #[test]
        fn rfc3339_round_trips(ms in 0i64..253_402_300_800_000) {
            prop_assert_eq!(Timestamp::parse_rfc3339(&Timestamp(ms).to_rfc3339()), Some(Timestamp(ms)));
        }

        #[test]
        fn parsing_any_text_gives_a_valid_time_or_none(text in ".*") {
            if let Some(t) = Timestamp::parse_rfc3339(&text) {
                prop_assert!((0..253_402_300_800_000).contains(&t.0));
            }
        }
    }

    #[test]
    fn years_outside_1970_to_9999_are_rejected() {
        assert_eq!(Timestamp::parse_rfc3339("1969-12-31T23:59:59.999Z"), None);
        assert_eq!(Timestamp::parse_rfc3339("9999-12-31T23:59:59.999-23:00"), None);
        assert_eq!(
            Timestamp::parse_rfc3339("9999-12-31T23:59:59.999Z"),
            Some(Timestamp(253_402_300_799_999))
        );
    }
}
