use std::collections::BTreeMap;
use std::time::Duration;

use gitstratum_core::{GrantsVersion, Incarnation, NodeId, ProcessRole, UnixMillis};
use gitstratum_state::record::NodeState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::pulse::{Patience, Pulse};

/// What the processes of the nodes last said of themselves. Kept by the leader in memory:
/// a new leader knows it again after one round of reports.
#[derive(Debug)]
pub(crate) struct Fleet {
    processes: Mutex<BTreeMap<(NodeId, ProcessRole), Process>>,
    nodes: Mutex<Nodes>,
    /// How long a process counts as up after its last report.
    lifetime: Duration,
    reports: watch::Sender<u64>,
}

/// What is known of whole nodes.
#[derive(Debug)]
struct Nodes {
    /// Monotonic time since which reports are taken.
    since: Duration,
    pulses: BTreeMap<NodeId, Pulse>,
    seen: BTreeMap<NodeId, Sight>,
}

/// The last report of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// When it came.
    pub(crate) at: UnixMillis,
    /// How long the one before it took to be answered, as the node measured it.
    pub(crate) round_trip: Duration,
    /// What its object store holds; `None` while it has not said.
    pub(crate) store: Option<StoreSight>,
}

/// What an object store says that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreSight {
    pub(crate) segments: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) free_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    applied: GrantsVersion,
    ready: bool,
    /// Monotonic time of the report.
    at: Duration,
}

/// One process's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) role: ProcessRole,
    pub(crate) applied: GrantsVersion,
    pub(crate) ready: bool,
}

