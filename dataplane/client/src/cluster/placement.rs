use std::collections::BTreeSet;

use gitstratum_core::{Entropy, ErrorKind, NodeId, SegmentId};
use gitstratum_hashring::{Key, Ring, write_quorum};
use gitstratum_process::sabotage;
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::node_state::{SUSPECT, UP};

use super::ring_layout;

/// Ids drawn for one segment until all its owners are up.
const DRAWS_MAX: usize = 8;
/// The role of nodes that store segments.
const ROLE: &str = "object";

/// The layout as new segments see it (S2, S19).
#[derive(Debug)]
pub struct Placement {
    ring: Ring,
    /// Nodes that are up, and those that are only suspected.
    usable: BTreeSet<NodeId>,
    /// Nodes that are up.
    up: BTreeSet<NodeId>,
    /// Copies of each segment, when all is well.
    copies: usize,
    /// Copies without which a segment is not stored.
    pub quorum: usize,
}

/// Fewer nodes can store a segment than have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{owners} nodes can store segments, {quorum} are needed")]
pub struct NoOwners {
    /// Nodes that can.
    pub owners: usize,
    /// Copies without which a segment is not stored.
    pub quorum: usize,
}

impl NoOwners {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// An id for a segment, and who is to store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The id.
    pub segment: SegmentId,
    /// Owners that are up or only suspected.
    pub owners: Vec<NodeId>,
    /// Owners that are down, as the control plane knew when it was last heard; who is so in truth
    /// gets its copy by repair.
    pub down: Vec<NodeId>,
}

impl Placement {
    /// From the control plane's layout; `copies_default` counts where it says nothing.
    ///
    /// # Errors
    /// [`NoOwners`] when too few nodes could store anything.
    pub fn new(layout: &wire::Layout, copies_default: u8) -> Result<Self, NoOwners> {
        let stated = u8::try_from(layout.replication_factor).unwrap_or(u8::MAX);
        let copies = if stated == 0 { copies_default } else { stated };
        let quorum = match sabotage!("ack-at-w1") {
            true => 1,
            false => usize::from(write_quorum(copies)),
        };
        let short = |owners| NoOwners { owners, quorum };
        let stores = |node: &&wire::Node| node.in_ring && node.roles.iter().any(|r| r == ROLE);
        let nodes: Vec<&wire::Node> = layout.nodes.iter().filter(stores).collect();
        let usable = in_state(&nodes, &[UP, SUSPECT]);
        let up = in_state(&nodes, &[UP]);
        let ring = Ring::new(&ring_layout(layout, copies, nodes));
        let ring = ring.map_err(|_| short(0))?;
        if usable.len() < quorum {
            return Err(short(usable.len()));
        }
        Ok(Self { ring, usable, up, copies: usize::from(copies), quorum })
    }

    /// Draws ids until all owners of one are up; after some tries the best has to do. One that is
    /// suspected is used, for it may well live, and without it a push could have nobody to spare;
    /// but not while there are ids whose owners are all up, for it may as well hang (S2).
    ///
    /// # Errors
    /// [`NoOwners`] when none has W owners that can be used.
    pub fn draw(&self, entropy: &dyn Entropy) -> Result<Draw, NoOwners> {
        let mut best: Option<((usize, usize), Draw)> = None;
        for _ in 0..DRAWS_MAX {
            let segment = SegmentId::random(entropy);
            let owners = self.ring.owners(Key::of(&segment), self.copies);
            let chosen = owners.len();
            let (owners, down): (Vec<_>, Vec<_>) =
                owners.into_iter().partition(|node| self.usable.contains(node));
            let up = owners.iter().filter(|node| self.up.contains(node)).count();
            let worth = (owners.len(), up);
            if best.as_ref().is_none_or(|(held, _)| *held < worth) {
                best = Some((worth, Draw { segment, owners, down }));
            }
            if up == chosen {
                break;
            }
        }
        let best = best.map(|(_, draw)| draw).filter(|best| best.owners.len() >= self.quorum);
        best.ok_or(NoOwners { owners: self.usable.len(), quorum: self.quorum })
    }
}

