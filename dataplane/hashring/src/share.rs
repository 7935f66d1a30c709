//! How much of everything each node owns, exactly: the ring is walked arc by arc.

use gitstratum_core::NodeId;

use crate::{Key, Ring};

/// What shares are counted in.
pub const WHOLE: u32 = 1_000_000;

/// A node's part of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The node.
    pub node: NodeId,
    /// Its points.
    pub points: u32,
    /// Millionths of all keys of which it is one of the owners.
    pub owned: u32,
}

impl Ring {
    /// The nodes of the ring and what they own, in order of their ids.
    pub fn shares(&self) -> Vec<Share> {
        let copies = usize::from(self.replication_factor());
        let mut owned = vec![0_u128; self.len()];
        let ids: Vec<NodeId> = self.nodes().map(|(id, _)| id).collect();
        for (key, length) in arcs(&[self]) {
            for node in self.owners(key, copies) {
                if let Ok(place) = ids.binary_search(&node) {
                    owned[place] += length;
                }
            }
        }
        let shares = self.nodes().zip(owned);
        shares
            .map(|((node, points), owned)| Share { node, points, owned: millionths(owned) })
            .collect()
    }
}

/// Millionths of all keys that get a new owner when the ring `old` becomes `new`; a key that
/// gets two counts twice. That much of the bytes of one copy of everything is to be copied.
pub fn moved(old: &Ring, new: &Ring) -> u32 {
    let owners = |ring: &Ring, key| ring.owners(key, usize::from(ring.replication_factor()));
    let moved = arcs(&[old, new]).into_iter().map(|(key, length)| {
        let before = owners(old, key);
        let gained = owners(new, key).iter().filter(|node| !before.contains(node)).count();
        length * gained as u128
    });
    millionths(moved.sum())
}

/// The stretches between neighbouring points of all `rings`: a key of each, whose owners are
/// those of the whole stretch, and its length. Together they are all keys.
fn arcs(rings: &[&Ring]) -> Vec<(Key, u128)> {
    let mut keys: Vec<u64> = rings.iter().flat_map(|ring| ring.keys()).map(|key| key.0).collect();
    keys.sort_unstable();
    keys.dedup();
    let Some(last) = keys.last().copied() else { return Vec::new() };
    let mut before = last;
    let mut arcs = Vec::with_capacity(keys.len());
    for key in keys {
        // Over the end of the ring to its beginning for the first one; one point owns all.
        let length = match key.wrapping_sub(before) {
            0 => 1 << 64,
            length => u128::from(length),
        };
        arcs.push((Key(key), length));
        before = key;
    }
    arcs
}

fn millionths(length: u128) -> u32 {
    u32::try_from((length * u128::from(WHOLE)) >> 64).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use gitstratum_core::Epoch;
    use proptest::prelude::*;

    use super::*;
    use crate::{Layout, NodeState, RingNode, plan};

    fn ring(copies: u8, weights: &[u16]) -> Ring {
        let nodes = weights.iter().enumerate().map(|(index, weight)| RingNode {
            id: NodeId(index as u64 + 1),
            weight: *weight,
            zone: String::new(),
            region: String::new(),
            state: NodeState::Active,
        });
        let layout = Layout { epoch: Epoch(1), replication_factor: copies, nodes: nodes.collect() };
        Ring::new(&layout).unwrap()
    }

    #[test]
    fn gs_cp_29_each_of_few_nodes_owns_everything() {
        let shares = ring(3, &[1, 1, 1]).shares();
        assert_eq!(shares.len(), 3);
        for share in shares {
            assert_eq!(share.points, 1_024);
            assert!(share.owned >= WHOLE - 1, "{share:?}");
        }
        assert!(ring(3, &[]).shares().is_empty());
    }

    #[test]
    fn gs_cp_12_a_fifth_node_takes_its_part() {
        let (old, new) = (ring(3, &[1; 4]), ring(3, &[1; 5]));
        let moved = moved(&old, &new);
        let taken = new.shares()[4].owned;
        assert_eq!(moved, taken, "only what it is to hold moves");
        assert!((550_000..650_000).contains(&moved), "{moved}, 3/5 expected");
    }

    proptest! {
        /// The exact shares are those that keys drawn at random find.
        #[test]
        fn shares_add_up_and_agree_with_owners(
            copies in 1u8..4,
            weights in prop::collection::vec(0u16..3, 1..6),
        ) {
            let ring = ring(copies, &weights);
            let shares = ring.shares();
            let sum: u64 = shares.iter().map(|share| u64::from(share.owned)).sum();
            let copies = usize::from(copies).min(ring.len()) as u64;
            prop_assert!(sum <= copies * u64::from(WHOLE));
            prop_assert!(sum + shares.len() as u64 >= copies * u64::from(WHOLE));
            let keys = (0u32..4_000).map(|n| Key::from_bytes(&n.to_be_bytes()));
            let owned: Vec<Vec<NodeId>> = keys.map(|key| ring.owners(key, copies as usize)).collect();
            for share in shares {
                let found = owned.iter().filter(|owners| owners.contains(&share.node)).count();
                let found = found as u64 * u64::from(WHOLE) / 4_000;
                prop_assert!(found.abs_diff(share.owned.into()) < 40_000, "{share:?}: {found}");
            }
        }

        #[test]
        fn what_moves_is_what_a_plan_of_drawn_keys_moves(
            old in prop::collection::vec(0u16..3, 1..5),
            new in prop::collection::vec(0u16..3, 1..5),
        ) {
            let (old, new) = (ring(2, &old), ring(2, &new));
            let keys = (0u32..4_000).map(|n| Key::from_bytes(&n.to_be_bytes()));
            let drawn: usize = plan(&old, &new, keys).iter().map(|change| change.to.len()).sum();
            let drawn = drawn as u64 * u64::from(WHOLE) / 4_000;
            prop_assert!(drawn.abs_diff(moved(&old, &new).into()) < 50_000);
        }
    }
}
