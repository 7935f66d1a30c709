//! Who votes in the partitions (S39): which vote goes where next. Pure. Votes leave nodes that are
//! being emptied, then the load is evened out; a node that is down keeps its votes, for it may hold
//! what was acknowledged. One move of a node at a time.

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{NodeId, PartitionId, ProcessRole};
use gitstratum_state::State;
use gitstratum_state::command::PlacePartition;
use gitstratum_state::record::{Node, NodeState, Placement};

/// A node that has metadata, and is not gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) node: NodeId,
    pub(crate) zone: String,
    pub(crate) is_up: bool,
    pub(crate) is_leaving: bool,
}

/// What a partition's leader says of its voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) voters: BTreeSet<NodeId>,
    /// They are committed, and no change of them is under way.
    pub(crate) is_settled: bool,
}

/// Everything that a move follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    pub(crate) seats: Vec<Seat>,
    pub(crate) places: Vec<Placement>,
    /// Number of the layout.
    pub(crate) epoch: u64,
}

impl Ground {
    /// As the state has it.
    pub(crate) fn of(state: &State) -> Self {
        let has_metadata = |node: &&Node| {
            node.roles.contains(&ProcessRole::Metadata) && node.state != NodeState::Removed
        };
        let seat = |node: &Node| Seat {
            node: node.id,
            zone: node.zone.clone(),
            is_up: node.state == NodeState::Up,
            is_leaving: node.is_draining,
        };
        let layout = state.layout();
        Self {
            seats: state.nodes().filter(has_metadata).map(seat).collect(),
            places: layout.partitions.clone(),
            epoch: layout.epoch.0,
        }
    }

    /// The standing that there would be if every group were as the layout says.
    pub(crate) fn settled(&self) -> BTreeMap<PartitionId, Standing> {
        let standing = |place: &Placement| {
            let voters = place.voters.iter().copied().collect();
            (place.partition, Standing { voters, is_settled: true })
        };
        self.places.iter().map(standing).collect()
    }

    /// The next change of the layout; `None` when all is as it should be, or has to wait for
    /// moves that are under way.
    pub(crate) fn next(
        &self,
        standings: &BTreeMap<PartitionId, Standing>,
    ) -> Option<PlacePartition> {
        let view = View::new(self, standings);
        let moved = || view.emptied().or_else(|| view.evened()).or_else(|| view.led());
        view.followed().or_else(moved).map(|placed| PlacePartition {
            partition: placed.partition.0,
            voters: placed.voters.iter().map(|voter| voter.0).collect(),
            preferred_leader: placed.preferred_leader.0,
            epoch: self.epoch,
            is_followed: view.settled.contains(&placed.partition),
        })
    }
}

/// The ground, and what is under way on it.
struct View<'a> {
    ground: &'a Ground,
    /// Partitions whose group is as the layout says.
    settled: BTreeSet<PartitionId>,
    /// Nodes that are coming into a group or going out of one.
    moving: BTreeSet<NodeId>,
    /// Who never came into a group, and is being emptied: it may never come.
    given_up: BTreeMap<PartitionId, GivenUp>,
    votes: BTreeMap<NodeId, usize>,
    leads: BTreeMap<NodeId, usize>,
}

/// A move that will not be made.
struct GivenUp {
    /// Who was to come.
    node: NodeId,
    /// Who was to leave, and votes as ever.
    stays: BTreeSet<NodeId>,
}

impl<'a> View<'a> {
    fn new(ground: &'a Ground, standings: &BTreeMap<PartitionId, Standing>) -> Self {
        let (mut settled, mut moving) = (BTreeSet::new(), BTreeSet::<NodeId>::new());
        let mut given_up = BTreeMap::new();
        let is_leaving =
            |node: &NodeId| ground.seats.iter().any(|seat| seat.node == *node && seat.is_leaving);
        for place in &ground.places {
            let voters: BTreeSet<NodeId> = place.voters.iter().copied().collect();
            match standings.get(&place.partition) {
                Some(found) if found.is_settled && found.voters == voters => {
                    settled.insert(place.partition);
                }
                Some(found) if found.is_settled => {
                    let mut missing = voters.difference(&found.voters).copied();
                    let stays = || found.voters.difference(&voters).copied().collect();
                    let given = |node| (place.partition, GivenUp { node, stays: stays() });
                    given_up.extend(missing.find(is_leaving).map(given));
                    moving.extend(found.voters.symmetric_difference(&voters));
                }
                // Who comes and who goes is not known.
                Some(found) => moving.extend(found.voters.union(&voters).chain(&place.leaving)),
                None => moving.extend(voters.iter().chain(&place.leaving)),
            }
        }
        let (mut votes, mut leads) = (BTreeMap::new(), BTreeMap::new());
        for place in &ground.places {
            *leads.entry(place.preferred_leader).or_default() += 1;
            for voter in &place.voters {
                *votes.entry(*voter).or_default() += 1;
            }
        }
        Self { ground, settled, moving, given_up, votes, leads }
    }

    /// A group that votes as the layout says: who left need not be asked any more.
    fn followed(&self) -> Option<Placement> {
        self.places().find(|place| !place.leaving.is_empty()).cloned()
    }

