use std::ops::Range;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, PackId};

use super::filter::{self, filter_len};
use super::record::record_len;
use super::section::{BlockNumber, Rank, Section};
use super::{Block, Counts, ENTRIES_MAX, External, HEAD_PREFIX_BYTES, Record};
use crate::part::{Error, Ids, Kind, Ordinal, Prefix, Words, search};

/// Entries of the fan-out: one for each first byte of an id.
pub(super) const FAN_OUT: u32 = 256;

/// The head of an index: it tells which block answers a question, so that single
/// blocks can be fetched. Its sections follow from the counts in its prefix.
#[derive(Clone, Debug)]
pub struct Head {
    pub(super) prefix: Prefix,
    pub(super) counts: Counts,
    pub(super) records: Section,
    pub(super) ranks: Section,
    pub(super) externals: Section,
    fan_out: Words,
    first_ids: Ids,
    filter: Bytes,
}

impl Head {
    /// Bytes of the head of `pack`'s index, from its first [`HEAD_PREFIX_BYTES`].
    ///
    /// # Errors
    /// Damaged, another pack's, or of a newer release.
    pub fn len(pack: PackId, prefix: &[u8]) -> Result<usize, Error> {
        let prefix = Prefix::decode(Kind::Index, pack, prefix)?;
        let shape = Shape::of(&prefix)?;
        Ok(shape.records.start() as usize)
    }

    /// The head at the front of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// Damaged, another pack's, or of a newer release.
    pub fn open(pack: PackId, bytes: &Bytes) -> Result<Self, Error> {
        let prefix = Prefix::decode(Kind::Index, pack, bytes)?;
        let Shape { counts, records, ranks, externals } = Shape::of(&prefix)?;
        let len = records.start();
        if (bytes.len() as u64) < len {
            return Err(prefix.damaged("cut short in its head"));
        }
        let mut rest = prefix.open_body(&bytes.slice(..len as usize), len)?;
        let fan_out = Words::split_off(&mut rest, FAN_OUT);
        let first_ids = Ids::split_off(&mut rest, prefix.format, records.block_count());
        let head =
            Self { prefix, counts, records, ranks, externals, fan_out, first_ids, filter: rest };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), Error> {
        let fan_out_rises = self.fan_out.iter().is_sorted();
        if !fan_out_rises || self.fan_out.get(FAN_OUT - 1) != Some(self.counts.objects) {
            return Err(self.prefix.damaged("its fan-out does not add up"));
        }
        if !self.first_ids.is_sorted() {
            return Err(self.prefix.damaged("its blocks are out of order"));
        }
        Ok(())
    }

    /// The pack it is the index of.
    pub const fn pack(&self) -> PackId {
        self.prefix.pack
    }

    /// Object format of the pack.
    pub const fn format(&self) -> ObjectFormat {
        self.prefix.format
    }

    /// How many objects of which sort there are.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of the whole part.
    pub const fn part_len(&self) -> u64 {
        self.externals.start() + self.externals.byte_len()
    }

    /// Whether `id` may be in the index; `false` is certain.
    pub fn maybe_contains(&self, id: &ObjectId) -> bool {
        id.format() == self.format() && filter::maybe_contains(&self.filter, id)
    }

    /// The block that holds the record of `id` if the index has it; `None` if it
    /// certainly has not. Ask [`maybe_contains`](Self::maybe_contains) first.
    pub fn block_for(&self, id: &ObjectId) -> Option<BlockNumber> {
        let ranks = self.ranks_of(id)?;
        let (first, _) = self.records.locate(ranks.start);
        let (last, _) = self.records.locate(ranks.end - 1);
        let after = search(first.0..last.0 + 1, |block| self.first_ids.raw(block) <= id.as_bytes());
        after.checked_sub(1).map(BlockNumber)
    }

    /// The block that holds the rank of `ordinal`; `None` when there is no such entry.
    pub fn rank_block(&self, ordinal: Ordinal) -> Option<BlockNumber> {
        (ordinal.0 < self.ranks.items).then(|| self.ranks.locate(ordinal.0).0)
    }

    /// The block that holds the record at `rank`; `None` when there is none.
    pub fn record_block(&self, rank: Rank) -> Option<BlockNumber> {
        (rank.0 < self.records.items).then(|| self.records.locate(rank.0).0)
    }

    /// The block that holds an external base's id; `None` when there is none.
    pub fn external_block(&self, external: External) -> Option<BlockNumber> {
        (external.0 < self.externals.items).then(|| self.externals.locate(external.0).0)
    }

