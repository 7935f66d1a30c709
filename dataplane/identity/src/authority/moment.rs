use std::time::Duration;

use gitstratum_core::UnixMillis;

/// `now` moved back by `span_millis`, not before 1970.
pub(super) fn before(now: UnixMillis, span_millis: u64) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(span_millis))
}

/// `now` moved on by `span_millis`.
pub(super) fn later(now: UnixMillis, span_millis: u64) -> UnixMillis {
    UnixMillis(now.0.saturating_add(span_millis))
}

/// The last millisecond that X.509 can say: the end of the year 9999.
const END_OF_CALENDAR: u64 = 253_402_300_799_000;

/// Time from 1970 to `moment`, in whole seconds as certificates say it.
pub(super) fn since_epoch(moment: UnixMillis) -> Duration {
    Duration::from_secs(moment.0.min(END_OF_CALENDAR) / 1_000)
}

/// The same moment as we count time; what lies before 1970 is 1970.
pub(super) fn from_date(date: x509_parser::time::ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(date.timestamp()).unwrap_or(0).saturating_mul(1_000))
}
