use gitstratum_core::{ErrorKind, NodeId, PartitionId};
use tonic::Status;

use super::{LEADER_HEADER, QUORUM_HEADER};
use crate::grpc;

/// Why a call to a partition failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout names no voter for it.
    #[error("partition {partition} has no voters in the layout")]
    NoVoters {
        /// The partition.
        partition: PartitionId,
    },
    /// No answer in time.
    #[error("partition {partition} did not answer in time")]
    Deadline {
        /// The partition.
        partition: PartitionId,
    },
    /// A majority of its voters is out of reach (P-A8).
    #[error("partition {partition}: a majority of its voters is out of reach")]
    NoQuorum {
        /// The partition.
        partition: PartitionId,
    },
    /// The partition refused.
    #[error("partition {partition}: {}", status.message())]
    Refused {
        /// The partition.
        partition: PartitionId,
        /// Its answer.
        status: Box<Status>,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoVoters { .. } | Self::Deadline { .. } | Self::NoQuorum { .. } => {
                ErrorKind::Unavailable
            }
            Self::Refused { status, .. } => grpc::kind(status),
        }
    }

    pub(super) fn is_of_quorum(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if has_no_quorum(status))
    }

    pub(super) fn leader_hint(&self) -> Option<NodeId> {
        let Self::Refused { status, .. } = self else { return None };
        NodeId::parse(status.metadata().get(LEADER_HEADER)?.to_str().ok()?)
    }
}

pub(super) fn has_no_quorum(status: &Status) -> bool {
    status.metadata().contains_key(QUORUM_HEADER)
}
