use std::error::Error as StdError;
use std::io;

use gitstratum_client::cluster::NoOwners;
use gitstratum_client::{bulk, objects};
use gitstratum_core::{ErrorKind, ObjectId, SegmentId};
use gitstratum_git::pack::{self, LinkError, MarkError};
use gitstratum_git::{part, segment};
use gitstratum_process::BudgetError;

use crate::conversation::InputError;

/// Why a pack was not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The client broke off, went silent or sent too much.
    #[error("receiving the pack")]
    Input {
        #[source]
        source: InputError,
    },
    /// The client sends too slowly.
    #[error("pack arrives at less than {bytes_per_second} bytes a second")]
    TooSlow { bytes_per_second: u64 },
    /// The pack is not acceptable, or cannot be read back.
    #[error("checking the pack")]
    Pack {
        #[source]
        source: pack::Error,
    },
    /// What its objects refer to is not acceptable.
    #[error("checking the links of the pack")]
    Links {
        #[source]
        source: LinkError,
    },
    /// An object breaks git's rules.
    #[error("{report}")]
    Fsck { report: String },
    /// An object that the push needs is not there, or may not be seen: one text for both
    /// (bad inputs 53, 54).
    #[error("{MISSING}")]
    Missing,
    /// An object is stored already, with another content. To be alarmed (P-I3).
    #[error("object {id} is stored with another content")]
    Collision { id: ObjectId },
    /// The push rests on more objects outside its pack than one entry may name.
    #[error("push rests on {count} objects outside its pack")]
    TooManyOutside { count: usize },
    /// No memory or spool space within the wait.
    #[error("reserving for the push")]
    Budget {
        #[source]
        source: BudgetError,
    },
    /// The spool's disk failed or is full.
    #[error("spool: {action}")]
    Spool {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// Objects of the repository could not be read.
    #[error("reading stored objects")]
    Objects {
        #[source]
        source: objects::Error,
    },
    /// A part of the pack could not be made.
    #[error("making the {kind} part")]
    Part {
        kind: part::Kind,
        #[source]
        source: part::Error,
    },
    /// A segment could not be made.
    #[error("making a segment")]
    Segment {
        #[source]
        source: segment::Error,
    },
    /// The layout has too few nodes to store anything.
    #[error("layout offers {owners} of {quorum} nodes that are needed")]
    NoOwners { owners: usize, quorum: usize },
    /// Fewer than W owners have made a segment durable.
    #[error("segment {segment} is durable on {durable} nodes of {quorum}")]
    UnderQuorum {
        segment: SegmentId,
        durable: usize,
        quorum: usize,
        #[source]
        source: Option<bulk::Error>,
    },
    /// The client has gone: nobody waits for the push.
    #[error("client has gone")]
    Abandoned,
    /// A blocking task ended without a result.
    #[error("a task of the push did not finish")]
    Interrupted,
    /// The rest of the frontend failed: no session, no answer of a partition.
    #[error(transparent)]
    Frontend(#[from] crate::Error),
}

/// What a client reads when an object is missing, whatever the reason.
pub(crate) const MISSING: &str = "missing necessary objects";

impl From<NoOwners> for Error {
    fn from(NoOwners { owners, quorum }: NoOwners) -> Self {
        Self::NoOwners { owners, quorum }
    }
}

impl Error {
    /// Translates what the pack's own checks say.
    pub(super) fn pack(source: pack::Error) -> Self {
        match source {
            pack::Error::MissingBase { .. } => Self::Missing,
            pack::Error::Stopped => Self::Abandoned,
            source => Self::Pack { source },
        }
    }

    /// Translates what marking strays says.
    pub(super) fn mark(source: MarkError) -> Self {
        match source {
            MarkError::Read { source, .. } => Self::pack(source),
            MarkError::Follow { source, .. } => Self::Links { source },
        }
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Input { source } => source.kind(),
            Self::Pack { source } => source.kind(),
            Self::TooSlow { .. }
            | Self::Links { .. }
            | Self::Fsck { .. }
            | Self::Missing
            | Self::Collision { .. } => ErrorKind::Invalid,
            Self::TooManyOutside { .. } => ErrorKind::Busy,
            Self::Budget { source } => source.kind(),
            Self::Spool { source, .. } if is_full(source) => ErrorKind::Busy,
            Self::Spool { .. } => ErrorKind::Unavailable,
            Self::Objects { source } => source.kind(),
            Self::Part { source, .. } => source.kind(),
            Self::Segment { source } => source.kind(),
            Self::UnderQuorum { source: Some(source), .. } if source.kind() == ErrorKind::Busy => {
                ErrorKind::Busy
            }
            Self::NoOwners { .. }
            | Self::UnderQuorum { .. }
            | Self::Abandoned
            | Self::Interrupted => ErrorKind::Unavailable,
            Self::Frontend(source) => source.kind(),
        }
    }

    /// Whether a newer state of the repository may say something else.
    pub(crate) fn may_be_outdated(&self) -> bool {
        matches!(self, Self::Missing | Self::Objects { .. })
    }

    /// Whether somebody tried to pass one content off as another (P-I3).
    pub(crate) fn is_collision(&self) -> bool {
        match self {
            Self::Collision { .. } => true,
            Self::Pack { source } => source.is_collision(),
            _ => false,
        }
    }

    /// What the client reads: its own mistakes in full, ours without insides.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Input { source } => chain(source),
            Self::Pack { source } if self.kind() == ErrorKind::Invalid => chain(source),
            Self::Links { source } => chain(source),
            Self::Fsck { .. }
            | Self::Missing
            | Self::TooSlow { .. }
            | Self::TooManyOutside { .. } => self.to_string(),
            Self::Collision { id } => format!("object {id} was refused"),
            Self::Budget { source } if source.kind() == ErrorKind::Busy => {
                "the server is busy with other pushes; try again later".to_owned()
            }
            Self::Budget { .. } => "push is larger than this server takes".to_owned(),
            Self::Spool { source, .. } if is_full(source) => {
                "no space left on the server for incoming packs; try again later".to_owned()
            }
            Self::UnderQuorum { .. } if self.kind() == ErrorKind::Busy => {
                "the server's storage is full or busy; try again later".to_owned()
            }
            Self::NoOwners { .. } | Self::UnderQuorum { .. } => {
                "the server cannot store enough copies now; try again later".to_owned()
            }
            Self::Frontend(source) => source.to_string(),
            Self::Pack { .. }
            | Self::Spool { .. }
            | Self::Objects { .. }
            | Self::Part { .. }
            | Self::Segment { .. }
            | Self::Abandoned
            | Self::Interrupted => inside(self.kind()).to_owned(),
        }
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Frontend(error) => error,
            Error::Input { source } => source.into(),
            error => Self::caused(error.kind(), error.words(), error),
        }
    }
}

