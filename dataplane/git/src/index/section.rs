use std::ops::Range;

use super::BLOCK_BYTES;

/// Bytes of the checksum at the end of each block.
pub(super) const SUM_BYTES: usize = 4;

/// Number of a block in an index, from 0, over all its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNumber(pub u32);

/// Place of a record in the order of ids, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u32);

/// A run of items of one size, in blocks of as many as fit; only the last block is
/// shorter. Blocks are not padded, so that the index of a small push stays small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) items: u32,
    pub(super) item_len: usize,
    first_block: u32,
    start: u64,
}

impl Section {
    /// The section of `items` items that begins at byte `start` with block `first_block`.
    pub(super) const fn new(items: u32, item_len: usize, first_block: u32, start: u64) -> Self {
        Self { items, item_len, first_block, start }
    }

    /// The section behind this one.
    pub(super) const fn next(&self, items: u32, item_len: usize) -> Self {
        Self::new(items, item_len, self.end_block(), self.start + self.byte_len())
    }

    pub(super) const fn per_block(&self) -> u32 {
        ((BLOCK_BYTES - SUM_BYTES) / self.item_len) as u32
    }

    pub(super) const fn block_count(&self) -> u32 {
        self.items.div_ceil(self.per_block())
    }

    pub(super) const fn end_block(&self) -> u32 {
        self.first_block + self.block_count()
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) const fn byte_len(&self) -> u64 {
        self.items as u64 * self.item_len as u64 + self.block_count() as u64 * SUM_BYTES as u64
    }

    /// The block of item number `item` and its place in it.
    pub(super) const fn locate(&self, item: u32) -> (BlockNumber, usize) {
        let per_block = self.per_block();
        (BlockNumber(self.first_block + item / per_block), (item % per_block) as usize)
    }

    /// The items of `block`; `None` if it is not of this section.
    pub(super) fn items_of(&self, block: BlockNumber) -> Option<Range<u32>> {
        let number = block.0.checked_sub(self.first_block)?;
        if number >= self.block_count() {
            return None;
        }
        let first = number * self.per_block();
        Some(first..self.items.min(first.saturating_add(self.per_block())))
    }

    /// Where `block` lies in the part, its checksum included.
    pub(super) fn range_of(&self, block: BlockNumber) -> Option<Range<u64>> {
        let items = self.items_of(block)?;
        let full = self.per_block() as u64 * self.item_len as u64 + SUM_BYTES as u64;
        let start = self.start + u64::from(block.0 - self.first_block) * full;
        let len = items.len() as u64 * self.item_len as u64 + SUM_BYTES as u64;
        Some(start..start + len)
    }

    /// Where item number `item` lies in the part.
    pub(super) const fn item_at(&self, item: u32) -> u64 {
        let block = item / self.per_block();
        self.start + item as u64 * self.item_len as u64 + block as u64 * SUM_BYTES as u64
    }
}
