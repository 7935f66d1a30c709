use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::NodeId;
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Contact, Driver, Failure};
use crate::applier::Applied;
use crate::error::ReadError;
use crate::id::LogIndex;
use crate::machine::StateMachine;
use crate::network::NetworkError;
use crate::peer::Peers;
use crate::raft::Raft;
use crate::wire::{Answer, Ask, ReadIndexAsk};

/// Reads on a follower that may wait for an answer of the leader.
const WAITERS_MAX: usize = 65_536;

type Waiter = oneshot::Sender<Result<LogIndex, ReadError>>;

/// Linearizable reads by ReadIndex, never by a lease: the leader confirms with a quorum
/// that it leads, its answer is the index to wait for.
pub(crate) struct Reads<M: StateMachine> {
    driver: Driver<M>,
    applied: Arc<Applied<M>>,
    failure: Failure,
    within: Duration,
    contact: Contact,
    forward: mpsc::Sender<Waiter>,
}

impl<M: StateMachine> Clone for Reads<M> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            applied: Arc::clone(&self.applied),
            failure: self.failure.clone(),
            within: self.within,
            contact: self.contact.clone(),
            forward: self.forward.clone(),
        }
    }
}

/// Asks the leader on behalf of reads on this follower: one question for all that wait.
pub(crate) struct Forwarder<M: StateMachine> {
    reads: mpsc::Receiver<Waiter>,
    driver: Driver<M>,
    peers: Peers,
    within: Duration,
}

impl<M: StateMachine> Reads<M> {
    pub(crate) fn new(
        driver: Driver<M>,
        applied: Arc<Applied<M>>,
        failure: Failure,
        (within, contact): (Duration, Contact),
        peers: Peers,
    ) -> (Self, Forwarder<M>) {
        let (forward, reads) = mpsc::channel(WAITERS_MAX);
        let forwarder = Forwarder { reads, driver: driver.clone(), peers, within };
        (Self { driver, applied, failure, within, contact, forward }, forwarder)
    }

    /// Reads that wait for the leader's answer to a question that is yet to be sent.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.forward.max_capacity() - self.forward.capacity()
    }

    /// Waits until this replica has applied what was acknowledged before the call.
    pub(crate) async fn barrier(&self) -> Result<LogIndex, ReadError> {
        let group = self.applied.group;
        let waiting = async {
            if self.driver.metrics().borrow_watched().running_state.is_err() {
                return Err(self.stopped());
            }
            let index = if self.driver.is_leader() {
                self.confirm_leadership().await?
            } else {
                self.ask_leader().await?
            };
            self.wait_applied(index).await
        };
        let within = self.within;
        tokio::select! {
            biased;
            done = tokio::time::timeout(within, waiting) => {
                done.unwrap_or(Err(ReadError::Timeout { group, within }))
            }
            silence = self.contact.wait_lost(self.driver.metrics()) => {
                Err(ReadError::NoQuorum { group, silence })
            }
        }
    }

    /// On the leader: confirms with a quorum that it still leads. What was acknowledged
    /// before the call is at or below the index returned. A quorum that was too slow is asked
    /// again, until there was no sign of one for too long.
    pub(crate) async fn confirm_leadership(&self) -> Result<LogIndex, ReadError> {
        let (group, within) = (self.applied.group, self.within);
        let began = Instant::now();
        loop {
            if let Some(index) = self.ask_quorum().await? {
                return Ok(index);
            }
            if let Some(silence) = self.contact.lost(&self.driver.metrics().borrow_watched()) {
                return Err(ReadError::NoQuorum { group, silence });
            }
            if began.elapsed() >= within {
                return Err(ReadError::Timeout { group, within });
            }
        }
    }

    /// Once; `None` if too few answered in time.
    async fn ask_quorum(&self) -> Result<Option<LogIndex>, ReadError> {
        let group = self.applied.group;
        if !self.driver.voice().speaks() {
            // What asks the quorum is a heartbeat too.
            let silence = self.contact.lost(&self.driver.metrics().borrow_watched());
            return Err(match silence {
                Some(silence) => ReadError::NoQuorum { group, silence },
                None => ReadError::NoLeader { group, leader: None },
            });
        }
        let asked =
            |raft: Raft<M>| async move { raft.get_read_linearizer(ReadPolicy::ReadIndex).await };
        let Some(asked) = self.driver.call(asked).await else { return Err(self.stopped()) };
        match asked {
            Ok(linearizer) => Ok(Some(LogIndex(linearizer.read_log_id().index()))),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(ReadError::NoLeader {
                    group,
                    leader: forward.leader_node.map(|place| NodeId(place.node)),
                })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Ok(None),
            Err(RaftError::Fatal(_)) => Err(self.stopped()),
        }
    }

    async fn ask_leader(&self) -> Result<LogIndex, ReadError> {
        let (waiter, answered) = oneshot::channel();
        self.forward.send(waiter).await.map_err(|_| self.stopped())?;
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    async fn wait_applied(&self, index: LogIndex) -> Result<LogIndex, ReadError> {
        let mut applied = self.applied.watch();
        let mut metrics = self.driver.metrics();
        loop {
            if metrics.borrow_watched().running_state.is_err() {
                return Err(self.stopped());
            }
            tokio::select! {
                biased;
                reached = applied.wait_for(|applied| *applied >= Some(index)) => {
                    return reached.map_err(|_| self.stopped())?.ok_or_else(|| self.stopped());
                }
                changed = metrics.changed() => changed.map_err(|_| self.stopped())?,
            }
        }
    }

    fn stopped(&self) -> ReadError {
        ReadError::Stopped { group: self.applied.group, cause: self.failure.cause() }
    }
}

impl<M: StateMachine> Forwarder<M> {
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.reads.recv().await {
            let mut waiting = vec![first];
            while let Ok(waiter) = self.reads.try_recv() {
                waiting.push(waiter);
            }
            let answer = self.ask().await;
            for waiter in waiting {
                // Whoever waited may have given up.
                drop(waiter.send(answer.clone()));
            }
        }
    }

    async fn ask(&self) -> Result<LogIndex, ReadError> {
        let group = self.peers.group;
        let leader = self.peers.leader(&self.driver.metrics().borrow_watched());
        let Some(target) = leader.filter(|leader| *leader != self.peers.node) else {
            return Err(ReadError::NoLeader { group, leader });
        };
        match self.peers.ask(target, Ask::ReadIndex(ReadIndexAsk {}), self.within).await {
            Ok(Answer::ReadIndex(answer)) => Ok(LogIndex(answer.index)),
            Ok(_) | Err(NetworkError::Unreachable(_)) => Err(ReadError::NoLeader { group, leader }),
            Err(NetworkError::Lost(_)) => Err(ReadError::Timeout { group, within: self.within }),
        }
    }
}
