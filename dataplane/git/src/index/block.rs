use bytes::{Buf, Bytes};
use crc32c::crc32c_append;
use gitstratum_core::{ObjectFormat, ObjectId};

use super::record::record_len;
use super::section::{BlockNumber, Rank, SUM_BYTES};
use super::{Base, Counts, Head, Record};
use crate::part::{Error, Prefix, Words, search};

/// Rank of an entry that has no record: a later copy inside the pack.
pub(super) const NO_RECORD: u32 = u32::MAX;

/// Checksum of a block: the seed binds it to its index and place.
pub(super) fn block_sum(prefix: &Prefix, block: BlockNumber, items: &[u8]) -> u32 {
    let seed = crc32c_append(prefix.seed(), &block.0.to_be_bytes());
    crc32c_append(seed, items)
}

/// A block of an index whose bytes are known to be sound.
#[derive(Clone, Debug)]
pub struct Block {
    format: ObjectFormat,
    number: BlockNumber,
    items: Bytes,
}

impl Block {
    /// Which one it is.
    pub const fn number(&self) -> BlockNumber {
        self.number
    }

    pub(super) fn open(head: &Head, number: BlockNumber, mut bytes: Bytes) -> Result<Self, Error> {
        let Prefix { part, pack, format, .. } = head.prefix;
        let damaged = |what| Error::Block { part, pack, block: number.0, what };
        let range =
            head.block_range(number).ok_or(head.prefix.misused("there is no such block"))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(damaged("it has another length"));
        }
        let sum = bytes.split_off(bytes.len() - SUM_BYTES);
        if block_sum(&head.prefix, number, &bytes) != sum.clone().get_u32() {
            return Err(damaged("checksum differs"));
        }
        let block = Self { format, number, items: bytes };
        if !block.makes_sense(head) {
            return Err(damaged("it contradicts the head"));
        }
        Ok(block)
    }

    /// Whether its items can be what the head says: nobody looks at them again.
    fn makes_sense(&self, head: &Head) -> bool {
        let Counts { entries, objects, externals, .. } = head.counts;
        if head.records.items_of(self.number).is_some() {
            let base_exists = |base| match base {
                Base::None => true,
                Base::Entry(ordinal) => ordinal.0 < entries,
                Base::External(external) => external.0 < externals,
            };
            let record_fits = |bytes: &[u8]| {
                Record::get(self.format, bytes)
                    .is_some_and(|record| record.ordinal.0 < entries && base_exists(record.base))
            };
            return self.items.starts_with(head.first_id_of(self.number))
                && self.items.chunks(head.records.item_len).all(record_fits)
                && self.is_sorted();
        }
        if head.ranks.items_of(self.number).is_some() {
            let rank_fits = |rank: &[u8; 4]| {
                let rank = u32::from_be_bytes(*rank);
                rank < objects || rank == NO_RECORD
            };
            return self.items.as_chunks().0.iter().all(rank_fits);
        }
        true
    }

    fn is_sorted(&self) -> bool {
        let id_len = self.format.id_len();
        self.items.chunks(record_len(self.format)).is_sorted_by(|a, b| a[..id_len] < b[..id_len])
    }

    pub(super) fn find(&self, id: &ObjectId) -> Option<Record> {
        let len = record_len(self.format);
        let count = (self.items.len() / len) as u32;
        let id_at = |slot: u32| &self.items[slot as usize * len..][..self.format.id_len()];
        let slot = search(0..count, |slot| id_at(slot) < id.as_bytes());
        (slot < count && id_at(slot) == id.as_bytes()).then(|| self.record(slot as usize))
    }

    pub(super) fn record(&self, slot: usize) -> Record {
        let len = record_len(self.format);
        Record::get(self.format, &self.items[slot * len..][..len])
            .expect("because every record was read when the block was opened")
    }

    pub(super) fn rank(&self, slot: usize) -> Option<Rank> {
        let word = (&self.items[slot * Words::BYTES..]).get_u32();
        (word != NO_RECORD).then_some(Rank(word))
    }

    pub(super) fn id(&self, slot: usize) -> ObjectId {
        let len = self.format.id_len();
        ObjectId::from_bytes(self.format, &self.items[slot * len..][..len])
            .expect("because the slice is as long as the format's ids")
    }
}
