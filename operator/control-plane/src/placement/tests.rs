use gitstratum_core::Epoch;
use proptest::prelude::*;

use super::*;

/// More moves than any of these needs.
const MOVES_MAX: usize = 400;

fn seat(node: u64) -> Seat {
    Seat { node: NodeId(node), zone: String::new(), is_up: true, is_leaving: false }
}

/// Partitions on the first three nodes, by turns, as at the founding.
fn ground(seats: Vec<Seat>, partitions: u32) -> Ground {
    founded(seats, partitions, 3)
}

/// The same on the first few.
fn founded(seats: Vec<Seat>, partitions: u32, founders: u64) -> Ground {
    let place = |partition: u32| {
        let first = u64::from(partition) % founders;
        let turn = (0..founders).map(|at| NodeId((first + at) % founders + 1));
        let voters: Vec<NodeId> = turn.collect();
        let preferred_leader = voters[0];
        let partition = PartitionId(partition);
        Placement { partition, voters, preferred_leader, epoch: Epoch(0), leaving: Vec::new() }
    };
    Ground { seats, places: (0..partitions).map(place).collect(), epoch: 1 }
}

/// Makes the change, as the state does.
fn apply(ground: &mut Ground, step: &PlacePartition) {
    assert_eq!(step.epoch, ground.epoch);
    ground.epoch += 1;
    let mut places = ground.places.iter_mut();
    let place = places.find(|place| place.partition.0 == step.partition).unwrap();
    *place = place.placed(step).unwrap();
}

fn leaving(ground: &Ground) -> Vec<u64> {
    ground.places.iter().flat_map(|place| &place.leaving).map(|node| node.0).collect()
}

/// All moves, each made before the next is looked for.
fn settle(ground: &mut Ground) -> usize {
    for moves in 0..MOVES_MAX {
        match ground.next(&ground.settled()) {
            Some(step) => apply(ground, &step),
            None => return moves,
        }
    }
    panic!("it does not settle: {ground:?}");
}

fn votes(ground: &Ground) -> BTreeMap<u64, usize> {
    let count = |seat: &Seat| {
        let votes = ground.places.iter().filter(|place| place.voters.contains(&seat.node));
        (seat.node.0, votes.count())
    };
    ground.seats.iter().map(count).collect()
}

#[test]
fn s39_three_become_five_and_three_again() {
    let mut five = ground((1..=5).map(seat).collect(), 4);
    settle(&mut five);
    let spread: Vec<usize> = votes(&five).into_values().collect();
    assert!(spread.iter().all(|votes| [2, 3].contains(votes)), "{spread:?}");
    let leads: BTreeSet<NodeId> = five.places.iter().map(|place| place.preferred_leader).collect();
    assert_eq!(leads.len(), 4, "each leads one");
    five.seats[0].is_leaving = true;
    five.seats[3].is_leaving = true;
    settle(&mut five);
    assert_eq!(votes(&five).into_values().collect::<Vec<_>>(), [0, 4, 4, 0, 4]);
    assert!(five.places.iter().all(|place| ![1, 4].contains(&place.preferred_leader.0)));
}

#[test]
fn s39_a_node_moves_one_vote_at_a_time_and_a_silent_partition_holds_its_voters() {
    let mut four = ground((1..=4).map(seat).collect(), 6);
    four.seats[0].is_leaving = true;
    let before = four.settled();
    let step = four.next(&before).unwrap();
    apply(&mut four, &step);
    assert_eq!(four.next(&before), None, "nodes 1 and 4 are moving");
    let mut joint = four.settled();
    let moved = joint.get_mut(&PartitionId(step.partition)).unwrap();
    moved.voters.insert(NodeId(1));
    moved.is_settled = false;
    assert_eq!(four.next(&joint), None, "the change is between its two steps");
    let mut silent = four.settled();
    silent.remove(&PartitionId(step.partition));
    let next = four.next(&silent);
    assert_eq!(next, None, "who comes and goes there is not known");
    let next = four.next(&four.settled()).unwrap();
    assert_eq!((next.partition, next.is_followed), (step.partition, true), "it has followed");
    assert_eq!(leaving(&four), [1]);
    apply(&mut four, &next);
    assert_eq!(leaving(&four), [0_u64; 0]);
    let next = four.next(&four.settled()).unwrap();
    assert_ne!(next.partition, step.partition);
}

