//! openraft with our types filled in.

use gitstratum_core::NodeId;
use openraft::impls::leader_id_std;

use crate::command::Opaque;
use crate::log::LogStore;

openraft::declare_raft_types!(
    /// One leader a term, as in the paper. What openraft calls a node is a replica to us.
    pub(crate) Types:
        D = Opaque,
        R = Opaque,
        NodeId = u64,
        Node = Place,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = crate::runtime::Runtime,
);

/// Where a replica is. The first one of a node has the node's own id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    pub(crate) node: u64,
}

impl Place {
    /// That of the first replica of a node.
    pub(crate) const fn first(node: NodeId) -> Self {
        Self { node: node.0 }
    }
}

/// Whether a change of the voters is between its two steps.
pub(crate) fn is_joint(membership: &Membership) -> bool {
    membership.get_joint_config().len() > 1
}

/// The node that `replica` is on, as far as `metrics` know.
pub(crate) fn node_of(metrics: &Metrics, replica: u64) -> NodeId {
    let place = metrics.membership_config.membership().get_node(&replica);
    NodeId(place.map_or(replica, |place| place.node))
}

/// Whether the membership is committed, and of one set of voters: no change is under way.
pub(crate) fn has_settled(metrics: &Metrics) -> bool {
    let (newest, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
    let is_one = newest.membership().get_joint_config().len() == 1;
    newest.log_id() == committed.log_id() && is_one
}

pub(crate) type Raft<M> = openraft::Raft<Types, crate::applier::Applier<M>>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Place>;
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
