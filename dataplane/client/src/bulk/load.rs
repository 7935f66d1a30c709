use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::NodeId;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What each call that a node has under way adds to the wait for the next one's answer.
const WAIT_PER_CALL: Duration = Duration::from_micros(100);
/// How long a measurement counts. A node that was slow is then as good as one that nobody has
/// asked: the next read finds out.
const MEASURED_FOR: Duration = Duration::from_secs(10);
/// Of a new measurement one part in so many counts, the rest is what was known.
const SMOOTHING: u32 = 4;

/// How long an answer is likely to take of a node that answers in `latency` and has `under_way`
/// calls: what decides between equally near owners (GS-FE-28).
pub(super) fn wait(latency: Duration, under_way: u32) -> Duration {
    latency + WAIT_PER_CALL * under_way
}

/// How soon nodes answered lately, and how much they have to do (GS-CP-18, GS-CP-19). Measured
/// where it is needed, from the answers themselves: newer than anybody else could tell it.
#[derive(Debug, Default)]
pub(super) struct Loads {
    nodes: Mutex<BTreeMap<NodeId, Load>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Calls of this process that are under way.
    own: u32,
    measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    latency: Duration,
    /// Calls under way there, of everybody, as the node said.
    told: u32,
    at: Instant,
}

impl Measured {
    fn is_new(&self) -> bool {
        self.at.elapsed() < MEASURED_FOR
    }
}

/// A call that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    loads: Arc<Loads>,
    node: NodeId,
    since: Instant,
}

impl Loads {
    /// A call of `node` begins.
    pub(super) fn begin(self: &Arc<Self>, node: NodeId) -> UnderWay {
        self.nodes.lock().entry(node).or_default().own += 1;
        UnderWay { loads: Arc::clone(self), node, since: Instant::now() }
    }

    /// How long an answer of `node` is likely to take, in whole milliseconds: what is less says
    /// nothing, and the order of the ring keeps a segment in one node's memory.
    pub(super) fn wait_millis(&self, node: NodeId) -> u128 {
        let load = self.nodes.lock().get(&node).copied().unwrap_or_default();
        let measured = load.measured.filter(Measured::is_new);
        let (latency, told) =
            measured.map_or((Duration::ZERO, 0), |found| (found.latency, found.told));
        wait(latency, told.max(load.own)).as_millis()
    }
}

impl UnderWay {
    /// The answer begins. The node has `told` how many calls it has under way, this one among
    /// them, if it is one that says so.
    pub(super) fn answered(&self, told: Option<u32>) {
        let took = self.since.elapsed();
        let mut nodes = self.loads.nodes.lock();
        let load = nodes.entry(self.node).or_default();
        let known = load.measured.filter(Measured::is_new);
        let latency =
            known.map_or(took, |known| (known.latency * (SMOOTHING - 1) + took) / SMOOTHING);
        let told = told.unwrap_or_default();
        load.measured = Some(Measured { latency, told, at: Instant::now() });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(load) = self.loads.nodes.lock().get_mut(&self.node) {
            load.own = load.own.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    /// The example of the proposal: 2 ms and 50 calls, 5 ms and 10, 1 ms and 100.
    #[test]
    fn gs_fe_28_the_wait_is_the_latency_and_a_tenth_of_a_millisecond_for_each_call() {
        let of = |millis, calls| wait(Duration::from_millis(millis), calls).as_millis();
        assert_eq!([of(2, 50), of(5, 10), of(1, 100)], [7, 6, 11]);
    }

    #[tokio::test(start_paused = true)]
    async fn gs_cp_18_what_answers_took_is_known_and_forgotten_again() {
        let loads = Arc::new(Loads::default());
        assert_eq!(loads.wait_millis(NODE), 0, "nobody has asked it");
        let call = loads.begin(NODE);
        tokio::time::advance(Duration::from_millis(40)).await;
        call.answered(None);
        drop(call);
        assert_eq!(loads.wait_millis(NODE), 40);
        loads.begin(NODE).answered(None);
        assert_eq!(loads.wait_millis(NODE), 30, "one quick answer is not all");
        tokio::time::advance(MEASURED_FOR).await;
        assert_eq!(loads.wait_millis(NODE), 0, "it is asked again some time");
    }

    #[tokio::test(start_paused = true)]
    async fn gs_cp_19_calls_under_way_count_our_own_and_those_that_the_node_tells_of() {
        let loads = Arc::new(Loads::default());
        let own: Vec<_> = (0..30).map(|_| loads.begin(NODE)).collect();
        assert_eq!(loads.wait_millis(NODE), 3);
        own[0].answered(Some(70));
        assert_eq!(loads.wait_millis(NODE), 7, "those of others too");
        drop(own);
        loads.begin(NODE).answered(Some(1));
        assert_eq!(loads.wait_millis(NODE), 0, "all have ended");
    }
}
