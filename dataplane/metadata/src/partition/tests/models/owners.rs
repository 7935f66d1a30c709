//! Moves of copies, with a node that leaves and comes back, and disks that are lost (S18–S21, S23).
//!
//! Four nodes, three copies. A segment lies on P0, P1 and P3; the ring, from which P0 is fenced,
//! wants it on P1, P2 and P3, and once the fence is lifted on P0, P1 and P2. Two leaders, one of
//! which may be late, read the list, have copies made and propose. Nodes lose their disks, start
//! again, report what they lost, late and twice, and delete what a reading says is not theirs.
//!
//! Driven are the product's `apply`, what its leader wants and settles on, the list that it
//! proposes, what it answers to an owner's reading, and the owner's verdict. What is told here of
//! nodes: a start shows a number above all that its disk and the partition know, a pull is
//! acknowledged under the number of the start that made it, and a copy may be pulled again between
//! a reading and the deletion.
//!
//! Not more than one disk is lost at a time: the next is lost only while three listed copies are
//! there, no acknowledgement of a copy that is gone is on its way, and no report of a loss that the
//! list has yet to show.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use gitstratum_client::garbage::{Verdict, judge};
use gitstratum_core::{Incarnation, NodeId, SegmentId};
use gitstratum_proto::common::v1::Segment;
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::metadata::v1::SegmentState;
use gitstratum_proto::node_state::UP;
use prost::Message;

use super::explorer::{Broken, Seen, Walked, World, check, walk};
use super::replica::{Replica, Writer};
use crate::partition::entry::{
    Change, ChangeOwners, CopyLost, Fence, LoseCopies, ShowIncarnation, UpdateRefs,
};
use crate::partition::tests::owners::{command_fence, show};
use crate::partition::tests::rig::{MAIN, Rig, command, key, pack_on, update, with_pack};
use crate::partition::{OwnersAnswer, query};
use crate::service::upkeep::job::Job;
use crate::service::upkeep::nodes::Nodes;

const QUORUM: &str = "S19: W listed copies are there";
const HOLDS: &str = "S19: who is listed under its present start holds the copy";
const DELETED: &str = "S21: a node deletes only what a newer list does not give it";
const OLDER: &str = "S23: an older incarnation never becomes an owner";
const CLEARED: &str = "S20: a fenced node that was in no list comes into none";
const REPAIRED: &str = "S18: what lacks copies is on the repair list";

const SEGMENT: SegmentId = SegmentId([1; 16]);
const COPIES: u32 = 3;
const W: usize = 2;
/// How often a report arrives.
const REPORTS: u8 = 2;

/// How many disks are lost, one after the other, and steps from the first state: without losses
/// through all there is, and with them as far as time allows.
#[derive(Clone, Copy)]
struct Bounds {
    losses: u8,
    depth: usize,
}

const NONE: Bounds = Bounds { losses: 0, depth: 99 };
const TWO: Bounds = Bounds { losses: 2, depth: 12 };

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    Nothing,
    /// A change applies to whatever list there is.
    NumberUnread,
    /// Incarnations are not compared.
    OlderTaken,
    /// A start shows the number that was seen.
    SameNumber,
    /// A node deletes what any reading says is not its own, pulled or not.
    PullsUnread,
    /// A fence does not stand against changes.
    FenceUnread,
    /// A list from which a fence has stripped a node lets the others go all the same.
    StrippedAnyway,
    /// A loss is taken off whatever list there is.
    LossUnnumbered,
    /// A leader names nodes before they have made copies.
    CopiesUnmade,
    /// A leader asks for one owner only.
    OneIsEnough,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Node {
    id: u64,
    is_up: bool,
    has: bool,
    /// The list by which it was last told to pull.
    pulled: u64,
    /// The number of this start.
    number: u64,
}

/// What a leader has under way.
#[derive(Clone, Debug, Hash)]
struct Work {
    job: Job,
    /// Whether P0 was fenced when it looked.
    fenced: bool,
    wanted: Vec<NodeId>,
    pulled: Vec<(NodeId, Incarnation)>,
}

/// What a node has read of its copy, and not acted by yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Reading {
    owners: Vec<u64>,
    list: u64,
}

