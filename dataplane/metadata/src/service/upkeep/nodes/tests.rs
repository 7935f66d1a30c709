use gitstratum_proto::node_state::{DOWN, UP};
use proptest::prelude::*;

use super::*;

fn node(id: u64, state: u32, in_ring: bool) -> wire::Node {
    let roles = vec![ROLE.to_owned()];
    wire::Node { id, roles, weight: 1, state, in_ring, ..wire::Node::default() }
}

fn layout(copies: u32, states: &[u32]) -> wire::Layout {
    let all = states.iter().enumerate().map(|(at, state)| node(at as u64 + 1, *state, true));
    wire::Layout {
        epoch: 1,
        replication_factor: copies,
        nodes: all.collect(),
        partitions: Vec::new(),
    }
}

fn nodes(copies: u32, states: &[u32], fenced: &[u64]) -> Nodes {
    Nodes::new(&layout(copies, states), fenced.iter().copied().map(NodeId).collect()).unwrap()
}

const SEGMENT: SegmentId = SegmentId([5; 16]);

#[test]
fn s18_a_missing_copy_comes_where_the_ring_wants_it() {
    let nodes = nodes(3, &[UP; 5], &[]);
    let ideal = nodes.preference(SEGMENT);
    assert_eq!(nodes.wanted(SEGMENT, &ideal[..2]), [ideal[2]]);
    assert_eq!(nodes.wanted(SEGMENT, &ideal[..1]), ideal[1..3]);
    assert!(nodes.is_settled(SEGMENT, &ideal[..3]));
}

#[test]
fn s18_a_node_that_is_down_is_not_waited_for_while_another_can_take_the_copy() {
    let ideal = nodes(3, &[UP; 5], &[]).preference(SEGMENT);
    let mut states = [UP; 5];
    states[usize::try_from(ideal[2].0 - 1).unwrap()] = DOWN;
    let nodes = nodes(3, &states, &[]);
    assert_eq!(nodes.wanted(SEGMENT, &ideal[..2]), [ideal[3]]);
    // Once it has come back the copy goes where the ring wants it.
    let substitute = [ideal[0], ideal[1], ideal[3]];
    assert!(nodes.is_settled(SEGMENT, &substitute), "not while it is down");
}

#[test]
fn s20_a_copy_is_made_before_one_is_dropped() {
    let nodes = nodes(3, &[UP; 4], &[]);
    let ideal = nodes.preference(SEGMENT);
    let owners = [ideal[0], ideal[1], ideal[3]];
    assert!(!nodes.is_settled(SEGMENT, &owners));
    assert_eq!(nodes.wanted(SEGMENT, &owners), [ideal[2]]);
    assert_eq!(nodes.settled(SEGMENT, &owners).len(), 3);
    let held = [ideal[0], ideal[1], ideal[3], ideal[2]];
    assert_eq!(nodes.settled(SEGMENT, &held), ideal[..3]);
}

#[test]
fn s20_a_copy_that_can_be_read_is_not_dropped_for_ones_on_nodes_that_are_down() {
    let ideal = nodes(3, &[UP; 4], &[]).preference(SEGMENT);
    let mut states = [UP; 4];
    for down in &ideal[..2] {
        states[usize::try_from(down.0 - 1).unwrap()] = DOWN;
    }
    let held = [ideal[0], ideal[1], ideal[3], ideal[2]];
    let some_down = nodes(3, &states, &[]);
    assert!(some_down.settled(SEGMENT, &held).contains(&ideal[3]));
    let leaving = nodes(3, &states, &[ideal[3].0]);
    assert!(leaving.settled(SEGMENT, &held).contains(&ideal[3]), "a fenced one neither");
    assert_eq!(nodes(3, &[UP; 4], &[]).settled(SEGMENT, &held), ideal[..3]);
}