impl Nodes {
    const fn new(since: Duration) -> Self {
        Self { since, pulses: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// The pulse of a node's start; one that was not listened for has all its time.
    fn pulse(&mut self, (node, start): (NodeId, Incarnation), now: Duration) -> &mut Pulse {
        let pulse = self.pulses.entry(node).or_insert_with(|| Pulse::new(start, now));
        pulse.started(start, now);
        pulse
    }
}

impl Fleet {
    pub(crate) fn new(lifetime: Duration, since: Duration) -> Self {
        let (reports, _) = watch::channel(0);
        let nodes = Mutex::new(Nodes::new(since));
        Self { processes: Mutex::default(), nodes, lifetime, reports }
    }

    /// Begins to take reports: every node has all its time from now on.
    pub(crate) fn begin(&self, now: Duration) {
        let mut nodes = self.nodes.lock();
        nodes.since = now;
        nodes.pulses.values_mut().for_each(|pulse| pulse.listen(now));
    }

    /// A heartbeat of a node, of that start.
    pub(crate) fn beat(
        &self,
        (node, start): (NodeId, Incarnation),
        sight: Sight,
        patience: &Patience,
        now: Duration,
    ) {
        let mut nodes = self.nodes.lock();
        let known = nodes.seen.get(&node).and_then(|seen| seen.store);
        nodes.seen.insert(node, Sight { store: sight.store.or(known), ..sight });
        nodes.pulse((node, start), now).beat(now, patience);
    }

    /// What to call a node, of that start, which was called `state` until now (GS-CP-03).
    pub(crate) fn judge(
        &self,
        (node, state): ((NodeId, Incarnation), NodeState),
        patience: &Patience,
        now: Duration,
    ) -> NodeState {
        self.nodes.lock().pulse(node, now).judge(state, now, patience)
    }

    /// The node is no longer called up.
    pub(crate) fn fell(&self, node: (NodeId, Incarnation), now: Duration) {
        self.nodes.lock().pulse(node, now).fell(now);
    }

    /// Notes what the processes of `node` say.
    pub(crate) fn record(&self, node: NodeId, reports: &[Report], now: Duration) {
        let mut processes = self.processes.lock();
        for Report { role, applied, ready } in reports {
            let process = Process { applied: *applied, ready: *ready, at: now };
            processes.insert((node, *role), process);
        }
        drop(processes);
        self.reports.send_modify(|count| *count += 1);
    }

    /// When `node` was last heard of.
    pub(crate) fn last_seen(&self, node: NodeId) -> Option<Sight> {
        self.nodes.lock().seen.get(&node).copied()
    }

    /// Returns once `holds` does, which is asked again after every report.
    pub(crate) async fn wait(&self, holds: impl Fn(&Self) -> bool) {
        let mut reports = self.reports.subscribe();
        loop {
            reports.borrow_and_update();
            if holds(self) {
                return;
            }
            if reports.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether every frontend that is up decides by `version`. In the first moments those of
    /// `expected` nodes count as up that were not heard yet.
    pub(crate) fn is_in_force(
        &self,
        version: GrantsVersion,
        expected: &[NodeId],
        now: Duration,
    ) -> bool {
        let since = self.nodes.lock().since;
        let processes = self.processes.lock();
        let is_young = now.saturating_sub(since) <= self.lifetime;
        let is_heard = |node: &NodeId| processes.contains_key(&(*node, ProcessRole::Frontend));
        if is_young && !expected.iter().all(is_heard) {
            return false;
        }
        let frontends = processes.iter().filter(|((_, role), _)| *role == ProcessRole::Frontend);
        frontends.into_iter().all(|(_, process)| {
            let is_up = now.saturating_sub(process.at) <= self.lifetime;
            process.applied >= version || !process.ready || !is_up
        })
    }

    /// Whether pushes to what was made at `version` work through every frontend that is up:
    /// each has it, and so has the metadata service on one of `voters`.
    pub(crate) fn is_settled(
        &self,
        version: GrantsVersion,
        voters: &[NodeId],
        now: Duration,
    ) -> bool {
        let processes = self.processes.lock();
        let is_up = |process: &Process| now.saturating_sub(process.at) <= self.lifetime;
        let has = |process: &Process| process.applied >= version;
        let partition = voters.iter().any(|node| {
            let process = processes.get(&(*node, ProcessRole::Metadata));
            process.is_some_and(|process| has(process) && is_up(process))
        });
        drop(processes);
        partition && self.is_in_force(version, &[], now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    fn report(fleet: &Fleet, node: NodeId, role: ProcessRole, applied: u64, at: u64) {
        let report = Report { role, applied: GrantsVersion(applied), ready: true };
        fleet.record(node, &[report], Duration::from_secs(at));
    }

    #[test]
    fn a_new_repository_is_settled_when_all_frontends_and_its_partition_have_it() {
        let fleet = Fleet::new(Duration::from_secs(3), Duration::ZERO);
        let settled = |at| fleet.is_settled(GrantsVersion(7), &[NODE], Duration::from_secs(at));
        assert!(!settled(0), "no partition is no confirmation");
        report(&fleet, NODE, ProcessRole::Metadata, 7, 0);
        assert!(settled(0), "no frontend is up");
        report(&fleet, NODE, ProcessRole::Frontend, 6, 0);
        assert!(!settled(0));
        report(&fleet, NODE, ProcessRole::Frontend, 8, 1);
        report(&fleet, NodeId(2), ProcessRole::Frontend, 6, 1);
        assert!(!settled(1), "each frontend counts");
        report(&fleet, NODE, ProcessRole::Metadata, 7, 5);
        assert!(settled(5), "a frontend that says nothing is not up");
        assert!(!settled(9), "nor is a partition");
    }

    /// RV-S5: nobody is called down because the control plane changed its leader.
    #[test]
    fn a_new_leader_gives_every_node_all_its_time() {
        let patience =
            Patience { suspect_after: Duration::from_secs(3), down_after: Duration::from_secs(10) };
        let fleet = Fleet::new(Duration::from_secs(3), Duration::ZERO);
        let start = (NODE, Incarnation(1));
        let judge = |state, at| fleet.judge((start, state), &patience, Duration::from_secs(at));
        fleet.beat(start, Sight::default(), &patience, Duration::from_secs(1));
        assert_eq!(judge(NodeState::Up, 11), NodeState::Down);
        fleet.begin(Duration::from_secs(11));
        assert_eq!(judge(NodeState::Up, 13), NodeState::Up);
        assert_eq!(judge(NodeState::Up, 14), NodeState::Suspect);
        assert_eq!(fleet.last_seen(NODE), Some(Sight::default()), "people may still know");
    }

    #[test]
    fn gs_cp_03_a_new_leader_calls_nobody_up_whom_it_has_not_heard() {
        let patience =
            Patience { suspect_after: Duration::from_secs(3), down_after: Duration::from_secs(10) };
        let fleet = Fleet::new(Duration::from_secs(3), Duration::ZERO);
        let start = (NODE, Incarnation(1));
        let judge = |state, at| fleet.judge((start, state), &patience, Duration::from_secs(at));
        fleet.begin(Duration::from_secs(100));
        for state in [NodeState::Suspect, NodeState::Down] {
            assert_eq!(judge(state, 100), state);
            assert_eq!(judge(state, 102), state);
        }
        assert_eq!(judge(NodeState::Suspect, 110), NodeState::Down);
        fleet.beat(start, Sight::default(), &patience, Duration::from_secs(111));
        assert_eq!(judge(NodeState::Down, 111), NodeState::Up);
    }

    #[test]
    fn gs_cp_03_a_node_that_starts_has_all_its_time() {
        let patience =
            Patience { suspect_after: Duration::from_secs(3), down_after: Duration::from_secs(10) };
        let fleet = Fleet::new(Duration::from_secs(3), Duration::ZERO);
        let judge = |start, at| {
            let node = (NODE, Incarnation(start));
            fleet.judge((node, NodeState::Up), &patience, Duration::from_secs(at))
        };
        assert_eq!(
            judge(1, 50),
            NodeState::Up,
            "seen for the first time long after the leader began"
        );
        assert_eq!(judge(1, 60), NodeState::Down);
        assert_eq!(judge(2, 60), NodeState::Up, "started again");
        assert_eq!(judge(2, 63), NodeState::Suspect);
    }

    #[test]
    fn p_s3_a_change_of_access_waits_for_frontends_that_have_yet_to_be_heard() {
        let fleet = Fleet::new(Duration::from_secs(3), Duration::ZERO);
        let in_force = |at| fleet.is_in_force(GrantsVersion(7), &[NODE], Duration::from_secs(at));
        assert!(!in_force(1), "it may be about to tell");
        assert!(in_force(4), "it is not there");
        report(&fleet, NODE, ProcessRole::Frontend, 6, 4);
        assert!(!in_force(4));
        report(&fleet, NODE, ProcessRole::Frontend, 7, 5);
        assert!(in_force(5));
    }
}
