use std::collections::BTreeSet;

use gitstratum_core::NodeId;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;

use crate::id::LogIndex;
use crate::raft::{Metrics, Types, has_settled, is_joint, node_of};

/// What this node does in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Proposes and replicates.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Nothing any more.
    Stopped,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderView {
    /// The leader.
    pub node: NodeId,
    /// Its term.
    pub term: u64,
}

/// What a node knows of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who leads, as far as known.
    pub leader: Option<LeaderView>,
    /// What this node does.
    pub role: Role,
    /// The term.
    pub term: u64,
    /// The index applied last; 0 before the first.
    pub last_applied: LogIndex,
    /// The index of the last log entry; 0 before the first.
    pub last_log: LogIndex,
    /// The last entry that compaction removed, if it has removed any.
    pub purged: Option<LogIndex>,
    /// The voters. Empty before [`crate::Group::initialize`]. While [`Status::is_joint`], those
    /// of both sets.
    pub voters: BTreeSet<NodeId>,
    /// Nodes with a replica that has the log and no vote.
    pub learners: BTreeSet<NodeId>,
    /// Whether a change of the voters is between its two steps: a majority of each set is needed.
    pub is_joint: bool,
    /// Whether the voters are committed, as far as is known here, and no change is under way.
    pub is_settled: bool,
    /// Why the group stopped, unless it was told to.
    pub failed: Option<String>,
}

impl Status {
    /// Whether the group does nothing any more.
    pub fn is_stopped(&self) -> bool {
        self.role == Role::Stopped
    }

    pub(crate) fn of(metrics: &Metrics) -> Self {
        let term = metrics.current_term;
        let membership = metrics.membership_config.membership();
        let voters = membership.voter_ids().map(|id| node_of(metrics, id)).collect();
        let learners = membership.learner_ids().map(|id| node_of(metrics, id)).collect();
        let is_joint = is_joint(membership);
        let (role, failed) = match (&metrics.running_state, metrics.state) {
            (Err(openraft::errors::Fatal::Stopped), _) => (Role::Stopped, None),
            (Err(fatal), _) => (Role::Stopped, Some(fatal.to_string())),
            (Ok(()), ServerState::Leader) => (Role::Leader, None),
            (Ok(()), ServerState::Follower) => (Role::Follower, None),
            (Ok(()), ServerState::Candidate) => (Role::Candidate, None),
            (Ok(()), ServerState::Learner) => (Role::Learner, None),
            (Ok(()), ServerState::Shutdown) => (Role::Stopped, None),
        };
        let leader = metrics.current_leader.filter(|_| role != Role::Stopped);
        Self {
            leader: leader.map(|id| LeaderView { node: node_of(metrics, id), term }),
            role,
            term,
            last_applied: LogIndex(metrics.last_applied.map_or(0, |id| id.index)),
            last_log: LogIndex(metrics.last_log_index.unwrap_or_default()),
            purged: metrics.purged.map(|id| LogIndex(id.index)),
            voters,
            learners,
            is_joint,
            is_settled: has_settled(metrics),
            failed,
        }
    }
}

/// Keeps `status` up to date until the group stops.
pub(crate) async fn follow(
    mut metrics: openraft::alias::WatchReceiverOf<Types, Metrics>,
    status: watch::Sender<Status>,
) {
    loop {
        let now = Status::of(&metrics.borrow_watched());
        let stopped = now.is_stopped();
        status.send_if_modified(|last| {
            let changed = *last != now;
            *last = now;
            changed
        });
        if stopped || metrics.changed().await.is_err() {
            break;
        }
    }
    status.send_modify(|last| {
        last.role = Role::Stopped;
        last.leader = None;
    });
}
