use std::collections::{BTreeSet, HashMap, HashSet};

use gitstratum_client::objects::Location;
use gitstratum_core::ObjectId;
use gitstratum_git::index::{Base, Record};
use gitstratum_git::part::Ordinal;

use crate::plan::{PackEntries, Selection};

/// An entry's place in a selection: which pack, which entry.
pub(super) type Slot = (usize, Ordinal);

/// How each entry goes out.
pub(super) struct Arrangement {
    /// Objects whose delta base is not sent before them: encoded whole, and sent first, so
    /// that everything may rest on them.
    pub(super) encoded: Vec<Location>,
    encoded_slots: HashSet<Slot>,
    /// Where a delta base outside of its delta's pack is sent.
    outside: HashMap<ObjectId, Slot>,
}

impl Arrangement {
    /// Arranges a selection. Inside a pack deltas form no cycle, whatever their order;
    /// between packs a delta is copied only if its base goes out before (S26).
    pub(super) fn of(selection: &Selection) -> Self {
        let outside = outside_bases(selection);
        let mut arrangement = Self { encoded: Vec::new(), encoded_slots: HashSet::new(), outside };
        for (number, entries) in selection.packs.iter().enumerate() {
            let sent: HashSet<Ordinal> = entries.records.iter().map(|r| r.ordinal).collect();
            for record in &entries.records {
                if !arrangement.can_copy(number, entries, record, &sent) {
                    arrangement.encoded_slots.insert((number, record.ordinal));
                    let pack = std::sync::Arc::clone(&entries.pack);
                    arrangement.encoded.push(Location { pack, record: *record });
                }
            }
        }
        arrangement
    }

    /// Whether the entry was encoded and is not to be copied.
    pub(super) fn is_encoded(&self, slot: Slot) -> bool {
        self.encoded_slots.contains(&slot)
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

    fn can_copy(
        &self,
        number: usize,
        entries: &PackEntries,
        record: &Record,
        sent: &HashSet<Ordinal>,
    ) -> bool {
        match record.base {
            Base::None => true,
            Base::Entry(ordinal) => sent.contains(&ordinal),
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
    for entries in &selection.packs {
        for record in &entries.records {
            if let Base::External(external) = record.base {
                asked.extend(entries.index.external(external));
            }
        }
    }
    if asked.is_empty() {
        return HashMap::new();
    }
    let slots = selection.packs.iter().enumerate().flat_map(|(number, entries)| {
        entries.records.iter().map(move |record| (record.id, (number, record.ordinal)))
    });
    slots.filter(|(id, _)| asked.contains(id)).collect()
}
