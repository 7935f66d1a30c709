use bytes::{Buf, Bytes};
use gitstratum_core::{ObjectFormat, ObjectId, PackId};

use super::block::NO_RECORD;
use super::record::record_len;
use super::section::{BlockNumber, Rank};
use super::{Counts, External, Head, Record};
use crate::part::{Error, Ordinal, search};

/// A whole index in memory. Everything was checked when it was opened, so its
/// answers cannot fail and nothing is copied.
#[derive(Clone, Debug)]
pub struct Reader {
    head: Head,
    bytes: Bytes,
}

impl Reader {
    /// The index of `pack` in `bytes`, which are the whole part.
    ///
    /// # Errors
    /// Damaged, another pack's, or of a newer release.
    pub fn open(pack: PackId, bytes: Bytes) -> Result<Self, Error> {
        let head = Head::open(pack, &bytes)?;
        if bytes.len() as u64 != head.part_len() {
            return Err(head.prefix.damaged("its length does not follow from its counts"));
        }
        for number in (0..head.externals.end_block()).map(BlockNumber) {
            let range = head.block_range(number).expect("because the number is below the end");
            head.open_block(number, bytes.slice(range.start as usize..range.end as usize))?;
        }
        Ok(Self { head, bytes })
    }

    /// The pack it is the index of.
    pub const fn pack(&self) -> PackId {
        self.head.pack()
    }

    /// Object format of the pack.
    pub const fn format(&self) -> ObjectFormat {
        self.head.format()
    }

    /// How many objects of which sort there are.
    pub const fn counts(&self) -> Counts {
        self.head.counts()
    }

    /// The head alone, for a cache that lets go of the blocks.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Whether `id` may be in the index; `false` is certain and needs no search.
    pub fn maybe_contains(&self, id: &ObjectId) -> bool {
        self.head.maybe_contains(id)
    }

    /// The record of `id`, answering or not (S8).
    pub fn find(&self, id: &ObjectId) -> Option<Record> {
        let ranks = self.head.ranks_of(id)?;
        let id_at = |rank| &self.record_bytes(rank)[..self.format().id_len()];
        let rank = search(ranks.clone(), |rank| id_at(rank) < id.as_bytes());
        (rank < ranks.end && id_at(rank) == id.as_bytes()).then(|| self.at(Rank(rank)))
    }

    /// The record of entry `ordinal`; `None` for a later copy inside the pack (S8)
    /// and for an ordinal that the pack does not have.
    pub fn by_ordinal(&self, ordinal: Ordinal) -> Option<Record> {
        self.rank_of(ordinal).map(|rank| self.at(rank))
    }

    /// All records in the order of their ids.
    pub fn by_id(&self) -> impl Iterator<Item = Record> {
        (0..self.counts().objects).map(|rank| self.at(Rank(rank)))
    }

    /// All records in the order of the pack.
    pub fn in_pack_order(&self) -> impl Iterator<Item = Record> {
        (0..self.counts().entries).filter_map(|ordinal| self.by_ordinal(Ordinal(ordinal)))
    }

    /// The id of a delta base outside of the pack; `None` when there is no such
    /// number, which no record of this index has.
    pub fn external(&self, external: External) -> Option<ObjectId> {
        let section = self.head.externals;
        if external.0 >= section.items {
            return None;
        }
        let start = section.item_at(external.0) as usize;
        ObjectId::from_slice(&self.bytes[start..][..section.item_len])
    }

    fn rank_of(&self, ordinal: Ordinal) -> Option<Rank> {
        let section = self.head.ranks;
        if ordinal.0 >= section.items {
            return None;
        }
        let word = (&self.bytes[section.item_at(ordinal.0) as usize..]).get_u32();
        (word != NO_RECORD).then_some(Rank(word))
    }

    fn at(&self, rank: Rank) -> Record {
        Record::get(self.format(), self.record_bytes(rank.0))
            .expect("because every record was read when the index was opened")
    }

    fn record_bytes(&self, rank: u32) -> &[u8] {
        let start = self.head.records.item_at(rank) as usize;
        &self.bytes[start..][..record_len(self.format())]
    }
}
