use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use gitstratum_control_plane::{Cluster, Doors};
use gitstratum_core::{Clock, Entropy, NodeId, ProcessRole, SystemClock, SystemEntropy};
use gitstratum_identity::{Dialer, LocalNetwork, Peer, PublicTls, Service as Port};
use gitstratum_process::{
    Drain, DrainTrigger, Health, Metrics, Probe, ProbeServer, Task, TaskGroup, spawn,
};
use gitstratum_store::{Files, RocksMemory, SystemFiles};

use super::endpoint::{Endpoint, NodeEndpoint, url};
use super::inspection::{Inspected, inspect};
use super::plan::{Plan, node_folder};
use super::roles::{self, agent, control, frontend, metadata, object};
use super::secrets::{self, Secrets};
use super::{clock_mark, sockets};

/// Blocks read, and rows not yet flushed, of all engines of the process, in bytes.
const ENGINE_CACHE_BYTES: usize = 24 << 20;
const ENGINE_WRITE_BUFFER_BYTES: usize = 16 << 20;
/// Longest wait for everything to be ready at the start.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long open requests may go on once a stop was asked for.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Most connections inside the process to one service.
const CONNECTIONS_MAX: usize = 1_024;

/// What every role of the node is given.
pub(super) struct Common {
    pub(super) cluster: Cluster,
    pub(super) node: NodeId,
    pub(super) files: Arc<dyn Files>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) memory: RocksMemory,
    pub(super) network: LocalNetwork,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
}

impl Common {
    /// Connections as one role of this node.
    pub(super) fn dialer(&self, role: ProcessRole) -> Arc<dyn Dialer> {
        self.network.dialer(Peer { cluster: self.cluster.id, role, node: self.node })
    }

    /// A listener of one service of this node.
    pub(super) fn listen(
        &self,
        service: Port,
        drain: &Drain,
    ) -> Result<gitstratum_identity::Listener> {
        self.network
            .listen(self.node, service, CONNECTIONS_MAX, drain.clone())
            .with_context(|| format!("listening for {}", service.as_str()))
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
    directories: Vec<gitstratum_store::RoleDirectory>,
    engines: Vec<Arc<gitstratum_store::RocksEngine>>,
}

impl Node {
    /// Opens what is there or founds what is not, and waits until it is ready.
    pub(super) async fn start(plan: &Plan) -> Result<Self> {
        let files: Arc<dyn Files> = SystemFiles::new();
        let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
        let Inspected { folder, secrets, tls } = inspect(plan, files.as_ref(), clock.as_ref())?;
        let (stop_behind, drain) = Drain::new();
        let mut common = Common {
            cluster: folder.recorded.clone().unwrap_or_else(unknown_cluster),
            node: gitstratum_control_plane::Founding::node(1),
            files,
            clock,
            entropy,
            memory: RocksMemory::new(ENGINE_CACHE_BYTES, ENGINE_WRITE_BUFFER_BYTES),
            network: LocalNetwork::new(),
            metrics: Metrics::with_process_metrics(),
            health: Health::new(),
        };
        folder.make(common.files.as_ref())?;
        let directories = roles::directories(plan, &common)?;
        // Only now is the directory known to be ours alone.
        super::endpoint::remove(&plan.data);
        let opened = control::open(plan, &common, &folder).await?;
        common.cluster = opened.cluster.clone();
        common.node = *common.cluster.nodes.first().context("the cluster has no node")?;
        let secrets = match secrets {
            Some(secrets) => secrets,
            None => secrets::read(common.files.as_ref(), &plan.data, common.cluster.id)?,
        };
        let directory = opened.service.handle();
        secrets.check_token(&plan.data, folder.first_token.as_deref(), &directory).await?;
        let mut node =
            Self::start_roles(plan, common, opened, (secrets, tls), (stop_behind, drain)).await?;
        node.directories = directories;
        Ok(node)
    }

    async fn start_roles(
        plan: &Plan,
        common: Common,
        control: control::Opened,
        (secrets, tls): (Secrets, Option<Arc<PublicTls>>),
        (stop_behind, drain): (DrainTrigger, Drain),
    ) -> Result<Self> {
        let mut behind = TaskGroup::new("roles");
        let doors = Doors {
            nodes: common.listen(Port::Control, &drain)?,
            people: sockets::listen(&plan.data.join("control.sock"))?,
        };
        let handle = control.service.handle();
        common.health.check(Probe::Ready, "control", move || match handle.has_leader() {
            true => Ok(()),
            false => Err("no leader".to_owned()),
        });
        let served = control.service.run(doors, drain.clone());
        behind.spawn(async move { served.await.context("control plane") });
        let (path, clock) = (clock_mark::path(&plan.data), Arc::clone(&common.clock));
        let marked = clock_mark::keep(Arc::clone(&common.files), path, clock, drain.clone());
        behind.spawn(async move {
            marked.await;
            Ok(())
        });
        let agent = agent::start(plan, &common, &drain, &mut behind).await?;
        let metadata = metadata::start(plan, &common, &drain, &mut behind).await?;
        let object = object::start(plan, &common, agent.incarnation, &drain, &mut behind).await?;
        let shown = (secrets.host_key, tls);
        let frontend =
            frontend::open(plan, &common, agent.incarnation, shown, &drain, &mut behind).await?;
        let probes = ProbeServer::bind(plan.metrics, common.health.clone(), common.metrics.clone());
        let probes = probes.await?;
        Ok(Self {
            common,
            host_key_line: secrets.host_key_line,
            frontend,
            probes,
            behind,
            stop_behind,
            directories: Vec::new(),
            engines: vec![control.engine, metadata.engine, object.engine],
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
            dir: node_folder(&plan.data),
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
            control: plan.data.join("control.sock"),
            admin_token_file: secrets::admin_token(&plan.data),
            pid,
            version: env!("CARGO_PKG_VERSION"),
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
        stop_frontend.start();
        finish(serving).await;
        // What waits for a full disk to have room again would wait for ever.
        self.engines.iter().for_each(|engine| engine.refuse_when_full());
        self.stop_behind.start();
        self.behind.drain(DRAIN_WITHIN).await;
        stop_probes.start();
        finish(probing).await;
        close(std::mem::take(&mut self.engines)).await;
        drop(std::mem::take(&mut self.directories));
        match failed {
            None => Ok(()),
            Some(ended) => ended.context("a role ended by itself")?.context("a role failed"),
        }
    }
}

async fn finish<T>(task: Task<T>) {
    if tokio::time::timeout(DRAIN_WITHIN, task).await.is_err() {
        tracing::warn!("a role was cut at the end of the drain");
    }
}

async fn close(engines: Vec<Arc<gitstratum_store::RocksEngine>>) {
    let closing = tokio::task::spawn_blocking(move || {
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

/// Stands in until the control plane has said which cluster this is; nothing is dialled
/// before.
fn unknown_cluster() -> Cluster {
    let node = gitstratum_control_plane::Founding::node(1);
    Cluster { id: gitstratum_core::ClusterId([0; 16]), generation: 0, nodes: vec![node] }
}

/// How long a start may take.
pub(super) const fn ready_within() -> Duration {
    READY_WITHIN
}
