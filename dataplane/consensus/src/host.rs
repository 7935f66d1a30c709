//! All groups of a process, over one engine and one commit thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{Clock, NodeId};
use gitstratum_store::{Committer, Engine, Family, commit};
use openraft::SnapshotPolicy;
use openraft::async_runtime::watch::WatchReceiver as _;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::applier::{Applied, Applier};
use crate::config::Config;
use crate::error::Error;
use crate::group::{self, Compactor, Failure, Group, Reads, Status, follow};
use crate::id::GroupId;
use crate::log::{Context, Length, LogStore};
use crate::machine::StateMachine;
use crate::meta;
use crate::network::Network;
use crate::peer::{Member, Peers, Served};
use crate::raft::Raft;
use crate::wire::{self, Answer};

/// Longest that one chunk of a snapshot, or the installation behind the last one, takes.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// The column families that an engine must be opened with to hold groups.
pub const fn families() -> [Family; 3] {
    [meta::LOG, meta::META, meta::STATE]
}

/// What a host needs.
pub struct HostOptions {
    /// This node. Never one whose volume was lost (S23).
    pub node: NodeId,
    /// Holds logs and state; opened with [`families`].
    pub engine: Arc<dyn Engine>,
    /// Reaches the peers.
    pub network: Arc<dyn Network>,
    /// Measures syncs.
    pub clock: Arc<dyn Clock>,
    /// How groups behave.
    pub config: Config,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The commit thread: each sync is one fdatasync for all groups.
    pub commit: commit::Stats,
    /// Groups open.
    pub groups: u64,
}

/// All groups of a process.
pub struct Host {
    node: NodeId,
    engine: Arc<dyn Engine>,
    network: Arc<dyn Network>,
    config: Config,
    committer: Arc<Committer>,
    transfers: Arc<AtomicU64>,
    members: Arc<Members>,
}

#[derive(Default)]
struct Members {
    open: Mutex<BTreeMap<GroupId, Option<Arc<dyn Member>>>>,
}

/// A group's place among those that peers can reach; it is free again once closed.
pub(crate) struct Registration {
    group: GroupId,
    members: Arc<Members>,
}

impl Registration {
    pub(crate) async fn close(&self) {
        let member = self.members.open.lock().remove(&self.group);
        if let Some(Some(member)) = member {
            member.stop().await;
        }
    }
}

