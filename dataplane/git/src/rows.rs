//! What commits bring with them: the objects of a commit's tree that are in no
//! parent's tree (S7), and everything under a tree (S24).
//!
//! Both are computed level by level over many commits at once, so that a reader
//! far from the bytes fetches a whole level in one round: ask for the trees
//! [`wanted`](RowBuilder::wanted), [`provide`](RowBuilder::provide) each, until
//! done. Nothing here reads anything by itself. All loops are bounded: by an
//! [`EntryBudget`], by [`DEPTH_MAX`], by [`HELD_BYTES_MAX`].

mod builder;
mod error;
mod level;
mod tree;
mod walk;

use gitstratum_core::ObjectId;

pub use builder::{Commit, RowBuilder};
pub use error::Error;
pub use walk::TreeWalk;

/// Most levels of trees under a root; a push with more is refused too.
pub const DEPTH_MAX: usize = 2_048;

/// Most bytes of trees that a [`RowBuilder`] keeps until their other half comes.
/// Trees given in the order asked for stay far below it: it holds those of a few
/// neighbouring commits.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A good number of commits for one [`RowBuilder`]: enough to make rounds rare,
/// few enough for a bounded memory.
pub const COMMITS_PER_BATCH: usize = 16_384;

/// Most tree entries that may be looked at; the cost in time and memory is
/// proportional to it. Over it the answer is busy, never a wrong one (S24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryBudget(pub u64);

impl EntryBudget {
    fn spend(&mut self, entries: u64) -> Result<(), Error> {
        self.0 = self.0.checked_sub(entries).ok_or(Error::Budget)?;
        Ok(())
    }
}

/// Trees and blobs, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowIds {
    /// Trees; those of a level before those of the next.
    pub trees: Vec<ObjectId>,
    /// Blobs, in no order.
    pub blobs: Vec<ObjectId>,
}

#[cfg(test)]
mod tests;