#[test]
fn s20_a_fenced_copy_is_replaced_or_let_go_when_there_is_no_other_node() {
    let all = nodes(3, &[UP; 4], &[]).preference(SEGMENT);
    let leaving = all[0];
    let four = nodes(3, &[UP; 4], &[leaving.0]);
    assert_eq!(four.wanted(SEGMENT, &all[..3]), [all[3]]);
    assert!(four.settled(SEGMENT, &all[..3]).contains(&leaving), "not before there is another");
    assert!(!four.settled(SEGMENT, &all).contains(&leaving));
    let owners = nodes(3, &[UP; 3], &[]).preference(SEGMENT);
    let three = nodes(3, &[UP; 3], &[owners[0].0]);
    assert_eq!(three.settled(SEGMENT, &owners), owners[1..]);
}

#[test]
fn s20_a_copy_is_lost_when_its_node_is_fenced_and_gone() {
    let mut states = [UP; 4];
    states[1] = DOWN;
    let fenced = [1, 2, 9].map(NodeId).into();
    let lost = Lost::new(&layout(3, &states), fenced).unwrap();
    assert!(!lost.contains(NodeId(1)), "it can still be copied from");
    assert!(lost.contains(NodeId(2)));
    assert!(lost.contains(NodeId(9)), "it is in no layout");
    assert!(!lost.contains(NodeId(3)));
    assert!(Lost::new(&wire::Layout::default(), [NodeId(1)].into()).is_none());
}

#[test]
fn a_layout_with_few_nodes_or_none_drops_nothing() {
    let owners = [1, 2, 3].map(NodeId);
    for states in [&[UP; 0][..], &[UP; 1], &[UP; 2]] {
        let nodes = nodes(3, states, &[]);
        assert_eq!(nodes.settled(SEGMENT, &owners).len(), 3, "{states:?}");
    }
    assert!(Nodes::new(&wire::Layout::default(), BTreeSet::new()).is_none());
}

proptest! {
    /// Whatever is held and whoever is down or fenced: doing what is wanted and settling ends,
    /// with the ring's answer where its nodes are up, and never drops a copy that is needed.
    #[test]
    fn s20_copies_follow_the_ring_and_never_fall_below_what_there_is(
        id in any::<[u8; 16]>(),
        states in proptest::collection::vec(prop_oneof![3 => Just(UP), 1 => Just(DOWN)], 2..7),
        fenced in proptest::collection::btree_set(1u64..8, 0..2),
        held in proptest::collection::btree_set(1u64..8, 1..5),
        copies in 1u32..4,
    ) {
        let segment = SegmentId(id);
        let fenced: Vec<u64> = fenced.into_iter().collect();
        let nodes = nodes(copies, &states, &fenced);
        let before: Vec<NodeId> = held.into_iter().map(NodeId).collect();
        let mut owners = before.clone();
        for _ in 0..3 {
            let wanted = nodes.wanted(segment, &owners);
            prop_assert!(wanted.iter().all(|n| !owners.contains(n) && !nodes.down.contains(n)));
            prop_assert!(wanted.iter().all(|n| !nodes.fenced.contains(n)));
            let mut all = owners.clone();
            all.extend(wanted);
            let next = nodes.settled(segment, &all);
            let kept = next.iter().filter(|node| !nodes.fenced.contains(node)).count();
            let could = all.iter().filter(|node| !nodes.fenced.contains(node)).count();
            prop_assert!(kept >= could.min(nodes.copies));
            prop_assert!(next.iter().all(|node| all.contains(node)));
            owners = next;
        }
        prop_assert!(nodes.is_settled(segment, &owners), "it ends: {:?}", owners);
        let ideal: Vec<NodeId> =
            nodes.preference(segment).into_iter().take(nodes.copies).collect();
        if ideal.iter().all(|node| !nodes.down.contains(node)) && ideal.len() == nodes.copies {
            let found: BTreeSet<_> = owners.iter().collect();
            prop_assert_eq!(found, ideal.iter().collect());
        }
    }
}
