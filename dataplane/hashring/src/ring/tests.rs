use gitstratum_core::Epoch;
use proptest::prelude::*;

use super::*;
use crate::{NodeState, RingNode, WEIGHT_MAX};

fn node(id: u64, zone: &str) -> RingNode {
    RingNode {
        id: NodeId(id),
        weight: 1,
        zone: zone.to_owned(),
        region: String::new(),
        state: NodeState::Active,
    }
}

fn layout(nodes: Vec<RingNode>) -> Layout {
    Layout { epoch: Epoch(1), replication_factor: 3, nodes }
}

fn ring(nodes: Vec<RingNode>) -> Ring {
    Ring::new(&layout(nodes)).unwrap()
}

fn allocated(count: u64) -> Vec<RingNode> {
    (1..=count).map(|index| node(NodeId::allocate(1, index * 7).0, "")).collect()
}

/// Share of the ring for which each node is among the first `count` owners, exactly:
/// the arc before each point belongs to that point's owners.
fn shares(ring: &Ring, count: usize) -> BTreeMap<NodeId, f64> {
    let mut shares = BTreeMap::new();
    let mut previous = ring.points.last().unwrap().0.0;
    for (point, _) in &ring.points {
        let arc = point.0.wrapping_sub(previous) as f64 / 2f64.powi(64);
        previous = point.0;
        for owner in ring.owners(*point, count) {
            *shares.entry(owner).or_insert(0.0) += arc;
        }
    }
    shares
}

#[test]
fn gs_ob_26_load_is_within_ten_percent_at_default_points() {
    for nodes in [3, 4, 5, 6, 8, 10, 12, 16] {
        let ring = ring(allocated(nodes));
        let even = 3.0 / nodes as f64;
        for (id, share) in shares(&ring, 3) {
            let off = (share / even - 1.0).abs();
            assert!(off < 0.10, "node {id} of {nodes} is {:.1} % off", off * 100.0);
        }
    }
}

#[test]
fn gs_ob_26_a_weight_of_two_takes_twice_as_much() {
    let mut nodes = allocated(8);
    nodes[3].weight = 2;
    let heavy = nodes[3].id;
    let share = shares(&ring(nodes), 1)[&heavy];
    assert!((share / (2.0 / 9.0) - 1.0).abs() < 0.10, "{share}");
}

#[test]
fn gs_cp_12_adding_one_of_n_moves_about_one_nth() {
    for count in [4, 6, 10] {
        let mut nodes = allocated(count);
        let new = ring(nodes.clone());
        let added = nodes.pop().unwrap().id;
        let old = ring(nodes);
        let keys: Vec<_> = (0u32..20_000).map(|n| Key::from_bytes(&n.to_be_bytes())).collect();
        let moved = keys.iter().filter(|key| old.owners(**key, 1) != new.owners(**key, 1)).count();
        let share = moved as f64 / keys.len() as f64 * count as f64;
        assert!((share - 1.0).abs() < 0.15, "{moved} of {} moved to {added}", keys.len());
    }
}

#[test]
fn rv_s1_only_active_nodes_with_weight_are_on_the_ring() {
    let mut nodes = allocated(5);
    nodes[0].state = NodeState::Joining;
    nodes[1].state = NodeState::Leaving;
    nodes[2].weight = 0;
    let expected: Vec<_> = nodes[3..].iter().map(|node| node.id).collect();
    let mut owners = ring(nodes).owners(Key(0), 5);
    owners.sort();
    assert_eq!(owners, expected);
}

#[test]
fn rv_s1_a_key_after_the_last_point_wraps_to_the_first() {
    let ring = ring(allocated(4));
    let first = ring.points[0];
    let last = ring.points[ring.points.len() - 1].0;
    let owner_of_first = ring.members[first.1 as usize].id;
    assert_eq!(ring.owners(Key(last.0 + 1), 1), [owner_of_first]);
    assert_eq!(ring.owners(Key(u64::MAX), 3), ring.owners(Key(0), 3));
    assert_eq!(ring.owners(first.0, 1), [owner_of_first], "a point owns its own place");
}

