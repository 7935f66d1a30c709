//! Who is asked for a read: any voter can answer (S27), and the leader does so with one step less. So it
//! is the leader until it has much to do, then the voter that has least (GS-MD-13).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gitstratum_core::{ErrorKind, NodeId, PartitionId};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Error, Partitions};

/// Calls of this process under way at a voter that make the next one as good.
const CALLS_AHEAD: usize = 8;
/// A voter that was late or behind is not asked for so long, then by one call until it has answered.
const AVOIDED_FOR: Duration = Duration::from_secs(5);

/// What this process has asked the voters of all partitions.
#[derive(Debug, Default)]
pub(super) struct Readers {
    voters: Mutex<BTreeMap<NodeId, Voter>>,
}

#[derive(Debug, Default)]
struct Voter {
    under_way: usize,
    late_at: Option<Instant>,
}

/// What a voter is to a call that was late when it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The last to be asked.
    Last,
    /// Asked again after a while, by one call at a time: one that does not wait for it.
    TriedAgain,
}

/// A call that is under way until this is dropped.
pub(super) struct UnderWay<'a> {
    readers: &'a Readers,
    node: NodeId,
}

impl Readers {
    /// A call of `node` begins.
    pub(super) fn begin(&self, node: NodeId) -> UnderWay<'_> {
        self.voters.lock().entry(node).or_default().under_way += 1;
        UnderWay { readers: self, node }
    }

    /// `node` was late, or behind.
    pub(super) fn note_late(&self, node: NodeId) {
        self.voters.lock().entry(node).or_default().late_at = Some(Instant::now());
    }

    /// `node` has answered.
    pub(super) fn note_well(&self, node: NodeId) {
        if let Some(voter) = self.voters.lock().get_mut(&node) {
            voter.late_at = None;
        }
    }

    /// Of several the first one that has least to do.
    fn least_busy(&self, among: impl Iterator<Item = NodeId>, late: Late) -> Option<NodeId> {
        let voters = self.voters.lock();
        let load = |node: &NodeId| {
            let Some(voter) = voters.get(node) else { return (false, 0) };
            let is_due = |at: Instant| {
                late == Late::TriedAgain && at.elapsed() >= AVOIDED_FOR && voter.under_way == 0
            };
            let is_late = voter.late_at.is_some_and(|at| !is_due(at));
            (is_late, voter.under_way / CALLS_AHEAD)
        };
        among.min_by_key(load)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut voters = self.readers.voters.lock();
        if let Some(voter) = voters.get_mut(&self.node) {
            voter.under_way -= 1;
        }
    }
}

impl Partitions {
    /// Whom to ask for a read; those that are `silent` come last.
    pub(super) fn reader(
        &self,
        partition: PartitionId,
        silent: &BTreeSet<NodeId>,
        late: Late,
    ) -> Option<NodeId> {
        let leader = self.leader_node(partition)?;
        let others = self.voters(partition).into_iter().filter(|node| *node != leader);
        let all: Vec<NodeId> = std::iter::once(leader).chain(others).collect();
        let speaking = all.iter().copied().filter(|node| !silent.contains(node));
        let found = self.inner.readers.least_busy(speaking, late);
        found.or_else(|| self.inner.readers.least_busy(all.into_iter(), late))
    }
    /// Whether `error` says that `node` is behind, and notes it: such a voter says that it is busy, and
    /// who leads is not behind.
    pub(super) fn is_behind(&self, partition: PartitionId, node: NodeId, error: &Error) -> bool {
        let leads = self.leader_node(partition) == Some(node);
        let is_behind = error.kind() == ErrorKind::Busy && !leads;
        if is_behind {
            self.inner.readers.note_late(node);
        }
        is_behind
    }
}
