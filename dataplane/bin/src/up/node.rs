use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gitstratum_client::{grpc, raft};
use gitstratum_consensus::Network;
use gitstratum_control_plane::{Cluster, Doors, Founding};
use gitstratum_core::{Clock, ClusterId, Entropy, NodeId, ProcessRole, SystemClock, SystemEntropy};
use gitstratum_identity::{Dialer, Listener, LocalNetwork, Peer, PublicTls, Service as Port};
use gitstratum_process::{
    Drain, DrainTrigger, Health, Metrics, Probe, ProbeServer, StallWatch, Task, TaskGroup, spawn,
};
use gitstratum_store::{Files, RocksMemory, SystemFiles};

use super::addresses::Addresses;
use super::beside::Beside;
use super::book::Book;
use super::certificates::Certificates;
use super::endpoint::{Endpoint, NodeEndpoint, url};
use super::folder::Folder;
use super::inspection::{Inspected, inspect};
use super::leading::{self, Leading};
use super::plan::Plan;
use super::roles::{self, agent, control, frontend, metadata, object};
use super::secrets::{self, Secrets};
use super::transport::{Between, Transport};
use super::{clock_mark, sockets};

/// Blocks read, and rows not yet flushed, of all engines of the process, in bytes.
pub(super) const ENGINE_CACHE_BYTES: usize = 24 << 20;
pub(super) const ENGINE_WRITE_BUFFER_BYTES: usize = 16 << 20;
/// Longest wait for everything to be ready at the start.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long open requests may go on once a stop was asked for.
pub(super) const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// How often, and how many times, it is looked whether another process has let go of the
/// node's directories, or of its ports: 5 s.
pub(super) const FREE_EVERY: Duration = Duration::from_millis(50);
pub(super) const FREE_TRIES_MAX: u32 = 100;

/// The roles of a node of `up`.
const EVERY_ROLE: [ProcessRole; 4] =
    [ProcessRole::Control, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];

/// What every role of the node is given.
pub(super) struct Common {
    pub(super) cluster: Cluster,
    pub(super) node: NodeId,
    /// What runs on it, besides its agent.
    pub(super) roles: Vec<ProcessRole>,
    pub(super) files: Arc<dyn Files>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) memory: RocksMemory,
    pub(super) transport: Transport,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
}

impl Common {
    fn peer(&self, role: ProcessRole) -> Peer {
        Peer { cluster: self.cluster.id, role, node: self.node }
    }

    /// Connections as one role of this node.
    pub(super) fn dialer(&self, role: ProcessRole) -> Result<Arc<dyn Dialer>> {
        self.transport.dialer(self.peer(role))
    }

    /// Connections for the owner of the data: as the control plane where it is on this node,
    /// else as `role`.
    pub(super) fn admin_dialer(&self, role: ProcessRole) -> Result<Arc<dyn Dialer>> {
        let has_control = self.roles.contains(&ProcessRole::Control);
        self.dialer(if has_control { ProcessRole::Control } else { role })
    }

    /// The way between the voters that serve `service`.
    pub(super) fn raft(&self, role: ProcessRole, service: Port) -> Result<Arc<dyn Network>> {
        self.transport.raft(self.peer(role), service)
    }

    /// A listener of one service of this node.
    pub(super) async fn listen(&self, service: Port, drain: &Drain) -> Result<Listener> {
        self.transport.listen((self.node, service), &self.metrics, drain).await
    }

    /// Hands messages of other voters to `receive`.
    pub(super) async fn serve_raft(
        &self,
        (role, service): (ProcessRole, Port),
        receive: Arc<raft::Receive>,
        drain: &Drain,
        running: &mut TaskGroup<Result<()>>,
    ) -> Result<()> {
        let listener = self.listen(service, drain).await?;
        let served = grpc::serve(listener, role, raft::routes(receive), drain.clone());
        running.spawn(async move { served.await.context("serving a log's voters") });
        Ok(())
    }
}

/// Every role of one node, running.
pub(super) struct Node {
    common: Common,
    host_key_line: String,
    frontend: gitstratum_frontend::Service,
    probes: ProbeServer,
    /// What stands behind the frontend: stopped after it.
    behind: TaskGroup<Result<()>>,
    stop_behind: DrainTrigger,
    directories: Arc<[gitstratum_store::RoleDirectory]>,
    engines: Vec<Arc<gitstratum_store::RocksEngine>>,
    leading: Leading,
    /// Ends the process when it was stalled, where others can go on without it.
    _stall: Option<StallWatch>,
}

/// Looks at what is there. Where one node of several starts, its last process may be dying
/// with the one that watched over it.
async fn inspect_when_free(plan: &Plan, files: &dyn Files, clock: &dyn Clock) -> Result<Inspected> {
    let tries = plan.node.map_or(0, |_| FREE_TRIES_MAX);
    for _ in 0..tries {
        match inspect(plan, files, clock) {
            Err(error) if is_in_use(&error) => tokio::time::sleep(FREE_EVERY).await,
            inspected => return inspected,
        }
    }
    inspect(plan, files, clock)
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let directory = error.downcast_ref::<gitstratum_store::role_directory::Error>();
    directory.is_some_and(|error| {
        matches!(error, gitstratum_store::role_directory::Error::Locked { .. })
    })
}

