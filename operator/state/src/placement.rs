//! The ring that follows from the state.

use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_hashring::Ring;

use crate::record::{Layout, Node, NodeState};
use crate::{Refusal, State};

/// A change of the ring that is looked at, not made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingChange {
    /// Nodes that come in.
    pub add: Vec<NodeId>,
    /// Nodes that leave.
    pub remove: Vec<NodeId>,
}

impl State {
    /// The ring as `change` would leave it; with none, as it is.
    ///
    /// # Errors
    /// [`Refusal::Missing`] for a node that is none or stores no segments.
    pub fn ring(&self, change: &RingChange) -> Result<Ring, Refusal> {
        for id in change.add.iter().chain(&change.remove) {
            let is_known = self.nodes.get(id).is_some_and(is_object);
            if !is_known {
                return Err(Refusal::missing("object node", id.to_string()));
            }
        }
        let is_in = |node: &&Node| {
            let enters = change.add.contains(&node.id);
            is_object(node) && (node.in_ring || enters) && !change.remove.contains(&node.id)
        };
        let nodes: Vec<&Node> = self.nodes.values().filter(is_in).collect();
        Ring::new(&ring_of(&self.layout, &nodes))
            .map_err(|error| Refusal::invalid("layout", error.to_string()))
    }

    /// Nodes that could be in the ring and are not: those that `rebalance start` lets in.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> {
        let waits = |node: &&Node| {
            is_object(node) && node.state == NodeState::Up && !node.in_ring && !node.is_draining
        };
        self.nodes.values().filter(waits).map(|node| node.id)
    }
}

fn is_object(node: &Node) -> bool {
    node.roles.contains(&ProcessRole::Object) && node.state != NodeState::Removed
}

/// What the ring of these nodes follows from.
pub(crate) fn ring_of(layout: &Layout, nodes: &[&Node]) -> gitstratum_hashring::Layout {
    let ring_node = |node: &&Node| gitstratum_hashring::RingNode {
        id: node.id,
        weight: node.weight,
        zone: node.zone.clone(),
        region: node.region.clone(),
        state: gitstratum_hashring::NodeState::Active,
    };
    gitstratum_hashring::Layout {
        epoch: layout.epoch,
        replication_factor: layout.replication_factor,
        nodes: nodes.iter().map(ring_node).collect(),
    }
}
