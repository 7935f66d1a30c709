use gitstratum_core::{ErrorKind, ObjectId, encode_hex};

use crate::delta::DeltaError;
use crate::hash::HashError;

/// Why a pack was refused, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream does not start with `PACK`.
    #[error("not a pack: it starts with {}", encode_hex(.found))]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A version that git does not read either.
    #[error("pack version {found} is not supported")]
    Version {
        /// The version stated.
        found: u32,
    },
    /// More entries announced than allowed.
    #[error("pack announces {count} objects, the limit is {limit}")]
    TooManyObjects {
        /// Entries announced.
        count: u32,
        /// Entries allowed.
        limit: u32,
    },
    /// More bytes than allowed.
    #[error("pack is larger than the limit of {limit} bytes")]
    PackTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// An entry's header is malformed.
    #[error("pack entry at {offset} has a bad header")]
    EntryHeader {
        /// Where the entry starts.
        offset: u64,
        /// What is wrong.
        #[source]
        source: super::entry::HeaderError,
    },
    /// An object, or a delta, larger than allowed.
    #[error("object at {offset} has {size} bytes, the limit is {limit}")]
    ObjectTooLarge {
        /// Where the entry starts.
        offset: u64,
        /// Bytes stated.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An entry's body is no zlib stream.
    #[error("pack entry at {offset} does not inflate")]
    Inflate {
        /// Where the entry starts.
        offset: u64,
        /// What is wrong.
        #[source]
        source: flate2::DecompressError,
    },
    /// An entry inflates to another number of bytes than its header states.
    #[error("pack entry at {offset} does not inflate to the stated {stated} bytes")]
    InflatedSize {
        /// Where the entry starts.
        offset: u64,
        /// Bytes stated.
        stated: u64,
    },
    /// All entries together inflate to more than allowed.
    #[error("pack inflates to more than the limit of {limit} bytes")]
    InflateBudget {
        /// Bytes allowed.
        limit: u64,
    },
    /// Resolving the deltas would make more bytes than allowed.
    #[error("resolving the pack makes more than the limit of {limit} bytes")]
    ResolveBudget {
        /// Bytes allowed.
        limit: u64,
    },
    /// A delta's base is at no earlier entry's start.
    #[error("delta at {offset} has no base {distance} bytes before it")]
    DeltaBase {
        /// Where the entry starts.
        offset: u64,
        /// Distance stated.
        distance: u64,
    },
    /// A delta is malformed or does not fit its base.
    #[error("delta at {offset} cannot be applied")]
    Delta {
        /// Where the entry starts.
        offset: u64,
        /// What is wrong.
        #[source]
        source: DeltaError,
    },
    /// A delta chain is longer than allowed.
    #[error("delta at {offset} has a chain longer than {limit}")]
    ChainTooLong {
        /// Where the entry starts.
        offset: u64,
        /// Deltas allowed.
        limit: u16,
    },
    /// A delta's base is neither in the pack nor was it provided.
    #[error("missing delta base {id}")]
    MissingBase {
        /// The base.
        id: ObjectId,
    },
    /// An object is part of a collision attack. To be alarmed (P-I3).
    #[error("object at {offset} was refused")]
    Collision {
        /// Where the entry starts; 0 for an object that is not in the pack.
        offset: u64,
        /// What the hasher says.
        #[source]
        source: HashError,
    },
    /// Two entries have one id and different contents. To be alarmed (P-I3).
    #[error("pack holds two contents of object {id}")]
    DuplicateDiffers {
        /// The id.
        id: ObjectId,
    },
    /// The stream ends too early.
    #[error("pack ends at byte {position} of an unfinished {inside}")]
    Truncated {
        /// Bytes received.
        position: u64,
        /// What was unfinished.
        inside: &'static str,
    },
    /// The trailer is not the checksum of the bytes before it.
    #[error("pack checksum is {}, its trailer says {}", encode_hex(.found), encode_hex(.stated))]
    Trailer {
        /// Checksum of the bytes received.
        found: Vec<u8>,
        /// Checksum stated.
        stated: Vec<u8>,
    },
    /// Bytes follow the trailer.
    #[error("pack is followed by trailing bytes")]
    TrailingBytes,
    /// The spool could not be read.
    #[error("cannot read {len} spooled bytes at {offset}")]
    Read {
        /// First byte wanted.
        offset: u64,
        /// Bytes wanted.
        len: usize,
        /// What the spool says.
        #[source]
        source: std::io::Error,
    },
    /// A base outside the pack could not be read.
    #[error("cannot read delta base {id}")]
    ReadBase {
        /// The base.
        id: ObjectId,
        /// What its store says.
        #[source]
        source: std::io::Error,
    },
    /// The spool holds other bytes than the scan saw.
    #[error("spooled pack changed at {offset}")]
    SpoolChanged {
        /// Where the entry starts.
        offset: u64,
    },
    /// A base given from outside is not the object it is given as.
    #[error("provided delta base is {found}, not {stated}")]
    BaseDiffers {
        /// The id asked for.
        stated: ObjectId,
        /// The id of the content given.
        found: ObjectId,
    },
    /// A visitor stopped the work; it knows why.
    #[error("resolving was stopped by its visitor")]
    Stopped,
    /// A result was asked for before the work was done.
    #[error("pack has {left} unresolved entries")]
    Unfinished {
        /// Entries left.
        left: usize,
    },
}

impl Error {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } | Self::ReadBase { .. } => ErrorKind::Unavailable,
            Self::SpoolChanged { .. } | Self::BaseDiffers { .. } => ErrorKind::Corrupt,
            Self::Unfinished { .. } => ErrorKind::Bug,
            Self::Magic { .. }
            | Self::Version { .. }
            | Self::TooManyObjects { .. }
            | Self::PackTooLarge { .. }
            | Self::EntryHeader { .. }
            | Self::ObjectTooLarge { .. }
            | Self::Inflate { .. }
            | Self::InflatedSize { .. }
            | Self::InflateBudget { .. }
            | Self::ResolveBudget { .. }
            | Self::DeltaBase { .. }
            | Self::Delta { .. }
            | Self::ChainTooLong { .. }
            | Self::MissingBase { .. }
            | Self::Collision { .. }
            | Self::DuplicateDiffers { .. }
            | Self::Truncated { .. }
            | Self::Trailer { .. }
            | Self::TrailingBytes
            | Self::Stopped => ErrorKind::Invalid,
        }
    }

    /// Whether somebody tried to pass one content off as another (P-I3): to be
    /// alarmed, not only refused.
    pub const fn is_collision(&self) -> bool {
        matches!(self, Self::Collision { .. } | Self::DuplicateDiffers { .. })
    }
}
