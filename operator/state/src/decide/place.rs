use std::collections::BTreeSet;

use gitstratum_core::{Epoch, NodeId, PartitionId, ProcessRole};

use super::ring::relaid;
use super::{Desk, Plan};
use crate::Refusal;
use crate::command::PlacePartition;
use crate::outcome::Reply;
use crate::record::{Node, NodeState, Placement};

/// Names a partition's voters anew (S39): by one step that its group can make at once, from the
/// layout as it is. Who leaves may be down; who comes is up and is to stay.
pub(super) fn place(desk: &Desk<'_>, place: &PlacePartition) -> Result<Plan, Refusal> {
    desk.require_system()?;
    let layout = &desk.state.layout;
    if place.epoch != layout.epoch.0 {
        return Err(Refusal::Stale { what: "the layout's epoch", known: layout.epoch.0 });
    }
    let partition = PartitionId(place.partition);
    let old = layout.partitions.iter().find(|old| old.partition == partition);
    let old = old.ok_or_else(|| Refusal::missing("partition", partition.to_string()))?;
    let placed = old.placed(place)?;
    for new in placed.voters.iter().filter(|voter| !old.voters.contains(voter)) {
        check_fit(desk.state.node(*new), *new)?;
    }
    let relaid = relaid(desk, |old| {
        if old.partition == partition {
            *old = placed.clone();
        }
    });
    Ok(Plan::new(Reply::Done, vec![relaid]))
}

impl Placement {
    /// What becomes of it by `place`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for what the group cannot do in one step.
    pub fn placed(&self, place: &PlacePartition) -> Result<Self, Refusal> {
        let voters: Vec<NodeId> = place.voters.iter().copied().map(NodeId).collect();
        check_step(self, &voters)?;
        let preferred_leader = NodeId(place.preferred_leader);
        if !voters.contains(&preferred_leader) {
            return Err(Refusal::invalid("preferred leader", "is no voter"));
        }
        // A group that has not followed yet may be that of any layout since it did.
        let before = if place.is_followed { &[][..] } else { &self.leaving };
        let before: BTreeSet<NodeId> = before.iter().chain(&self.voters).copied().collect();
        let leaving = before.into_iter().filter(|node| !voters.contains(node)).collect();
        let epoch = Epoch(place.epoch + 1);
        Ok(Self { partition: self.partition, voters, preferred_leader, epoch, leaving })
    }
}

/// One in and one out at most, never fewer, and an odd number: an even one bears no more losses
/// than the odd one below it.
fn check_step(old: &Placement, voters: &[NodeId]) -> Result<(), Refusal> {
    let fail = |problem: &str| Err(Refusal::invalid("voters", problem));
    let new: BTreeSet<&NodeId> = voters.iter().collect();
    let before: BTreeSet<&NodeId> = old.voters.iter().collect();
    if new.len() != voters.len() {
        return fail("name a node twice");
    }
    if new.len() < old.voters.len() {
        return fail("are fewer than before");
    }
    if new != before && new.len().is_multiple_of(2) {
        return fail("are an even number");
    }
    if new.difference(&before).count() > 1 || before.difference(&new).count() > 1 {
        return fail("differ by more than one node");
    }
    Ok(())
}

fn check_fit(node: Option<&Node>, id: NodeId) -> Result<(), Refusal> {
    let is_metadata = |node: &&Node| node.roles.contains(&ProcessRole::Metadata);
    let node = node.filter(is_metadata).filter(|node| node.state != NodeState::Removed);
    let node = node.ok_or_else(|| Refusal::missing("metadata node", id.to_string()))?;
    if node.state == NodeState::Up && !node.is_draining {
        return Ok(());
    }
    Err(Refusal::Unsafe {
        problem: format!("node {id} is not up, or is being emptied"),
        remedy: "only a node that is up and is to stay gets a vote",
    })
}
