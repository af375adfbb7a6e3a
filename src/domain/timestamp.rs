//! One instant, however GitLab wrote it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in whole milliseconds since the Unix epoch, the precision of GitLab's REST answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns this machine's idea of now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are told to use")]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the instant `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Parses every date form that GitLab writes (contract, section 3.4): ISO 8601 with `Z` or a numeric offset, with
    /// or without fractions, and Ruby's `2026-11-20 09:14:02 UTC` and `2026-11-20 01:14:02 -0800`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(Self(instant.as_millisecond()));
        }
        let normal = match text.strip_suffix(" UTC") {
            Some(rest) => format!("{rest} +0000"),
            None => text.to_owned(),
        };
        jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f %z", &normal)
            .and_then(|parts| parts.to_timestamp())
            .ok()
            .map(|instant| Self(instant.as_millisecond()))
    }

    /// Parses an HTTP date such as the `Date` header of an answer (whole seconds).
    pub fn parse_http(text: &str) -> Option<Self> {
        jiff::fmt::rfc2822::parse(text).ok().map(|zoned| Self(zoned.timestamp().as_millisecond()))
    }

    /// Returns the instant `span` later, stopping at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the instant `span` earlier, stopping at the beginning of time.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns midnight UTC of its day.
    #[must_use]
    pub fn day(self) -> Self {
        const DAY_MILLIS: i64 = 86_400_000;
        Self(self.0.div_euclid(DAY_MILLIS) * DAY_MILLIS)
    }

    /// Returns how long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// Writes GitLab's REST form: `2026-11-20T09:14:02.200Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date that GitLab writes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_form_of_the_contract_is_the_same_instant() {
        let expected = Timestamp::from_millis(1_795_166_042_000);
        for text in [
            "2026-11-20T09:14:02.000Z",
            "2026-11-20T09:14:02Z",
            "2026-11-20T10:14:02+01:00",
            "2026-11-20T10:14:02.000+01:00",
            "2026-11-20 09:14:02 UTC",
            "2026-11-20 01:14:02 -0800",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "2026-11-20T09:14:02.000Z");
        assert_eq!(Timestamp::parse_http("Fri, 20 Nov 2026 09:14:02 GMT"), Some(expected));
        for text in ["", "yesterday", "2026-13-20T09:14:02Z", "2026-11-20"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
