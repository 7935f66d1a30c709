//! openraft with our types filled in.

use openraft::impls::leader_id_std;

use crate::command::Opaque;
use crate::log::LogStore;

openraft::declare_raft_types!(
    /// One leader a term, as in the paper; node ids are ours, addresses are the layout's.
    pub(crate) Types:
        D = Opaque,
        R = Opaque,
        NodeId = u64,
        Node = (),
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type Raft<M> = openraft::Raft<Types, crate::applier::Applier<M>>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, ()>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type Metrics = openraft::RaftMetrics<Types>;
pub(crate) type RaftState = openraft::RaftState<Types>;
pub(crate) type Fatal = openraft::errors::Fatal<Types>;
pub(crate) type Store = LogStore;

/// What stands behind an error, for openraft.
pub(crate) fn io_error(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}
