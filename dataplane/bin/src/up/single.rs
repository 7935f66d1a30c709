//! One role of a node, alone in its process, with the node's agent: what joins a cluster that
//! runs. It is given what a person or Kubernetes gives a node, a settings file and the join
//! token, and learns the rest from the control plane.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use gitstratum_control_plane::Cluster;
use gitstratum_core::{Clock, Entropy, ProcessRole, SystemClock, SystemEntropy};
use gitstratum_process::{
    Drain, Health, LogConfig, LogFormat, Metrics, ProbeServer, Signals, TaskGroup, exit_at_once,
    spawn, start_logging,
};
use gitstratum_store::{Files, RocksEngine, RocksMemory, RoleDirectory, SystemFiles};

use super::book::Book;
use super::certificates::Certificates;
use super::inspection::check_space;
use super::node::{
    Common, DRAIN_WITHIN, ENGINE_CACHE_BYTES, ENGINE_WRITE_BUFFER_BYTES, close, finish,
    ready_within,
};
use super::plan::{Place, Plan};
use super::roles::{self, agent, object};
use super::secrets;
use super::transport::{Between, Transport};
use super::{clock_mark, endpoint};
use crate::cli::role_args::RoleSettings;

/// Runs until a signal asks it to stop.
///
/// # Errors
/// What is wrong, in one line with its causes.
pub(crate) async fn run(settings: RoleSettings) -> Result<ExitCode> {
    start_logging(&LogConfig { filter: settings.log_filter.clone(), format: LogFormat::Auto })
        .context("starting the log")?;
    let signals = Signals::install().context("listening for signals")?;
    let (stop, stopping) = Drain::new();
    let waiting = spawn("stop signal", async move {
        let signal = signals.first(exit_at_once).await;
        tracing::info!(?signal, "stopping");
        stop.start();
    });
    let plan = plan(&settings);
    let ended = match Alone::start(&settings, &plan).await {
        Ok(alone) => alone.run(&plan, stopping).await,
        Err(error) => Err(error),
    };
    drop(waiting);
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// The settings as the roles know them.
fn plan(settings: &RoleSettings) -> Plan {
    let RoleSettings { directory, region, zone, .. } = settings.clone();
    Plan {
        folder: directory.clone(),
        scrub_every: std::time::Duration::from_secs(settings.scrub_every.into()),
        offline_grace: settings.offline_grace,
        place: Place { region, zone },
        log_filter: settings.log_filter.clone(),
        ..Plan::of_one_role(directory, settings.metrics)
    }
}

/// A role and its agent, running.
struct Alone {
    common: Common,
    probes: ProbeServer,
    running: TaskGroup<Result<()>>,
    stop: gitstratum_process::DrainTrigger,
    engine: Arc<RocksEngine>,
    directories: Vec<RoleDirectory>,
}

impl Alone {
    async fn start(settings: &RoleSettings, plan: &Plan) -> Result<Self> {
        let files: Arc<dyn Files> = SystemFiles::new();
        let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
        inspect(plan, settings, files.as_ref(), clock.as_ref())?;
        files.create_directory(&plan.data)?;
        let roles = [settings.role, ProcessRole::Agent];
        let directories = roles.iter().map(|role| roles::directory(plan, &files, *role));
        let directories = directories.collect::<Result<Vec<_>>>()?;
        endpoint::remove(&plan.data);
        let common = join(settings, plan, files, (clock, entropy)).await?;
        let (stop, drain) = gitstratum_process::Drain::new();
        let mut running = TaskGroup::new("roles");
        let (path, clock) = (clock_mark::path(&plan.folder()), Arc::clone(&common.clock));
        let marked = clock_mark::keep(Arc::clone(&common.files), path, clock, drain.clone());
        running.spawn(async move {
            marked.await;
            Ok(())
        });
        let agent = agent::start(plan, &common, &drain, &mut running).await?;
        let started = object::start(plan, &common, agent.incarnation, &drain, &mut running).await?;
        let mut snapshots = agent.news.snapshots();
        let first = snapshots.wait_for(|snapshot| snapshot.version().0 > 0);
        let first = tokio::time::timeout(ready_within(), first).await;
        first.context("the control plane's state did not arrive in time")??;
        let probes = ProbeServer::bind(plan.metrics, common.health.clone(), common.metrics.clone());
        let probes = probes.await?;
        Ok(Self { common, probes, running, stop, engine: started.engine, directories })
    }

    /// Serves until `stopping` starts, then finishes what is open.
    async fn run(mut self, plan: &Plan, stopping: Drain) -> Result<()> {
        let (stop_probes, probes_drain) = Drain::new();
        let probing = spawn("probes", self.probes.run(probes_drain));
        self.common.health.watch(stopping.clone());
        let (node, directory) = (self.common.node, plan.data.display());
        tracing::info!(%node, %directory, "ready");
        let failed = tokio::select! {
            biased;
            () = stopping.started() => None,
            ended = self.running.next() => ended,
        };
        // What waits for a full disk to have room again would wait for ever.
        self.engine.refuse_when_full();
        self.stop.start();
        self.running.drain(DRAIN_WITHIN).await;
        stop_probes.start();
        finish(probing).await;
        close(vec![self.engine]).await;
        drop(self.directories);
        match failed {
            None => Ok(()),
            Some(ended) => ended.context("a role ended by itself")?.context("a role failed"),
        }
    }
}

/// Everything that can refuse a start, before anything is written.
fn inspect(
    plan: &Plan,
    settings: &RoleSettings,
    files: &dyn Files,
    clock: &dyn Clock,
) -> Result<()> {
    for role in [settings.role, ProcessRole::Agent] {
        RoleDirectory::inspect(files, &plan.role(role.as_str()), role)?;
    }
    let stored = plan.role(settings.role.as_str()).join("db");
    let identity = plan.role(ProcessRole::Agent.as_str()).join("identity");
    if files.metadata(&stored)?.is_some() && files.metadata(&identity)?.is_none() {
        bail!(
            "{} is missing, but {} holds data of a node: put it back, or begin with an empty \
             directory as a new node",
            identity.display(),
            plan.data.display()
        );
    }
    clock_mark::check(files, &clock_mark::path(&plan.folder()), clock.wall())?;
    check_space(plan, files)
}

/// Has the node enrolled, and makes what its roles are given.
async fn join(
    settings: &RoleSettings,
    plan: &Plan,
    files: Arc<dyn Files>,
    (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
) -> Result<Common> {
    let joining = secrets::join(files.as_ref(), &settings.token_file)?;
    let between = Between {
        certificates: Arc::new(Certificates::default()),
        own: settings.listen.clone(),
        shown: settings.shown.clone(),
        book: Arc::new(Book::of_doors(settings.doors.clone())),
    };
    let roles = vec![settings.role];
    let on = (Arc::clone(&files), Arc::clone(&clock));
    let enrolled = agent::enrolled(plan, &between, (None, &roles), &joining, on).await;
    let enrolled = enrolled.context("joining the cluster")?;
    let (node, id) = (enrolled.node(), enrolled.cluster());
    between.certificates.enrolled(enrolled);
    Ok(Common {
        // Who else there is, is streamed.
        cluster: Cluster { id, generation: 0, nodes: Vec::new() },
        node,
        roles,
        files,
        clock,
        entropy,
        memory: RocksMemory::new(ENGINE_CACHE_BYTES, ENGINE_WRITE_BUFFER_BYTES),
        transport: Transport::Between(Box::new(between)),
        metrics: Metrics::with_process_metrics(),
        health: Health::new(),
    })
}
