use std::io;

use gitstratum_client::cluster::NoOwners;
use gitstratum_client::{bulk, metadata, objects};
use gitstratum_core::{ErrorKind, NodeId, ObjectId, SegmentId};
use gitstratum_git::{pack, parts, segment};
use gitstratum_proto::FieldError;

/// Why a run ended without a result. Nothing that was there before it is gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another run on the repository is under way.
    #[error("another run on this repository is under way on node {node}")]
    Held { node: NodeId },
    /// This node has a run under way.
    #[error("this node has a run under way; try again when it is over")]
    Busy,
    /// The partition refused the claim or the swap.
    #[error("{why}")]
    Refused { why: String },
    /// The partition could not be asked.
    #[error("asking the partition")]
    Partition(#[from] metadata::Error),
    /// What the partition answered cannot be read.
    #[error("reading the partition's answer")]
    Answer(#[from] FieldError),
    /// Stored objects could not be read.
    #[error("reading stored objects")]
    Objects(#[from] objects::Error),
    /// Two packs have one id with two contents (P-I3).
    #[error("object {id} has two contents; `gitstratum check` tells more")]
    Collision { id: ObjectId },
    /// Something that has to be there is not: nothing is dropped then.
    #[error("object {id} is reached and not stored; `gitstratum check` tells more")]
    Missing { id: ObjectId },
    /// More than a run takes.
    #[error("the repository has {count} objects, a run takes {limit} at most")]
    TooMany { count: u64, limit: u64 },
    /// A tip or an object does not parse.
    #[error("object {id} does not parse")]
    Malformed { id: ObjectId },
    /// The spool failed.
    #[error("{action} the spool of a run")]
    Spool {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    /// There is no room for the spool.
    #[error("the run needs {needed} bytes of disk here, {free} are free")]
    NoSpace { needed: u64, free: u64 },
    /// The new pack does not hold together.
    #[error("the new pack is unsound")]
    Pack(#[source] pack::Error),
    /// What its objects refer to does not hold together.
    #[error("the new pack is unsound")]
    Links(#[source] pack::LinkError),
    /// Its parts were not made.
    #[error("making the parts of the new pack")]
    Parts(#[source] parts::Error),
    /// A segment was not made.
    #[error("making a segment")]
    Segment(#[source] segment::Error),
    /// The layout has too few nodes.
    #[error("placing a segment")]
    Owners(#[from] NoOwners),
    /// Fewer than W owners have made a segment durable.
    #[error("segment {segment} is durable on {durable} nodes of {quorum}")]
    UnderQuorum {
        segment: SegmentId,
        durable: usize,
        quorum: usize,
        #[source]
        source: Option<bulk::Error>,
    },
    /// What was read back is not what was written (S36).
    #[error("what the owners hold is not what was written: {what}")]
    Differs { what: &'static str },
    /// An object that is kept names one that is not (S37).
    #[error("object {id} is named by a kept one and would be dropped")]
    NotKept { id: ObjectId },
    /// The run was ended from outside.
    #[error("the run was ended")]
    Ended,
    /// Our own mistake.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Error {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Held { .. } | Self::Refused { .. } => ErrorKind::Conflict,
            Self::Busy | Self::NoSpace { .. } | Self::TooMany { .. } => ErrorKind::Busy,
            Self::Partition(source) => source.kind(),
            Self::Objects(source) => source.kind(),
            Self::Collision { .. }
            | Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::Differs { .. } => ErrorKind::Corrupt,
            Self::Pack(_) | Self::Links(_) | Self::Answer(_) => ErrorKind::Corrupt,
            Self::Parts(source) => source.kind(),
            Self::Segment(source) => source.kind(),
            Self::Spool { .. } | Self::Owners(_) | Self::UnderQuorum { .. } | Self::Ended => {
                ErrorKind::Unavailable
            }
            Self::NotKept { .. } | Self::Bug(_) => ErrorKind::Bug,
        }
    }
}