    /// Votes of nodes that are being emptied go elsewhere. Where there are two, a third comes first:
    /// another pair would be no better off (S39).
    fn emptied(&self) -> Option<Placement> {
        let given_up = self.ground.places.iter().find_map(|place| {
            let given_up = self.given_up.get(&place.partition)?;
            let from = given_up.node;
            // Best is what the group has already.
            let back = given_up.stays.iter().copied().find(|node| self.may_stay(*node));
            let to = back.or_else(|| self.newcomer(place, Some(from)))?;
            self.replaced(place, from, to)
        });
        given_up.or_else(|| self.vacated())
    }

    /// Whether the node is up and not being emptied.
    fn may_stay(&self, node: NodeId) -> bool {
        self.seat(node).is_some_and(|seat| seat.is_up && !seat.is_leaving)
    }

    fn vacated(&self) -> Option<Placement> {
        self.places().find_map(|place| {
            if place.voters.len().is_multiple_of(2) {
                let mut grown = place.clone();
                grown.voters.push(self.newcomer(place, None)?);
                return Some(grown);
            }
            let from = self.leaving(place)?;
            self.replaced(place, from, self.newcomer(place, Some(from))?)
        })
    }

    /// A vote of the node with most goes to the one with fewest, if that makes a difference.
    fn evened(&self) -> Option<Placement> {
        let mut from: Vec<NodeId> = self.free().collect();
        from.sort_by_key(|node| std::cmp::Reverse(self.votes(*node)));
        let mut to = from.clone();
        to.reverse();
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let mut uneven = pairs.filter(|(from, to)| self.votes(*from) > self.votes(*to) + 1);
        uneven.find_map(|(from, to)| {
            let is_odd = |place: &&Placement| !place.voters.len().is_multiple_of(2);
            let may = |place: &&Placement| {
                place.voters.contains(&from)
                    && !place.voters.contains(&to)
                    && self.crowd(place, Some(from), to) <= self.crowd(place, Some(from), from)
            };
            // Whoever should lead stays, if another vote will do.
            let mut may: Vec<&Placement> = self.places().filter(is_odd).filter(may).collect();
            may.sort_by_key(|place| place.preferred_leader == from);
            may.first().and_then(|place| self.replaced(place, from, to))
        })
    }

    /// The lead goes from who has most of it to who has least, among the voters.
    fn led(&self) -> Option<Placement> {
        self.places().find_map(|place| {
            let is_fit = |node: &&NodeId| self.free().any(|free| free == **node);
            let voters = place.voters.iter().filter(is_fit);
            let least = voters.min_by_key(|node| (self.leads(**node), **node))?;
            let is_less = self.leads(*least) + 1 < self.leads(place.preferred_leader);
            is_less.then(|| Placement { preferred_leader: *least, ..place.clone() })
        })
    }

    /// Partitions that can be changed now: none of their voters is known to come or go.
    fn places(&self) -> impl Iterator<Item = &'a Placement> {
        self.ground.places.iter().filter(|place| self.settled.contains(&place.partition))
    }

    /// Nodes that may get a vote now, or give one away.
    fn free(&self) -> impl Iterator<Item = NodeId> {
        let is_free =
            |seat: &&Seat| seat.is_up && !seat.is_leaving && !self.moving.contains(&seat.node);
        self.ground.seats.iter().filter(is_free).map(|seat| seat.node)
    }

    /// A voter that is being emptied.
    fn leaving(&self, place: &Placement) -> Option<NodeId> {
        let leaves = |node: &&NodeId| self.seat(**node).is_some_and(|seat| seat.is_leaving);
        let mut leaving = place.voters.iter().filter(leaves);
        leaving.find(|node| !self.moving.contains(*node)).copied()
    }

    /// Who should vote in place of `from`: zones spread, load evened.
    fn newcomer(&self, place: &Placement, from: Option<NodeId>) -> Option<NodeId> {
        let new = self.free().filter(|node| !place.voters.contains(node));
        new.min_by_key(|node| (self.crowd(place, from, *node), self.votes(*node), *node))
    }

    fn replaced(&self, place: &Placement, from: NodeId, to: NodeId) -> Option<Placement> {
        let at = place.voters.iter().position(|voter| *voter == from)?;
        let mut placed = place.clone();
        placed.voters[at] = to;
        if placed.preferred_leader == from {
            let fit = placed.voters.iter().filter(|node| self.may_stay(**node));
            placed.preferred_leader = *fit.min_by_key(|node| (self.leads(**node), **node))?;
        }
        Some(placed)
    }

    /// How many voters beside `from` are in the zone of `node`; who names none is in a zone of its
    /// own.
    fn crowd(&self, place: &Placement, from: Option<NodeId>, node: NodeId) -> usize {
        let zone = |node: NodeId| {
            self.seat(node).map(|seat| seat.zone.as_str()).filter(|zone| !zone.is_empty())
        };
        let Some(own) = zone(node) else { return 0 };
        let others = place.voters.iter().filter(|voter| Some(**voter) != from && **voter != node);
        others.filter(|voter| zone(**voter) == Some(own)).count()
    }

    fn votes(&self, node: NodeId) -> usize {
        self.votes.get(&node).copied().unwrap_or_default()
    }

    fn leads(&self, node: NodeId) -> usize {
        self.leads.get(&node).copied().unwrap_or_default()
    }

    fn seat(&self, node: NodeId) -> Option<&Seat> {
        self.ground.seats.iter().find(|seat| seat.node == node)
    }
}

#[cfg(test)]
mod tests;