impl Host {
    /// Starts the commit thread.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::Commit`].
    pub fn start(options: HostOptions) -> Result<Arc<Self>, Error> {
        let HostOptions { node, engine, network, clock, config } = options;
        config.validate().map_err(Error::Config)?;
        let committer = Committer::start(Arc::clone(&engine), clock, commit::Config::default())
            .map_err(|source| Error::Commit { group: GroupId(0), source })?;
        Ok(Arc::new(Self {
            node,
            engine,
            network,
            config,
            committer,
            transfers: Arc::default(),
            members: Arc::default(),
        }))
    }

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
        {
            let mut open = self.members.open.lock();
            if open.contains_key(&group) {
                return Err(Error::Open { group });
            }
            open.insert(group, None);
        }
        let opened = self.open_registered(group, machine).await;
        if opened.is_err() {
            self.members.open.lock().remove(&group);
        }
        opened
    }

    async fn open_registered<M: StateMachine>(
        &self,
        group: GroupId,
        machine: M,
    ) -> Result<Group<M>, Error> {
        let failure = Failure::default();
        let (log, applied) = self.load(group, machine, &failure).await?;
        let peers = self.peers(group);
        let raft = Raft::new(
            self.node.0,
            Arc::new(self.openraft_config(group)?),
            peers.clone(),
            log.clone(),
            Applier(Arc::clone(&applied)),
        )
        .await
        .map_err(|error| stopped(group, &failure, &error))?;
        self.lead_if_alone(&raft).await.map_err(|error| stopped(group, &failure, &error))?;
        Ok(self.handle(Opened { group, raft, log, applied, failure, peers }))
    }

    /// Reads and checks what the engine holds of `group`, on a blocking thread.
    async fn load<M: StateMachine>(
        &self,
        group: GroupId,
        machine: M,
        failure: &Failure,
    ) -> Result<(LogStore, Arc<Applied<M>>), Error> {
        let context = Context {
            node: self.node,
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
        tokio::task::spawn_blocking(load)
            .await
            .map_err(|panic| Error::Task { group, what: format!("opening it: {panic}") })?
    }

    fn peers(&self, group: GroupId) -> Peers {
        Peers {
            node: self.node,
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
            heartbeat_interval: millis(self.config.heartbeat_interval),
            election_timeout_min: millis(self.config.election_timeout_min),
            election_timeout_max: millis(self.config.election_timeout_max),
            install_snapshot_timeout: millis(CHUNK_TIMEOUT),
            // The compactor decides when; openraft would count from the last restart.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            replication_lag_threshold: u64::MAX,
            enable_pre_vote: Some(true),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| Error::Membership { group, what: error.to_string() })
    }

    /// A single voter need not wait for an election timeout.
    async fn lead_if_alone<M: StateMachine>(
        &self,
        raft: &Raft<M>,
    ) -> Result<(), crate::raft::Fatal> {
        let membership = Arc::clone(&raft.metrics().borrow_watched().membership_config);
        if membership.voter_ids().eq([self.node.0]) {
            raft.trigger().elect(false).await?;
        }
        Ok(())
    }

    fn handle<M: StateMachine>(&self, opened: Opened<M>) -> Group<M> {
        let Opened { group, raft, log, applied, failure, peers } = opened;
        let (reads, forwarder) = Reads::new(
            raft.clone(),
            Arc::clone(&applied),
            failure.clone(),
            self.config.read_timeout,
            peers,
        );
        let compactor = Compactor {
            raft: raft.clone(),
            log,
            limit: Length::limit(&self.config),
            kept: Length::kept(&self.config),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(forwarder.run());
        tasks.spawn(compactor.run());
        let served = Served {
            raft: raft.clone(),
            applied: Arc::clone(&applied),
            reads: reads.clone(),
            failure: failure.clone(),
            transfer: Mutex::new(None),
            _tasks: tasks,
        };
        self.members.open.lock().insert(group, Some(Arc::new(served)));
        let (sender, status) = watch::channel(Status::of(&raft.metrics().borrow_watched()));
        let mut following = JoinSet::new();
        following.spawn(follow(raft.metrics(), sender));
        Group::new(group::Inner {
            id: group,
            node: self.node,
            raft,
            applied,
            reads,
            status,
            failure,
            command_bytes_max: self.config.command_bytes_max,
            registration: Registration { group, members: Arc::clone(&self.members) },
            _following: following,
        })
    }

    /// Answers a message of a peer. The network has checked who sent it.
    ///
    /// # Errors
    /// [`Error::Message`] if it cannot be understood, is from another node than it says
    /// (`sender`), or is not for this node.
    pub async fn receive(&self, sender: NodeId, message: Bytes) -> Result<Bytes, Error> {
        let wrong = |what: String| Error::Message { what };
        let request = wire::Request::decode(message).map_err(|error| wrong(error.to_string()))?;
        if request.to != self.node.0 {
            return Err(wrong(format!("it is for node {}", NodeId(request.to))));
        }
        if request.from != sender.0 {
            return Err(wrong(format!("it says that node {} sent it", NodeId(request.from))));
        }
        let ask = request.ask.ok_or_else(|| wrong("it asks nothing".to_owned()))?;
        let group = GroupId(request.group);
        let member = self.members.open.lock().get(&group).cloned().flatten();
        let answer = match member {
            Some(member) => member.answer(sender, ask).await,
            None => Err(Error::Stopped { group, cause: None }),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Refused(error.to_string()));
        Ok(wire::Response { answer: Some(answer) }.encode_to_vec().into())
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        let groups = self.members.open.lock().len() as u64;
        Stats { commit: self.committer.stats(), groups }
    }

    /// Stops all groups, then the commit thread.
    pub async fn shutdown(&self) {
        let open = std::mem::take(&mut *self.members.open.lock());
        for member in open.into_values().flatten() {
            member.stop().await;
        }
        let committer = Arc::clone(&self.committer);
        if let Err(panic) = tokio::task::spawn_blocking(move || committer.stop()).await {
            tracing::error!(%panic, "commit thread could not be stopped");
        }
    }
}

struct Opened<M: StateMachine> {
    group: GroupId,
    raft: Raft<M>,
    log: LogStore,
    applied: Arc<Applied<M>>,
    failure: Failure,
    peers: Peers,
}

/// The typed error behind openraft's, where there is one.
fn stopped(group: GroupId, failure: &Failure, error: &crate::raft::Fatal) -> Error {
    match failure.cause() {
        Some(cause) => (*cause).clone(),
        None => Error::Task { group, what: error.to_string() },
    }
}
