use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitstratum_core::NodeId;
use gitstratum_process::spawn;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{ChangeMembers, ServerState};
use parking_lot::Mutex;

use super::Driver;
use crate::error::Error;
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::raft::{Place, Raft};

/// Entries that a learner may be behind and still be given a vote.
const BEHIND_MAX: u64 = 64;
/// Longest wait for a learner; its node asks again.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether it has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a leader does with a node whose replica was destroyed (S23): the old one is removed,
/// the new one added as a learner, and made a voter once it has everything. One at a time.
pub(crate) struct Joining<M: StateMachine> {
    pub(crate) driver: Driver<M>,
    pub(crate) peers: Peers,
    /// The nodes that have a voter of this group.
    pub(crate) voters: Arc<Mutex<BTreeSet<NodeId>>>,
    pub(crate) is_busy: Arc<AtomicBool>,
}

impl<M: StateMachine> Clone for Joining<M> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            peers: self.peers.clone(),
            voters: Arc::clone(&self.voters),
            is_busy: Arc::clone(&self.is_busy),
        }
    }
}

impl<M: StateMachine> Joining<M> {
    /// Begins to take in `replica` on `node`, unless that is under way.
    ///
    /// # Errors
    /// [`Error::NotLeader`]; [`Error::Membership`] for a node that has no voter here.
    pub(crate) fn begin(&self, node: NodeId, replica: u64) -> Result<(), Error> {
        let group = self.peers.group;
        {
            let metrics = self.driver.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.state != ServerState::Leader {
                return Err(Error::NotLeader { group, leader: self.peers.leader(&metrics) });
            }
        }
        // Members that came later are known by the membership alone.
        let (others, is_member, _) = self.members(node, replica);
        let is_known = is_member || !others.is_empty();
        if !is_known && !self.voters.lock().contains(&node) {
            let what = format!("node {node} has no voter of it");
            return Err(Error::Membership { group, what });
        }
        if self.is_busy.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let joining = self.clone();
        let taking = async move {
            match joining.take_in(node, replica).await {
                Ok(()) => tracing::info!(%group, %node, "a new replica has a vote"),
                Err(what) => tracing::warn!(%group, %node, what, "a new replica is not in yet"),
            }
            joining.is_busy.store(false, Ordering::SeqCst);
        };
        spawn("replica joining", taking).detach();
        Ok(())
    }

    async fn take_in(&self, node: NodeId, replica: u64) -> Result<(), String> {
        let (old, is_member, is_voter) = self.members(node, replica);
        if !old.is_empty() {
            let removed = old.clone();
            self.change(move |raft| async move {
                let voters = ChangeMembers::RemoveVoters(removed.clone());
                raft.change_membership(voters, true).await?;
                raft.change_membership(ChangeMembers::RemoveNodes(removed), true).await
            })
            .await?;
        }
        if !is_member {
            let place = Place { node: node.0 };
            self.change(move |raft| async move { raft.add_learner(replica, place, false).await })
                .await?;
        }
        if !is_voter {
            self.wait_caught_up(replica).await?;
        }
        if !is_voter {
            let added = BTreeSet::from([replica]);
            self.change(move |raft| async move {
                raft.change_membership(ChangeMembers::AddVoterIds(added), true).await
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until a learner has all but the last entries.
    async fn wait_caught_up(&self, replica: u64) -> Result<(), String> {
        let caught_up = async {
            while !self.is_near(replica) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let late = |_| format!("it has not caught up within {CAUGHT_UP_WITHIN:?}");
        tokio::time::timeout(CAUGHT_UP_WITHIN, caught_up).await.map_err(late)
    }

    fn is_near(&self, replica: u64) -> bool {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        let progress = metrics.replication.as_ref().and_then(|all| all.get(&replica));
        let matched = progress.and_then(|log| log.as_ref()).map(|log| log.index);
        matched
            .is_some_and(|index| index + BEHIND_MAX >= metrics.last_log_index.unwrap_or_default())
    }

    /// Other replicas of `node`, and what `replica` is.
    fn members(&self, node: NodeId, replica: u64) -> (BTreeSet<u64>, bool, bool) {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let members: BTreeMap<u64, u64> =
            membership.nodes().map(|(id, place)| (*id, place.node)).collect();
        let old = members.iter().filter(|(id, on)| **on == node.0 && **id != replica);
        let is_voter = membership.voter_ids().any(|id| id == replica);
        (old.map(|(id, _)| *id).collect(), members.contains_key(&replica), is_voter)
    }

    async fn change<T, E, F>(&self, change: impl FnOnce(Raft<M>) -> F) -> Result<(), String>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.driver.call(change).await {
            Some(done) => done.map(drop).map_err(|error| error.to_string()),
            None => Err("the group has ended".to_owned()),
        }
    }
}