/// What the ring wants with and without P0: made once.
#[derive(Clone)]
struct Rings(Rc<[Nodes; 2]>);

impl Hash for Rings {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Rings {
    fn of(&self, fenced: bool) -> &Nodes {
        &self.0[usize::from(fenced)]
    }
}

/// Nodes are named by their places in the ring's order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Pull(usize),
    Propose(usize),
    LoseDisk(usize),
    Start(usize),
    /// It sees that it lacks what is listed for it.
    Report(usize),
    Arrive(usize, u64),
    Look(usize),
    Act(usize),
    Fence,
    Lift,
}

#[derive(Clone, Hash)]
struct Owners {
    wrong: Wrong,
    rings: Rings,
    replica: Replica,
    nodes: [Node; 4],
    work: [Option<Work>; 2],
    readings: BTreeMap<usize, Reading>,
    /// By node and list.
    reports: BTreeMap<(usize, u64), u8>,
    /// P0's.
    fence: u64,
    /// A reading under the fence that stands has found P0 in no list.
    is_clear: bool,
    /// How many may be lost yet.
    losses: u8,
}

fn layout() -> wire::Layout {
    let node = |id| wire::Node {
        id,
        roles: vec!["object".to_owned()],
        weight: 1,
        state: UP,
        in_ring: true,
        ..wire::Node::default()
    };
    wire::Layout {
        epoch: 1,
        replication_factor: COPIES,
        nodes: (1..=4).map(node).collect(),
        partitions: Vec::new(),
    }
}

impl Owners {
    fn new(wrong: Wrong, bounds: Bounds) -> Self {
        let ring = |fenced| Nodes::new(&layout(), fenced).expect("because nodes are there");
        let open = ring(BTreeSet::new());
        let mut order: Vec<u64> = open.wanted(SEGMENT, &[]).iter().map(|node| node.0).collect();
        order.extend((1..=4).filter(|id| !order.contains(id)).collect::<Vec<_>>());
        let rings = Rings(Rc::new([open, ring(BTreeSet::from([NodeId(order[0])]))]));
        let mut rig = Rig::new();
        let session = rig.open();
        order.iter().for_each(|node| show(&mut rig, *node, 1));
        let owners = [0, 1, 3].map(|place| (order[place], 1));
        let push = update(key(session, 1, 1), vec![command(MAIN, 0, 1)]);
        let push =
            with_pack(UpdateRefs { replication_factor: COPIES, ..push }, pack_on(1, &owners));
        rig.push(push);
        let nodes = [0, 1, 2, 3].map(|place: usize| {
            let id = order[place];
            Node { id, is_up: true, has: place != 2, pulled: 0, number: 1 }
        });
        let fence = 7;
        command_fence(&mut rig, fence_of(order[0], fence, false));
        Self {
            wrong,
            rings,
            replica: Replica::of(&rig),
            nodes,
            work: [None, None],
            readings: BTreeMap::new(),
            reports: BTreeMap::new(),
            fence,
            is_clear: false,
            losses: bounds.losses,
        }
    }

    fn listed(&self) -> Segment {
        let (_, pack) = query::listed_segment(&self.replica.rows, SEGMENT).unwrap().unwrap();
        pack.segments[0].clone()
    }

    fn is_fenced(&self) -> bool {
        query::fence(&self.replica.rows, NodeId(self.nodes[0].id)).unwrap() > 0
    }

    fn place(&self, node: NodeId) -> usize {
        self.nodes.iter().position(|each| each.id == node.0).expect("because there are four")
    }

    /// Places of the listed owners that hold the segment.
    fn held(&self, listed: &Segment) -> usize {
        self.nodes.iter().filter(|node| node.has && listed.owners.contains(&node.id)).count()
    }

    /// Whether a disk may be lost, so that there is one loss at a time.
    fn may_lose(&self) -> bool {
        let acks = self.work.iter().flatten().flat_map(|work| &work.pulled);
        let mut acks = acks.map(|(node, number)| (self.nodes[self.place(*node)], number.0));
        self.losses > 0
            && self.held(&self.listed()) == COPIES as usize
            && self.nodes.iter().all(|node| node.is_up)
            && self.reports.keys().all(|(_, list)| *list != self.listed().list_number)
            && acks.all(|(node, number)| node.has && node.number == number)
    }

