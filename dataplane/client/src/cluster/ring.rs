use gitstratum_core::{Epoch, NodeId};
use gitstratum_hashring::{Layout, NodeState, RingNode, WEIGHT_MAX};
use gitstratum_proto::control::v1 as wire;

/// What the ring of `chosen`, nodes of `layout`, is made of; it keeps `copies` of each segment.
pub fn ring_layout<'a>(
    layout: &wire::Layout,
    copies: u8,
    chosen: impl IntoIterator<Item = &'a wire::Node>,
) -> Layout {
    Layout {
        epoch: Epoch(layout.epoch),
        replication_factor: copies,
        nodes: chosen.into_iter().map(ring_node).collect(),
    }
}

fn ring_node(node: &wire::Node) -> RingNode {
    RingNode {
        id: NodeId(node.id),
        weight: u16::try_from(node.weight).unwrap_or(u16::MAX).min(WEIGHT_MAX),
        zone: node.zone.clone(),
        region: node.region.clone(),
        state: NodeState::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s48_the_ring_is_made_of_the_chosen_nodes_and_a_weight_beyond_the_most_is_the_most() {
        let node = |id, weight| wire::Node { id, weight, zone: "a".into(), ..Default::default() };
        let nodes = vec![node(1, 1), node(2, 1_000_000), node(3, 1)];
        let layout = wire::Layout { epoch: 7, nodes, ..Default::default() };
        let made = ring_layout(&layout, 2, &layout.nodes[..2]);
        assert_eq!((made.epoch, made.replication_factor), (Epoch(7), 2));
        let weights: Vec<_> = made.nodes.iter().map(|node| (node.id, node.weight)).collect();
        assert_eq!(weights, [(NodeId(1), 1), (NodeId(2), WEIGHT_MAX)]);
        assert!(made.nodes.iter().all(|node| node.zone == "a"));
    }
}
