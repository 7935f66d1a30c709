use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::NodeId;
use openraft::SnapshotPolicy;
use openraft::async_runtime::watch::WatchReceiver as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::admit::{Admitted, join};
use super::showing::Showing;
use super::{Electorate, Host, Registration};
use crate::admission::Place;
use crate::applier::{Applied, Applier};
use crate::error::Error;
use crate::group::{
    self, Compactor, Contact, Driver, Failure, Group, Heartbeat, Joining, Limits, Named, Reads,
    Room, Status, Steering,
};
use crate::id::GroupId;
use crate::log::{Context, Length, LogStore};
use crate::machine::StateMachine;
use crate::peer::{Peers, Served};
use crate::raft::{Fatal, Raft, RaftState};

/// Longest that one chunk of a snapshot, or the installation behind the last one, takes.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

impl Host {
    /// Opens `group`: checks its log, loads its state, applies what was committed, and
    /// takes part from now on. A group that is the only voter leads at once.
    ///
    /// # Errors
    /// [`Error::Log`], [`Error::Record`], [`Error::Machine`] name what is damaged;
    /// [`Error::Engine`]; [`Error::Open`] if it is open already.
    pub async fn open<M: StateMachine>(
        &self,
        group: GroupId,
        machine: M,
    ) -> Result<Group<M>, Error> {
        self.open_among(group, machine, &BTreeSet::from([self.node])).await
    }

    /// The same for a group whose voters are on the nodes `voters`: they are asked first
    /// whether this node's replica is what it was. If it is not, because its disk was rolled
    /// back or emptied, it is destroyed here, and the group's leader takes a new one in (S23).
    ///
    /// # Errors
    /// As [`Host::open`]; [`Error::NotAdmitted`] while too few of them answer: to be tried
    /// again.
    pub async fn open_among<M: StateMachine>(
        &self,
        group: GroupId,
        machine: M,
        voters: &BTreeSet<NodeId>,
    ) -> Result<Group<M>, Error> {
        let electorate = Electorate { voters: voters.clone(), ..Electorate::default() };
        self.open_as(Place::Founding, group, machine, &electorate).await
    }

    /// The same for a group that was begun by others than these: what is not here was never here,
    /// or is lost. The leader takes this node's replica in (S39); it begins no group. Answers of as
    /// many as are a majority of the voters, with this node's own, are needed, whoever of the
    /// electorate gives them: only from those that would know.
    ///
    /// # Errors
    /// As [`Host::open_among`].
    pub async fn open_later<M: StateMachine>(
        &self,
        group: GroupId,
        machine: M,
        electorate: &Electorate,
    ) -> Result<Group<M>, Error> {
        self.open_as(Place::Later, group, machine, electorate).await
    }

    async fn open_as<M: StateMachine>(
        &self,
        place: Place,
        group: GroupId,
        machine: M,
        electorate: &Electorate,
    ) -> Result<Group<M>, Error> {
        {
            let mut open = self.members.open.lock();
            if open.contains_key(&group) {
                return Err(Error::Open { group });
            }
            open.insert(group, None);
        }
        let opened = self.open_registered((group, place), machine, electorate).await;
        if opened.is_err() {
            self.members.open.lock().remove(&group);
        }
        opened
    }

    async fn open_registered<M: StateMachine>(
        &self,
        (group, place): (GroupId, Place),
        machine: M,
        electorate: &Electorate,
    ) -> Result<Group<M>, Error> {
        let admitted = self.admit(group, electorate, place).await?;
        let replica = admitted.replica;
        let failure = Failure::default();
        let (log, applied) = self.load((group, replica), machine, &failure).await?;
        let peers = self.peers(group, replica);
        let raft = Raft::new(
            replica,
            Arc::new(self.openraft_config(group)?),
            peers.clone(),
            log.clone(),
            Applier(Arc::clone(&applied)),
        )
        .await
        .map_err(|error| stopped(group, &failure, &error))?;
        if let Err(error) = self.lead_if_alone((group, replica), &raft, &failure).await {
            if let Err(panic) = raft.shutdown().await {
                tracing::error!(%panic, %group, "consensus task failed");
            }
            applied.close().await;
            log.settle().await;
            return Err(error);
        }
        let electorate = electorate.clone();
        let opened = Opened { group, raft, log, applied, failure, peers, admitted, electorate };
        Ok(self.handle(opened))
    }

    /// Reads and checks what the engine holds of `group`, on a blocking thread.
    async fn load<M: StateMachine>(
        &self,
        (group, replica): (GroupId, u64),
        machine: M,
        failure: &Failure,
    ) -> Result<(LogStore, Arc<Applied<M>>), Error> {
        let context = Context {
            replica,
            group,
            engine: Arc::clone(&self.engine),
            committer: Arc::clone(&self.committer),
            failure: failure.clone(),
        };
        let chunk_bytes = self.config.snapshot_chunk_bytes;
        let load = move || {
            let engine = Arc::clone(&context.engine);
            let failure = context.failure.clone();
            let log = LogStore::open(context)?;
            let applied = Applied::open(group, engine, failure, chunk_bytes, machine)?;
            Ok((log, Arc::new(applied)))
        };
        gitstratum_process::blocking(load)
            .await
            .map_err(|panic| Error::Task { group, what: format!("opening it: {panic}") })?
    }

