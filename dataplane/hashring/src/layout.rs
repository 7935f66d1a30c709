use std::collections::BTreeSet;

use gitstratum_core::{Epoch, NodeId};

use crate::LayoutError;

/// Heaviest node of a layout: 100 times the points of the lightest.
pub const WEIGHT_MAX: u16 = 100;

/// Which object nodes there are and how much of everything each takes. Made by the
/// control plane, numbered by its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of this layout; a higher one replaces it.
    pub epoch: Epoch,
    /// Copies that a segment has when all is well (RF).
    pub replication_factor: u8,
    /// The nodes, in any order.
    pub nodes: Vec<RingNode>,
}

/// One object node of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingNode {
    /// Who.
    pub id: NodeId,
    /// Share of the ring in units of [`crate::POINTS_PER_WEIGHT`] points; 0 takes nothing new.
    pub weight: u16,
    /// Failure domain; copies avoid sharing one. Empty is a domain like any other.
    pub zone: String,
    /// Reserved for geographic copies; the ring does not look at it.
    pub region: String,
    /// Whether the ring may choose it.
    pub state: NodeState,
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// Known, not yet admitted: chosen for nothing.
    Joining,
    /// Chosen for new segments.
    Active,
    /// Fenced (S20): keeps what it has until moved away, chosen for nothing.
    Leaving,
}

impl NodeState {
    /// Whether the ring chooses such a node.
    pub const fn is_chosen(self) -> bool {
        matches!(self, Self::Active)
    }
}

impl Layout {
    /// Checks what [`crate::Ring::new`] rests on.
    ///
    /// # Errors
    /// The first rule that the layout breaks.
    pub fn validate(&self) -> Result<(), LayoutError> {
        if self.replication_factor == 0 {
            return Err(LayoutError::NoReplicas);
        }
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            if !seen.insert(node.id) {
                return Err(LayoutError::DuplicateNode(node.id));
            }
            if node.weight > WEIGHT_MAX {
                return Err(LayoutError::WeightTooLarge { node: node.id, weight: node.weight });
            }
        }
        Ok(())
    }
}