/// Node 4 was to vote, died before it had learned, and is given up by a drain.
#[test]
fn s39_a_node_that_never_came_is_given_up_once_it_is_drained() {
    let mut five = ground((1..=5).map(seat).collect(), 1);
    let before = five.settled();
    five.places[0].voters = [4, 2, 3].map(NodeId).to_vec();
    five.places[0].preferred_leader = NodeId(4);
    five.places[0].leaving = vec![NodeId(1)];
    five.seats[3].is_up = false;
    assert_eq!(five.next(&before), None, "it may come yet");
    five.seats[3].is_leaving = true;
    let back = five.next(&before).unwrap();
    assert_eq!(back.voters, [1, 2, 3], "as the group is");
    // Who was to leave is still to leave.
    five.seats[0].is_leaving = true;
    let step = five.next(&before).unwrap();
    assert_eq!((&step.voters[..], step.is_followed), (&[5, 2, 3][..], false));
    apply(&mut five, &step);
    assert_eq!(leaving(&five), [1, 4], "whoever may vote yet");
    let found = five.next(&before);
    assert_eq!(found, None, "nodes 1 and 5 are moving");
}

/// The same where there is no fifth: whoever was to leave may stay after all.
#[test]
fn s39_a_move_that_cannot_be_made_is_taken_back() {
    let mut four = ground((1..=4).map(seat).collect(), 1);
    let before = four.settled();
    four.places[0].voters = [4, 2, 3].map(NodeId).to_vec();
    four.places[0].preferred_leader = NodeId(4);
    four.seats[3].is_up = false;
    four.seats[3].is_leaving = true;
    four.seats[0].is_leaving = true;
    assert_eq!(four.next(&before), None, "nobody is there to vote instead");
    four.seats[0].is_leaving = false;
    let step = four.next(&before).unwrap();
    assert_eq!(step.voters, [1, 2, 3]);
    apply(&mut four, &step);
    assert_eq!(leaving(&four), [4], "it may have come after all");
    let step = four.next(&before).unwrap();
    assert!(step.is_followed, "it did not");
    apply(&mut four, &step);
    assert_eq!((four.next(&before), leaving(&four).len()), (None, 0));
}

#[test]
fn s39_nobody_who_is_down_gets_a_vote_or_loses_one_by_itself() {
    let mut ground = ground((1..=5).map(seat).collect(), 4);
    ground.seats[3].is_up = false;
    ground.seats[4].is_up = false;
    assert_eq!(ground.next(&ground.settled()), None);
    ground.seats[0].is_up = false;
    ground.seats[4].is_up = true;
    settle(&mut ground);
    assert_eq!(votes(&ground)[&1], 4, "it may hold what was acknowledged");
    ground.seats[0].is_leaving = true;
    settle(&mut ground);
    assert_eq!(votes(&ground)[&1], 0, "an operator has given it up");
}

#[test]
fn s39_zones_stay_spread() {
    let mut ground = ground((1..=6).map(seat).collect(), 6);
    for (at, seat) in ground.seats.iter_mut().enumerate() {
        seat.zone = ["a", "b", "c"][at % 3].to_owned();
    }
    settle(&mut ground);
    for place in &ground.places {
        let zones: BTreeSet<u64> = place.voters.iter().map(|voter| voter.0 % 3).collect();
        assert_eq!(zones.len(), 3, "{place:?}");
    }
    assert!(votes(&ground).into_values().all(|votes| votes == 3), "{:?}", votes(&ground));
}

#[test]
fn s39_two_voters_become_three_also_where_one_is_drained() {
    let mut ground = founded((1..=3).map(seat).collect(), 2, 2);
    ground.seats[0].is_leaving = true;
    settle(&mut ground);
    assert!(ground.places.iter().all(|place| place.voters.len() == 3));
    ground.seats.push(seat(4));
    settle(&mut ground);
    assert_eq!(votes(&ground)[&1], 0, "a fourth takes its votes");
}

