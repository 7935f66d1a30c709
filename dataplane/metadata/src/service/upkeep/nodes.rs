//! Where copies of a segment belong: the ring's answer, and what to do while it does not hold.
//! Pure.

use std::collections::BTreeSet;

use gitstratum_client::cluster::ring_layout;
use gitstratum_core::{NodeId, SegmentId};
use gitstratum_hashring::{Key, Ring};
use gitstratum_proto::control::v1 as wire;
use gitstratum_proto::node_state;

/// The role of nodes that store segments.
const ROLE: &str = "object";

/// The nodes that store segments, as the control plane's layout and the partition's fences say.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    ring: Ring,
    /// Copies of each segment, when all is well.
    pub(super) copies: usize,
    /// Nodes of the layout from which no answer is expected.
    pub(super) down: BTreeSet<NodeId>,
    pub(super) fenced: BTreeSet<NodeId>,
}

impl Nodes {
    /// `None` when the layout makes no ring.
    pub(crate) fn new(layout: &wire::Layout, fenced: BTreeSet<NodeId>) -> Option<Self> {
        let copies = copies(layout)?;
        let chosen = stores(layout).filter(|node| node.in_ring);
        let chosen = chosen.filter(|node| !fenced.contains(&NodeId(node.id)));
        let ring = Ring::new(&ring_layout(layout, copies, chosen));
        Some(Self {
            ring: ring.ok()?,
            copies: usize::from(copies),
            down: stores(layout).filter(is_gone).map(|node| NodeId(node.id)).collect(),
            fenced,
        })
    }

    /// Ids of the layout's nodes that are in its ring, fenced or not.
    pub(in super::super) fn in_ring(layout: &wire::Layout) -> Vec<u64> {
        stores(layout).filter(|node| node.in_ring).map(|node| node.id).collect()
    }

    /// Nodes that are to get a copy of `segment`, which `owners` hold. One that the ring chooses
    /// and that is down is waited for only while there are copies enough without it.
    pub(crate) fn wanted(&self, segment: SegmentId, owners: &[NodeId]) -> Vec<NodeId> {
        let preference = self.preference(segment);
        let (ideal, others) = preference.split_at(self.copies.min(preference.len()));
        let free = |node: &&NodeId| !owners.contains(node) && !self.down.contains(node);
        let mut wanted: Vec<NodeId> = ideal.iter().filter(free).copied().collect();
        let staying = owners.iter().filter(|node| preference.contains(node)).count();
        let short = ideal.len().saturating_sub(staying + wanted.len());
        wanted.extend(others.iter().filter(free).take(short));
        wanted
    }

    /// The owner list that `held` makes: the ring's answer once all of it holds the segment and is
    /// up. Until then nobody is dropped but fenced nodes, and they only when the others that are
    /// up are as many as the ring has to offer: a copy on a node that is down may never be read
    /// again.
    pub(super) fn settled(&self, segment: SegmentId, held: &[NodeId]) -> Vec<NodeId> {
        let preference = self.preference(segment);
        let ideal = &preference[..self.copies.min(preference.len())];
        let lives = |node: &&NodeId| !self.down.contains(node);
        let is_there = |node: &NodeId| held.contains(node) && lives(&node);
        if ideal.len() == self.copies && ideal.iter().all(is_there) {
            return ideal.to_vec();
        }
        let (fenced, mut list): (Vec<NodeId>, Vec<NodeId>) =
            held.iter().copied().partition(|node| self.fenced.contains(node));
        list.sort_by_key(|node| preference.iter().position(|chosen| chosen == node).is_none());
        let lacking = ideal.len().max(1).saturating_sub(list.iter().filter(lives).count());
        list.extend(fenced.into_iter().take(lacking));
        list
    }

    /// Whether the list `owners` is as it should be, or nothing can be done about it now.
    pub(super) fn is_settled(&self, segment: SegmentId, owners: &[NodeId]) -> bool {
        let settled = self.settled(segment, owners);
        let same = settled.len() == owners.len() && settled.iter().all(|n| owners.contains(n));
        same && self.wanted(segment, owners).is_empty()
    }

    /// All nodes of the ring, in the order in which it chooses them for `segment`.
    fn preference(&self, segment: SegmentId) -> Vec<NodeId> {
        self.ring.owners(Key::of(&segment), self.ring.len())
    }
}

/// What of a layout [`Nodes`] are made of, and whether it might be worth trying again: not how
/// often a node has failed, or where partitions are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ground {
    epoch: u64,
    copies: u32,
    nodes: Vec<wire::Node>,
}

impl Ground {
    pub(super) fn new(layout: &wire::Layout) -> Self {
        let node = |node: &wire::Node| wire::Node {
            id: node.id,
            roles: node.roles.clone(),
            weight: node.weight,
            zone: node.zone.clone(),
            region: node.region.clone(),
            state: node.state,
            in_ring: node.in_ring,
            ..wire::Node::default()
        };
        let nodes = stores(layout).map(node).collect();
        Self { epoch: layout.epoch, copies: layout.replication_factor, nodes }
    }
}

/// Nodes whose copies cannot be read again, as far as the control plane knows: fenced, and down
/// or not in the layout any more.
#[derive(Clone, Debug)]
pub(in super::super) struct Lost {
    living: BTreeSet<NodeId>,
    fenced: BTreeSet<NodeId>,
}

impl Lost {
    /// `None` when the layout says nothing.
    pub(in super::super) fn new(layout: &wire::Layout, fenced: BTreeSet<NodeId>) -> Option<Self> {
        copies(layout)?;
        let living = stores(layout).filter(|node| !is_gone(node)).map(|node| NodeId(node.id));
        Some(Self { living: living.collect(), fenced })
    }

    /// Whether `node` is one of them.
    pub(in super::super) fn contains(&self, node: NodeId) -> bool {
        self.fenced.contains(&node) && !self.living.contains(&node)
    }
}

/// Copies of each segment; `None` when the layout says nothing, which is no reason to let
/// copies go.
fn copies(layout: &wire::Layout) -> Option<u8> {
    let copies = u8::try_from(layout.replication_factor).unwrap_or(u8::MAX);
    (copies > 0).then_some(copies)
}

fn stores(layout: &wire::Layout) -> impl Iterator<Item = &wire::Node> {
    layout.nodes.iter().filter(|node| node.roles.iter().any(|role| role == ROLE))
}

fn is_gone(node: &&wire::Node) -> bool {
    matches!(node.state, node_state::DOWN | node_state::REMOVED)
}

#[cfg(test)]
mod tests;
