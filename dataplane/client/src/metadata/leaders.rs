//! Who is asked: the leader as far as it is known, else the voters in turn.

use std::collections::BTreeSet;

use gitstratum_core::{ErrorKind, NodeId, PartitionId};

use super::{Error, Partitions};

impl Partitions {
    /// Follows a hint at a voter; without one the next voter is tried. Voters that named no
    /// leader in this call are `silent`: a hint at one of them is old, and they come last.
    pub(super) fn learn_leader(
        &self,
        partition: PartitionId,
        asked: NodeId,
        error: &Error,
        silent: &mut BTreeSet<NodeId>,
    ) {
        if error.kind() != ErrorKind::Unavailable {
            return;
        }
        let voters = self.voters(partition);
        let hint = error.leader_hint().filter(|node| voters.contains(node));
        if hint.is_none() {
            silent.insert(asked);
        }
        let place = voters.iter().position(|voter| *voter == asked).unwrap_or_default();
        let next = |silent: &BTreeSet<NodeId>| {
            let others = voters.iter().cycle().skip(place + 1).take(voters.len());
            others.copied().find(|node| *node != asked && !silent.contains(node))
        };
        let hint = hint.filter(|node| !silent.contains(node));
        let next = hint.or_else(|| next(silent)).or_else(|| {
            silent.clear();
            next(silent)
        });
        if let Some(node) = next {
            self.inner.leaders.lock().insert(partition, node);
        }
    }

    pub(super) fn leader_node(&self, partition: PartitionId) -> Option<NodeId> {
        let known = self.inner.leaders.lock().get(&partition).copied();
        let voters = self.voters(partition);
        known.filter(|node| voters.contains(node)).or_else(|| voters.first().copied())
    }

    /// The partition's voters, the preferred leader first.
    pub(super) fn voters(&self, partition: PartitionId) -> Vec<NodeId> {
        let snapshot = self.inner.feed.current();
        let placement = snapshot.partitions().find(|p| p.partition == partition.0);
        let Some(placement) = placement else { return Vec::new() };
        let mut voters: Vec<_> = placement.voters.iter().copied().map(NodeId).collect();
        voters.sort_by_key(|node| node.0 != placement.preferred_leader);
        voters
    }
}
