use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_core::NodeId;
use gitstratum_process::{failpoint, spawn};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{ChangeMembers, ServerState};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::Driver;
use super::steering::standing_of;
use crate::error::Error;
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::raft::{Metrics, Place, Raft, is_joint, node_of};

/// Entries that a learner may be behind and still be given a vote.
const BEHIND_MAX: u64 = 64;
/// Longest wait for a learner; its node asks again.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether it has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a leader takes replicas in: each is a learner first, and gets a vote only once it has
/// all but the last entries, for a voter without them counts in the majority and cannot be part
/// of one. Of a node whose replica was destroyed (S23) the old one is removed before. One
/// change at a time.
pub(crate) struct Joining<M: StateMachine> {
    pub(crate) driver: Driver<M>,
    pub(crate) peers: Peers,
    pub(crate) voters: Arc<Mutex<Named>>,
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

/// The nodes that have a voter of a group, as far as this node is told.
pub(crate) enum Named {
    /// When it was opened. Members that came later are known by the membership alone.
    Opened(BTreeSet<NodeId>),
    /// By a layout (S39): who is named no more is not to come, learner or not.
    Followed(BTreeSet<NodeId>),
}

impl Named {
    pub(crate) const fn nodes(&self) -> &BTreeSet<NodeId> {
        match self {
            Self::Opened(nodes) | Self::Followed(nodes) => nodes,
        }
    }
}

impl<M: StateMachine> Clone for Joining<M> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            peers: self.peers.clone(),
            voters: Arc::clone(&self.voters),
            turn: Arc::clone(&self.turn),
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
        self.check_leads()?;
        if !self.may_ask(node) {
            let what = format!("node {node} has no voter of it");
            return Err(Error::Membership { group, what });
        }
        // Its node asks again.
        let Ok(turn) = self.take_turn() else { return Ok(()) };
        let joining = self.clone();
        let taking = async move {
            let _turn = turn;
            match joining.take_in(node, replica).await {
                Ok(()) => tracing::info!(%group, %node, "a new replica has a vote"),
                Err(what) => tracing::warn!(%group, %node, what, "a new replica is not in yet"),
            }
        };
        spawn("replica joining", taking).detach();
        Ok(())
    }

    /// Whether a replica of `node` is taken in because it asks: where one that votes is to be
    /// replaced, or voters are missing. One that is to take another's place comes in by the change
    /// that leaves the other out.
    fn may_ask(&self, node: NodeId) -> bool {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        if self.peers.voter_on(&metrics, node).is_some() {
            return true;
        }
        let membership = metrics.membership_config.membership();
        let named = self.voters.lock();
        if named.nodes().contains(&node) {
            return membership.voter_ids().count() < named.nodes().len();
        }
        let is_member = || membership.nodes().any(|(_, place)| place.node == node.0);
        matches!(&*named, Named::Opened(_)) && is_member()
    }

    /// The right to change the members.
    ///
    /// # Errors
    /// [`Error::Membership`] while another change is under way.
    pub(crate) fn take_turn(&self) -> Result<OwnedMutexGuard<()>, Error> {
        Arc::clone(&self.turn).try_lock_owned().map_err(|_| Error::Membership {
            group: self.peers.group,
            what: "another change of its members is under way".to_owned(),
        })
    }

    fn check_leads(&self) -> Result<(), Error> {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state == ServerState::Leader {
            return Ok(());
        }
        Err(Error::NotLeader { group: self.peers.group, leader: self.peers.leader(&metrics) })
    }

    async fn take_in(&self, node: NodeId, replica: u64) -> Result<(), String> {
        self.settle().await?;
        self.add_learner(node, replica).await?;
        let (_, _, is_voter) = self.members(node, replica);
        if is_voter {
            return Ok(());
        }
        self.wait_caught_up(replica, CAUGHT_UP_WITHIN).await?;
        failpoint!("consensus.voter.before_add");
        let added = BTreeSet::from([replica]);
        self.change(move |raft| async move {
            raft.change_membership(ChangeMembers::AddVoterIds(added), true).await
        })
        .await
    }

    /// Ends a change of the voters that was cut short between its two steps.
    async fn settle(&self) -> Result<(), String> {
        if !is_joint(self.driver.metrics().borrow_watched().membership_config.membership()) {
            return Ok(());
        }
        self.change(move |raft| async move {
            let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
            raft.change_membership(nobody, true).await
        })
        .await
    }

    /// Makes `replica` a member, in place of any other that `node` had.
    async fn add_learner(&self, node: NodeId, replica: u64) -> Result<(), String> {
        let (old, is_member, _) = self.members(node, replica);
        if !old.is_empty() {
            self.change(move |raft| async move {
                let voters = ChangeMembers::RemoveVoters(old.clone());
                raft.change_membership(voters, true).await?;
                raft.change_membership(ChangeMembers::RemoveNodes(old), true).await
            })
            .await?;
        }
        if is_member {
            return Ok(());
        }
        failpoint!("consensus.learner.before_add");
        let place = Place { node: node.0 };
        self.change(move |raft| async move { raft.add_learner(replica, place, false).await }).await
    }

    /// See [`crate::Group::add_learners`].
    pub(crate) async fn add_learners(
        &self,
        nodes: &BTreeSet<NodeId>,
        within: Duration,
    ) -> Result<BTreeSet<NodeId>, Error> {
        self.check_leads()?;
        let asking = nodes.iter().map(|node| async {
            (*node, standing_of(&self.peers, *node).await.map(|standing| standing.replica))
        });
        let (mut added, mut ready) = (BTreeMap::new(), BTreeSet::new());
        for (node, asked) in join_all(asking).await {
            let turn = self.take_turn()?;
            if self.peers.voter_on(&self.driver.metrics().borrow_watched(), node).is_some() {
                // Taken in meanwhile, perhaps with a later replica than it answered for.
                ready.insert(node);
                continue;
            }
            let taken = match asked {
                Ok(replica) => self.add_learner(node, replica).await.map(|()| replica),
                Err(why) => Err(why),
            };
            drop(turn);
            match taken {
                Ok(replica) => drop(added.insert(node, replica)),
                Err(why) => tracing::debug!(%node, why, "no learner yet"),
            }
        }
        let waiting = added.iter().map(|(node, replica)| async {
            self.wait_caught_up(*replica, within).await.is_ok().then_some(*node)
        });
        ready.extend(join_all(waiting).await.into_iter().flatten());
        Ok(ready)
    }

    /// The replicas that may vote for `nodes`.
    ///
    /// # Errors
    /// [`Error::Membership`] names a node of which none has a vote or has caught up.
    pub(crate) fn ready_replicas(&self, nodes: &BTreeSet<NodeId>) -> Result<BTreeSet<u64>, Error> {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        let learner_on = |node: NodeId| {
            let mut members = metrics.membership_config.membership().nodes();
            members.find(|(id, place)| place.node == node.0 && is_near(&metrics, **id))
        };
        let ready = |node: &NodeId| {
            let voter = self.peers.voter_on(&metrics, *node);
            let replica = voter.or_else(|| learner_on(*node).map(|(id, _)| *id));
            replica.ok_or_else(|| Error::Membership {
                group: self.peers.group,
                what: format!("node {node} has not caught up"),
            })
        };
        nodes.iter().map(ready).collect()
    }

    /// Learners on other nodes than these.
    pub(crate) fn learners_beside(&self, nodes: &BTreeSet<NodeId>) -> BTreeSet<u64> {
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let is_beside = |replica: &u64| !nodes.contains(&node_of(&metrics, *replica));
        membership.learner_ids().filter(is_beside).collect()
    }

    /// Waits until a learner has all but the last entries.
    async fn wait_caught_up(&self, replica: u64, within: Duration) -> Result<(), String> {
        let caught_up = async {
            while !is_near(&self.driver.metrics().borrow_watched(), replica) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let late = |_| format!("it has not caught up within {within:?}");
        tokio::time::timeout(within, caught_up).await.map_err(late)
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

/// Whether `replica` has all but the last entries.
fn is_near(metrics: &Metrics, replica: u64) -> bool {
    let progress = metrics.replication.as_ref().and_then(|all| all.get(&replica));
    let matched = progress.and_then(|log| log.as_ref()).map(|log| log.index);
    matched.is_some_and(|index| index + BEHIND_MAX >= metrics.last_log_index.unwrap_or_default())
}

/// Whether the replica of these metrics has a vote for good: between the two steps of a change
/// a majority of the old voters is needed too, and a leader that dies there leaves it so.
pub(crate) fn has_vote(metrics: &Metrics) -> bool {
    let committed = &metrics.committed_membership_config;
    !is_joint(committed.membership()) && committed.voter_ids().any(|id| id == metrics.id)
}
