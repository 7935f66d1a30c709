use gitstratum_core::{Epoch, NodeId, ProcessRole};
use gitstratum_hashring::write_quorum;

use super::cluster::VOTERS_MAX;
use super::{Desk, Plan};
use crate::command::RemoveNode;
use crate::outcome::Reply;
use crate::record::{Layout, Node, NodeState, Placement};
use crate::state::Mutation;
use crate::{Refusal, Subject, Verb};

/// What to do where a change would leave too few nodes.
const ADD_FIRST: &str = "add an object node first (`gitstratum rebalance start` lets new ones in)";

/// The same where votes have nowhere to go.
const ADD_VOTER: &str = "add a metadata node first (`gitstratum metadata --config FILE`)";
/// What becomes of the votes of a node that leaves.
const VOTES_MOVE: &str =
    "they move while three others can vote: add one (`gitstratum metadata --config FILE`)";

/// Lets new segments go to a node (GS-CP-11).
pub(super) fn enter(desk: &Desk<'_>, id: NodeId) -> Result<Plan, Refusal> {
    let old = managed(desk, id)?;
    if old.in_ring {
        return Ok(Plan::unchanged(Reply::Node(id)));
    }
    require_object(old)?;
    if old.is_draining {
        return Err(Refusal::Unsafe {
            problem: format!("node {id} is being emptied"),
            remedy: "`gitstratum node undrain` takes that back",
        });
    }
    if old.state != NodeState::Up {
        return Err(Refusal::Unsafe {
            problem: format!("node {id} is {}", old.state.as_str()),
            remedy: "only a node that is up can take segments",
        });
    }
    let new = Node { in_ring: true, version: desk.at.stamp(), ..old.clone() };
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(new), relaid(desk, |_| {})]))
}

/// Takes a node out of the ring and away from the lead of partitions, to be emptied (S20); its
/// control plane gives its vote to another, as soon as there is one (GS-CP-36).
pub(super) fn drain(desk: &Desk<'_>, id: NodeId) -> Result<Plan, Refusal> {
    let old = managed(desk, id)?;
    if old.is_draining {
        return Ok(Plan::unchanged(Reply::Node(id)));
    }
    check_can_leave(desk, old)?;
    let new = Node { in_ring: false, is_draining: true, ..fenced(desk, old) };
    let relaid = relaid(desk, |placement| pass_lead(desk, placement, id));
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(new), relaid]))
}

/// Whether what the node has can go elsewhere. Votes of one that has more than those stay with it
/// until others are there.
fn check_can_leave(desk: &Desk<'_>, node: &Node) -> Result<(), Refusal> {
    let id = node.id;
    if stores(node) {
        return require_quorum_without(desk, id, "drain");
    }
    if node.roles.contains(&ProcessRole::Control) {
        return Ok(());
    }
    if !node.roles.contains(&ProcessRole::Metadata) {
        return Err(Refusal::Unsafe {
            problem: format!("node {id} stores no segments"),
            remedy: "nothing has to leave it: `gitstratum node remove` takes it out",
        });
    }
    let takes_votes = |other: &&Node| {
        let is_metadata = other.roles.contains(&ProcessRole::Metadata);
        other.id != id && is_metadata && other.state == NodeState::Up && !other.is_draining
    };
    let others = desk.state.nodes.values().filter(takes_votes).count();
    if others >= VOTERS_MAX || votes(desk, id) == 0 {
        return Ok(());
    }
    Err(Refusal::Unsafe {
        problem: format!(
            "drain of node {id} would leave {others} metadata nodes that are up; a partition has \
             {VOTERS_MAX} voters"
        ),
        remedy: ADD_VOTER,
    })
}

/// Lets a node that was being emptied take segments again.
pub(super) fn undrain(desk: &Desk<'_>, id: NodeId) -> Result<Plan, Refusal> {
    let old = managed(desk, id)?;
    if !old.is_draining {
        return Ok(Plan::unchanged(Reply::Node(id)));
    }
    let new = Node { in_ring: stores(old), is_draining: false, ..fenced(desk, old) };
    let relaid = relaid(desk, |placement| take_lead(placement, id));
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(new), relaid]))
}

