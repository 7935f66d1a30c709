use std::sync::Arc;

use gitstratum_core::ObjectId;
use gitstratum_git::index::{self, Base, Record};

use super::Error;

/// An object that answers, and the copy that is taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its pack, by its number among the inputs.
    pub(super) pack: u32,
    /// Its record there.
    pub(super) record: Record,
    /// What its entry is a delta against, wherever that lies; none for a whole one.
    pub(super) base: Option<ObjectId>,
}

impl Chosen {
    pub(super) const fn id(&self) -> &ObjectId {
        &self.record.id
    }
}

/// Every object that answers in some pack of `indexes` (S8), once, sorted by id. Of several copies
/// the one in the newest pack is taken, as readers take it; `indexes` are oldest first.
///
/// # Errors
/// [`Error::Collision`] when two copies differ (P-I3).
pub(super) fn choose(indexes: &[Arc<index::Reader>]) -> Result<Vec<Chosen>, Error> {
    let count: usize = indexes.iter().map(|index| index.counts().objects as usize).sum();
    let mut chosen = Vec::with_capacity(count);
    for (pack, index) in (0..).zip(indexes) {
        for record in index.by_id().filter(|record| record.flags.answers()) {
            let base = base_id(index, &record)?;
            chosen.push(Chosen { pack, record, base });
        }
    }
    chosen.sort_by(|a, b| a.id().cmp(b.id()).then(b.pack.cmp(&a.pack)));
    for pair in chosen.windows(2) {
        let [one, other] = pair else { continue };
        if one.id() == other.id() && !is_same(&one.record, &other.record) {
            return Err(Error::Collision { id: *one.id() });
        }
    }
    chosen.dedup_by(|later, first| later.id() == first.id());
    Ok(chosen)
}

fn is_same(one: &Record, other: &Record) -> bool {
    (one.content, one.kind, one.size) == (other.content, other.kind, other.size)
}

fn base_id(index: &index::Reader, record: &Record) -> Result<Option<ObjectId>, Error> {
    let found = match record.base {
        Base::None => return Ok(None),
        Base::Entry(ordinal) => index.by_ordinal(ordinal).map(|base| base.id),
        Base::External(external) => index.external(external),
    };
    found.map(Some).ok_or(Error::Malformed { id: record.id })
}

/// The place of `id` among `chosen`.
pub(super) fn find(chosen: &[Chosen], id: &ObjectId) -> Option<u32> {
    let place = chosen.binary_search_by(|each| each.id().cmp(id)).ok()?;
    u32::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ObjectFormat, ObjectKind, PackId};
    use gitstratum_git::index::{Builder, ContentHash, Flags};
    use gitstratum_git::part::Ordinal;

    use super::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_bytes(ObjectFormat::Sha1, &[byte; 20]).unwrap()
    }

    /// Entries as (id, flags, content).
    fn index(pack: u8, entries: &[(u8, Flags, u8)]) -> Arc<index::Reader> {
        let pack = PackId([pack; 16]);
        let count = u32::try_from(entries.len()).unwrap();
        let mut builder = Builder::new(pack, ObjectFormat::Sha1, count);
        for (ordinal, (byte, flags, content)) in (0..).zip(entries) {
            let record = Record {
                id: id(*byte),
                ordinal: Ordinal(ordinal),
                offset: 12 + u64::from(ordinal) * 10,
                packed_len: 10,
                kind: ObjectKind::Blob,
                flags: *flags,
                size: 5,
                base: Base::None,
                content: ContentHash([*content; 16]),
            };
            builder.add(&record).unwrap();
        }
        Arc::new(index::Reader::open(pack, builder.finish().unwrap()).unwrap())
    }

    const ANSWERS: Flags = Flags { stray: false, shadowed: false };
    const STRAY: Flags = Flags { stray: true, shadowed: false };
    const SHADOWED: Flags = Flags { stray: false, shadowed: true };

    /// S8: a swap leaves no member without a copy that answers, and gives none to what was no
    /// member.
    #[test]
    fn s8_every_object_that_answers_is_taken_once_and_no_other() {
        let older = index(1, &[(1, ANSWERS, 1), (2, STRAY, 2), (3, ANSWERS, 3)]);
        let newer = index(2, &[(1, SHADOWED, 1), (3, ANSWERS, 3), (4, ANSWERS, 4)]);
        let chosen = choose(&[older, newer]).unwrap();
        let taken: Vec<_> = chosen.iter().map(|each| (*each.id(), each.pack)).collect();
        assert_eq!(taken, [(id(1), 0), (id(3), 1), (id(4), 1)]);
        assert_eq!(find(&chosen, &id(3)), Some(1));
        assert_eq!(find(&chosen, &id(2)), None);
    }

    #[test]
    fn p_i3_one_id_with_two_contents_ends_a_run() {
        let packs = [index(1, &[(1, ANSWERS, 1)]), index(2, &[(1, ANSWERS, 9)])];
        assert!(matches!(choose(&packs), Err(Error::Collision { .. })));
    }
}
