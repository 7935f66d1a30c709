//! A handle on one group of this node.

mod compact;
mod contact;
mod driver;
mod failure;
mod heartbeat;
mod joining;
mod limits;
mod progress;
mod reads;
mod status;
mod steering;
mod voice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, InitializeError, RaftError};
use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;

use crate::applier::Applied;
use crate::command::Opaque;
use crate::error::{Error, ProposeError, ReadError};
use crate::host::{Electorate, Registration};
use crate::id::{GroupId, LogIndex};
use crate::machine::{State, StateMachine};
use crate::raft::{Place, Raft, Types};

pub(crate) use compact::Compactor;
pub(crate) use contact::Contact;
pub(crate) use driver::Driver;
pub(crate) use failure::Failure;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use joining::{Joining, Named, has_vote};
pub(crate) use limits::{Limits, Room};
pub(crate) use reads::Reads;
pub use status::{LeaderView, Role, Status};
pub(crate) use steering::Steering;

/// What a proposal was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The place of its entry in the log.
    pub index: LogIndex,
    /// What the state machine returned.
    pub bytes: Bytes,
}

/// One group of this node. Clones are cheap and the same group; it stops when
/// [`Group::shutdown`] or [`crate::Host::shutdown`] is called.
pub struct Group<M: StateMachine> {
    inner: Arc<Inner<M>>,
}

impl<M: StateMachine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

pub(crate) struct Inner<M: StateMachine> {
    pub(crate) id: GroupId,
    pub(crate) node: NodeId,
    pub(crate) driver: Driver<M>,
    pub(crate) applied: Arc<Applied<M>>,
    pub(crate) reads: Reads<M>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) failure: Failure,
    pub(crate) limits: Limits,
    pub(crate) room: Room,
    pub(crate) contact: Contact,
    pub(crate) steering: Steering<M>,
    pub(crate) joining: Joining<M>,
    pub(crate) is_new: bool,
    /// Who is shown this node's start.
    pub(crate) named: watch::Sender<Electorate>,
    pub(crate) registration: Registration,
}