/// What a client reads of a failure that is not its own.
fn inside(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Corrupt => "stored data is damaged; the operators have been told",
        ErrorKind::Busy => "the server is busy; try again later",
        ErrorKind::Unavailable => "a part of the service does not answer; try again",
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Denied
        | ErrorKind::Invalid
        | ErrorKind::Bug => "internal error",
    }
}

fn is_full(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// An error and what caused it, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        words = format!("{words}: {source}");
        cause = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_156_a_full_spool_is_told_as_such_and_may_be_tried_again() {
        let error =
            Error::Spool { action: "writing", source: io::Error::from(io::ErrorKind::StorageFull) };
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.words().contains("no space left"));
        let error = Error::Spool { action: "writing", source: io::Error::other("/secret/path") };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.words().contains("secret"));
    }

    #[test]
    fn a_mistake_of_the_client_is_told_with_its_cause() {
        let source = pack::Error::EntryHeader {
            offset: 12,
            source: pack::entry::HeaderError::UnknownType(5),
        };
        let words = Error::pack(source).words();
        assert_eq!(words, "pack entry at 12 has a bad header: object type 5 does not exist");
    }

    #[test]
    fn bad_input_053_and_054_a_missing_base_has_the_one_text() {
        let id = ObjectId::null(gitstratum_core::ObjectFormat::Sha1);
        let error = Error::pack(pack::Error::MissingBase { id });
        assert_eq!(error.words(), MISSING);
    }
}
