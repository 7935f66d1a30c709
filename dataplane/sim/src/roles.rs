//! One node's roles, put together as the shipped program puts them together, on a simulated
//! disk and network.

mod running;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gitstratum_agent as agent;
use gitstratum_client::agent::Door;
use gitstratum_client::audit::{AuditLog, tell};
use gitstratum_client::cluster::{Applied, Feed, Follow, Publisher, StoreUse, follow};
use gitstratum_client::copies::ObjectNodes;
use gitstratum_client::fleet::Voter;
use gitstratum_client::metadata::Partitions;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_client::{bulk, grpc, raft};
use gitstratum_consensus::{Host, HostOptions, Network};
use gitstratum_control_plane as control;
use gitstratum_core::{GrantsVersion, Incarnation, NodeId, ProcessRole};
use gitstratum_frontend as frontend;
use gitstratum_identity::{Dialer, Guests, Listener, Peer, Service};
use gitstratum_metadata as metadata;
use gitstratum_metadata::plan::{HistoryPlanner, Limits};
use gitstratum_object as object;
use gitstratum_process::{Drain, Health, Metrics, TaskGroup};
use gitstratum_proto::control::v1::Node as Record;
use gitstratum_store::{Committer, SpaceGuard, commit};
use tokio::sync::{mpsc, watch};

use crate::disk::Store;
use crate::network::{SimDialer, listen};
use crate::node::SimNode;
use running::{Voters, accept_people, ends_with, note_leads, serve_control};

/// Longest wait for the first snapshot at a start.
const FEED_WITHIN: Duration = Duration::from_secs(30);
/// How often what a node holds is compared: a run is shorter than an hour.
const INVENTORY_EVERY: Duration = Duration::from_secs(30);
/// Askers of the agent that wait at most.
const ASKERS_MAX: usize = 64;

/// One start of a node.
pub(crate) struct Process {
    node: Arc<SimNode>,
    metrics: Metrics,
    drain: Drain,
    running: TaskGroup<Result<()>>,
    agent: mpsc::Sender<tokio::io::DuplexStream>,
    asked: Option<mpsc::Receiver<tokio::io::DuplexStream>>,
}

impl Process {
    pub(crate) fn new(node: Arc<SimNode>) -> Self {
        let (agent, asked) = mpsc::channel(ASKERS_MAX);
        let (metrics, drain) = (Metrics::new(), Drain::never());
        let running = TaskGroup::new("roles");
        Self { node, metrics, drain, running, agent, asked: Some(asked) }
    }

    /// Starts everything, and runs until a part of it ends.
    pub(crate) async fn run(mut self) -> Result<()> {
        for folder in ["agent", "object", "object/segments", "spool"] {
            self.node.disk.files().create_directory(&self.path(folder))?;
        }
        if self.node.is_founder() {
            self.start_control().await?;
        }
        let incarnation = self.start_agent().await?;
        self.start_metadata().await?;
        self.start_object(incarnation).await?;
        self.start_frontend(incarnation).await?;
        match self.running.next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    }

    fn path(&self, folder: &str) -> PathBuf {
        Path::new("/").join(folder)
    }

    fn peer(&self, role: ProcessRole) -> Peer {
        Peer { cluster: self.node.cluster.id, role, node: self.node.id }
    }

    fn dialer(&self, role: ProcessRole) -> Arc<dyn Dialer> {
        let away = Arc::clone(&self.node.cluster.is_control_away);
        Arc::new(SimDialer { peer: self.peer(role), away })
    }

    async fn listen(&self, service: Service) -> Result<Listener> {
        Ok(listen(service, &self.node.cluster.is_control_away, self.drain.clone()).await?)
    }

    fn raft(&self, role: ProcessRole, service: Service) -> Arc<dyn Network> {
        Arc::new(Voters(raft::Voters::new(self.dialer(role), service)))
    }

    async fn serve_raft(
        &mut self,
        (role, service): (ProcessRole, Service),
        receive: Arc<raft::Receive>,
    ) -> Result<()> {
        let listener = self.listen(service).await?;
        let served = grpc::serve(listener, role, raft::routes(receive), self.drain.clone());
        self.running.spawn(async move { served.await.context("serving a log's voters") });
        Ok(())
    }

