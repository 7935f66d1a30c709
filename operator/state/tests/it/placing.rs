//! Who votes in a partition (S39).

use std::collections::BTreeSet;

use gitstratum_core::{ErrorKind, NodeId, PartitionId};
use gitstratum_state::command::{
    Change, DrainNode, PlacePartition, RegisterNode, RemoveNode, SetNodeState,
};
use gitstratum_state::record::{NodeState, Placement};

use crate::world::{ADMIN, World, found};

const fn id(number: u64) -> u64 {
    (1 << 48) | number
}

/// Three nodes that are up, and a fourth with metadata alone.
fn four() -> (World, u64) {
    let mut world = World::empty();
    world.index = 9;
    world.ok(None, Change::Found(found(3)));
    for number in 1..=3 {
        let roles = vec!["metadata".to_owned(), "object".to_owned()];
        let register = RegisterNode { id: id(number), roles, incarnation: 1, ..Default::default() };
        world.ok(None, Change::RegisterNode(register));
    }
    let fourth = join(&mut world);
    (world, fourth)
}

fn join(world: &mut World) -> u64 {
    let roles = vec!["metadata".to_owned()];
    let register = RegisterNode { roles, incarnation: 1, ..Default::default() };
    world.ok(None, Change::RegisterNode(register));
    NodeId::allocate(1, world.index).0
}

fn place(world: &World, voters: &[u64]) -> PlacePartition {
    let epoch = world.state.layout().epoch.0;
    PlacePartition {
        partition: 2,
        voters: voters.to_vec(),
        preferred_leader: voters[0],
        epoch,
        ..PlacePartition::default()
    }
}

fn placed(world: &World) -> Placement {
    let mut places = world.state.layout().partitions.iter();
    places.find(|place| place.partition == PartitionId(2)).expect("a partition").clone()
}

fn refused(world: &mut World, place: PlacePartition) -> (ErrorKind, String) {
    world.refused(None, Change::PlacePartition(place))
}

#[test]
fn s39_a_vote_goes_from_one_node_to_another() {
    let (mut world, fourth) = four();
    assert_eq!(placed(&world).epoch.0, 0, "as it was founded");
    let others = world.state.layout().partitions.clone();
    let step = place(&world, &[fourth, id(1), id(2)]);
    let epoch = step.epoch;
    world.ok(None, Change::PlacePartition(step.clone()));
    let now = placed(&world);
    assert_eq!(now.voters, [fourth, id(1), id(2)].map(NodeId));
    assert_eq!((now.preferred_leader, now.epoch.0), (NodeId(fourth), epoch + 1));
    assert_eq!(world.state.layout().epoch.0, epoch + 1);
    for (before, after) in others.iter().zip(&world.state.layout().partitions) {
        assert!(before.partition == PartitionId(2) || before == after, "{after:?}");
    }
    let (kind, message) = refused(&mut world, step);
    assert_eq!(kind, ErrorKind::Conflict, "the layout has changed since: {message}");
    let line = world.lines.iter().find(|line| line.action == "partition.place");
    assert!(line.expect("a line").subject.contains(&NodeId(fourth).to_string()));
}

/// Who may vote is known until the group was seen without them, also as rows.
#[test]
fn s23_s39_who_leaves_is_named_until_the_group_has_followed() {
    let (mut world, fourth) = four();
    let fifth = join(&mut world);
    let leaving = |world: &World| placed(world).leaving;
    assert!(leaving(&world).is_empty(), "as it was founded");
    let step = place(&world, &[fourth, id(1), id(2)]);
    world.ok(None, Change::PlacePartition(PlacePartition { is_followed: true, ..step }));
    assert_eq!(leaving(&world), [id(3)].map(NodeId));
    let rows: Vec<_> = world.state.rows().collect();
    let rows = rows.iter().filter_map(|(key, value)| Some((&key[..], &value.as_ref()?[..])));
    let loaded = gitstratum_state::State::load(rows).expect("our own rows");
    assert_eq!(loaded.layout(), world.state.layout());
    // The group did not follow; who was to come may have a vote, or be given one yet.
    let step = place(&world, &[fifth, id(1), id(2)]);
    world.ok(None, Change::PlacePartition(step));
    let both = BTreeSet::from([NodeId(fourth), NodeId(id(3))]);
    assert_eq!(leaving(&world), both.into_iter().collect::<Vec<_>>());
    let step = place(&world, &[fifth, id(1), id(2)]);
    world.ok(None, Change::PlacePartition(PlacePartition { is_followed: true, ..step }));
    assert!(leaving(&world).is_empty(), "it has followed");
}

