use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// A process, a role or a server comes to its end: everything that holds a [`Drain`]
/// learns of it, takes nothing new and finishes what it has.
///
/// The trigger alone starts it. A trigger that is dropped never does.
#[derive(Debug)]
pub struct DrainTrigger {
    shared: Arc<Shared>,
}

/// A cheap view of whether the end has begun, and the way to count work that the
/// end waits for.
#[derive(Clone, Debug)]
pub struct Drain {
    shared: Arc<Shared>,
}

/// Work in flight; it is done when this is dropped.
#[must_use = "work counts only while its guard lives"]
#[derive(Debug)]
pub struct WorkGuard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    is_started: watch::Sender<bool>,
    in_flight: watch::Sender<usize>,
}

impl Drain {
    /// A drain that has not started, and its trigger.
    pub fn new() -> (DrainTrigger, Self) {
        let shared =
            Shared { is_started: watch::Sender::new(false), in_flight: watch::Sender::new(0) };
        let shared = Arc::new(shared);
        (DrainTrigger { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// A drain that nobody starts: for tests and for tools that end by themselves.
    pub fn never() -> Self {
        let (_trigger, drain) = Self::new();
        drain
    }

    /// Waits until the end begins.
    pub async fn started(&self) {
        wait_until(&self.shared.is_started, |is_started| *is_started).await;
    }

    /// Whether the end has begun.
    pub fn is_started(&self) -> bool {
        *self.shared.is_started.borrow()
    }

    /// Counts the caller's work until the guard is dropped. Also after the start: work
    /// that is part of older work may begin then.
    pub fn guard(&self) -> WorkGuard {
        self.shared.in_flight.send_modify(|count| *count += 1);
        WorkGuard { shared: Arc::clone(&self.shared) }
    }
}

impl DrainTrigger {
    /// Begins the end; again is no harm.
    pub fn start(&self) {
        self.shared.is_started.send_replace(true);
    }

    /// Pieces of work whose guards live.
    pub fn in_flight(&self) -> usize {
        *self.shared.in_flight.borrow()
    }

    /// Begins the end and waits up to `within` for all work. Returns what is left then.
    pub async fn drain(&self, within: Duration) -> usize {
        self.start();
        let idle = wait_until(&self.shared.in_flight, |count| *count == 0);
        match timeout(within, idle).await {
            Ok(()) => 0,
            Err(_) => self.in_flight(),
        }
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.shared.in_flight.send_modify(|count| *count -= 1);
    }
}

async fn wait_until<T>(value: &watch::Sender<T>, is_reached: impl FnMut(&T) -> bool) {
    let mut receiver = value.subscribe();
    receiver.wait_for(is_reached).await.expect("because the caller holds the sender");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn;

    #[tokio::test]
    async fn gs_op_41_everyone_learns_that_the_end_began() {
        let (trigger, drain) = Drain::new();
        let waiter = drain.clone();
        let waiting = spawn("waiter", async move { waiter.started().await });
        assert!(!drain.is_started());
        trigger.start();
        assert_eq!(waiting.await, Ok(()));
        assert!(drain.is_started());
    }

    #[tokio::test]
    async fn gs_op_41_drain_waits_for_the_last_guard() {
        let (trigger, drain) = Drain::new();
        let (first, second) = (drain.guard(), drain.guard());
        let ending = spawn("ending", async move { trigger.drain(Duration::from_secs(60)).await });
        drain.started().await;
        drop(first);
        assert!(!ending.is_finished());
        drop(second);
        assert_eq!(ending.await, Ok(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlives_the_deadline_is_counted() {
        let (trigger, drain) = Drain::new();
        let _late = drain.guard();
        assert_eq!(trigger.drain(Duration::from_secs(1)).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_trigger_starts_nothing() {
        let drain = Drain::never();
        assert!(timeout(Duration::from_secs(3600), drain.started()).await.is_err());
    }
}