    fn read(&mut self, slot: usize) {
        let (_, pack) = query::listed_segment(&self.replica.rows, SEGMENT).unwrap().unwrap();
        let job = Job::of(&pack, SEGMENT).expect("because it has owners");
        let fenced = self.is_fenced();
        let wanted = self.rings.of(fenced).wanted(SEGMENT, &job.nodes());
        let mut pulled = Vec::new();
        if self.wrong == Wrong::CopiesUnmade {
            let number = |node: &NodeId| Incarnation(self.nodes[self.place(*node)].number);
            pulled.extend(wanted.iter().map(|node| (*node, number(node))));
        }
        self.work[slot] = Some(Work { job, fenced, wanted, pulled });
    }

    /// The next node that is to have a copy is asked for it.
    fn pull(&mut self, slot: usize, seen: &mut Seen) {
        let Some(work) = &mut self.work[slot] else { return };
        let node = work.wanted.remove(0);
        let (list, owners) = (work.job.list, work.job.nodes());
        let place = self.place(node);
        let has_source = owners.iter().any(|owner| {
            let source = self.nodes[self.place(*owner)];
            *owner != node && source.is_up && source.has
        });
        let copier = &mut self.nodes[place];
        if !copier.is_up || !(copier.has || has_source) {
            seen.note("no copy could be made");
            return;
        }
        (copier.has, copier.pulled) = (true, copier.pulled.max(list));
        let ack = (node, Incarnation(copier.number));
        seen.note("a copy was made");
        self.work[slot].as_mut().expect("because it is there").pulled.push(ack);
    }

    fn propose(&mut self, slot: usize, seen: &mut Seen) -> Result<(), Broken> {
        let Some(work) = self.work[slot].take() else { return Ok(()) };
        let change = work.job.change(self.rings.of(work.fenced), work.pulled);
        let Some(mut change) = change else { return Ok(()) };
        let before = self.listed();
        match self.wrong {
            Wrong::NumberUnread => change.list_number = before.list_number,
            Wrong::OneIsEnough => change = one_of(change),
            Wrong::StrippedAnyway if self.is_fenced() => {
                let is_new = !before.owners.contains(&self.nodes[0].id);
                change = without(change, self.nodes[0].id, is_new);
            }
            _ => {}
        }
        let hidden = match self.wrong {
            Wrong::OlderTaken => Some(b'i'),
            Wrong::FenceUnread => Some(b'f'),
            _ => None,
        };
        let view = move |key: &[u8], row| (Some(key[0]) != hidden).then_some(row);
        let answer = self.replica.apply_through(Change::ChangeOwners(change), &view);
        if !OwnersAnswer::decode(answer).unwrap().changed {
            seen.note("a change was refused");
            return Ok(());
        }
        seen.note("a list was changed");
        let listed = self.listed();
        for (node, number) in listed.owners.iter().zip(&listed.incarnations) {
            let shown = query::incarnation(&self.replica.rows, NodeId(*node)).unwrap();
            let is_new = !before.owners.contains(node);
            check(OLDER, !is_new || *number >= shown, || format!("{node}: {number} < {shown}"))?;
        }
        Ok(())
    }

    fn start(&mut self, place: usize) {
        let node = self.nodes[place];
        let seen = query::incarnation(&self.replica.rows, NodeId(node.id)).unwrap();
        // The disk is empty.
        let number = if self.wrong == Wrong::SameNumber { seen } else { seen + 1 };
        let shown = ShowIncarnation { node: node.id, incarnation: number };
        self.replica.apply(Change::ShowIncarnation(shown));
        self.nodes[place] = Node { is_up: true, number, ..node };
    }

