use gitstratum_core::NodeId;

use crate::{Key, Ring};

/// A key whose owners differ between two rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The key.
    pub key: Key,
    /// Nodes that own it only in the old ring, best first.
    pub from: Vec<NodeId>,
    /// Nodes that own it only in the new ring, best first.
    pub to: Vec<NodeId>,
}

/// What changes hands for `keys` when the ring `old` becomes `new`, each with its
/// own replication factor. A mere change of order among the same owners moves nothing.
pub fn plan(old: &Ring, new: &Ring, keys: impl IntoIterator<Item = Key>) -> Vec<Move> {
    keys.into_iter().filter_map(|key| change(old, new, key)).collect()
}

fn change(old: &Ring, new: &Ring, key: Key) -> Option<Move> {
    let before = old.owners(key, usize::from(old.replication_factor()));
    let after = new.owners(key, usize::from(new.replication_factor()));
    let only_in = |these: &[NodeId], others: &[NodeId]| -> Vec<NodeId> {
        these.iter().filter(|id| !others.contains(id)).copied().collect()
    };
    let (from, to) = (only_in(&before, &after), only_in(&after, &before));
    (!from.is_empty() || !to.is_empty()).then_some(Move { key, from, to })
}

#[cfg(test)]
mod tests {
    use gitstratum_core::Epoch;

    use super::*;
    use crate::{Layout, NodeState, RingNode};

    fn ring(replication_factor: u8, ids: &[u64]) -> Ring {
        let nodes = ids.iter().map(|id| RingNode {
            id: NodeId(*id),
            weight: 1,
            zone: String::new(),
            region: String::new(),
            state: NodeState::Active,
        });
        let layout = Layout { epoch: Epoch(1), replication_factor, nodes: nodes.collect() };
        Ring::new(&layout).unwrap()
    }

    fn keys() -> impl Iterator<Item = Key> {
        (0u32..2_000).map(|n| Key::from_bytes(&n.to_be_bytes()))
    }

    #[test]
    fn gs_cp_12_the_same_layout_moves_nothing() {
        assert!(plan(&ring(3, &[1, 2, 3, 4]), &ring(3, &[4, 3, 2, 1]), keys()).is_empty());
    }

    #[test]
    fn gs_cp_12_each_move_brings_the_new_node_in_for_one_other() {
        let moves = plan(&ring(3, &[1, 2, 3, 4]), &ring(3, &[1, 2, 3, 4, 5]), keys());
        assert!((900..1_500).contains(&moves.len()), "{} of 2000, 3/5 expected", moves.len());
        for change in moves {
            assert_eq!(change.to, [NodeId(5)]);
            assert_eq!(change.from.len(), 1);
        }
    }

    #[test]
    fn a_higher_replication_factor_only_adds() {
        let moves = plan(&ring(1, &[1, 2, 3]), &ring(2, &[1, 2, 3]), keys());
        assert_eq!(moves.len(), 2_000);
        assert!(moves.iter().all(|change| change.from.is_empty() && change.to.len() == 1));
    }
}