impl<M: StateMachine> Group<M> {
    pub(crate) fn new(inner: Inner<M>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Its id.
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// Makes `voters` the group's first members, once, on one of them. A group that has
    /// members already keeps them: repeating the call is harmless.
    ///
    /// # Errors
    /// [`Error::Membership`] if this node is not among `voters`; [`Error::Stopped`];
    /// [`Error::Timeout`].
    pub async fn initialize(&self, voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        let members: BTreeMap<u64, Place> =
            voters.iter().map(|node| (node.0, Place::first(*node))).collect();
        let begun = |raft: Raft<M>| async move { raft.initialize(members).await };
        match self.within(self.inner.limits.call, "first membership", begun).await? {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error @ InitializeError::NotInMembers(_))) => {
                Err(Error::Membership { group: self.inner.id, what: error.to_string() })
            }
            Err(RaftError::Fatal(_)) => Err(self.stopped()),
        }
    }

    /// Whether the group has members, as far as this node's log tells: false on a
    /// pristine node, and on one that has yet to hear of a group that others began.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::Timeout`].
    pub async fn is_initialized(&self) -> Result<bool, Error> {
        let asked = |raft: Raft<M>| async move { raft.is_initialized().await };
        let answer = self.within(self.inner.limits.call, "answer of its log", asked).await?;
        answer.map_err(|_| self.stopped())
    }

    /// Proposes `command` and returns once it is durable on a majority and applied here.
    /// It always returns: as soon as the group has ended, once no majority has answered for
    /// [`crate::Config::quorum_silence_max`] (P-A8), and within
    /// [`crate::Config::propose_timeout`].
    ///
    /// Dropping the future does not take the proposal back.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`], [`ProposeError::TooLarge`], [`ProposeError::Full`],
    /// [`ProposeError::NoQuorum`], [`ProposeError::Busy`] and [`ProposeError::Stopped`]: it was not proposed and
    /// never will be.
    /// [`ProposeError::Unknown`]: it may be applied, now or later (S11).
    pub async fn propose(&self, command: impl Into<Bytes>) -> Result<Reply, ProposeError> {
        let command = command.into();
        let (group, Limits { command_bytes: limit, propose: within, .. }) =
            (self.inner.id, self.inner.limits);
        if command.len() > limit {
            return Err(ProposeError::TooLarge { bytes: command.len(), limit });
        }
        let cause = self.inner.failure.cause();
        if self.inner.driver.has_ended() || cause.is_some() {
            return Err(ProposeError::Stopped { group, cause });
        }
        // A log must not meet a full disk: that would be its end (P-D6).
        self.inner.applied.admit().map_err(|source| ProposeError::Full { group, source })?;
        if let Some(silence) = self.leads_in_vain() {
            return Err(ProposeError::NoQuorum { group, silence });
        }
        let taken = self.inner.room.take(command.len()).await;
        let _room = taken.ok_or(ProposeError::Busy { group })?;
        let unknown = |cause| ProposeError::Unknown { group, cause };
        let write = |raft: Raft<M>| async move { raft.client_write(Opaque(command)).await };
        let outcome = tokio::time::timeout(within, self.inner.driver.call(write));
        let outcome = tokio::select! {
            biased;
            outcome = outcome => outcome,
            silence = self.inner.contact.wait_lost_leading(self.inner.driver.metrics()) => {
                return Err(unknown(Some(Arc::new(Error::NoQuorum { group, silence }))));
            }
        };
        match outcome {
            Ok(Some(Ok(written))) => {
                Ok(Reply { index: LogIndex(written.log_id.index), bytes: written.data.0 })
            }
            Ok(Some(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))))) => {
                Err(ProposeError::NotLeader {
                    group,
                    leader: forward.leader_node.map(|place| NodeId(place.node)),
                })
            }
            Ok(Some(Err(_)) | None) => Err(unknown(self.inner.failure.cause())),
            Err(_) => {
                let late = Error::Timeout { group, awaited: "outcome of a proposal", within };
                Err(unknown(Some(Arc::new(late))))
            }
        }
    }

    /// Waits until this replica has applied everything that was acknowledged anywhere
    /// before the call (ReadIndex): a read after it is linearizable. Works on any voter.
    ///
    /// # Errors
    /// [`ReadError`]; the read must not be answered then.
    pub async fn read_barrier(&self) -> Result<LogIndex, ReadError> {
        self.inner.reads.barrier().await
    }

    /// Runs `read` on the machine and its rows, both of one log index. Blocks while
    /// entries are applied, and as long as `read` reads rows: call it from a blocking
    /// thread, unless `read` only looks at the machine's memory.
    pub fn read<R>(&self, read: impl FnOnce(&M, &State<'_>) -> R) -> R {
        self.inner.applied.read(read)
    }

    /// What this node knows of the group now.
    pub fn status(&self) -> Status {
        self.inner.status.borrow().clone()
    }

    /// The same, with changes told. `last_applied` follows within a heartbeat; see
    /// [`Group::watch_applied`].
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.inner.status.clone()
    }

    /// The same on the leader, once a majority has confirmed that it leads: nothing that a leader
    /// after it has committed is missing.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::NoLeader`] on any other.
    pub async fn confirmed_status(&self) -> Result<Status, ReadError> {
        self.inner.reads.confirm_leadership().await?;
        // What `status` says may be older than the confirmation.
        Ok(Status::of(&self.inner.driver.metrics().borrow_watched()))
    }

    /// The last entry that every voter has, as this leader knows; none on any other.
    pub fn held_by_all(&self) -> Option<LogIndex> {
        let metrics = self.inner.driver.metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.as_ref()?;
        let held = |voter: u64| match voter == metrics.id {
            true => metrics.last_log_index.unwrap_or_default(),
            false => replication.get(&voter).cloned().flatten().map_or(0, |log| log.index),
        };
        metrics.membership_config.voter_ids().map(held).min().map(LogIndex)
    }

    /// The index applied last on this replica, with changes told at once.
    pub fn watch_applied(&self) -> watch::Receiver<Option<LogIndex>> {
        self.inner.applied.watch()
    }

    /// The index applied last on this replica; 0 before the first.
    pub fn last_applied(&self) -> LogIndex {
        self.inner.applied.watch().borrow().unwrap_or_default()
    }

    /// Whether this node leads, as far as it knows. Only [`Group::read_barrier`] and an
    /// acknowledged proposal prove it.
    pub fn is_leader(&self) -> bool {
        self.inner.status.borrow().role == Role::Leader
    }

    /// Whether this node has had a sign of a majority of the voters lately (GS-CP-34).
    pub fn has_quorum(&self) -> bool {
        self.inner.contact.lost(&self.inner.driver.metrics().borrow_watched()).is_none()
    }

    /// For how long no majority has answered this leader, if that is too long.
    fn leads_in_vain(&self) -> Option<Duration> {
        let metrics = self.inner.driver.metrics();
        let metrics = metrics.borrow_watched();
        self.inner.contact.lost(&metrics).filter(|_| metrics.state == ServerState::Leader)
    }

    /// Waits until somebody leads.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Stopped`].
    pub async fn wait_for_leader(&self, within: Duration) -> Result<LeaderView, Error> {
        let mut status = self.inner.status.clone();
        let found = status.wait_for(|status| status.leader.is_some() || status.is_stopped());
        match tokio::time::timeout(within, found).await {
            Ok(Ok(status)) => status.leader.ok_or_else(|| self.stopped()),
            Ok(Err(_)) => Err(self.stopped()),
            Err(_) => Err(Error::Timeout { group: self.inner.id, awaited: "leader", within }),
        }
    }

    /// Hands leadership to `target`, a voter, and returns when somebody else leads. Without
    /// effect if the target cannot lead now: it does not answer, is about to stop, or is too
    /// far behind.
    ///
    /// # Errors
    /// [`Error::NotLeader`]; [`Error::Membership`] says why it cannot; [`Error::Timeout`]:
    /// the voters will elect somebody.
    pub async fn transfer_leader(&self, target: NodeId) -> Result<(), Error> {
        self.inner.steering.move_to(target).await
    }

    /// Takes `nodes` in as learners, with the replicas that they have now, and returns those
    /// that have all but the last entries after `within` at most, or a vote by then. The others
    /// go on learning while this node leads.
    ///
    /// # Errors
    /// [`Error::NotLeader`]; [`Error::Membership`], if another change is under way.
    pub async fn add_learners(
        &self,
        nodes: &BTreeSet<NodeId>,
        within: Duration,
    ) -> Result<BTreeSet<NodeId>, Error> {
        self.inner.joining.add_learners(nodes, within).await
    }

    /// Makes `voters` the voters, by a joint change, and ends one that was cut short; nodes
    /// left out are gone, learners too.
    ///
    /// # Errors
    /// [`Error::NotLeader`]; [`Error::Membership`], if one has neither a vote nor caught up as
    /// a learner, or another change is under way; [`Error::Stopped`]; [`Error::Timeout`]: it
    /// may yet be made.
    pub async fn change_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), Error> {
        let _turn = self.inner.joining.take_turn()?;
        let replicas = self.inner.joining.ready_replicas(voters)?;
        let change = |raft: Raft<M>| async move { raft.change_membership(replicas, false).await };
        let changed = self.within(self.inner.limits.membership, "new voters", change).await?;
        changed.map_err(|error| self.membership_error(error))?;
        let others = self.inner.joining.learners_beside(voters);
        if others.is_empty() {
            return Ok(());
        }
        let change = |raft: Raft<M>| async move {
            raft.change_membership(ChangeMembers::RemoveNodes(others), true).await
        };
        let changed = self.within(self.inner.limits.membership, "learners to go", change).await?;
        changed.map(drop).map_err(|error| self.membership_error(error))
    }

    /// From now on its voters may ask to be taken in (S23), and others only if they have a vote; all
    /// of it are shown this node's start.
    pub fn follow_voters(&self, electorate: &Electorate) {
        *self.inner.joining.voters.lock() = Named::Followed(electorate.voters.clone());
        self.inner.named.send_if_modified(|named| {
            let is_other = named != electorate;
            electorate.clone_into(named);
            is_other
        });
    }

    /// Whether the group may be begun from here: no peer that answered has anything of it,
    /// and this node's replica was never destroyed (S23).
    pub fn is_new(&self) -> bool {
        self.inner.is_new
    }

    /// Whether this node's own replica is one of the voters, by a membership that is
    /// committed, and is no step of a change.
    pub fn has_vote(&self) -> bool {
        has_vote(&self.inner.driver.metrics().borrow_watched())
    }

    /// What stopped the group, if it was not told to.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.inner.failure.cause()
    }

    /// A hash of the whole state and the index it belongs to: equal indexes have equal
    /// hashes on every replica (S14). Reads every row.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Record`].
    pub async fn state_hash(&self) -> Result<(LogIndex, Bytes), Error> {
        let (applied, group) = (Arc::clone(&self.inner.applied), self.inner.id);
        gitstratum_process::blocking(move || applied.hash())
            .await
            .map_err(|panic| Error::Task { group, what: format!("state hash: {panic}") })?
    }

    /// Stops the group on this node. Proposals under way end as unknown. Nothing is written
    /// for it any more once this returns.
    pub async fn shutdown(&self) {
        self.inner.registration.close().await;
    }

    /// What `call` returns, unless the group ends or the time is up before.
    async fn within<T, F>(
        &self,
        within: Duration,
        awaited: &'static str,
        call: impl FnOnce(Raft<M>) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        match tokio::time::timeout(within, self.inner.driver.call(call)).await {
            Ok(done) => done.ok_or_else(|| self.stopped()),
            Err(_) => Err(Error::Timeout { group: self.inner.id, awaited, within }),
        }
    }

    fn stopped(&self) -> Error {
        Error::Stopped { group: self.inner.id, cause: self.inner.failure.cause() }
    }

    fn membership_error(&self, error: RaftError<Types, ClientWriteError<Types>>) -> Error {
        let group = self.inner.id;
        match error {
            RaftError::Fatal(_) => self.stopped(),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                Error::NotLeader { group, leader: forward.leader_id.map(NodeId) }
            }
            RaftError::APIError(error) => Error::Membership { group, what: error.to_string() },
        }
    }

    #[cfg(test)]
    pub(crate) fn reads(&self) -> &Reads<M> {
        &self.inner.reads
    }

    #[cfg(test)]
    pub(crate) fn driver(&self) -> &Driver<M> {
        &self.inner.driver
    }

    /// The node this handle is on.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }
}
