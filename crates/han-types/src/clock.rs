//! Time as a parameter. The wall clock itself lives in the binaries' `main`.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC. Transcripts carry milliseconds, so nothing finer
/// is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds in one hour, the width of a rollup's bucket.
    pub const HOUR_MS: i64 = 3_600_000;

    /// Reads an RFC 3339 date-time. Whatever is not one, or lies outside the years 1970 to 9999 (which a
    /// hostile transcript may claim and which neither database nor client could show), is `None`.
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

    /// The start of the UTC hour this instant lies in, in milliseconds since the epoch.
    #[must_use]
    pub fn hour(self) -> i64 {
        self.0.div_euclid(Self::HOUR_MS) * Self::HOUR_MS
    }

    /// This instant moved by `seconds` (negative: earlier); saturates instead of wrapping.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Whole seconds since the epoch, as JWT's `iat` and `exp` count (RFC 7519, NumericDate).
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

/// Where the present comes from. Tests own it; only a `main` reads the wall clock.
pub trait Clock: Send + Sync {
    /// The present.
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
        fn any_text_is_a_time_or_none(text in ".*") {
            if let Some(t) = Timestamp::parse_rfc3339(&text) {
                prop_assert!(t.hour() <= t.0 && t.0 - t.hour() < Timestamp::HOUR_MS);
            }
        }
    }

    #[test]
    fn years_nobody_lives_in_are_refused() {
        assert_eq!(Timestamp::parse_rfc3339("1969-12-31T23:59:59.999Z"), None);
        assert_eq!(Timestamp::parse_rfc3339("9999-12-31T23:59:59.999-23:00"), None);
        assert_eq!(
            Timestamp::parse_rfc3339("9999-12-31T23:59:59.999Z"),
            Some(Timestamp(253_402_300_799_999))
        );
    }
}