impl Node {
    /// Opens what is there or founds what is not, and waits until it is ready.
    pub(super) async fn start(plan: &Plan) -> Result<Self> {
        let files: Arc<dyn Files> = SystemFiles::new();
        let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
        let Inspected { folder, secrets, tls, addresses } =
            inspect_when_free(plan, files.as_ref(), clock.as_ref()).await?;
        let node = Founding::node(plan.number());
        let mut common = Common {
            cluster: expected_cluster(&folder, addresses.as_ref())?,
            node,
            roles: EVERY_ROLE.to_vec(),
            files,
            clock,
            entropy,
            memory: RocksMemory::new(ENGINE_CACHE_BYTES, ENGINE_WRITE_BUFFER_BYTES),
            transport: Transport::Inside(LocalNetwork::new()),
            metrics: Metrics::with_process_metrics(),
            health: Health::new(),
        };
        if let Some(addresses) = &addresses {
            common.transport = between(plan, &common, addresses)?;
        }
        folder.make(common.files.as_ref())?;
        let directories = roles::directories(plan, &common)?;
        // Only now is the directory known to be ours alone.
        super::endpoint::remove(&plan.endpoint_folder());
        let (stop_behind, drain) = Drain::new();
        let mut behind = TaskGroup::new("roles");
        let opening =
            control::open(plan, &common, (&folder, secrets.as_ref()), &drain, &mut behind);
        let opened = Box::pin(opening).await?;
        common.cluster = opened.cluster.clone();
        let secrets = match secrets {
            Some(secrets) => secrets,
            None => secrets::read(common.files.as_ref(), &plan.data, common.cluster.id)?,
        };
        if let control::Opening::Open(service) = &opened.service
            && common.cluster.nodes.len() == 1
        {
            let first = folder.first_token.as_deref();
            secrets.check_token(&plan.data, first, &service.handle()).await?;
        }
        let directories: Arc<[gitstratum_store::RoleDirectory]> = directories.into();
        behind.spawn(roles::watch_directories(Arc::clone(&directories), drain.clone()));
        let stopping = (stop_behind, drain, behind);
        let starting = Self::start_roles(plan, common, opened, (secrets, tls), stopping);
        let mut node = Box::pin(starting).await?;
        node.directories = directories;
        Ok(node)
    }

    async fn start_roles(
        plan: &Plan,
        common: Common,
        control: control::Opened,
        (secrets, tls): (Secrets, Option<Arc<PublicTls>>),
        (stop_behind, drain, mut behind): (DrainTrigger, Drain, TaskGroup<Result<()>>),
    ) -> Result<Self> {
        let led = serve_control(plan, &common, control.service, &drain, &mut behind).await?;
        let (path, clock) = (clock_mark::path(&plan.folder()), Arc::clone(&common.clock));
        let marked = clock_mark::keep(Arc::clone(&common.files), path, clock, drain.clone());
        behind.spawn(async move {
            marked.await;
            Ok(())
        });
        agent::enrol(plan, &common, &secrets.join).await?;
        let agent = agent::start(plan, &common, &drain, &mut behind).await?;
        if let Transport::Between(between) = &common.transport {
            let kept = Arc::clone(&between.certificates).keep(agent.news, drain.clone());
            behind.spawn(async move {
                kept.await;
                Ok(())
            });
        }
        let metadata = metadata::start(plan, &common, &drain, &mut behind).await?;
        let object = object::start(plan, &common, agent.incarnation, &drain, &mut behind).await?;
        let shown = (secrets.host_key, tls);
        let frontend =
            frontend::open(plan, &common, agent.incarnation, shown, &drain, &mut behind).await?;
        let is_alone = common.cluster.nodes.len() == 1;
        let stall = (!is_alone).then(|| leading::watch_stalls(&common.clock));
        let probes = ProbeServer::bind(plan.metrics, common.health.clone(), common.metrics.clone());
        let probes = probes.await?;
        Ok(Self {
            common,
            host_key_line: secrets.host_key_line,
            frontend,
            probes,
            behind,
            stop_behind,
            directories: Arc::default(),
            engines: vec![control.engine, metadata.engine, object.engine],
            leading: Leading { partitions: metadata.host, control: led },
            _stall: stall,
        })
    }

    /// Where everything is found.
    pub(super) fn endpoint(&self, plan: &Plan) -> Endpoint {
        let addresses = self.frontend.addresses();
        let http = addresses.http.map_or_else(String::new, |at| url("http", at));
        let ssh = addresses.ssh.map_or_else(String::new, |at| format!("ssh://git@{at}"));
        let metrics = url("http", self.probes.local_addr());
        let pid = std::process::id();
        let node = NodeEndpoint {
            id: self.common.node.to_string(),
            dir: plan.folder(),
            pid,
            http: http.clone(),
            ssh: ssh.clone(),
            metrics: metrics.clone(),
        };
        Endpoint {
            http,
            ssh,
            https: addresses.https.map(|at| url("https", at)),
            metrics,
            ssh_host_key: self.host_key_line.clone(),
            control: plan.endpoint_folder().join("control.sock"),
            admin_token_file: secrets::admin_token(&plan.data),
            pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nodes: vec![node],
        }
    }

