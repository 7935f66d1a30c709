//! The clock of a simulated node: turmoil's time, and a wall clock that may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gitstratum_core::{Clock, UnixMillis};

/// What every run's wall clocks show at its begin.
const BEGIN: u64 = 1_700_000_000_000;

/// Time since the run began, by whoever asks.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// The clock of one node, over all its starts.
#[derive(Debug, Default)]
pub(crate) struct SimClock {
    /// By how many milliseconds the wall clock is wrong.
    wrong: AtomicI64,
}

impl SimClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the wall clock wrong by so many milliseconds (P-C7).
    pub(crate) fn set_wrong(&self, millis: i64) {
        self.wrong.store(millis, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        elapsed()
    }

    fn wall(&self) -> UnixMillis {
        let millis = u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX);
        let shown = BEGIN.saturating_add(millis);
        UnixMillis(shown.saturating_add_signed(self.wrong.load(Ordering::Relaxed)))
    }
}
