//! Points in time and spans as people write and read them.

use std::fmt;
use std::time::Duration;

use gitstratum_core::UnixMillis;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::Error;

/// A point in time: RFC 3339 in JSON and YAML, `2026-01-31 12:00:00` (UTC) in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// The moment that is `millis` after the epoch; none for 0, which stands for "not" in
    /// messages, or when it is beyond all calendars.
    pub fn from_millis(millis: u64) -> Option<Self> {
        let millis = i64::try_from(millis).ok().filter(|millis| *millis > 0)?;
        Timestamp::from_millisecond(millis).ok().map(Self)
    }

    /// How long before `now` it was, in words; the future is now.
    pub fn ago(self, now: UnixMillis) -> String {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        let passed = now.saturating_sub(self.0.as_millisecond()).max(0);
        let seconds = u64::try_from(passed / 1_000).unwrap_or_default();
        let (count, unit) = match seconds {
            0..120 => (seconds, "s"),
            120..7_200 => (seconds / 60, "m"),
            7_200..172_800 => (seconds / 3_600, "h"),
            _ => (seconds / 86_400, "d"),
        };
        format!("{count}{unit} ago")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// How long a token shall live: `30d`, `12h`, `1h 30m`.
///
/// # Errors
/// When `text` is no span, or shorter than a second.
pub fn parse_lifetime(text: &str) -> Result<Duration, Error> {
    let fail = |problem| Error::Argument { what: "time span", value: text.to_owned(), problem };
    let span =
        humantime::parse_duration(text).map_err(|_| fail("is not like 30d, 12h or 1h 30m"))?;
    if span < Duration::from_secs(1) {
        return Err(fail("is shorter than a second"));
    }
    Ok(span)
}

/// A point in the past: a span before `now` (`1h`), a day (`2026-01-31`, UTC), or RFC 3339.
///
/// # Errors
/// When `text` is none of these.
pub fn parse_since(text: &str, now: UnixMillis) -> Result<UnixMillis, Error> {
    if let Ok(span) = humantime::parse_duration(text) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(UnixMillis(now.0.saturating_sub(millis)));
    }
    let at = parse_timestamp(text).ok_or_else(|| Error::Argument {
        what: "time",
        value: text.to_owned(),
        problem: "is not like 1h, 2026-01-31 or 2026-01-31T12:00:00Z",
    })?;
    let since_epoch = at.duration_since(Timestamp::UNIX_EPOCH).max(SignedDuration::ZERO);
    Ok(UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or_default()))
}

fn parse_timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.parse().ok()?;
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_769_860_800_000); // 2026-01-31 12:00:00

    #[test]
    fn moments_are_shown_for_people_and_for_programs() {
        let moment = Moment::from_millis(NOW.0).unwrap();
        assert_eq!(moment.to_string(), "2026-01-31 12:00:00");
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-01-31T12:00:00Z\"");
        assert_eq!(Moment::from_millis(0), None);
        assert_eq!(Moment::from_millis(u64::MAX), None);
    }

    #[test]
    fn ages_are_rounded_down() {
        let ago = |seconds: u64| Moment::from_millis(NOW.0 - seconds * 1_000).unwrap().ago(NOW);
        assert_eq!(ago(0), "0s ago");
        assert_eq!(ago(119), "119s ago");
        assert_eq!(ago(150), "2m ago");
        assert_eq!(ago(3 * 3_600), "3h ago");
        assert_eq!(ago(50 * 86_400), "50d ago");
        assert_eq!(Moment::from_millis(NOW.0 + 9_999).unwrap().ago(NOW), "0s ago");
    }

    #[test]
    fn lifetimes_are_spans() {
        assert_eq!(parse_lifetime("30d").unwrap(), Duration::from_secs(30 * 86_400));
        for bad in ["", "30", "-1d", "0s", "10ms", "soon"] {
            assert!(parse_lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn since_takes_spans_days_and_timestamps() {
        let since = |text| parse_since(text, NOW).map(|at| at.0).ok();
        assert_eq!(since("1h"), Some(NOW.0 - 3_600_000));
        assert_eq!(since("2026-01-31"), Some(NOW.0 - 12 * 3_600_000));
        assert_eq!(since("2026-01-31T11:59:59+00:00"), Some(NOW.0 - 1_000));
        assert_eq!(since("1901-01-01"), Some(0));
        assert_eq!(since("1000y"), Some(0));
        for bad in ["", "yesterday", "2026-13-01", "12:00"] {
            assert_eq!(since(bad), None, "{bad}");
        }
    }
}