#[test]
fn s39_a_step_that_the_group_cannot_make_at_once_is_refused() {
    let (mut world, fourth) = four();
    let fifth = join(&mut world);
    for (voters, why) in [
        (vec![fourth, fifth, id(1)], "differ by more than one"),
        (vec![id(1), id(2)], "fewer"),
        (vec![id(1), id(2), id(3), fourth], "even"),
        (vec![id(1), id(2), id(2)], "twice"),
    ] {
        let step = place(&world, &voters);
        let (kind, message) = refused(&mut world, step);
        assert!(kind == ErrorKind::Invalid && message.contains(why), "{voters:?}: {message}");
    }
    let step = PlacePartition { preferred_leader: id(3), ..place(&world, &[id(1), id(2), fourth]) };
    assert!(refused(&mut world, step).1.contains("preferred leader"));
    let step = PlacePartition { partition: 9, ..place(&world, &[id(1), id(2), fourth]) };
    assert_eq!(refused(&mut world, step).0, ErrorKind::NotFound);
    let step = place(&world, &[id(1), id(2), fourth]);
    let (kind, _) = world.refused(Some(ADMIN), Change::PlacePartition(step));
    assert_eq!(kind, ErrorKind::Denied, "the system alone places");
}

#[test]
fn s39_only_a_metadata_node_that_is_up_and_stays_gets_a_vote() {
    let (mut world, fourth) = four();
    let roles = vec!["object".to_owned()];
    let register = RegisterNode { roles, incarnation: 1, ..Default::default() };
    world.ok(None, Change::RegisterNode(register));
    let object = NodeId::allocate(1, world.index).0;
    let step = place(&world, &[id(1), id(2), object]);
    assert_eq!(refused(&mut world, step).0, ErrorKind::NotFound);
    let set = |state: NodeState| {
        let state = state.to_wire();
        Change::SetNodeState(SetNodeState { id: fourth, incarnation: 1, state })
    };
    world.ok(None, set(NodeState::Suspect));
    let step = place(&world, &[id(1), id(2), fourth]);
    let (kind, message) = refused(&mut world, step);
    assert!(kind == ErrorKind::Conflict && message.contains("not up"), "{message}");
    world.ok(None, set(NodeState::Up));
    world.ok(Some(ADMIN), Change::DrainNode(DrainNode { id: fourth }));
    let step = place(&world, &[id(1), id(2), fourth]);
    let (_, message) = refused(&mut world, step);
    assert!(message.contains("being emptied"), "{message}");
}

/// Whoever stays may be down: its vote is not taken away by a move of another's.
#[test]
fn s39_a_dead_voter_is_replaced_or_stays() {
    let (mut world, fourth) = four();
    let down = SetNodeState { id: id(3), incarnation: 1, state: NodeState::Down.to_wire() };
    world.ok(None, Change::SetNodeState(down));
    let step = place(&world, &[id(3), id(1), fourth]);
    world.ok(None, Change::PlacePartition(step));
    let step = place(&world, &[id(2), id(1), fourth]);
    world.ok(None, Change::PlacePartition(step));
}

#[test]
fn s39_gs_cp_40_a_metadata_node_with_votes_leaves_once_others_have_them() {
    let (mut world, fourth) = four();
    let step = place(&world, &[id(1), id(2), fourth]);
    world.ok(None, Change::PlacePartition(step));
    let drain = Change::DrainNode(DrainNode { id: fourth });
    let remove =
        Change::RemoveNode(RemoveNode { id: fourth, finding: "nothing".to_owned(), fence: 0 });
    let (_, message) = world.refused(Some(ADMIN), remove.clone());
    assert!(message.contains("`gitstratum node drain`"), "{message}");
    let down = |state: NodeState| {
        Change::SetNodeState(SetNodeState { id: id(3), incarnation: 1, state: state.to_wire() })
    };
    world.ok(None, down(NodeState::Down));
    let (kind, message) = world.refused(Some(ADMIN), drain.clone());
    assert_eq!(kind, ErrorKind::Conflict);
    let told = "would leave 2 metadata nodes that are up; a partition has 3 voters; add a metadata";
    assert!(message.contains(told), "{message}");
    world.ok(None, down(NodeState::Up));
    world.ok(Some(ADMIN), drain);
    let (_, message) = world.refused(Some(ADMIN), remove.clone());
    assert!(message.contains("is a voter of 1 partitions"), "{message}");
    let step = place(&world, &[id(1), id(2), id(3)]);
    world.ok(None, Change::PlacePartition(step));
    world.ok(Some(ADMIN), remove);
}
