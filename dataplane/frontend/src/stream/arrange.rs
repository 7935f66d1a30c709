use std::collections::{BTreeSet, HashMap, VecDeque};

use gitstratum_core::ObjectId;
use gitstratum_git::index::{Base, Record};
use gitstratum_git::part::Ordinal;
use roaring::RoaringBitmap;

use crate::plan::{PackEntries, Selection};

/// An entry's place in a selection: which pack, which entry.
pub(super) type Slot = (usize, Ordinal);

/// How each entry goes out.
pub(super) struct Arrangement {
    /// Objects whose delta base is not sent before them: encoded whole, and sent first, so
    /// that everything may rest on them.
    pub(super) encoded: VecDeque<Slot>,
    /// The same, of each pack.
    encoded_of: Vec<RoaringBitmap>,
    /// Where a delta base outside of its delta's pack is sent.
    outside: HashMap<ObjectId, Slot>,
}

impl Arrangement {
    /// Arranges a selection. Inside a pack deltas form no cycle, whatever their order;
    /// between packs a delta is copied only if its base goes out before (S26).
    pub(super) fn of(selection: &Selection) -> Self {
        let outside = outside_bases(selection);
        let mut arrangement = Self { encoded: VecDeque::new(), encoded_of: Vec::new(), outside };
        for (number, entries) in selection.packs.iter().enumerate() {
            let encoded = entries
                .records()
                .filter(|record| !arrangement.can_copy(number, entries, record))
                .map(|record| record.ordinal.0);
            let encoded: RoaringBitmap = encoded.collect();
            arrangement.encoded.extend(encoded.iter().map(|ordinal| (number, Ordinal(ordinal))));
            arrangement.encoded_of.push(encoded);
        }
        arrangement
    }

    /// Entries of pack `number` that are copied as they are stored.
    pub(super) fn copied(&self, number: usize, entries: &PackEntries) -> RoaringBitmap {
        &entries.ordinals - &self.encoded_of[number]
    }

    /// Where the base of a copied delta is sent; `None` for a whole object.
    pub(super) fn base(&self, slot: Slot, entries: &PackEntries, record: &Record) -> Option<Slot> {
        match record.base {
            Base::None => None,
            Base::Entry(ordinal) => Some((slot.0, ordinal)),
            Base::External(external) => {
                self.outside.get(&entries.index.external(external)?).copied()
            }
        }
    }

    fn can_copy(&self, number: usize, entries: &PackEntries, record: &Record) -> bool {
        match record.base {
            Base::None => true,
            Base::Entry(ordinal) => entries.has(ordinal),
            Base::External(_) => {
                let base = self.base((number, record.ordinal), entries, record);
                base.is_some_and(|(pack, _)| pack < number)
            }
        }
    }
}

/// Which of the bases outside of their deltas' packs are sent, and where.
fn outside_bases(selection: &Selection) -> HashMap<ObjectId, Slot> {
    let mut asked = BTreeSet::new();
    for entries in selection.packs.iter().filter(|entries| entries.pack.thin) {
        for record in entries.records() {
            if let Base::External(external) = record.base {
                asked.extend(entries.index.external(external));
            }
        }
    }
    let mut found = HashMap::new();
    for (number, entries) in selection.packs.iter().enumerate() {
        for id in &asked {
            if let Some(record) =
                entries.index.find(id).filter(|record| entries.has(record.ordinal))
            {
                found.insert(*id, (number, record.ordinal));
            }
        }
    }
    found
}
