use gitstratum_core::{ErrorKind, NodeId};

use crate::layout::WEIGHT_MAX;

/// Why a layout makes no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Copies of everything, but none asked for.
    #[error("replication factor of the layout is 0")]
    NoReplicas,
    /// One node stands twice in the layout.
    #[error("node {0} stands twice in the layout")]
    DuplicateNode(NodeId),
    /// A weight that would make the ring needlessly large.
    #[error("weight {weight} of node {node} is over {WEIGHT_MAX}")]
    WeightTooLarge {
        /// The node.
        node: NodeId,
        /// Its weight in the layout.
        weight: u16,
    },
}

impl LayoutError {
    /// Always [`ErrorKind::Invalid`]: the layout itself is wrong.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
