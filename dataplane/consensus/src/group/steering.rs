use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitstratum_core::NodeId;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;

use super::Driver;
use crate::error::Error;
use crate::machine::StateMachine;
use crate::peer::Peers;
use crate::raft::{Metrics, node_of};
use crate::wire::{Answer, Ask, StandingAnswer, StandingAsk};

/// Entries that a voter may be behind and still be handed the leadership: it gets them
/// before it stands for election.
const BEHIND_MAX: u64 = 256;
/// Longest wait for a voter's word on whether it can lead.
const STANDING_WITHIN: Duration = Duration::from_millis(300);
/// Longest wait for a hand-over that has begun; after that the voters elect somebody.
const MOVED_WITHIN: Duration = Duration::from_millis(1_500);

/// Hands leadership over. openraft's leader takes nothing more once a transfer has begun,
/// whatever becomes of it: so a voter is asked first whether it can lead.
pub(crate) struct Steering<M: StateMachine> {
    pub(crate) driver: Driver<M>,
    pub(crate) peers: Peers,
    pub(crate) leaving: Arc<AtomicBool>,
}

impl<M: StateMachine> Clone for Steering<M> {
    fn clone(&self) -> Self {
        let (driver, peers) = (self.driver.clone(), self.peers.clone());
        Self { driver, peers, leaving: Arc::clone(&self.leaving) }
    }
}

impl<M: StateMachine> Steering<M> {
    /// Hands leadership to `target` and waits until somebody else leads. Nothing has
    /// happened if the target is not ready.
    ///
    /// # Errors
    /// [`Error::NotLeader`]; [`Error::Membership`] if the target cannot lead now;
    /// [`Error::Timeout`] if the hand-over did not take effect in time.
    pub(crate) async fn move_to(&self, target: NodeId) -> Result<(), Error> {
        let group = self.peers.group;
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return Err(Error::NotLeader { group, leader: self.peers.leader(&metrics) });
        }
        let replica = self.peers.voter_on(&metrics, target);
        let replica = replica.ok_or_else(|| self.refused(target, "is no voter"))?;
        self.check_ready(target, &metrics).await?;
        let begin = move |raft: crate::raft::Raft<M>| async move {
            raft.trigger().transfer_leader(replica).await
        };
        self.driver.call(begin).await;
        self.wait_moved().await
    }

    /// Hands leadership to whichever voter is nearest, if this node leads; whether it does
    /// not lead any more.
    pub(crate) async fn hand_over(&self) -> bool {
        let metrics = self.metrics();
        if metrics.state != ServerState::Leader {
            return true;
        }
        let own = metrics.id;
        let mut voters: Vec<u64> =
            metrics.membership_config.voter_ids().filter(|id| *id != own).collect();
        let matched = |id: &u64| {
            let progress = metrics.replication.as_ref().and_then(|all| all.get(id).cloned());
            progress.flatten().map_or(0, |log| log.index)
        };
        voters.sort_by_key(|id| std::cmp::Reverse(matched(id)));
        for voter in voters {
            let target = node_of(&metrics, voter);
            match self.move_to(target).await {
                Ok(()) | Err(Error::NotLeader { .. }) => return true,
                Err(error) => tracing::debug!(%error, "leadership stays for now"),
            }
        }
        false
    }

    /// What this node says of itself to a leader that wants to hand over.
    pub(crate) fn standing(&self) -> StandingAnswer {
        let metrics = self.metrics();
        StandingAnswer {
            last: metrics.last_log_index.unwrap_or_default(),
            leaving: self.leaving.load(Ordering::SeqCst),
            replica: self.peers.replica,
        }
    }

    async fn check_ready(&self, target: NodeId, metrics: &Metrics) -> Result<(), Error> {
        let standing = standing_of(&self.peers, target).await;
        let standing = standing.map_err(|why| self.refused(target, &why))?;
        if standing.leaving {
            return Err(self.refused(target, "is about to stop"));
        }
        let last = metrics.last_log_index.unwrap_or_default();
        if standing.last + BEHIND_MAX < last {
            return Err(self.refused(target, "is too far behind"));
        }
        Ok(())
    }

    async fn wait_moved(&self) -> Result<(), Error> {
        let group = self.peers.group;
        let mut metrics = self.driver.metrics();
        let moved = async {
            loop {
                {
                    let now = metrics.borrow_watched();
                    let is_elsewhere = now.current_leader.is_some_and(|leader| leader != now.id);
                    if is_elsewhere || now.running_state.is_err() {
                        return;
                    }
                }
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        let timeout = |_| Error::Timeout { group, awaited: "hand-over", within: MOVED_WITHIN };
        tokio::time::timeout(MOVED_WITHIN, moved).await.map_err(timeout)
    }

    fn refused(&self, target: NodeId, why: &str) -> Error {
        let what = format!("leadership cannot go to node {target}: it {why}");
        Error::Membership { group: self.peers.group, what }
    }

    fn metrics(&self) -> Metrics {
        self.driver.metrics().borrow_watched().clone()
    }
}

/// What `node` says of its replica.
pub(super) async fn standing_of(peers: &Peers, node: NodeId) -> Result<StandingAnswer, String> {
    let ask = Ask::Standing(StandingAsk {});
    match peers.ask(node, ask, STANDING_WITHIN).await {
        Ok(Answer::Standing(standing)) => Ok(standing),
        Ok(_) => Err("gave another answer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
