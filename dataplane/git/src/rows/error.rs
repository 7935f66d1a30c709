use gitstratum_core::{ErrorKind, ObjectId};

/// Why rows or a walk could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More tree entries than allowed would have to be looked at.
    #[error("tree walk over its budget of entries")]
    Budget,
    /// Too many trees wait for others that did not come.
    #[error("tree walk over its budget of {limit} bytes of waiting trees")]
    Held {
        /// How many bytes may wait.
        limit: usize,
    },
    /// Trees nested deeper than allowed.
    #[error("tree {tree}: more than {limit} levels below its root")]
    Depth {
        /// A tree of the level that is too deep.
        tree: ObjectId,
        /// How many levels there may be.
        limit: usize,
    },
    /// Bytes that are no tree.
    #[error("tree {tree}: malformed entry")]
    Malformed {
        /// The tree.
        tree: ObjectId,
    },
    /// The caller provides a tree that is not wanted, or twice.
    #[error("tree {tree}: provided but not wanted")]
    NotWanted {
        /// The tree.
        tree: ObjectId,
    },
    /// The caller ends before every wanted tree was provided.
    #[error("tree walk ended with {wanted} trees still wanted")]
    Unfinished {
        /// How many.
        wanted: usize,
    },
}

impl Error {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Budget | Self::Held { .. } => ErrorKind::Busy,
            Self::Depth { .. } => ErrorKind::Invalid,
            Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::NotWanted { .. } | Self::Unfinished { .. } => ErrorKind::Bug,
        }
    }
}
