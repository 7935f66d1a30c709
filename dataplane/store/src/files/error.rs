use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use gitstratum_core::ErrorKind;

/// What was being done with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Making it.
    Create,
    /// Opening it.
    Open,
    /// Reading it.
    Read,
    /// Writing to it.
    Write,
    /// Syncing it.
    Sync,
    /// Changing its length.
    Truncate,
    /// Renaming it.
    Rename,
    /// Removing it.
    Remove,
    /// Listing it.
    List,
    /// Asking for its size or for room on it.
    Measure,
    /// Locking it.
    Lock,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::List => "list",
            Self::Measure => "measure",
            Self::Lock => "lock",
        })
    }
}

/// Why something on the disk did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file or directory.
    #[error("{} does not exist", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{} exists already", path.display())]
    Exists {
        /// What was to be made.
        path: PathBuf,
    },
    /// The file ends before the bytes asked for.
    #[error("{} ends before byte {end}", path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// Where the bytes asked for end.
        end: u64,
    },
    /// The file is larger than the caller will read.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that was expected.
        limit: u64,
    },
    /// The disk is full, or so full that writing is refused.
    #[error("no space left to {attempt} {}", path.display())]
    Full {
        /// What was attempted.
        attempt: Attempt,
        /// File or directory.
        path: PathBuf,
    },
    /// Someone else holds the lock.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The system failed.
    #[error("could not {attempt} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        attempt: Attempt,
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Short { .. } | Self::TooLong { .. } => ErrorKind::Corrupt,
            Self::Full { .. } => ErrorKind::Busy,
            Self::Locked { .. } | Self::Io { .. } => ErrorKind::Unavailable,
        }
    }

    /// Whether the path simply is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// The error that `source` means for `attempt` on `path`.
    pub(crate) fn of(attempt: Attempt, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { attempt, path }
            }
            _ => Self::Io { attempt, path, source },
        }
    }
}
