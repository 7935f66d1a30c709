//! The index part: where every object of a pack lies, what it is, and on which
//! base its delta rests (S5, S8).
//!
//! A head (fan-out, first ids of blocks, filter) tells which block of 16 KiB holds
//! a record, so a reader may fetch the head and single blocks ([`Head`]) or hold
//! the whole part ([`Reader`]). Records are sorted by id; a second array gives the
//! record of an ordinal, so the whole delta chain of an object follows from the
//! index alone. `docs/formats/index.md` has every byte.

mod block;
mod builder;
mod filter;
mod head;
mod reader;
mod record;
mod section;

pub use block::Block;
pub use builder::Builder;
pub use head::Head;
pub use reader::Reader;
pub use record::{Base, ContentHash, External, Flags, Record};
pub use section::{BlockNumber, Rank};

/// Bytes at the front of the part from which [`Head::len`] tells the head's length.
pub const HEAD_PREFIX_BYTES: usize = crate::part::PREFIX_BYTES;

/// Most bytes of a block, its checksum included.
pub const BLOCK_BYTES: usize = 16 * 1024;

/// Most entries in an indexed pack: one bit of a base tells inner from outer ones.
pub const ENTRIES_MAX: u32 = (1 << 31) - 1;

/// Bits of the filter for each object: about one wrong "maybe" in 120 (S5).
pub const FILTER_BITS_PER_OBJECT: u64 = 10;

/// How many objects of which sort an index has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries of the pack, later copies included: ordinals run below it.
    pub entries: u32,
    /// Records: entries less the later copies.
    pub objects: u32,
    /// Distinct delta bases outside of the pack.
    pub externals: u32,
    /// Commits among the objects.
    pub commits: u32,
    /// Trees among the objects.
    pub trees: u32,
    /// Blobs among the objects.
    pub blobs: u32,
    /// Tags among the objects.
    pub tags: u32,
    /// Objects that answer nothing (S8).
    pub stray: u32,
    /// Objects that another pack answers for (S8).
    pub shadowed: u32,
}

impl Counts {
    const fn to_fields(self) -> [u32; 9] {
        let Self { entries, objects, externals, commits, trees, blobs, tags, stray, shadowed } =
            self;
        [entries, objects, externals, commits, trees, blobs, tags, stray, shadowed]
    }

    const fn from_fields(fields: [u32; 9]) -> Self {
        let [entries, objects, externals, commits, trees, blobs, tags, stray, shadowed] = fields;
        Self { entries, objects, externals, commits, trees, blobs, tags, stray, shadowed }
    }

    /// Later copies inside the pack: entries without a record.
    pub const fn duplicates(&self) -> u32 {
        self.entries.saturating_sub(self.objects)
    }
}

#[cfg(test)]
mod tests;