    pub(super) fn peers(&self, group: GroupId, replica: u64) -> Peers {
        Peers {
            node: self.node,
            replica,
            group,
            network: Arc::clone(&self.network),
            snapshot_timeout: self.config.snapshot_timeout,
            transfers: Arc::clone(&self.transfers),
        }
    }

    fn openraft_config(&self, group: GroupId) -> Result<openraft::Config, Error> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let config = openraft::Config {
            cluster_name: format!("group {group}"),
            // To openraft it is also how long an answer may take; `Heartbeat` sends them.
            heartbeat_interval: millis(self.config.answer_timeout),
            enable_heartbeat: false,
            election_timeout_min: millis(self.config.election_timeout_min),
            election_timeout_max: millis(self.config.election_timeout_max),
            install_snapshot_timeout: millis(CHUNK_TIMEOUT),
            // The compactor decides when; openraft would count from the last restart.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            enable_pre_vote: Some(true),
            // A leader that hears nobody falls silent, else those who still hear it would
            // elect no other (P-A2, cut off one way).
            quorum_loss_probe_interval: Some(2 * millis(self.config.election_timeout_max)),
            // A leader counts followers' syncs before its own is done. Restored in its old
            // term it would give the indexes it forgot to other entries.
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| Error::Membership { group, what: error.to_string() })
    }

    /// A single voter need not wait for an election timeout. What openraft has read of the
    /// log is known only once its task answers: its metrics begin as those of an empty one.
    async fn lead_if_alone<M: StateMachine>(
        &self,
        (group, replica): (GroupId, u64),
        raft: &Raft<M>,
        failure: &Failure,
    ) -> Result<(), Error> {
        let leading = async {
            if !raft.is_initialized().await? {
                return Ok(());
            }
            let is_alone = move |state: &RaftState| {
                state.membership_state.effective().voter_ids().eq([replica])
            };
            if raft.with_raft_state(is_alone).await? {
                raft.trigger().elect(false).await?;
            }
            Ok(())
        };
        let within = self.config.call_timeout;
        match tokio::time::timeout(within, leading).await {
            Ok(led) => led.map_err(|error| stopped(group, failure, &error)),
            Err(_) => Err(Error::Timeout { group, awaited: "answer of its log", within }),
        }
    }

    fn handle<M: StateMachine>(&self, opened: Opened<M>) -> Group<M> {
        let Opened { group, raft, log, applied, failure, peers, admitted, electorate } = opened;
        let (sender, status) = watch::channel(Status::of(&raft.metrics().borrow_watched()));
        let stores = (log.clone(), Arc::clone(&applied));
        let driver = Driver::new(raft, stores, sender, failure.clone());
        let contact = Contact::new(self.config.quorum_silence_max);
        let waits = (self.config.read_timeout, contact.clone());
        let (reads, forwarder) =
            Reads::new(driver.clone(), Arc::clone(&applied), failure.clone(), waits, peers.clone());
        let leaving = Arc::clone(&self.leaving);
        let steering = Steering { driver: driver.clone(), peers: peers.clone(), leaving };
        if admitted.joins {
            let asked = (admitted.begun.start.life, electorate.beside(self.node));
            driver.run_beside("replica", join(driver.clone(), peers.clone(), asked));
        }
        let named = watch::Sender::new(electorate.clone());
        let showing = Showing {
            starts: self.starts.clone(),
            peers: peers.clone(),
            driver: driver.clone(),
            failure: failure.clone(),
            electorate: named.subscribe(),
        };
        // Not beside the group: it may have to end it, and see to what comes after.
        gitstratum_process::spawn("replica start", showing.run(admitted.begun)).detach();
        let joining = Joining {
            driver: driver.clone(),
            peers,
            voters: Arc::new(Mutex::new(Named::Opened(electorate.voters))),
            turn: Arc::default(),
        };
        let compactor = Compactor {
            driver: driver.clone(),
            log,
            limit: Length::limit(&self.config),
            kept: Length::kept(&self.config),
        };
        Heartbeat { group, every: self.config.heartbeat_interval }.begin(&driver);
        driver.run_beside("quorum contact", contact.clone().follow(driver.metrics()));
        driver.run_beside("consensus reads", forwarder.run());
        driver.run_beside("log compaction", compactor.run());
        let served = Served {
            driver: driver.clone(),
            applied: Arc::clone(&applied),
            reads: reads.clone(),
            failure: failure.clone(),
            contact: contact.clone(),
            steering: steering.clone(),
            joining: joining.clone(),
            transfer: Mutex::new(None),
        };
        self.members.open.lock().insert(group, Some(Arc::new(served)));
        Group::new(group::Inner {
            id: group,
            node: self.node,
            driver,
            applied,
            reads,
            status,
            failure,
            limits: Limits::of(&self.config),
            room: Room::new(),
            contact,
            steering,
            joining,
            is_new: admitted.is_new,
            named,
            registration: Registration { group, members: Arc::clone(&self.members) },
        })
    }
}

struct Opened<M: StateMachine> {
    group: GroupId,
    raft: Raft<M>,
    log: LogStore,
    applied: Arc<Applied<M>>,
    failure: Failure,
    peers: Peers,
    admitted: Admitted,
    electorate: Electorate,
}

/// The typed error behind openraft's, where there is one.
fn stopped(group: GroupId, failure: &Failure, error: &Fatal) -> Error {
    match failure.cause() {
        Some(cause) => (*cause).clone(),
        None => Error::Task { group, what: error.to_string() },
    }
}
