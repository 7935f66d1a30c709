use gitstratum_core::ObjectKind;
use roaring::RoaringBitmap;

use super::choice::{Chosen, find};

/// Deltas between an object and the whole one that its chain rests on. Many small pushes, each a
/// delta on the last, would make reading one object reading them all.
const CHAIN_MAX: u16 = 250;

/// One entry of the new pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The object, by its place among those chosen.
    pub(super) object: u32,
    /// Its base's place in the new pack, which comes before it; none when it is written whole.
    pub(super) base: Option<u32>,
}

/// The objects of `kept` in the order of the new pack, each behind its base: commits, tags, trees,
/// blobs, and within a kind as their packs have them, oldest first (S36). One whose base is not
/// kept, whose chain would be too long or would close a cycle is written whole.
pub(super) fn order(chosen: &[Chosen], kept: &RoaringBitmap) -> Vec<Entry> {
    let mut natural: Vec<u32> = kept.iter().collect();
    let key = |object: &u32| {
        let Chosen { pack, record, .. } = &chosen[*object as usize];
        (rank(record.kind), *pack, record.ordinal)
    };
    natural.sort_unstable_by_key(key);
    let mut writing = Writing {
        chosen,
        kept,
        places: vec![NOWHERE; chosen.len()],
        depths: vec![0; chosen.len()],
        entries: Vec::with_capacity(natural.len()),
    };
    natural.into_iter().for_each(|object| writing.add(object));
    writing.entries
}

const fn rank(kind: ObjectKind) -> u8 {
    match kind {
        ObjectKind::Commit => 0,
        ObjectKind::Tag => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
    }
}

/// Not written yet.
const NOWHERE: u32 = u32::MAX;
/// On the chain that is being followed.
const ON_CHAIN: u32 = u32::MAX - 1;

struct Writing<'a> {
    chosen: &'a [Chosen],
    kept: &'a RoaringBitmap,
    /// By object: its place in the new pack.
    places: Vec<u32>,
    depths: Vec<u16>,
    entries: Vec<Entry>,
}

impl Writing<'_> {
    /// Writes an object behind all that its chain rests on.
    fn add(&mut self, object: u32) {
        let mut chain = Vec::new();
        let mut next = Some(object);
        // The one at the top of the chain, and whether its base is written already.
        while let Some(top) = next.filter(|top| self.places[*top as usize] == NOWHERE) {
            self.places[top as usize] = ON_CHAIN;
            chain.push(top);
            next = self.base(top);
        }
        // What is on the chain already would be its own base.
        let mut below = next.filter(|top| self.places[*top as usize] < ON_CHAIN);
        for object in chain.into_iter().rev() {
            let base = below.filter(|base| self.depths[*base as usize] < CHAIN_MAX);
            self.depths[object as usize] = base.map_or(0, |base| self.depths[base as usize] + 1);
            let place = u32::try_from(self.entries.len()).expect("because ids have 32 bits");
            self.places[object as usize] = place;
            let base = base.map(|base| self.places[base as usize]);
            self.entries.push(Entry { object, base });
            below = Some(object);
        }
    }

    /// The object that the entry of `object` is a delta against, if it is kept.
    fn base(&self, object: u32) -> Option<u32> {
        let base = find(self.chosen, self.chosen[object as usize].base.as_ref()?)?;
        self.kept.contains(base).then_some(base)
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ObjectFormat, ObjectId};
    use gitstratum_git::index::{Base, ContentHash, Flags, Record};
    use gitstratum_git::part::Ordinal;
    use proptest::prelude::*;

    use super::*;

    fn id(number: u16) -> ObjectId {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        ObjectId::from_bytes(ObjectFormat::Sha1, &bytes).unwrap()
    }

    /// Objects by number, each with the pack it lies in and the number of its base.
    fn chosen(objects: &[(u32, Option<u16>)]) -> Vec<Chosen> {
        let record = |number: u16| Record {
            id: id(number),
            ordinal: Ordinal(number.into()),
            offset: 12,
            packed_len: 10,
            kind: ObjectKind::Blob,
            flags: Flags { stray: false, shadowed: false },
            size: 1,
            base: Base::None,
            content: ContentHash([0; 16]),
        };
        let each = |(number, (pack, base)): (u16, &(u32, Option<u16>))| Chosen {
            pack: *pack,
            record: record(number),
            base: base.map(id),
        };
        (0..).zip(objects).map(each).collect()
    }

    fn all(chosen: &[Chosen]) -> RoaringBitmap {
        (0..u32::try_from(chosen.len()).unwrap()).collect()
    }

    #[test]
    fn s36_a_cycle_over_packs_is_broken_by_a_whole_entry() {
        let chosen = chosen(&[(0, Some(1)), (1, Some(2)), (2, Some(0))]);
        let entries = order(&chosen, &all(&chosen));
        assert_eq!(entries.iter().filter(|entry| entry.base.is_none()).count(), 1);
        assert_eq!(entries.len(), 3);
    }

    #[test]
    fn s36_a_chain_beyond_the_limit_begins_anew() {
        let line: Vec<_> = (0..600_u16).map(|n| (u32::from(n), n.checked_sub(1))).collect();
        let chosen = chosen(&line);
        let entries = order(&chosen, &all(&chosen));
        let whole = entries.iter().filter(|entry| entry.base.is_none()).count();
        assert_eq!(whole, 3, "one at the start and one after every 250 deltas");
    }

    #[test]
    fn s36_a_delta_that_loses_its_base_is_written_whole() {
        let chosen = chosen(&[(0, None), (1, Some(0)), (1, Some(1))]);
        let kept: RoaringBitmap = [1, 2].into_iter().collect();
        let entries = order(&chosen, &kept);
        let expected = [Entry { object: 1, base: None }, Entry { object: 2, base: Some(0) }];
        assert_eq!(entries, expected);
    }

    proptest! {
        /// Whatever rests on whatever: every kept object is there once, behind its base.
        #[test]
        fn s36_every_kept_object_is_written_once_behind_its_base(
            bases in proptest::collection::vec((0_u32..3, proptest::option::of(0_u16..60)), 1..60),
            kept in proptest::collection::btree_set(0_u32..60, 0..60),
        ) {
            let chosen = chosen(&bases);
            let kept: RoaringBitmap =
                kept.into_iter().filter(|n| (*n as usize) < bases.len()).collect();
            let entries = order(&chosen, &kept);
            let written: RoaringBitmap = entries.iter().map(|entry| entry.object).collect();
            prop_assert_eq!(&written, &kept);
            prop_assert_eq!(entries.len() as u64, kept.len());
            for (place, entry) in (0_u32..).zip(&entries) {
                let Some(base) = entry.base else { continue };
                prop_assert!(base < place);
                let object = &chosen[entry.object as usize];
                let base = &chosen[entries[base as usize].object as usize];
                prop_assert_eq!(object.base.as_ref(), Some(base.id()));
            }
        }
    }
}
