use gitstratum_consensus as consensus;
use gitstratum_core::{ErrorKind, GrantsVersion, NodeId, PartitionId, RepoId};
use gitstratum_proto::FieldError;

use crate::partition;
use crate::planner::PlanError;

/// Why a request to the metadata service was not answered. A refusal of a push is an
/// answer, not an error (S11).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This node is no voter of the partition, or has not opened it yet.
    #[error("partition {partition} is not on this node")]
    NotHere {
        /// The partition.
        partition: PartitionId,
    },
    /// The partition's rows or log are damaged here. It is not tried again before a restart.
    #[error("partition {partition} cannot be opened: {what}")]
    Damaged {
        /// The partition.
        partition: PartitionId,
        /// What was found.
        what: String,
    },
    /// This node's copy of the partition is damaged, and others have theirs (S23).
    #[error("partition {partition} is damaged on this node: {what}")]
    DamagedHere {
        /// The partition.
        partition: PartitionId,
        /// What was found.
        what: String,
    },
    /// Another node leads the partition.
    #[error("partition {partition} is led elsewhere")]
    NotLeader {
        /// The partition.
        partition: PartitionId,
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The read could not be confirmed with a quorum.
    #[error("confirming a read of partition {partition}")]
    Barrier {
        /// The partition.
        partition: PartitionId,
        /// What consensus said.
        #[source]
        source: consensus::ReadError,
    },
    /// An entry was not acknowledged.
    #[error("proposing to partition {partition}")]
    Propose {
        /// The partition.
        partition: PartitionId,
        /// What consensus said.
        #[source]
        source: consensus::ProposeError,
    },
    /// The group could not be opened or read.
    #[error("using the group of partition {partition}")]
    Group {
        /// The partition.
        partition: PartitionId,
        /// What consensus said.
        #[source]
        source: consensus::Error,
    },
    /// Rows could not be read.
    #[error("reading partition {partition}")]
    Rows {
        /// The partition.
        partition: PartitionId,
        /// What was found.
        #[source]
        source: partition::Error,
    },
    /// A question about history was not answered.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A field of the request is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The repository does not exist, or the caller may not know that it does.
    #[error("repository not found")]
    NoRepository {
        /// The repository, for our own log only.
        repo: RepoId,
    },
    /// The caller knows an older name of the repository (S42).
    #[error("the name of repository {repo} has changed")]
    Renamed {
        /// The repository.
        repo: RepoId,
    },
    /// The caller may not do this.
    #[error("not allowed to {action}")]
    Denied {
        /// What was attempted.
        action: &'static str,
    },
    /// A node could not be fenced, or its fence not be lifted.
    #[error("fence of node {node}: {why}")]
    Fence {
        /// The node.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// This node has not heard of grants that the caller decided by (S44).
    #[error("grants are at version {held} here, the request was decided at {needed}")]
    GrantsBehind {
        /// Version held.
        held: GrantsVersion,
        /// Version that the request needs.
        needed: GrantsVersion,
    },
    /// This node has not applied what the caller has already seen.
    #[error("partition {partition} has not caught up here yet")]
    Behind {
        /// The partition.
        partition: PartitionId,
    },
    /// An answer did not decode.
    #[error("answer of partition {partition} does not decode")]
    Answer {
        /// The partition.
        partition: PartitionId,
    },
    /// A blocking read panicked or was cut off by the end of the process.
    #[error("reading partition {partition} was cut off")]
    CutOff {
        /// The partition.
        partition: PartitionId,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHere { .. }
            | Self::DamagedHere { .. }
            | Self::NotLeader { .. }
            | Self::CutOff { .. } => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            // There is no use in waiting for a group that damage has stopped.
            Self::Barrier {
                source: consensus::ReadError::Stopped { cause: Some(cause), .. },
                ..
            }
            | Self::Group {
                source: consensus::Error::Stopped { cause: Some(cause), .. }, ..
            } if cause.kind() == ErrorKind::Corrupt => ErrorKind::Corrupt,
            Self::Barrier { source, .. } => source.kind(),
            Self::Propose { source, .. } => source.kind(),
            Self::Group { source, .. } => source.kind(),
            Self::Rows { source, .. } => source.kind(),
            Self::Plan(error) => error.kind(),
            Self::Field(_) => ErrorKind::Invalid,
            Self::NoRepository { .. } => ErrorKind::NotFound,
            Self::Renamed { .. } | Self::Fence { .. } => ErrorKind::Conflict,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::GrantsBehind { .. } | Self::Behind { .. } => ErrorKind::Busy,
            Self::Answer { .. } => ErrorKind::Bug,
        }
    }

    /// Whether what this node has stored is damaged. Rows that are whole, and make no sense, are
    /// so on every node.
    pub(crate) fn is_of_the_store(&self) -> bool {
        match self {
            Self::Rows { source, .. } => {
                matches!(source, partition::Error::Rows { kind: ErrorKind::Corrupt, .. })
            }
            other => other.kind() == ErrorKind::Corrupt,
        }
    }

    /// Whether it failed because this voter has no majority within its reach (P-A8).
    pub fn is_of_quorum(&self) -> bool {
        match self {
            Self::Barrier { source, .. } => matches!(source, consensus::ReadError::NoQuorum { .. }),
            Self::Propose { source, .. } => source.is_of_quorum(),
            _ => false,
        }
    }

    /// Who leads the partition, when that is why the request failed and it is known.
    pub fn leader_hint(&self) -> Option<NodeId> {
        match self {
            Self::NotLeader { leader, .. }
            | Self::Propose { source: consensus::ProposeError::NotLeader { leader, .. }, .. } => {
                *leader
            }
            _ => None,
        }
    }
}

/// An error with what lies beneath it, for a log line or for the log of the other side.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let beneath = std::iter::successors(error.source(), |error| error.source());
    beneath.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}
