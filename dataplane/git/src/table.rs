//! The table part: for each commit of a pack the trees and blobs that it brings
//! with it, in whatever pack they lie (S7), and for each entry the commit that
//! first brought it (S24).
//!
//! A row may be absent: the trees of a parent were not at hand, or the row would
//! have cost too much. It is rebuilt by [`crate::rows`] when asked for and never
//! read as empty. `docs/formats/table.md` has every byte.

mod builder;
mod lists;
mod reader;
mod shape;

pub use builder::{Builder, Size};
pub use reader::Reader;

use crate::part::Ordinal;

/// Most bytes of rows. One push of tiny trees could otherwise ask for terabytes, by
/// taking the same million objects away and back with every other commit.
pub const ROWS_BYTES_MAX: usize = 1 << 30;

/// Which pack an object lies in: 0 is the table's own, others index its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The table's own pack.
    pub const OWN: Self = Self(0);
}

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// In which pack.
    pub slot: Slot,
    /// At which entry of it.
    pub ordinal: Ordinal,
}

/// What a commit brings with it, besides itself: the objects of its tree that are
/// in no parent's tree. Sorted and without repetition when read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowObjects {
    /// Trees.
    pub trees: Vec<Place>,
    /// Blobs.
    pub blobs: Vec<Place>,
}

#[cfg(test)]
mod tests;
