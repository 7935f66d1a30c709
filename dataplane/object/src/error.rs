use gitstratum_core::{ErrorKind, PartitionId, SegmentId};
use gitstratum_git::segment;
use gitstratum_store::{commit, engine, files};

/// Why a segment was not written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not here: never written, or swept.
    #[error("segment {segment} is not held here")]
    NotHeld {
        /// The segment.
        segment: SegmentId,
    },
    /// Its copy here was found damaged and waits for a sound one.
    #[error("copy of segment {segment} was damaged and is put aside")]
    PutAside {
        /// The segment.
        segment: SegmentId,
    },
    /// It was here, sealed, and its file is gone.
    #[error("file of segment {segment} is missing: {path}")]
    FileMissing {
        /// The segment.
        segment: SegmentId,
        /// Where it should be.
        path: String,
    },
    /// Its bytes are damaged, or those that came are not a segment.
    #[error("{place}: {source}")]
    Segment {
        /// Its file or row.
        place: String,
        /// What is wrong.
        #[source]
        source: segment::Error,
    },
    /// Another write of the same id is under way, or it is already sealed.
    #[error("segment {segment} is being written or already sealed")]
    Exists {
        /// The segment.
        segment: SegmentId,
    },
    /// It belongs to another cluster.
    #[error("segment {segment} is of another cluster")]
    ForeignCluster {
        /// The segment.
        segment: SegmentId,
    },
    /// The disk gave fewer bytes than the segment has.
    #[error("file of segment {segment} is cut short")]
    CutShort {
        /// The segment.
        segment: SegmentId,
    },
    /// It names another partition than the one that asked for it.
    #[error("segment {segment} is of another partition")]
    ForeignPartition {
        /// The segment.
        segment: SegmentId,
    },
    /// None of the nodes named gave it.
    #[error("segment {segment} could not be copied: {why}")]
    NoSource {
        /// The segment.
        segment: SegmentId,
        /// What the last one said.
        why: String,
    },
    /// The partition has a newer leader than the one that asks (S22).
    #[error("term {term} of the partition has passed")]
    OldTerm {
        /// The caller's term.
        term: u64,
    },
    /// Too many writes at once.
    #[error("too many segments are being written")]
    Busy,
    /// The disk has not done its part in time.
    #[error("disk is silent: segment {segment}")]
    DiskSilent {
        /// The segment that it was about.
        segment: SegmentId,
    },
    /// The writer went silent or broke off.
    #[error("writer of segment {segment} broke off: {why}")]
    WriterGone {
        /// The segment.
        segment: SegmentId,
        /// How.
        why: String,
    },
    /// The disk is full or failed.
    #[error("segment files: {source}")]
    Files {
        /// What failed.
        #[from]
        source: files::Error,
    },
    /// The engine failed.
    #[error("segment rows: {source}")]
    Engine {
        /// What failed.
        #[from]
        source: engine::Error,
    },
    /// The commit of a row failed.
    #[error("segment rows: {source}")]
    Commit {
        /// What failed.
        #[from]
        source: commit::Error,
    },
    /// The node has refused writes since a sync failed (P-D5).
    #[error("node refuses writes: {why}")]
    RefusingWrites {
        /// Since what.
        why: String,
    },
    /// The partition has not admitted this start of the node yet (S23).
    #[error("partition {partition} has not admitted this node since it started")]
    NotAdmitted {
        /// The partition.
        partition: PartitionId,
    },
    /// The row of this node's standing with a partition is damaged.
    #[error("row of the incarnation for partition {partition} is damaged")]
    StateRow {
        /// The partition.
        partition: PartitionId,
    },
    /// The data base is damaged: the process has to start anew without it (P-I5).
    #[error("segment rows are damaged: {what}")]
    RowsDamaged {
        /// What was met.
        what: String,
    },
    /// A request that is not what the port takes.
    #[error("bulk request: {0}")]
    Request(&'static str),
    /// The peer's role may not do this.
    #[error("a process of this role may not do this")]
    NotAllowed,
    /// No such path or method.
    #[error("no such call on the bulk port")]
    NoSuchCall,
    /// Our own fault.
    #[error("{0}")]
    Bug(&'static str),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHeld { .. } | Self::PutAside { .. } => ErrorKind::NotFound,
            Self::FileMissing { .. } | Self::CutShort { .. } => ErrorKind::Corrupt,
            Self::ForeignPartition { .. } => ErrorKind::Denied,
            // This node is well: the same may be asked again.
            Self::NoSource { .. } => ErrorKind::Busy,
            Self::OldTerm { .. } => ErrorKind::Conflict,
            Self::Segment { source, .. } => source.kind(),
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::ForeignCluster { .. } => ErrorKind::Denied,
            Self::Busy => ErrorKind::Busy,
            Self::WriterGone { .. } => ErrorKind::Invalid,
            Self::Files { source } => source.kind(),
            Self::Engine { source } => source.kind(),
            Self::Commit { source } => source.kind(),
            Self::RefusingWrites { .. } | Self::NotAdmitted { .. } | Self::DiskSilent { .. } => {
                ErrorKind::Unavailable
            }
            Self::StateRow { .. } | Self::RowsDamaged { .. } => ErrorKind::Corrupt,
            Self::Request(_) | Self::NoSuchCall => ErrorKind::Invalid,
            Self::NotAllowed => ErrorKind::Denied,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }

    /// Whether it is about the data base as a whole, and not about one segment.
    pub const fn is_about_rows(&self) -> bool {
        matches!(
            self,
            Self::Engine { .. }
                | Self::Commit { .. }
                | Self::StateRow { .. }
                | Self::RowsDamaged { .. }
        )
    }
}
