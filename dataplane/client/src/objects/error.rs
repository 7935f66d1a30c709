use gitstratum_core::{ErrorKind, ObjectId, PackId, SegmentId};
use gitstratum_git::part;

use crate::bulk;

/// Why objects or parts could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No owner of a segment gave its bytes.
    #[error("reading segment {segment}")]
    Segment {
        /// The segment.
        segment: SegmentId,
        /// The last owner's answer.
        #[source]
        source: std::sync::Arc<bulk::Error>,
    },
    /// The manifest row names no place for something it must have.
    #[error("manifest row of pack {pack}: {problem}")]
    Manifest {
        /// The pack.
        pack: PackId,
        /// What is missing.
        problem: &'static str,
    },
    /// A part is not what its format says.
    #[error("{kind} part of pack {pack}: {message}")]
    Part {
        /// The pack.
        pack: PackId,
        /// Which part.
        kind: part::Kind,
        /// What is wrong.
        message: String,
    },
    /// An entry does not give the object that the index promises.
    #[error("object {id} in pack {pack}: {problem}")]
    Object {
        /// The object.
        id: ObjectId,
        /// The pack.
        pack: PackId,
        /// What is wrong.
        problem: String,
    },
    /// The batch would inflate to more than a reader may hold.
    #[error("objects of {bytes} bytes in one batch")]
    TooLarge {
        /// Bytes, inflated.
        bytes: u64,
    },
    /// A blocking task did not finish.
    #[error("decoding was interrupted")]
    Interrupted,
}

impl Error {
    /// What kind of failure it is. A segment that its owners do not have is damage, never
    /// "not found": the manifest says that it exists.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Segment { source, .. } => match source.kind() {
                ErrorKind::NotFound => ErrorKind::Corrupt,
                other => other,
            },
            Self::Manifest { .. } | Self::Part { .. } | Self::Object { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::Busy,
            Self::Interrupted => ErrorKind::Unavailable,
        }
    }
}