/// A node is gone for good. Whether anything is left on it is the proposer's to know, who
/// names the fence under which it was found empty; so is whether it votes in the control plane.
pub(super) fn remove(desk: &Desk<'_>, remove: &RemoveNode) -> Result<Plan, Refusal> {
    let id = NodeId(remove.id);
    let old = managed(desk, id)?;
    let has_segments = stores(old);
    let votes = votes(desk, id);
    let leaves_something = has_segments || old.roles.contains(&ProcessRole::Control) || votes > 0;
    if leaves_something && !old.is_draining {
        return Err(Refusal::Unsafe {
            problem: format!("node {id} has not been drained"),
            remedy: "`gitstratum node drain` empties it",
        });
    }
    if votes > 0 {
        return Err(Refusal::Unsafe {
            problem: format!("node {id} is a voter of {votes} partitions"),
            remedy: VOTES_MOVE,
        });
    }
    if has_segments && remove.fence != old.fence {
        return Err(Refusal::Stale { what: "the node's fence", known: old.fence });
    }
    let (state, since, version) = (NodeState::Removed, desk.at.wall, desk.at.stamp());
    let new = Node { state, since, is_draining: false, version, ..old.clone() };
    Ok(Plan::new(Reply::Node(id), vec![Mutation::PutNode(new), relaid(desk, |_| {})]))
}

/// The node, about to be fenced or freed under the number of this command.
fn fenced(desk: &Desk<'_>, old: &Node) -> Node {
    let (version, since) = (desk.at.stamp(), desk.at.wall);
    Node { fence: version.0, version, since, ..old.clone() }
}

/// The node, if the asker may manage it and it is still one.
fn managed<'a>(desk: &Desk<'a>, id: NodeId) -> Result<&'a Node, Refusal> {
    desk.require(Verb::Manage, Subject::Cluster)?;
    let node = desk.state.node(id).filter(|node| node.state != NodeState::Removed);
    node.ok_or_else(|| Refusal::missing("node", id.to_string()))
}

/// In how many partitions the layout has it vote.
fn votes(desk: &Desk<'_>, id: NodeId) -> usize {
    let places = desk.state.layout.partitions.iter();
    places.filter(|place| place.voters.contains(&id)).count()
}

fn stores(node: &Node) -> bool {
    node.roles.contains(&ProcessRole::Object)
}

fn require_object(node: &Node) -> Result<(), Refusal> {
    if stores(node) {
        return Ok(());
    }
    Err(Refusal::Unsafe {
        problem: format!("node {} stores no segments", node.id),
        remedy: "only object nodes are in the ring",
    })
}

/// A segment needs W owners that are chosen by the ring (S20).
fn require_quorum_without(desk: &Desk<'_>, id: NodeId, verb: &str) -> Result<(), Refusal> {
    let quorum = usize::from(write_quorum(desk.state.layout.replication_factor));
    let rest = desk.state.nodes.values().filter(|node| node.in_ring && node.id != id);
    let (alive, rest) = rest.fold((0, 0), |(alive, rest), node| {
        (alive + usize::from(node.state == NodeState::Up), rest + 1)
    });
    if alive >= quorum {
        return Ok(());
    }
    let problem = format!(
        "{verb} of node {id} would leave {rest} object nodes in the ring, {alive} of them up; \
         a push needs {quorum}"
    );
    Err(Refusal::Unsafe { problem, remedy: ADD_FIRST })
}

/// The layout under its next number (GS-CP-11), its placements changed.
pub(super) fn relaid(desk: &Desk<'_>, change: impl Fn(&mut Placement)) -> Mutation {
    let mut layout: Layout = desk.state.layout.clone();
    layout.epoch = Epoch(layout.epoch.0 + 1);
    layout.version = desk.at.stamp();
    layout.partitions.iter_mut().for_each(change);
    Mutation::PutLayout(layout)
}

/// Lets another voter lead where `id` should: by turns, so that they share what it led.
fn pass_lead(desk: &Desk<'_>, placement: &mut Placement, id: NodeId) {
    if placement.preferred_leader != id {
        return;
    }
    let is_fit = |voter: &&NodeId| {
        let node = desk.state.nodes.get(*voter);
        **voter != id && node.is_some_and(|node| !node.is_draining && node.state == NodeState::Up)
    };
    let turn = usize::try_from(placement.partition.0).expect("because a u32 fits a usize here");
    let others: Vec<NodeId> = placement.voters.iter().filter(is_fit).copied().collect();
    if !others.is_empty() {
        placement.preferred_leader = others[turn % others.len()];
    }
}

/// Gives `id` the lead back where it is the first of the voters, as at the founding.
fn take_lead(placement: &mut Placement, id: NodeId) {
    if placement.voters.first() == Some(&id) {
        placement.preferred_leader = id;
    }
}
