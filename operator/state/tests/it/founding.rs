use std::collections::BTreeSet;

use gitstratum_core::{ErrorKind, NodeId, UserId};
use gitstratum_state::State;
use gitstratum_state::command::{Change, Found, RegisterNode};
use gitstratum_state::record::NodeState;

use crate::world::{ADMIN, World, create, found};

#[test]
fn s45_a_cluster_is_founded_once_with_ids_of_its_generation() {
    let mut world = World::founded();
    assert_eq!(world.state.generation(), 1);
    assert_eq!(world.state.version().0 >> 48, 1);
    let admin = world.state.user("admin").expect("the first admin").clone();
    assert_eq!(admin.id, UserId::allocate(1, world.index));
    assert!(admin.cluster_admin);
    let again = world.refused(None, Change::Found(found(1)));
    assert_eq!(again, (ErrorKind::Conflict, "cluster is founded already".to_owned()));
}

#[test]
fn nothing_is_done_before_the_founding() {
    let mut world = World::empty();
    let (kind, message) = world.refused(None, create("demo/hello"));
    assert_eq!((kind, message.as_str()), (ErrorKind::Conflict, "cluster is not founded yet"));
    assert_eq!(world.state.cluster(), None);
}

#[test]
fn people_found_nothing() {
    let mut world = World::founded();
    let (kind, _) = world.refused(Some(ADMIN), Change::Found(found(1)));
    assert_eq!(kind, ErrorKind::Denied);
    let mut world = World::empty();
    let (kind, _) = world.refused(Some(ADMIN), Change::Found(found(1)));
    assert_eq!(kind, ErrorKind::Denied);
}

#[test]
fn s39_placements_spread_voters_and_leaders() {
    let mut world = World::empty();
    world.ok(None, Change::Found(found(5)));
    let layout = world.state.layout();
    assert_eq!(layout.partitions.len(), 4);
    let leaders: BTreeSet<NodeId> =
        layout.partitions.iter().map(|placement| placement.preferred_leader).collect();
    assert_eq!(leaders.len(), 4);
    for placement in &layout.partitions {
        let voters: BTreeSet<_> = placement.voters.iter().collect();
        assert_eq!(voters.len(), 3);
        assert!(voters.contains(&placement.preferred_leader));
    }
}

#[test]
fn bad_foundings_are_refused() {
    let good = found(1);
    let mut twins = found(2);
    twins.nodes[1].id = twins.nodes[0].id;
    let bad = [
        Found { cluster: vec![7; 15], ..good.clone() },
        Found { generation: 0, ..good.clone() },
        Found { generation: 65_536, ..good.clone() },
        Found { partitions: 0, ..good.clone() },
        Found { partitions: 1_025, ..good.clone() },
        Found { replication_factor: 0, ..good.clone() },
        Found { replication_factor: 2, ..good.clone() },
        Found { nodes: Vec::new(), ..good.clone() },
        Found { admin: "git".to_owned(), ..good.clone() },
        Found { admin_token: Vec::new(), ..good.clone() },
        twins,
    ];
    for found in bad {
        let mut world = World::empty();
        let (kind, message) = world.refused(None, Change::Found(found));
        assert_eq!(kind, ErrorKind::Invalid, "{message}");
        assert_eq!(world.state.cluster(), None);
    }
}

#[test]
fn gs_ob_27_a_cluster_is_founded_with_one_to_five_copies() {
    for copies in 1..=5 {
        let mut world = World::empty();
        world.ok(None, Change::Found(Found { replication_factor: copies, ..found(6) }));
        assert_eq!(u32::from(world.state.layout().replication_factor), copies);
    }
    for copies in [0, 6] {
        let mut world = World::empty();
        let six = Change::Found(Found { replication_factor: copies, ..found(6) });
        let (kind, message) = world.refused(None, six);
        assert_eq!(kind, ErrorKind::Invalid, "{message}");
    }
}

fn register(id: u64, incarnation: u64) -> RegisterNode {
    let roles = vec!["metadata".to_owned(), "object".to_owned()];
    RegisterNode { id, roles, incarnation, ..Default::default() }
}

#[test]
fn gs_cp_39_nodes_register_and_zombies_are_refused() {
    let mut world = World::founded();
    let id = NodeId((1 << 48) | 1);
    assert_eq!(world.state.node(id).expect("founded").state, NodeState::Joining);
    world.ok(None, Change::RegisterNode(register(id.0, 5)));
    let node = world.state.node(id).expect("founded").clone();
    assert_eq!((node.state, node.incarnation.0, node.in_ring), (NodeState::Up, 5, true));
    let version = world.state.version();
    world.ok(None, Change::RegisterNode(register(id.0, 5)));
    assert_eq!(world.state.version(), version, "a repeat changes nothing");
    let (kind, message) = world.refused(None, Change::RegisterNode(register(id.0, 4)));
    assert_eq!(kind, ErrorKind::Conflict, "{message}");
    let (kind, _) = world.refused(None, Change::RegisterNode(register(99, 1)));
    assert_eq!(kind, ErrorKind::NotFound);
    world.ok(None, Change::RegisterNode(register(0, 1)));
    let new = world.state.node(NodeId::allocate(1, world.index)).expect("a new id");
    assert!(!new.in_ring, "joining the ring is a decision of its own");
    let (kind, _) = world.refused(Some(ADMIN), Change::RegisterNode(register(id.0, 9)));
    assert_eq!(kind, ErrorKind::Denied);
    let agent = RegisterNode { roles: vec!["agent".to_owned()], ..register(0, 1) };
    assert_eq!(world.refused(None, Change::RegisterNode(agent)).0, ErrorKind::Invalid);
}

#[test]
fn the_export_has_no_secret() {
    let world = World::founded();
    let json = world.state.to_json().to_string();
    assert!(json.contains("0101010101010101"), "the id of the admin's token");
    assert!(!json.contains(&"01".repeat(32)), "not its hash");
    assert_eq!(State::default().to_json()["cluster"], serde_json::Value::Null);
}