    fn arrive(&mut self, place: usize, list: u64, seen: &mut Seen) {
        match self.reports.remove(&(place, list)) {
            Some(left) if left > 1 => drop(self.reports.insert((place, list), left - 1)),
            _ => {}
        }
        let before = self.listed();
        let list_number =
            if self.wrong == Wrong::LossUnnumbered { before.list_number } else { list };
        let copy = CopyLost { segment_id: SEGMENT.0.to_vec().into(), list_number };
        let node = self.nodes[place].id;
        let lost = LoseCopies { node, copies: vec![copy], replication_factor: COPIES };
        self.replica.apply(Change::LoseCopies(lost));
        let changed = self.listed().list_number != before.list_number;
        seen.note(if changed { "a loss was noted" } else { "a loss was told too late" });
    }

    fn look(&mut self, place: usize) {
        let state = self.replica.state(SEGMENT.0[0], Writer::Push(0, 0));
        self.readings.insert(place, Reading { owners: state.owners, list: state.list_number });
    }

    fn act(&mut self, place: usize, seen: &mut Seen) -> Result<(), Broken> {
        let Some(Reading { owners, list }) = self.readings.remove(&place) else { return Ok(()) };
        let state =
            SegmentState { listed: true, owners, list_number: list, ..SegmentState::default() };
        let node = &mut self.nodes[place];
        let pulled = if self.wrong == Wrong::PullsUnread { 0 } else { node.pulled };
        if !node.has || judge(NodeId(node.id), pulled, &state) != Verdict::Unwanted {
            seen.note("a copy stays");
            return Ok(());
        }
        (node.has, node.pulled) = (false, 0);
        seen.note("a copy was deleted");
        let (id, owners) = (node.id, self.listed().owners);
        check(DELETED, !owners.contains(&id), || format!("node {id} by {state:?}: {owners:?}"))
    }

    fn set_fence(&mut self, lifted: bool) {
        self.fence += 1;
        let fence = fence_of(self.nodes[0].id, self.fence, lifted);
        self.replica.apply(Change::Fence(fence));
        self.is_clear = false;
    }

    fn check(&mut self, seen: &mut Seen) -> Result<(), Broken> {
        let listed = self.listed();
        let held = self.held(&listed);
        check(QUORUM, held >= W, || format!("{held} of {listed:?}, {:?}", self.nodes))?;
        for (owner, number) in listed.owners.iter().zip(&listed.incarnations) {
            let node = self.nodes[self.place(NodeId(*owner))];
            let lacks = node.is_up && node.number == *number && !node.has;
            check(HOLDS, !lacks, || format!("{node:?} in {listed:?}"))?;
        }
        let names_p0 = listed.owners.contains(&self.nodes[0].id);
        check(CLEARED, !(self.is_clear && names_p0), || format!("{listed:?}"))?;
        self.is_clear |= self.is_fenced() && !names_p0;
        if self.is_clear {
            seen.note("the fenced node is in no list");
        }
        let repairs = query::repairs_after(&self.replica.rows, None, 9).unwrap();
        let missing = repairs.first().map_or(0, |(_, row)| row.missing);
        let lacking = COPIES.saturating_sub(u32::try_from(listed.owners.len()).unwrap());
        check(REPAIRED, missing == lacking, || format!("{missing} of {lacking}"))
    }
}

fn fence_of(node: u64, number: u64, lifted: bool) -> Fence {
    Fence { node, number, lifted, ring: vec![1, 2, 3, 4], replication_factor: COPIES }
}

/// The first of the nodes alone.
fn one_of(mut change: ChangeOwners) -> ChangeOwners {
    change.owners.truncate(1);
    change.incarnations.truncate(1);
    ChangeOwners { replication_factor: 1, ..change }
}

/// Less `node`, if that `is_new` in the list.
fn without(mut change: ChangeOwners, node: u64, is_new: bool) -> ChangeOwners {
    let place = change.owners.iter().position(|owner| is_new && *owner == node);
    if let Some(place) = place {
        change.owners.remove(place);
        change.incarnations.remove(place);
    }
    change
}