fn in_state(nodes: &[&wire::Node], states: &[u32]) -> BTreeSet<NodeId> {
    let nodes = nodes.iter().filter(|node| states.contains(&node.state));
    nodes.map(|node| NodeId(node.id)).collect()
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;
    use gitstratum_proto::node_state::DOWN;

    use super::*;

    fn layout(copies: u32, states: &[u32]) -> wire::Layout {
        let node = |(number, state): (usize, &u32)| wire::Node {
            id: number as u64 + 1,
            roles: vec![ROLE.to_owned()],
            weight: 1,
            state: *state,
            in_ring: true,
            ..wire::Node::default()
        };
        let nodes = states.iter().enumerate().map(node).collect();
        wire::Layout { epoch: 1, replication_factor: copies, nodes, partitions: Vec::new() }
    }

    #[test]
    fn s2_an_id_is_drawn_until_all_its_owners_are_up() {
        let placement = Placement::new(&layout(1, &[UP, UP, UP, DOWN]), 3);
        let placement = placement.unwrap();
        let entropy = SeededEntropy::new(1);
        let owners: BTreeSet<NodeId> =
            (0..100).flat_map(|_| placement.draw(entropy.as_ref()).unwrap().owners).collect();
        assert_eq!(owners, [1, 2, 3].map(NodeId).into());
    }

    #[test]
    fn s2_with_too_few_nodes_up_w_owners_have_to_do() {
        let placement = Placement::new(&layout(3, &[UP, UP, DOWN]), 3).unwrap();
        let draw = placement.draw(SeededEntropy::new(1).as_ref()).unwrap();
        assert_eq!((draw.owners.len(), placement.quorum), (2, 2));
    }

    #[test]
    fn gs_ob_27_one_to_five_copies_are_honoured_and_what_is_more_than_half_is_the_quorum() {
        for (copies, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let placement = Placement::new(&layout(copies, &[UP; 7]), 3).unwrap();
            assert_eq!(placement.quorum, quorum);
            let entropy = SeededEntropy::new(1);
            for _ in 0..100 {
                let owners: BTreeSet<NodeId> =
                    placement.draw(entropy.as_ref()).unwrap().owners.into_iter().collect();
                assert_eq!(owners.len(), copies as usize, "each on a node of its own");
            }
            let few = vec![UP; quorum - 1];
            assert!(Placement::new(&layout(copies, &few), 3).is_err(), "{copies} copies");
        }
    }

    #[test]
    fn below_write_quorum_nothing_is_stored() {
        let refused = Placement::new(&layout(3, &[UP, DOWN, DOWN]), 3);
        assert!(matches!(refused, Err(NoOwners { owners: 1, quorum: 2 })));
        assert!(Placement::new(&layout(1, &[]), 3).is_err());
    }

    #[test]
    fn s2_nodes_that_are_only_suspected_are_used_and_those_that_are_down_are_not() {
        let draw = |states: &[u32]| {
            let placement = Placement::new(&layout(3, states), 3)?;
            placement.draw(SeededEntropy::new(1).as_ref())
        };
        let owners = draw(&[UP, UP, SUSPECT]).unwrap().owners;
        assert_eq!(owners.len(), 3, "a push has one to spare");
        let owners = draw(&[UP, SUSPECT, DOWN]).unwrap().owners;
        assert!(!owners.contains(&NodeId(3)));
        assert!(draw(&[UP, DOWN, DOWN]).is_err());
    }

    #[test]
    fn s2_with_a_node_to_spare_draws_avoid_one_that_is_only_suspected() {
        let states = [UP, UP, UP, SUSPECT];
        let placement = Placement::new(&layout(1, &states), 1).unwrap();
        let entropy = SeededEntropy::new(1);
        let owners: BTreeSet<NodeId> =
            (0..100).flat_map(|_| placement.draw(entropy.as_ref()).unwrap().owners).collect();
        assert_eq!(owners, [1, 2, 3].map(NodeId).into());
    }

    #[test]
    fn one_node_stores_alone_where_the_layout_says_so() {
        let placement = Placement::new(&layout(1, &[UP]), 3).unwrap();
        let draw = placement.draw(SeededEntropy::new(1).as_ref()).unwrap();
        assert_eq!((draw.owners, placement.quorum), (vec![NodeId(1)], 1));
    }

    #[test]
    fn nodes_outside_the_ring_and_of_other_roles_get_nothing() {
        let mut layout = layout(1, &[UP, UP, UP]);
        layout.nodes[0].in_ring = false;
        layout.nodes[1].roles = vec!["metadata".to_owned()];
        let placement = Placement::new(&layout, 3).unwrap();
        let entropy = SeededEntropy::new(2);
        assert_eq!(placement.draw(entropy.as_ref()).unwrap().owners, [NodeId(3)]);
    }
}
