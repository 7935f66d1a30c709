//! Who is asked: the leader as far as it is known, else the voters in turn. While voters change
//! (S39) the leader may be a node that the layout names no more, or not yet.

use std::collections::BTreeSet;

use gitstratum_core::{ErrorKind, NodeId, PartitionId, ProcessRole};
use gitstratum_proto::control::v1::Node;
use gitstratum_proto::node_state;

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
        let hint = error.leader_hint().filter(|node| self.may_lead(&voters, *node));
        if hint.is_none() {
            silent.insert(asked);
            if self.leader_node(partition) != Some(asked) {
                // A read of a voter that was not thought to lead.
                return;
            }
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
        known.filter(|node| self.may_lead(&voters, *node)).or_else(|| voters.first().copied())
    }

    /// Whether the node can be a voter: by the layout, or because its voters are about to be
    /// those.
    fn may_lead(&self, voters: &[NodeId], node: NodeId) -> bool {
        let is_known = |known: &Node| {
            known.id == node.0
                && known.state != node_state::REMOVED
                && known.roles.iter().any(|role| role == ProcessRole::Metadata.as_str())
        };
        let snapshot = self.inner.feed.current();
        voters.contains(&node)
            || (!voters.is_empty() && snapshot.layout().nodes.iter().any(is_known))
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
