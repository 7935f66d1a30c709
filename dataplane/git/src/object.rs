//! Cheap parsers of commits, trees and tags that borrow from the content.
//!
//! They are lenient: old history must stay readable, and what may enter a
//! repository is for [`fsck`](crate::fsck) to judge. They read just what the
//! storage needs: ids, dates, names.

mod commit;
mod lines;
mod tag;
mod tree;

pub use commit::CommitRef;
pub use tag::TagRef;
pub use tree::{EntryMode, TreeEntries, TreeEntry};

use gitstratum_core::ErrorKind;

/// Why a content could not be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line that every object of this kind has is missing or malformed.
    #[error("{kind} has no valid {line} line")]
    Line {
        /// What was parsed.
        kind: gitstratum_core::ObjectKind,
        /// The line's first word.
        line: &'static str,
    },
    /// A tree's entry is cut off or has no mode, name or id.
    #[error("tree entry at byte {position} is malformed: {reason}")]
    TreeEntry {
        /// Where the entry starts in the content.
        position: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ParseError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

#[cfg(test)]
mod tests;