#[test]
fn zones_taken_are_skipped_while_others_remain() {
    let zones = ["a", "a", "a", "b", "c"];
    let ring = ring((1..).zip(zones).map(|(id, zone)| node(id, zone)).collect());
    let zone_of = |id: &NodeId| zones[id.0 as usize - 1];
    for n in 0u32..500 {
        let owners = ring.owners(Key::from_bytes(&n.to_be_bytes()), 4);
        let mut first: Vec<_> = owners[..3].iter().map(zone_of).collect();
        first.sort_unstable();
        assert_eq!(first, ["a", "b", "c"]);
        assert_eq!(zone_of(&owners[3]), "a");
    }
}

#[test]
fn an_empty_ring_has_no_owners() {
    assert!(ring(Vec::new()).owners(Key(7), 3).is_empty());
    assert_eq!(ring(allocated(2)).owners(Key(7), 3).len(), 2);
}

#[test]
fn a_layout_that_makes_no_ring_is_refused() {
    let twice = layout(vec![node(1, ""), node(1, "")]);
    assert_eq!(Ring::new(&twice).unwrap_err(), LayoutError::DuplicateNode(NodeId(1)));
    let mut heavy = layout(vec![node(1, "")]);
    heavy.nodes[0].weight = WEIGHT_MAX + 1;
    assert!(matches!(Ring::new(&heavy), Err(LayoutError::WeightTooLarge { .. })));
    let none = Layout { replication_factor: 0, ..layout(Vec::new()) };
    assert_eq!(Ring::new(&none).unwrap_err(), LayoutError::NoReplicas);
}

#[test]
fn s19_write_quorum_is_a_majority_of_the_owners() {
    let quorums: Vec<_> = (1..=5).map(write_quorum).collect();
    assert_eq!(quorums, [1, 2, 2, 3, 3]);
}

fn any_nodes() -> impl Strategy<Value = Vec<RingNode>> {
    let one = (0u16..3, "[abc]?");
    proptest::collection::btree_map(any::<u64>(), one, 1..8).prop_map(|nodes| {
        nodes
            .into_iter()
            .map(|(id, (weight, zone))| RingNode { weight, ..node(id, &zone) })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rv_s1_owners_are_distinct_and_as_many_as_there_are(
        nodes in any_nodes(), key: u64, count in 0usize..10
    ) {
        let ring = ring(nodes);
        let mut owners = ring.owners(Key(key), count);
        prop_assert_eq!(owners.len(), count.min(ring.len()));
        owners.sort();
        owners.dedup();
        prop_assert_eq!(owners.len(), count.min(ring.len()));
    }

    #[test]
    fn rv_m4_order_of_the_layout_does_not_matter(
        (nodes, shuffled) in any_nodes().prop_flat_map(|n| (Just(n.clone()), Just(n).prop_shuffle())),
        key: u64,
    ) {
        prop_assert_eq!(ring(nodes).owners(Key(key), 3), ring(shuffled).owners(Key(key), 3));
    }

    #[test]
    fn fewer_owners_are_a_prefix_of_more(nodes in any_nodes(), key: u64, count in 0usize..6) {
        let ring = ring(nodes);
        let more = ring.owners(Key(key), count + 1);
        let fewer = ring.owners(Key(key), count);
        prop_assert!(more.starts_with(&fewer));
    }

    #[test]
    fn gs_cp_12_a_new_node_only_takes_and_never_shuffles(
        ids in proptest::collection::btree_set(any::<u64>(), 2..8), key: u64
    ) {
        let nodes: Vec<_> = ids.into_iter().map(|id| node(id, "")).collect();
        let added = nodes[0].id;
        let before = ring(nodes[1..].to_vec()).owners(Key(key), 3);
        let mut after = ring(nodes).owners(Key(key), 3);
        after.retain(|id| *id != added);
        prop_assert!(before.starts_with(&after));
    }
}