    /// Serves until `stopping` starts, then drains: the frontend first, what it needs last.
    pub(super) async fn run(mut self, stopping: Drain) -> Result<()> {
        let (stop_probes, probes_drain) = Drain::new();
        let probing = spawn("probes", self.probes.run(probes_drain));
        self.common.health.watch(stopping.clone());
        let (stop_frontend, frontend_drain) = Drain::new();
        let serving = spawn("frontend", self.frontend.run(frontend_drain));
        let failed = tokio::select! {
            biased;
            () = stopping.started() => None,
            ended = self.behind.next() => ended,
        };
        self.leading.hand_over().await;
        stop_frontend.start();
        finish(serving).await;
        // What waits for a full disk to have room again would wait for ever.
        self.engines.iter().for_each(|engine| engine.refuse_when_full());
        self.stop_behind.start();
        self.behind.drain(DRAIN_WITHIN).await;
        stop_probes.start();
        finish(probing).await;
        close(std::mem::take(&mut self.engines)).await;
        drop(self.directories);
        match failed {
            None => Ok(()),
            Some(ended) => ended.context("a role ended by itself")?.context("a role failed"),
        }
    }
}

pub(super) async fn finish<T>(task: Task<T>) {
    if tokio::time::timeout(DRAIN_WITHIN, task).await.is_err() {
        tracing::warn!("a role was cut at the end of the drain");
    }
}

pub(super) async fn close(engines: Vec<Arc<gitstratum_store::RocksEngine>>) {
    let closing = gitstratum_process::blocking(move || {
        for engine in engines {
            if let Err(error) = engine.close() {
                tracing::error!(%error, "an engine did not close cleanly");
            }
        }
    });
    if closing.await.is_err() {
        tracing::error!("closing the engines did not finish");
    }
}

/// Which cluster this is to be. Of a single node that has yet to be founded it is not known
/// until the control plane has drawn it; nothing is dialled before.
fn expected_cluster(folder: &Folder, addresses: Option<&Addresses>) -> Result<Cluster> {
    if let Some(recorded) = &folder.recorded {
        return Ok(recorded.clone());
    }
    let unknown = ClusterId([0; 16]);
    let id = addresses.map_or(Ok(unknown), Addresses::cluster)?;
    let count = u8::try_from(addresses.map_or(1, Addresses::count))?;
    Ok(Cluster { id, generation: 0, nodes: (1..=count).map(Founding::node).collect() })
}

/// The way between this node and the others.
fn between(plan: &Plan, common: &Common, addresses: &Addresses) -> Result<Transport> {
    let authority = secrets::authority(common.files.as_ref(), &plan.data, common.cluster.id)?;
    let authority = match plan.certificate_lifetime {
        Some(lifetime) => authority.with_lifetime(lifetime),
        None => authority,
    };
    let certificates = Certificates::of_control(
        Arc::new(authority),
        common.peer(ProcessRole::Control),
        Arc::clone(&common.clock),
        Arc::clone(&common.entropy),
    )?;
    let own = addresses.node(plan.number())?;
    let own: BTreeMap<_, _> = Port::ALL.into_iter().map(|port| (port, own.of(port))).collect();
    let (shown, book) = (own.clone(), Arc::new(Book::of_founders(addresses)));
    Ok(Transport::Between(Box::new(Between { certificates, own, shown, book })))
}

/// Serves the control plane to nodes and to people.
pub(super) async fn serve_control(
    plan: &Plan,
    common: &Common,
    opening: control::Opening,
    drain: &Drain,
    behind: &mut TaskGroup<Result<()>>,
) -> Result<control::Led> {
    let (nodes, guests) =
        common.transport.listen_control(common.node, &common.metrics, drain).await?;
    let doors = Doors {
        nodes,
        guests,
        people: Some(sockets::listen(&plan.endpoint_folder().join("control.sock"))?),
    };
    // Of several nodes each goes on without the control plane (S46).
    if let (Transport::Inside(_), control::Opening::Open(service)) = (&common.transport, &opening) {
        let handle = service.handle();
        common.health.check(Probe::Ready, "control", move || match handle.has_leader() {
            true => Ok(()),
            false => Err("no leader".to_owned()),
        });
    }
    let record = Arc::new(Beside { files: Arc::clone(&common.files), data: plan.data.clone() });
    let serving = control::Serving::new(plan, common, doors, record);
    let led = Arc::clone(&serving.led);
    behind.spawn(control::serve(opening, serving, drain.clone()));
    Ok(led)
}

/// How long a start may take.
pub(super) const fn ready_within() -> Duration {
    READY_WITHIN
}