    async fn start_control(&mut self) -> Result<()> {
        let (files, node) = (self.node.disk.files(), Arc::clone(&self.node));
        let held = agent::held(files, &self.path("agent"))?;
        let has_control = |record: &&Record| record.roles.iter().any(|role| role == "control");
        let known = held.layout().nodes.iter().filter(has_control).map(|node| NodeId(node.id));
        let is_founded = node.cluster.is_founded();
        let config = control::Config {
            recorded_cluster: is_founded.then_some(node.cluster.id),
            voters: BTreeSet::from_iter(node.cluster.founders()),
            known: known.collect(),
            ..control::Config::single(node.id)
        };
        let dependencies = control::Dependencies {
            engine: node.disk.engine(Store::Control),
            network: self.raft(ProcessRole::Control, Service::ControlRaft),
            dialer: self.dialer(ProcessRole::Control),
            clock: node.clock.clone(),
            entropy: node.entropy.clone(),
            metrics: self.metrics.clone(),
        };
        let voter = control::Voter::start(config, dependencies)?;
        let receiver = voter.receiver();
        let receive: Arc<raft::Receive> = Arc::new(move |sender, message| {
            let receiver = receiver.clone();
            Box::pin(
                async move { receiver.receive(sender, message).await.map_err(|e| e.to_string()) },
            )
        });
        self.serve_raft((ProcessRole::Control, Service::ControlRaft), receive).await?;
        let nodes = self.listen(Service::Control).await?;
        let doors = control::Doors { nodes, guests: Guests::none(), people: None };
        let drain = self.drain.clone();
        self.running.spawn(serve_control(voter, node, doors, drain));
        Ok(())
    }

    async fn start_agent(&mut self) -> Result<Incarnation> {
        let node = &self.node;
        let dialer = self.dialer(ProcessRole::Agent);
        let voter = |id| Voter::new(Arc::clone(&dialer), id);
        let roles = match node.is_founder() {
            true => &["control", "frontend", "metadata", "object"][..],
            false => &["frontend", "metadata", "object"],
        };
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let record = Record {
            id: node.id.0,
            roles,
            address: "local".to_owned(),
            weight: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            in_ring: true,
            ..Record::default()
        };
        let deps = agent::Deps {
            node: node.id,
            voters: node.cluster.founders().into_iter().map(voter).collect(),
            record,
            files: node.disk.files(),
            clock: node.clock.clone(),
            enrolment: None,
            inside: self.asked.take(),
        };
        let service = agent::Service::open(agent::Config::new(self.path("agent")), deps).await?;
        let incarnation = service.incarnation();
        let served = service.run(self.drain.clone());
        self.running.spawn(async move {
            served.await;
            Ok(())
        });
        Ok(incarnation)
    }

    fn follow(
        &mut self,
        role: ProcessRole,
        (publisher, applied): (Publisher, Applied),
        store: Option<watch::Receiver<StoreUse>>,
    ) {
        let agent = Door::Inside(self.agent.clone());
        let following =
            follow(Follow { agent, role, publisher, applied, store }, self.drain.clone());
        self.running.spawn(async move {
            following.await;
            Ok(())
        });
    }

    async fn start_metadata(&mut self) -> Result<()> {
        let node = Arc::clone(&self.node);
        let host = Host::start(HostOptions {
            node: node.id,
            engine: node.disk.engine(Store::Metadata),
            network: self.raft(ProcessRole::Metadata, Service::MetadataRaft),
            clock: node.clock.clone(),
            config: gitstratum_consensus::Config::default(),
        })?;
        let (publisher, feed) = Feed::channel();
        let dialer = self.dialer(ProcessRole::Metadata);
        let lists = Partitions::new(Arc::clone(&dialer), feed.clone());
        let bytes = bulk::Client::new(Arc::clone(&dialer)).on(node.id, feed.clone());
        let reader = Reader::new(Arc::new(bytes.listed_by(lists)), Options::default());
        let commits = metadata::MetadataMetrics::new(&self.metrics).commit_graph_size;
        let deps = metadata::Deps {
            node: node.id,
            host: Arc::clone(&host),
            feed,
            clock: node.clock.clone(),
            copies: Arc::new(ObjectNodes::new(dialer)),
            planner: Arc::new(HistoryPlanner::new(reader, Limits::default(), commits)),
            metrics: self.metrics.clone(),
        };
        let service = metadata::Service::new(metadata::Config::default(), deps)?;
        self.follow(ProcessRole::Metadata, (publisher, Applied::Told(service.applied())), None);
        let receiving = Arc::clone(&host);
        let receive: Arc<raft::Receive> = Arc::new(move |sender, message| {
            let host = Arc::clone(&receiving);
            Box::pin(async move { host.receive(sender, message).await.map_err(|e| e.to_string()) })
        });
        self.serve_raft((ProcessRole::Metadata, Service::MetadataRaft), receive).await?;
        let listener = self.listen(Service::Metadata).await?;
        let routes = metadata::rpc::routes(Arc::clone(&service));
        let served = grpc::serve(listener, ProcessRole::Metadata, routes, self.drain.clone());
        self.running.spawn(async move { served.await.context("serving the partitions") });
        self.running.spawn(ends_with(Arc::clone(&host), "partitions"));
        self.running.spawn(note_leads(Arc::clone(&service), node));
        let kept = service.run(self.drain.clone());
        self.running.spawn(async move {
            kept.await;
            host.shutdown().await;
            Ok(())
        });
        Ok(())
    }

