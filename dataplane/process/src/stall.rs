use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use gitstratum_core::Clock;
use parking_lot::{Condvar, Mutex};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Task, spawn};

/// The runtime shows that it lives so many times within the limit, and is looked at
/// as often.
const BEATS_PER_LIMIT: u32 = 8;

/// Notices when the runtime, or the whole process, made no progress for longer than
/// a limit (S39: a voter stalled for 3 s must not go on as if nothing had been).
///
/// Two look at one pulse: a task that beats it, and a thread of its own for the case
/// that no task runs. Stops when dropped.
#[derive(Debug)]
pub struct StallWatch {
    _beating: Task<()>,
    stop: Arc<Stop>,
    thread: Option<thread::JoinHandle<()>>,
}

impl StallWatch {
    /// Starts watching; `on_stall` gets the length of each stall once it is over
    /// `limit`, from either side, so it may come twice for one stall. It must not wait.
    ///
    /// # Panics
    /// When the system has no thread left.
    pub fn start(
        clock: Arc<dyn Clock>,
        limit: Duration,
        on_stall: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Self {
        let pulse = Arc::new(Pulse::new(clock, limit, Box::new(on_stall)));
        let (stop, watched) = (Arc::new(Stop::default()), Arc::clone(&pulse));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("stall-watch".to_owned())
            .spawn(move || {
                while !stopped.wait(limit / BEATS_PER_LIMIT) {
                    watched.look()
                }
            })
            .expect("because a process that starts has a thread to spare");
        let beating = spawn("stall pulse", async move {
            let mut ticks = interval(limit / BEATS_PER_LIMIT);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                pulse.beat();
            }
        });
        Self { _beating: beating, stop, thread: Some(thread) }
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        *self.stop.is_set.lock() = true;
        self.stop.changed.notify_all();
        if let Some(Err(_)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!("stall watch panicked");
        }
    }
}

#[derive(Debug, Default)]
struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Whether it was set within `time`.
    fn wait(&self, time: Duration) -> bool {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.changed.wait_for(&mut is_set, time);
        }
        *is_set
    }
}

struct Pulse {
    clock: Arc<dyn Clock>,
    limit: Duration,
    on_stall: Box<dyn Fn(Duration) + Send + Sync>,
    /// The last beat by the clock's monotonic time, in milliseconds.
    last: AtomicU64,
    /// The beat whose stall the thread has told of.
    told: AtomicU64,
}

impl Pulse {
    fn new(
        clock: Arc<dyn Clock>,
        limit: Duration,
        on_stall: Box<dyn Fn(Duration) + Send + Sync>,
    ) -> Self {
        let now = millis(clock.monotonic());
        Self { clock, limit, on_stall, last: AtomicU64::new(now), told: AtomicU64::new(u64::MAX) }
    }

    /// The runtime lives. It may be the first to run after a stop of the whole process.
    fn beat(&self) {
        let now = millis(self.clock.monotonic());
        let last = self.last.swap(now, Ordering::SeqCst);
        self.tell(last, now);
    }

    /// The thread looks at the last beat.
    fn look(&self) {
        let last = self.last.load(Ordering::SeqCst);
        self.tell(last, millis(self.clock.monotonic()));
    }

    fn tell(&self, last: u64, now: u64) {
        let gap = Duration::from_millis(now.saturating_sub(last));
        if gap > self.limit && self.told.swap(last, Ordering::SeqCst) != last {
            (self.on_stall)(gap);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gitstratum_core::{ManualClock, UnixMillis};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    fn pulse(clock: &Arc<ManualClock>) -> (Pulse, mpsc::Receiver<Duration>) {
        let (sender, stalls) = mpsc::channel();
        let tell = move |gap| sender.send(gap).unwrap();
        (Pulse::new(clock.clone(), LIMIT, Box::new(tell)), stalls)
    }

    #[test]
    fn s39_a_stall_over_the_limit_is_told_once_from_either_side() {
        let clock = ManualClock::new(UnixMillis(0));
        let (pulse, stalls) = pulse(&clock);
        clock.advance(LIMIT);
        pulse.look();
        assert!(stalls.try_recv().is_err(), "3 s is not over 3 s");
        clock.advance(Duration::from_secs(1));
        pulse.look();
        pulse.look();
        pulse.beat();
        assert_eq!(stalls.try_iter().collect::<Vec<_>>(), [LIMIT + Duration::from_secs(1)]);
        clock.advance(Duration::from_secs(9));
        pulse.beat();
        assert_eq!(stalls.try_iter().collect::<Vec<_>>(), [Duration::from_secs(9)]);
    }

    #[tokio::test]
    async fn s39_the_thread_sees_a_runtime_that_does_not_run() {
        let clock = ManualClock::new(UnixMillis(0));
        let (sender, stalls) = mpsc::channel();
        let limit = Duration::from_millis(80);
        let _watch = StallWatch::start(clock.clone(), limit, move |gap| sender.send(gap).unwrap());
        clock.advance(Duration::from_secs(5));
        // This wait holds the only thread that the pulse could beat on.
        assert_eq!(stalls.recv_timeout(Duration::from_secs(20)), Ok(Duration::from_secs(5)));
    }
}
