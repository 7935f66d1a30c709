use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_state::command::{
    Change, DrainNode, EnterRing, Found, RegisterNode, RemoveNode, SetNodeState, UndrainNode,
};
use gitstratum_state::record::{Node, NodeState};

use crate::world::{ADMIN, Who, World, found};

const fn id(number: u64) -> u64 {
    (1 << 48) | number
}

/// Three nodes that are up, every segment on `copies` of them.
fn three(copies: u32) -> World {
    let mut world = World::empty();
    world.index = 9;
    world.ok(None, Change::Found(Found { replication_factor: copies, ..found(3) }));
    for number in 1..=3 {
        let roles = vec!["metadata".to_owned(), "object".to_owned()];
        let register = RegisterNode { id: id(number), roles, incarnation: 1, ..Default::default() };
        world.ok(None, Change::RegisterNode(register));
    }
    world
}

fn set(number: u64, incarnation: u64, state: NodeState) -> Change {
    Change::SetNodeState(SetNodeState { id: id(number), incarnation, state: state.to_wire() })
}

fn drain(id: u64) -> Change {
    Change::DrainNode(DrainNode { id })
}

fn undrain(id: u64) -> Change {
    Change::UndrainNode(UndrainNode { id })
}

fn remove(id: u64, fence: u64) -> Change {
    Change::RemoveNode(RemoveNode { id, finding: "nothing is left on it".to_owned(), fence })
}

fn enter(id: u64) -> Change {
    Change::EnterRing(EnterRing { id })
}

impl World {
    fn joined(&mut self) -> u64 {
        let roles = vec!["object".to_owned()];
        let register = RegisterNode { id: 0, roles, incarnation: 1, ..Default::default() };
        self.ok(None, Change::RegisterNode(register));
        NodeId::allocate(1, self.index).0
    }

    fn node(&self, id: u64) -> &Node {
        self.state.node(NodeId(id)).expect("a node")
    }

    fn epoch(&self) -> u64 {
        self.state.layout().epoch.0
    }
}

/// P-D1: `node remove` asks for no drain of a node without the role `object`.
#[test]
fn s20_a_node_that_stores_data_does_not_register_without_that_role() {
    let mut world = three(3);
    let register = |roles: &[&str]| {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        Change::RegisterNode(RegisterNode {
            id: id(1),
            roles,
            incarnation: 2,
            ..Default::default()
        })
    };
    for roles in [["metadata"].as_slice(), &["object"], &["frontend", "metadata"]] {
        let (kind, message) = world.refused(None, register(roles));
        assert_eq!(kind, ErrorKind::Conflict, "{message}");
        assert!(message.contains("registers without that role"), "{message}");
    }
    world.ok(None, register(&["control", "metadata", "object"]));
}

#[test]
fn gs_cp_41_a_state_moves_only_along_allowed_edges() {
    let mut world = three(3);
    world.ok(None, set(1, 1, NodeState::Suspect));
    world.ok(None, set(1, 1, NodeState::Down));
    let down = world.node(id(1)).clone();
    assert_eq!((down.failures, down.since), (1, world.wall));
    for state in [NodeState::Suspect, NodeState::Joining, NodeState::Removed, NodeState::Down] {
        assert_eq!(world.refused(None, set(1, 1, state)).0, ErrorKind::Invalid, "{state:?}");
    }
    let (kind, message) = world.refused(None, set(1, 2, NodeState::Up));
    assert_eq!(kind, ErrorKind::Conflict, "{message}");
    world.ok(None, set(1, 1, NodeState::Up));
    assert_eq!(world.refused(Some(ADMIN), set(1, 1, NodeState::Down)).0, ErrorKind::Denied);
    assert_eq!(world.refused(None, set(7, 1, NodeState::Down)).0, ErrorKind::NotFound);
}

#[test]
fn gs_cp_04_a_start_alone_makes_no_dead_node_up() {
    let mut world = three(3);
    world.ok(None, set(1, 1, NodeState::Down));
    let roles = vec!["metadata".to_owned(), "object".to_owned()];
    let again = RegisterNode { id: id(1), roles, incarnation: 2, ..Default::default() };
    world.ok(None, Change::RegisterNode(again));
    assert_eq!(world.node(id(1)).state, NodeState::Down);
}