    async fn start_object(&mut self, incarnation: Incarnation) -> Result<()> {
        let node = Arc::clone(&self.node);
        let engine = node.disk.engine(Store::Object);
        let clock = node.clock.clone();
        let committer =
            Committer::start(Arc::clone(&engine), clock.clone(), commit::Config::default())?;
        let (_measured, store) = watch::channel(StoreUse::default());
        let (publisher, feed) = Feed::channel();
        self.follow(ProcessRole::Object, (publisher, Applied::Published), Some(store));
        let dialer = self.dialer(ProcessRole::Object);
        let files: Arc<dyn gitstratum_store::Files> = node.disk.files();
        let space = SpaceGuard::new(Arc::clone(&files), self.path("object"), 0, clock.clone());
        let deps = object::Deps {
            node: node.id,
            cluster: node.cluster.id,
            incarnation,
            files,
            engine,
            committer,
            clock,
            entropy: node.entropy.clone(),
            space: Arc::new(space),
            partitions: Partitions::new(Arc::clone(&dialer), feed.clone()),
            peers: bulk::Client::new(Arc::clone(&dialer)),
            others: ObjectNodes::new(dialer),
            feed,
            metrics: self.metrics.clone(),
        };
        let config = object::Config {
            puts_damage_aside: true,
            ends_when_unsound: true,
            spool: node.spool.clone(),
            inline_bytes_max: node.inline_bytes_max,
            inventory_every: INVENTORY_EVERY,
            ..object::Config::new(self.path("object/segments"))
        };
        let service = object::Service::open(config, deps).await?;
        let calls = self.listen(Service::Object).await?;
        let bulk = self.listen(Service::Bulk).await?;
        let served = service.run(calls, bulk, self.drain.clone());
        self.running.spawn(async move { Ok(served.await?) });
        Ok(())
    }

    async fn start_frontend(&mut self, incarnation: Incarnation) -> Result<()> {
        let node = Arc::clone(&self.node);
        let (publisher, feed) = Feed::channel();
        self.follow(ProcessRole::Frontend, (publisher, Applied::Published), None);
        let first = feed.wait_for(GrantsVersion(1));
        let first = tokio::time::timeout(FEED_WITHIN, first).await;
        first.map(drop).context("the control plane's state did not arrive in time")?;
        let late = Arc::clone(&node.late);
        let partitions = Partitions::new(self.dialer(ProcessRole::Frontend), feed.clone());
        self.running.spawn(async move {
            late.run(partitions).await;
            Ok(())
        });
        let (audit, untold) = AuditLog::channel(node.clock.clone());
        let telling =
            tell(audit.clone(), untold, Door::Inside(self.agent.clone()), self.drain.clone());
        self.running.spawn(async move {
            telling.await;
            Ok(())
        });
        let config = frontend::Config {
            http: None,
            ssh: None,
            replication_factor: 3,
            close_after: Duration::ZERO,
            ..frontend::Config::new(node.spool.clone())
        };
        let deps = frontend::Deps {
            cluster: node.cluster.id,
            node: node.id,
            incarnation,
            dialer: self.dialer(ProcessRole::Frontend),
            feed,
            audit,
            clock: node.clock.clone(),
            entropy: node.entropy.clone(),
            metrics: self.metrics.clone(),
            health: Health::new(),
            host_key: Vec::new(),
            tls: None,
        };
        let service = frontend::Service::open(config, deps).await?;
        let handler = service.http();
        let drain = self.drain.clone();
        self.running.spawn(accept_people(node.id, handler, drain.clone()));
        self.running.spawn(async move {
            service.run(drain).await;
            Ok(())
        });
        Ok(())
    }
}
