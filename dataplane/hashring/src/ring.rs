use std::collections::BTreeMap;

use gitstratum_core::{Epoch, NodeId, SegmentId};
use sha2::{Digest, Sha256};

use crate::{Layout, LayoutError};

/// Points of one unit of weight (S48).
pub const POINTS_PER_WEIGHT: u32 = 1_024;
/// What every point's hash begins with (S48).
const POINT_DOMAIN: &[u8] = b"gs-ring-1";

/// Copies that must be durable before a write counts: ⌊RF/2⌋+1 (S19).
pub const fn write_quorum(replication_factor: u8) -> u8 {
    replication_factor / 2 + 1
}

/// A place on the ring: the first 8 bytes, big-endian, of a SHA-256 (S48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

impl Key {
    /// The key of a segment: of the hash of its 16 bytes.
    pub fn of(segment: &SegmentId) -> Self {
        Self::from_bytes(&segment.0)
    }

    /// The key of any other name, such as a pack cache key: of the hash of `name`.
    pub fn from_bytes(name: &[u8]) -> Self {
        Self(first_word(&Sha256::digest(name)))
    }

    /// Point `index` of `node`: of the hash of `gs-ring-1`, the node id as 8 bytes
    /// and the index as 4 bytes, both big-endian.
    fn of_point(node: NodeId, index: u32) -> Self {
        let hash = Sha256::new()
            .chain_update(POINT_DOMAIN)
            .chain_update(node.0.to_be_bytes())
            .chain_update(index.to_be_bytes())
            .finalize();
        Self(first_word(&hash))
    }
}

fn first_word(hash: &[u8]) -> u64 {
    let word = hash.first_chunk().expect("because a SHA-256 has 32 bytes");
    u64::from_be_bytes(*word)
}

/// The points of a layout's chosen nodes in ring order. Derived, never stored.
#[derive(Clone, Debug)]
pub struct Ring {
    epoch: Epoch,
    replication_factor: u8,
    /// Ordered by key, then by node id should two points ever be equal.
    points: Vec<(Key, NodeIndex)>,
    /// Ordered by id.
    members: Vec<Member>,
    zone_count: usize,
}

type NodeIndex = u32;

#[derive(Clone, Debug)]
struct Member {
    id: NodeId,
    zone: usize,
    weight: u16,
}

impl Ring {
    /// The ring of the layout's active nodes that have weight.
    ///
    /// # Errors
    /// As [`Layout::validate`].
    pub fn new(layout: &Layout) -> Result<Self, LayoutError> {
        layout.validate()?;
        let mut chosen: Vec<_> =
            layout.nodes.iter().filter(|node| node.state.is_chosen() && node.weight > 0).collect();
        chosen.sort_by_key(|node| node.id);
        let mut zones = BTreeMap::new();
        let (mut members, mut points) = (Vec::with_capacity(chosen.len()), Vec::new());
        for (index, node) in (0..).zip(chosen) {
            let next_zone = zones.len();
            let zone = *zones.entry(node.zone.as_str()).or_insert(next_zone);
            members.push(Member { id: node.id, zone, weight: node.weight });
            let count = u32::from(node.weight) * POINTS_PER_WEIGHT;
            points.extend((0..count).map(|point| (Key::of_point(node.id, point), index)));
        }
        points.sort_unstable();
        Ok(Self {
            epoch: layout.epoch,
            replication_factor: layout.replication_factor,
            points,
            members,
            zone_count: zones.len(),
        })
    }

    /// The layout that this ring follows.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Copies that a segment has when all is well (RF), however few nodes there are.
    pub const fn replication_factor(&self) -> u8 {
        self.replication_factor
    }

    /// Nodes on the ring.
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no node is on the ring.
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The nodes on the ring in order of their ids, each with the number of its points.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, u32)> {
        self.members.iter().map(|member| (member.id, u32::from(member.weight) * POINTS_PER_WEIGHT))
    }

    /// Every point.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.points.iter().map(|(key, _)| *key)
    }

    /// The first `count` owners of `key`, best first; fewer when the ring has fewer
    /// nodes. Clockwise from the key, skipping nodes taken and, while others remain,
    /// zones taken; once every zone is taken the skipped nodes follow, again in
    /// clockwise order from the key.
    pub fn owners(&self, key: Key, count: usize) -> Vec<NodeId> {
        let count = count.min(self.members.len());
        let mut walk = Walk::new(self);
        for (_, index) in self.clockwise_from(key) {
            if walk.has_enough_for(count) {
                break;
            }
            walk.meet(*index as usize);
        }
        walk.finish(count)
    }

    /// Every point once, beginning with the first at or after `key`, over the end
    /// of the ring to its beginning.
    fn clockwise_from(&self, key: Key) -> impl Iterator<Item = &(Key, NodeIndex)> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before)
    }
}

/// The nodes met so far, going clockwise.
struct Walk<'a> {
    ring: &'a Ring,
    is_met: Vec<bool>,
    is_zone_taken: Vec<bool>,
    /// The first node of each zone.
    taken: Vec<NodeId>,
    /// Nodes of zones taken before.
    skipped: Vec<NodeId>,
}

impl<'a> Walk<'a> {
    fn new(ring: &'a Ring) -> Self {
        Self {
            ring,
            is_met: vec![false; ring.members.len()],
            is_zone_taken: vec![false; ring.zone_count],
            taken: Vec::new(),
            skipped: Vec::new(),
        }
    }

    fn has_enough_for(&self, count: usize) -> bool {
        let met = self.taken.len() + self.skipped.len();
        let no_other_zone = self.taken.len() == self.ring.zone_count;
        self.taken.len() >= count || (no_other_zone && met >= count)
    }

    fn meet(&mut self, index: usize) {
        if std::mem::replace(&mut self.is_met[index], true) {
            return;
        }
        let member = &self.ring.members[index];
        if std::mem::replace(&mut self.is_zone_taken[member.zone], true) {
            self.skipped.push(member.id);
        } else {
            self.taken.push(member.id);
        }
    }

    fn finish(self, count: usize) -> Vec<NodeId> {
        self.taken.into_iter().chain(self.skipped).take(count).collect()
    }
}

#[cfg(test)]
mod tests;
