//! The clock of a simulated node: turmoil's time, which may run fast or slow or have jumped,
//! and a wall clock that may be wrong besides.

use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{Clock, UnixMillis};
use parking_lot::Mutex;

/// What every run's wall clocks show at its begin.
const BEGIN: u64 = 1_700_000_000_000;
/// What a rate is counted in.
const MILLION: u128 = 1_000_000;

/// Time since the run began, by whoever asks.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// The clock of one node, over all its starts.
#[derive(Debug, Default)]
pub(crate) struct SimClock {
    hand: Mutex<Hand>,
}

#[derive(Clone, Copy, Debug)]
struct Hand {
    /// By how many milliseconds the wall clock is wrong.
    wrong: i64,
    /// When the rate was set, and what was shown then.
    since: Duration,
    shown: Duration,
    /// Microseconds that pass in a second.
    rate: u32,
}

impl Default for Hand {
    fn default() -> Self {
        Self { wrong: 0, since: Duration::ZERO, shown: Duration::ZERO, rate: 1_000_000 }
    }
}

impl Hand {
    fn at(&self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.since).as_nanos() * u128::from(self.rate) / MILLION;
        self.shown + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

impl SimClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the wall clock wrong by so many milliseconds (P-C7).
    pub(crate) fn set_wrong(&self, millis: i64) {
        self.hand.lock().wrong = millis;
    }

    /// From `now` on so many microseconds pass in a second.
    pub(crate) fn set_rate(&self, now: Duration, rate: u32) {
        let mut hand = self.hand.lock();
        *hand = Hand { shown: hand.at(now), since: now, rate, ..*hand };
    }

    /// So much time passes at once.
    pub(crate) fn skip(&self, span: Duration) {
        self.hand.lock().shown += span;
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.hand.lock().at(elapsed())
    }

    fn wall(&self) -> UnixMillis {
        let millis = u64::try_from(self.monotonic().as_millis()).unwrap_or(u64::MAX);
        let shown = BEGIN.saturating_add(millis);
        UnixMillis(shown.saturating_add_signed(self.hand.lock().wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_c7_a_clock_that_changes_its_pace_never_goes_back() {
        let clock = SimClock::new();
        let mut last = Duration::ZERO;
        for (second, rate) in [(1, 900_000), (2, 1_100_000), (3, 1_000_000)] {
            let now = Duration::from_secs(second);
            assert!(clock.hand.lock().at(now) > last);
            clock.set_rate(now, rate);
            last = clock.hand.lock().at(now);
        }
        assert_eq!(last, Duration::from_secs(3));
        clock.skip(Duration::from_secs(60));
        assert_eq!(clock.hand.lock().at(Duration::from_secs(4)), Duration::from_secs(64));
    }
}
