use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::Instant;

use super::Driver;
use crate::id::GroupId;
use crate::machine::StateMachine;
use crate::raft::Metrics;

/// A leader whose entries no majority takes for so long falls silent.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// For so long at most: by then the others have elected one of them, or cannot.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// After that it does not try so again for so long, unless entries were taken meanwhile.
const NOT_AGAIN_FOR: Duration = Duration::from_secs(20);

/// Whether a leader speaks: one that cannot lead keeps others from it by its heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    disk_is_slow: AtomicBool,
    is_stuck: AtomicBool,
}

impl Voice {
    pub(crate) fn speaks(&self) -> bool {
        !self.disk_is_slow.load(Ordering::SeqCst) && !self.is_stuck.load(Ordering::SeqCst)
    }

    pub(crate) fn note_slow_disk(&self) {
        self.disk_is_slow.store(true, Ordering::SeqCst);
    }

    pub(crate) fn note_working_disk(&self) {
        self.disk_is_slow.store(false, Ordering::SeqCst);
    }
}

/// Sends a leader's heartbeats. openraft would use one interval for how often it sends them and for
/// how long it waits for an answer.
pub(crate) struct Heartbeat {
    pub(crate) group: GroupId,
    pub(crate) every: Duration,
}

impl Heartbeat {
    /// Goes on for as long as the group.
    pub(crate) fn begin<M: StateMachine>(self, driver: &Driver<M>) {
        driver.run_beside("heartbeat", self.run(driver.clone()));
    }

    async fn run<M: StateMachine>(self, driver: Driver<M>) {
        let (metrics, voice) = (driver.metrics(), driver.voice());
        let mut progress = Progress::new(Instant::now());
        loop {
            tokio::time::sleep(self.every).await;
            let is_stuck = progress.is_stuck(Instant::now(), &View::of(&metrics.borrow_watched()));
            let was_stuck = voice.is_stuck.swap(is_stuck, Ordering::SeqCst);
            if is_stuck && !was_stuck {
                tracing::warn!(group = %self.group, "no majority takes entries: another is to lead");
            }
            if voice.speaks() {
                driver.send_heartbeat().await;
            }
        }
    }
}

/// What a replica knows of its log.
struct View {
    /// Whether it leads others.
    leads: bool,
    last: Option<u64>,
    /// What a majority has.
    committed: Option<u64>,
}

impl View {
    fn of(metrics: &Metrics) -> Self {
        let is_alone = metrics.membership_config.voter_ids().nth(1).is_none();
        Self {
            leads: metrics.state == ServerState::Leader && !is_alone,
            last: metrics.last_log_index,
            committed: metrics.cluster_committed.map(|id| id.index),
        }
    }
}

/// How far a majority has got, and when a leader that gets no further falls silent.
struct Progress {
    committed: Option<u64>,
    silent_from: Instant,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self { committed: None, silent_from: now + STUCK_AFTER }
    }

    /// Whether there are entries that nobody takes from this leader, so that it is time to let
    /// somebody else try.
    fn is_stuck(&mut self, now: Instant, view: &View) -> bool {
        if !view.leads || view.committed >= view.last || view.committed != self.committed {
            *self = Self { committed: view.committed, ..Self::new(now) };
        } else if now >= self.silent_from + SILENT_FOR {
            self.silent_from = now + NOT_AGAIN_FOR;
        }
        now >= self.silent_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(last: u64, committed: u64) -> View {
        View { leads: true, last: Some(last), committed: Some(committed) }
    }

    #[test]
    fn bad_input_159_a_leader_whose_entries_nobody_takes_is_stuck_for_a_while() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        let mut is_stuck =
            |millis, view| progress.is_stuck(began + Duration::from_millis(millis), &view);
        assert!(!is_stuck(60_000, leads(7, 7)), "nothing waits");
        assert!(!is_stuck(61_000, leads(8, 7)));
        assert!(!is_stuck(61_999, leads(9, 7)));
        assert!(is_stuck(62_000, leads(9, 7)));
        assert!(is_stuck(63_900, leads(9, 7)));
        assert!(!is_stuck(64_000, leads(9, 7)), "nobody else could lead");
        assert!(!is_stuck(83_900, leads(9, 7)));
        assert!(is_stuck(84_000, leads(9, 7)), "perhaps now");
        assert!(!is_stuck(84_100, leads(9, 8)), "one was taken");
        assert!(!is_stuck(86_000, leads(9, 8)));
        assert!(is_stuck(86_100, leads(9, 8)));
        assert!(!is_stuck(86_200, View { leads: false, ..leads(9, 8) }));
    }
}
