//! The graph part: the commits of a pack with what a history walk needs, and its
//! annotated tags (S6).
//!
//! Rows are the pack's commits by ordinal; a sorted permutation finds a row by its
//! id. Parents inside the pack are row numbers, others are ids in a list of their
//! own. `docs/formats/graph.md` has every byte.

mod builder;
mod generation;
mod link;
mod notes;
mod reader;
mod shape;

use gitstratum_core::{ObjectId, ObjectKind};

pub use builder::Builder;
pub use notes::Notes;
pub use reader::{Parents, Reader};

use crate::part::{CommitRow, Ordinal};

/// Most commits, ids of parents outside of the pack and further parents of merges:
/// links between commits are words of 30 bits.
pub const ROWS_MAX: u32 = (1 << 30) - 1;

/// When a commit was committed, in seconds since the Unix epoch, as the commit says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitDate(pub u64);

/// Corrected commit date (git's generation number v2): greater than that of every
/// parent and not less than the commit's own date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

impl Generation {
    /// Not known: some ancestor lies outside of the pack. Whoever has the other
    /// packs' graphs computes it with [`of`](Self::of).
    pub const UNKNOWN: Self = Self(0);

    /// Whether it is known.
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }

    /// The generation of a commit of `date` with these parents; unknown if that of
    /// any of them is.
    pub fn of(date: CommitDate, parents: impl IntoIterator<Item = Self>) -> Self {
        let mut least = date.0.max(1);
        for parent in parents {
            if !parent.is_known() {
                return Self::UNKNOWN;
            }
            least = least.max(parent.0.saturating_add(1));
        }
        Self(least)
    }
}

/// A commit as the builder takes it and the reader gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// The place of its entry in the pack.
    pub ordinal: Ordinal,
    /// Its root tree.
    pub tree: ObjectId,
    /// Its parents, in the commit's order.
    pub parents: Vec<ObjectId>,
    /// When it was committed.
    pub date: CommitDate,
}

/// An annotated tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its id.
    pub id: ObjectId,
    /// The place of its entry in the pack.
    pub ordinal: Ordinal,
    /// What it points at.
    pub target: ObjectId,
    /// What that is, as the tag says.
    pub target_kind: ObjectKind,
}

/// A parent of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// A commit of the same pack.
    Row(CommitRow),
    /// A commit outside of the pack.
    Outside(ObjectId),
}

#[cfg(test)]
mod tests;