#[test]
fn gs_cp_11_a_new_node_enters_the_ring_by_a_step_of_its_own() {
    let mut world = three(3);
    let new = world.joined();
    let epoch = world.epoch();
    assert!(!world.node(new).in_ring);
    assert_eq!(world.refused(Some(Who(9)), enter(new)).0, ErrorKind::Denied);
    world.ok(Some(ADMIN), enter(new));
    assert!(world.node(new).in_ring);
    assert_eq!(world.epoch(), epoch + 1);
    world.ok(Some(ADMIN), enter(new));
    assert_eq!(world.epoch(), epoch + 1, "a repeat changes nothing");
}

#[test]
fn s20_a_drained_node_leaves_the_ring_and_the_lead_of_partitions() {
    let mut world = three(3);
    let epoch = world.epoch();
    let leads = |world: &World| {
        let places = world.state.layout().partitions.iter();
        places.filter(|place| place.preferred_leader.0 == id(1)).count()
    };
    assert!(leads(&world) > 0);
    world.ok(Some(ADMIN), drain(id(1)));
    let node = world.node(id(1));
    assert_eq!((node.in_ring, node.is_draining, node.state), (false, true, NodeState::Up));
    assert_eq!(node.since, world.wall, "since when it leaves");
    assert_eq!((world.epoch(), leads(&world)), (epoch + 1, 0));
    world.ok(Some(ADMIN), undrain(id(1)));
    assert_eq!((world.node(id(1)).in_ring, world.epoch()), (true, epoch + 2));
}

#[test]
fn s20_a_drain_that_leaves_too_few_nodes_is_refused_and_says_what_to_do() {
    let mut world = three(3);
    world.ok(Some(ADMIN), drain(id(1)));
    let (kind, message) = world.refused(Some(ADMIN), drain(id(2)));
    assert_eq!(kind, ErrorKind::Conflict);
    let told =
        "would leave 1 object nodes in the ring, 1 of them up; a push needs 2; add an object";
    assert!(message.contains(told), "{message}");
    world.ok(Some(ADMIN), undrain(id(1)));
    world.ok(None, set(3, 1, NodeState::Down));
    let (_, message) = world.refused(Some(ADMIN), drain(id(1)));
    assert!(message.contains("leave 2 object nodes in the ring, 1 of them up"), "{message}");
}

#[test]
fn gs_cp_40_only_a_drained_node_without_votes_is_removed() {
    let mut world = three(3);
    let new = world.joined();
    world.ok(Some(ADMIN), enter(new));
    let (_, message) = world.refused(Some(ADMIN), remove(new, 0));
    assert!(message.contains("`gitstratum node drain` empties it"), "{message}");
    world.ok(Some(ADMIN), drain(id(1)));
    let (_, message) = world.refused(Some(ADMIN), remove(id(1), 0));
    assert!(message.contains("is a voter of 4 partitions"), "{message}");
    world.ok(Some(ADMIN), drain(new));
    let found_under = world.node(new).fence;
    world.ok(Some(ADMIN), undrain(new));
    world.ok(Some(ADMIN), drain(new));
    let (kind, message) = world.refused(Some(ADMIN), remove(new, found_under));
    assert_eq!(kind, ErrorKind::Conflict, "it took segments meanwhile (S20): {message}");
    world.ok(Some(ADMIN), remove(new, world.node(new).fence));
    assert_eq!(world.node(new).state, NodeState::Removed);
    let roles = vec!["object".to_owned()];
    let again = RegisterNode { id: new, roles, incarnation: 2, ..Default::default() };
    let (kind, _) = world.refused(None, Change::RegisterNode(again));
    assert_eq!(kind, ErrorKind::Conflict, "gone is gone");
    for change in [enter(new), drain(new), undrain(new), remove(new, 0)] {
        assert_eq!(world.refused(Some(ADMIN), change).0, ErrorKind::NotFound);
    }
    let line = world.lines.iter().find(|line| line.action == "node.remove" && line.result == "ok");
    assert!(line.expect("a line").subject.ends_with("nothing is left on it"));
}