    /// Where a block lies in the part; `None` when there is no such block.
    pub fn block_range(&self, block: BlockNumber) -> Option<Range<u64>> {
        self.sections().iter().find_map(|section| section.range_of(block))
    }

    /// Checks the bytes of `block`, read at [`block_range`](Self::block_range).
    ///
    /// # Errors
    /// [`Error::Block`] when they are damaged, [`Error::Misused`] when there is no
    /// such block.
    pub fn open_block(&self, block: BlockNumber, bytes: Bytes) -> Result<Block, Error> {
        Block::open(self, block, bytes)
    }

    /// The record of `id`, looked up in the block that
    /// [`block_for`](Self::block_for) named.
    ///
    /// # Errors
    /// [`Error::Misused`] for another block.
    pub fn find_in(&self, block: &Block, id: &ObjectId) -> Result<Option<Record>, Error> {
        match self.block_for(id) {
            None => Ok(None),
            Some(number) if number == block.number() => Ok(block.find(id)),
            Some(_) => Err(self.other_block()),
        }
    }

    /// The rank of the record of `ordinal`, looked up in the block that
    /// [`rank_block`](Self::rank_block) named; `None` for a later copy inside the
    /// pack, which has no record.
    ///
    /// # Errors
    /// [`Error::Misused`] for another block or no such entry.
    pub fn rank_in(&self, block: &Block, ordinal: Ordinal) -> Result<Option<Rank>, Error> {
        let slot = self.slot(&self.ranks, block, ordinal.0)?;
        Ok(block.rank(slot))
    }

    /// The record at `rank`, looked up in the block that
    /// [`record_block`](Self::record_block) named.
    ///
    /// # Errors
    /// [`Error::Misused`] for another block or no such rank.
    pub fn record_in(&self, block: &Block, rank: Rank) -> Result<Record, Error> {
        let slot = self.slot(&self.records, block, rank.0)?;
        Ok(block.record(slot))
    }

    /// The id of an external base, looked up in the block that
    /// [`external_block`](Self::external_block) named.
    ///
    /// # Errors
    /// [`Error::Misused`] for another block or no such base.
    pub fn external_in(&self, block: &Block, external: External) -> Result<ObjectId, Error> {
        let slot = self.slot(&self.externals, block, external.0)?;
        Ok(block.id(slot))
    }

    /// The ranks of ids that share the first byte of `id`, if there are any.
    pub(super) fn ranks_of(&self, id: &ObjectId) -> Option<Range<u32>> {
        if id.format() != self.format() {
            return None;
        }
        let byte = u32::from(id.as_bytes()[0]);
        let start = byte.checked_sub(1).and_then(|below| self.fan_out.get(below)).unwrap_or(0);
        let range = start..self.fan_out.get(byte)?;
        (!range.is_empty()).then_some(range)
    }

    pub(super) fn first_id_of(&self, block: BlockNumber) -> &[u8] {
        self.first_ids.raw(block.0)
    }

    pub(super) const fn sections(&self) -> [Section; 3] {
        [self.records, self.ranks, self.externals]
    }

    fn slot(&self, section: &Section, block: &Block, item: u32) -> Result<usize, Error> {
        let (number, slot) = section.locate(item);
        if item >= section.items || number != block.number() {
            return Err(self.other_block());
        }
        Ok(slot)
    }

    const fn other_block(&self) -> Error {
        self.prefix.misused("the block at hand does not hold what is asked")
    }
}

/// The sections of an index, as its counts make them.
pub(super) struct Shape {
    pub(super) counts: Counts,
    pub(super) records: Section,
    pub(super) ranks: Section,
    pub(super) externals: Section,
}

impl Shape {
    pub(super) fn of(prefix: &Prefix) -> Result<Self, Error> {
        let counts = Counts::from_fields(prefix.fields);
        if counts.entries > ENTRIES_MAX
            || counts.objects > counts.entries
            || counts.externals > counts.entries
        {
            return Err(prefix.damaged("its counts contradict each other"));
        }
        let record_len = record_len(prefix.format);
        let id_len = prefix.format.id_len();
        let unplaced = Section::new(counts.objects, record_len, 0, 0);
        let first_ids = unplaced.block_count() as usize * id_len;
        let start = HEAD_PREFIX_BYTES
            + FAN_OUT as usize * Words::BYTES
            + first_ids
            + filter_len(counts.objects)
            + 4;
        let records = Section::new(counts.objects, record_len, 0, start as u64);
        let ranks = records.next(counts.entries, Words::BYTES);
        let externals = ranks.next(counts.externals, id_len);
        Ok(Self { counts, records, ranks, externals })
    }
}
