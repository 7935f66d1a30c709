use std::fmt;
use std::sync::Arc;

use gitstratum_core::ErrorKind;

/// What lies behind an error. Shared, because one failed sync answers many callers.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What an engine was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Opening it.
    Open,
    /// Reading rows.
    Read,
    /// Writing a batch.
    Write,
    /// Syncing its log.
    Sync,
    /// Flushing rows into sorted files.
    Flush,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Sync => "sync",
            Self::Flush => "flush",
        })
    }
}

/// Why an engine did not do what it was asked. `place` is its directory, or the file in
/// it where that is known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Stored bytes are damaged, missing, or older than what was made durable.
    #[error("{place} is damaged: {source}")]
    Corrupt {
        /// Directory or file.
        place: String,
        /// What was found.
        source: Cause,
    },
    /// The disk is full.
    #[error("no space left to {attempt} {place}: {source}")]
    Full {
        /// What was attempted.
        attempt: Attempt,
        /// Directory or file.
        place: String,
        /// What the system said.
        source: Cause,
    },
    /// A sync has failed before; nothing can be written until the process starts again.
    #[error("{place} takes no writes since a sync of it failed")]
    Poisoned {
        /// Directory.
        place: String,
    },
    /// Another process, or another part of this one, has it open.
    #[error("{place} is in use by another process: {source}")]
    Locked {
        /// Directory.
        place: String,
        /// What the system said.
        source: Cause,
    },
    /// The engine was closed.
    #[error("{place} is closed")]
    Closed {
        /// Directory.
        place: String,
    },
    /// The engine was opened without this column family.
    #[error("{place} has no column family {family}")]
    Family {
        /// Directory.
        place: String,
        /// The family asked for.
        family: &'static str,
    },
    /// The system failed.
    #[error("could not {attempt} {place}: {source}")]
    Io {
        /// What was attempted.
        attempt: Attempt,
        /// Directory or file.
        place: String,
        /// What the system said.
        source: Cause,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Full { .. } => ErrorKind::Busy,
            Self::Poisoned { .. } | Self::Locked { .. } | Self::Closed { .. } | Self::Io { .. } => {
                ErrorKind::Unavailable
            }
            Self::Family { .. } => ErrorKind::Bug,
        }
    }

    /// Damage found in rows of `place` by whoever knows what they mean.
    pub fn damaged(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), source: cause(what) }
    }
}

/// A cause that is only words.
pub(crate) fn cause(words: impl Into<String>) -> Cause {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Words(String);
    Arc::new(Words(words.into()))
}
