//! Which deltas rest on which object, known before the deltas are resolved.

use std::ops::Range;

use gitstratum_core::ObjectId;

use super::EntryList;
use super::entries::NO_BASE;

/// The deltas of a pack by what they rest on: 4 bytes for a delta by distance,
/// an id and 4 bytes for a delta by id.
pub(super) struct DeltaChildren {
    /// Deltas by distance, sorted by (base, own ordinal).
    by_ordinal: Vec<u32>,
    /// Deltas by id, sorted by (base id, own ordinal).
    by_id: Vec<u32>,
    /// The base ids of `by_id`: the entry list forgets them as it is resolved.
    base_ids: Vec<u8>,
    id_len: usize,
}

/// The deltas on one object that were not taken yet.
#[derive(Clone, Debug)]
pub(super) struct Children {
    by_ordinal: Range<usize>,
    by_id: Range<usize>,
}

impl Children {
    pub(super) fn is_empty(&self) -> bool {
        self.by_ordinal.is_empty() && self.by_id.is_empty()
    }
}

impl DeltaChildren {
    pub(super) fn of(entries: &EntryList) -> Self {
        let mut by_ordinal = Vec::new();
        let mut by_id = Vec::new();
        for ordinal in entries.ordinals() {
            if entries.is_ref_delta(ordinal) {
                by_id.push(ordinal);
            } else if entries.base(ordinal) != NO_BASE {
                by_ordinal.push(ordinal);
            }
        }
        by_ordinal.sort_unstable_by_key(|ordinal| (entries.base(*ordinal), *ordinal));
        by_id.sort_by(|one, other| entries.id_bytes(*one).cmp(entries.id_bytes(*other)));
        let base_ids =
            by_id.iter().flat_map(|ordinal| entries.id_bytes(*ordinal)).copied().collect();
        Self { by_ordinal, by_id, base_ids, id_len: entries.format.id_len() }
    }

    /// The deltas on the object `id` at `ordinal`.
    pub(super) fn on(&self, entries: &EntryList, ordinal: u32, id: &ObjectId) -> Children {
        let start = self.first_on(entries, ordinal);
        let len = self.by_ordinal[start..].partition_point(|child| entries.base(*child) == ordinal);
        Children { by_ordinal: start..start + len, by_id: self.by_id_range(id) }
    }

    /// Whether a delta by distance rests on the entry.
    pub(super) fn has_on(&self, entries: &EntryList, ordinal: u32) -> bool {
        let first = self.by_ordinal.get(self.first_on(entries, ordinal));
        first.is_some_and(|child| entries.base(*child) == ordinal)
    }

    fn first_on(&self, entries: &EntryList, ordinal: u32) -> usize {
        // A resolved delta keeps the ordinal of its base, so the order stands.
        self.by_ordinal.partition_point(|child| entries.base(*child) < ordinal)
    }

    /// The deltas on an object outside the pack.
    pub(super) fn on_id(&self, id: &ObjectId) -> Children {
        Children { by_ordinal: 0..0, by_id: self.by_id_range(id) }
    }

    /// Takes the next delta.
    pub(super) fn take(&self, children: &mut Children) -> Option<u32> {
        if let Some(index) = children.by_ordinal.next() {
            return Some(self.by_ordinal[index]);
        }
        children.by_id.next().map(|index| self.by_id[index])
    }

    /// Number of deltas that name their base by id.
    pub(super) fn ids_len(&self) -> usize {
        self.by_id.len()
    }

    /// The delta by id at `index` of their order by base id, and its base's id.
    pub(super) fn nth_by_id(&self, index: usize) -> (&[u8], u32) {
        (self.base_id(index), self.by_id[index])
    }

    fn base_id(&self, index: usize) -> &[u8] {
        &self.base_ids[index * self.id_len..][..self.id_len]
    }

    fn by_id_range(&self, id: &ObjectId) -> Range<usize> {
        let start = self.lower_bound(0, |base| base < id.as_bytes());
        start..self.lower_bound(start, |base| base == id.as_bytes())
    }

    /// The first index at or after `start` whose base id does not satisfy
    /// `holds`, which holds for a prefix of them.
    fn lower_bound(&self, start: usize, holds: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (start, self.by_id.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.base_id(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
