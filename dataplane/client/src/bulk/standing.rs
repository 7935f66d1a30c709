use std::collections::BTreeMap;
use std::time::Duration;

use gitstratum_core::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a node is left alone after it failed once; twice as long after each time more.
const OUT_FIRST: Duration = Duration::from_millis(500);
/// The longest that it is left alone.
const OUT_LONGEST: Duration = Duration::from_secs(8);

/// Which nodes failed lately: a circuit breaker each. A node that is out is asked last, and
/// again by whoever asks it first once its time is over.
#[derive(Debug, Default)]
pub(super) struct Standings {
    failing: Mutex<BTreeMap<NodeId, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    pause: Duration,
    until: Instant,
    /// Somebody tries it since its time was over.
    tried: bool,
}

impl Standings {
    /// The node did not answer, or not in time.
    pub(super) fn failed(&self, node: NodeId) {
        let now = Instant::now();
        let mut failing = self.failing.lock();
        let pause = match failing.get(&node) {
            // Calls that were under way when it failed are the same failure.
            Some(before) if before.until > now && !before.tried => return,
            Some(before) => (before.pause * 2).min(OUT_LONGEST),
            None => OUT_FIRST,
        };
        failing.insert(node, Failing { pause, until: now + pause, tried: false });
    }

    /// The node answered.
    pub(super) fn answered(&self, node: NodeId) {
        self.failing.lock().remove(&node);
    }

    /// Whether it is left alone now. Asking changes nothing.
    pub(super) fn is_out(&self, node: NodeId) -> bool {
        self.failing.lock().get(&node).is_some_and(|failing| failing.until > Instant::now())
    }

    /// The node is about to be asked. When its time is over this is the one try: the others
    /// leave it alone until it is known what became of that.
    pub(super) fn asking(&self, node: NodeId) {
        let now = Instant::now();
        let mut failing = self.failing.lock();
        if let Some(failing) = failing.get_mut(&node).filter(|failing| failing.until <= now) {
            (failing.until, failing.tried) = (now + failing.pause, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    /// RV-S6, RV-C1, GS-FE-37: a failure opens the circuit, for twice as long each time; one try
    /// when its time is over closes it.
    #[tokio::test(start_paused = true)]
    async fn a_node_that_fails_is_left_alone_for_longer_each_time() {
        let standings = Standings::default();
        assert!(!standings.is_out(NODE));
        standings.failed(NODE);
        standings.failed(NODE);
        assert!(standings.is_out(NODE), "two at once are one failure");
        tokio::time::advance(OUT_FIRST).await;
        assert!(!standings.is_out(NODE), "one may try");
        standings.asking(NODE);
        assert!(standings.is_out(NODE), "and the others wait");
        standings.failed(NODE);
        tokio::time::advance(OUT_FIRST).await;
        assert!(standings.is_out(NODE), "it failed again");
        for _ in 0..10 {
            tokio::time::advance(OUT_LONGEST).await;
            standings.failed(NODE);
        }
        tokio::time::advance(OUT_LONGEST).await;
        assert!(!standings.is_out(NODE), "never for longer than the longest");
        standings.answered(NODE);
        assert!(!standings.is_out(NODE) && !standings.is_out(NODE));
    }

    /// Of three owners only the nearest is read: a question about the others is no try of theirs.
    #[tokio::test(start_paused = true)]
    async fn who_only_looks_takes_nobody_elses_try() {
        let standings = Standings::default();
        standings.failed(NODE);
        standings.asking(NODE);
        tokio::time::advance(OUT_FIRST).await;
        for _ in 0..3 {
            assert!(!standings.is_out(NODE), "its time is over, and nobody has asked it");
        }
        standings.asking(NODE);
        standings.answered(NODE);
        standings.asking(NODE);
        assert!(!standings.is_out(NODE), "it is well");
    }
}