/// Node 1 is on its way out of a partition that does not say how far that is: whoever leads there
/// may need its vote yet.
#[test]
fn s39_a_silent_partition_holds_who_leaves_it_too() {
    let mut five = ground((1..=5).map(seat).collect(), 6);
    five.seats[0].is_leaving = true;
    let step = five.next(&five.settled()).unwrap();
    apply(&mut five, &step);
    assert!(!step.voters.contains(&1) && leaving(&five) == [1], "{step:?}");
    let mut silent = five.settled();
    silent.remove(&PartitionId(step.partition));
    let next = five.next(&silent);
    assert!(next.is_none_or(|next| next.voters.contains(&1)), "node 1 moves a second time");
}

fn any_seat() -> impl Strategy<Value = (bool, bool, u8)> {
    (prop::bool::weighted(0.8), prop::bool::weighted(0.2), 0_u8..4)
}

proptest! {
    /// From any fleet: every step is one that the state takes, it ends, and then it stays so.
    #[test]
    fn s39_placement_settles_by_sound_steps(
        seats in prop::collection::vec(any_seat(), 3..9),
        partitions in 1_u32..9,
        founders in 2_u64..4,
    ) {
        let zone = |zone: u8| if zone == 0 { String::new() } else { zone.to_string() };
        let seats = (1..).zip(&seats).map(|(node, (is_up, is_leaving, at))| Seat {
            zone: zone(*at),
            is_up: *is_up,
            is_leaving: *is_leaving,
            ..seat(node)
        });
        let mut ground = founded(seats.collect(), partitions, founders);
        let mut moves = 0;
        while let Some(step) = ground.next(&ground.settled()) {
            let place = ground.places.iter().find(|place| place.partition.0 == step.partition);
            prop_assert!(place.unwrap().placed(&step).is_ok(), "{step:?}");
            let old: BTreeSet<u64> = place.unwrap().voters.iter().map(|voter| voter.0).collect();
            let new: BTreeSet<u64> = step.voters.iter().copied().collect();
            let (now, before) = (step.voters.len(), old.len());
            prop_assert!(now == 3 || (now == before && new == old), "{before} become {now}");
            prop_assert!(new.difference(&old).count() <= 1, "one move at a time");
            prop_assert!(new.contains(&step.preferred_leader));
            for id in new.difference(&old) {
                let seat = ground.seats.iter().find(|seat| seat.node.0 == *id).unwrap();
                prop_assert!(seat.is_up && !seat.is_leaving, "{seat:?}");
            }
            apply(&mut ground, &step);
            moves += 1;
            prop_assert!(moves < MOVES_MAX, "it does not settle: {ground:?}");
        }
        let votes = votes(&ground);
        let stays = ground.seats.iter().filter(|seat| seat.is_up && !seat.is_leaving);
        for seat in ground.seats.iter().filter(|seat| seat.is_leaving) {
            if stays.clone().count() >= 3 {
                prop_assert_eq!(votes[&seat.node.0], 0, "{:?}", seat);
            }
        }
    }

    /// Whatever is under way, no node that comes or goes somewhere moves a second time.
    #[test]
    fn s39_never_two_moves_of_a_node(
        leaving in prop::collection::btree_set(1_u64..8, 0..3),
        behind in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut ground = ground((1..8).map(seat).collect(), 6);
        for seat in &mut ground.seats {
            seat.is_leaving = leaving.contains(&seat.node.0);
        }
        let mut groups = ground.settled();
        for is_behind in behind {
            let moving: BTreeSet<NodeId> = ground.places.iter().flat_map(|place| {
                let voters: BTreeSet<NodeId> = place.voters.iter().copied().collect();
                let group = &groups[&place.partition].voters;
                group.symmetric_difference(&voters).copied().collect::<Vec<_>>()
            }).collect();
            if let Some(step) = ground.next(&groups) {
                let place = ground.places.iter().find(|place| place.partition.0 == step.partition);
                let old: BTreeSet<NodeId> = place.unwrap().voters.iter().copied().collect();
                let new: BTreeSet<NodeId> = step.voters.iter().copied().map(NodeId).collect();
                let turn: Vec<_> = old.symmetric_difference(&new).collect();
                prop_assert!(turn.iter().all(|node| !moving.contains(*node)), "{turn:?}");
                apply(&mut ground, &step);
            }
            if !is_behind {
                groups = ground.settled();
            }
        }
    }
}