impl World for Owners {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let listed = self.listed();
        let mut steps = Vec::new();
        for (slot, work) in self.work.iter().enumerate() {
            match work {
                // The second has begun before the first is done, or it is no other.
                None if slot == 0 || self.work[0].is_some() => steps.push(Step::Read(slot)),
                None => {}
                Some(work) if work.wanted.is_empty() || self.wrong == Wrong::CopiesUnmade => {
                    steps.push(Step::Propose(slot));
                }
                Some(_) => steps.push(Step::Pull(slot)),
            }
        }
        let may_lose = self.may_lose();
        for (place, node) in self.nodes.iter().enumerate() {
            let is_owner = listed.owners.contains(&node.id);
            if !node.is_up {
                steps.push(Step::Start(place));
                continue;
            }
            steps.extend((may_lose && place > 0 && node.has).then_some(Step::LoseDisk(place)));
            let is_told = self.reports.contains_key(&(place, listed.list_number));
            steps.extend((is_owner && !node.has && !is_told).then_some(Step::Report(place)));
            let is_read = self.readings.contains_key(&place);
            steps.extend((node.has && !is_owner && !is_read).then_some(Step::Look(place)));
        }
        steps.extend(self.readings.keys().map(|place| Step::Act(*place)));
        steps.extend(self.reports.keys().map(|(place, list)| Step::Arrive(*place, *list)));
        steps.extend((self.fence == 7).then_some(Step::Lift));
        steps.extend((self.fence == 8).then_some(Step::Fence));
        steps
    }

    fn take(&mut self, step: Step, seen: &mut Seen) -> Result<(), Broken> {
        match step {
            Step::Read(slot) => self.read(slot),
            Step::Pull(slot) => self.pull(slot, seen),
            Step::Propose(slot) => self.propose(slot, seen)?,
            Step::LoseDisk(place) => {
                self.losses -= 1;
                let node = &mut self.nodes[place];
                *node = Node { is_up: false, has: false, pulled: 0, ..*node };
                self.readings.remove(&place);
            }
            Step::Start(place) => self.start(place),
            Step::Report(place) => {
                self.reports.insert((place, self.listed().list_number), REPORTS);
            }
            Step::Arrive(place, list) => self.arrive(place, list, seen),
            Step::Look(place) => self.look(place),
            Step::Act(place) => self.act(place, seen)?,
            Step::Fence => self.set_fence(false),
            Step::Lift => self.set_fence(true),
        }
        self.check(seen)
    }
}

fn walk_with(wrong: Wrong, bounds: Bounds) -> Walked {
    walk("copies that move", Owners::new(wrong, bounds), bounds.depth)
}

#[test]
fn s19_to_s21_copies_move_while_a_node_leaves_and_comes_back_model() {
    let wanted = ["a list was changed", "a change was refused", "a copy was deleted"];
    walk_with(Wrong::Nothing, NONE).holds_wholly(1_000, &wanted);
}

#[test]
fn s18_to_s21_s23_copies_move_while_nodes_leave_and_disks_are_lost_model() {
    let wanted = [
        "a copy was made",
        "no copy could be made",
        "a change was refused",
        "a list was changed",
        "a loss was noted",
        "a loss was told too late",
        "a copy stays",
        "a copy was deleted",
        "the fenced node is in no list",
    ];
    walk_with(Wrong::Nothing, TWO).holds(40_000, &wanted);
}

#[test]
fn s19_the_model_of_owners_notices_a_late_change_or_one_without_copies() {
    walk_with(Wrong::NumberUnread, TWO).breaks(DELETED);
    walk_with(Wrong::CopiesUnmade, TWO).breaks(HOLDS);
    walk_with(Wrong::OneIsEnough, TWO).breaks(QUORUM);
}

#[test]
fn s19_s21_the_model_of_owners_notices_a_late_loss_and_a_late_deletion() {
    walk_with(Wrong::LossUnnumbered, TWO).breaks(QUORUM);
    walk_with(Wrong::PullsUnread, TWO).breaks(DELETED);
}

#[test]
fn s20_the_model_of_owners_notices_what_a_fence_does_not_hold() {
    walk_with(Wrong::FenceUnread, TWO).breaks(CLEARED);
    walk_with(Wrong::StrippedAnyway, TWO).breaks(QUORUM);
}

#[test]
fn s23_the_model_of_owners_notices_an_older_start() {
    walk_with(Wrong::OlderTaken, TWO).breaks(OLDER);
    walk_with(Wrong::SameNumber, TWO).breaks(HOLDS);
}
