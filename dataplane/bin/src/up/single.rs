//! One role of a node, alone in its process, with the node's agent: what joins a cluster that
//! runs. It is given what a person or Kubernetes gives a node, a settings file and the join
//! token, and learns the rest from the control plane.

mod inspection;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gitstratum_agent::News;
use gitstratum_client::cluster::Snapshot;
use gitstratum_consensus::Host;
use gitstratum_control_plane::Cluster;
use gitstratum_core::{Clock, Entropy, NodeId, ProcessRole, SystemClock, SystemEntropy};
use gitstratum_identity::Peer;
use gitstratum_process::{
    Drain, DrainTrigger, Health, LogConfig, Metrics, Probe, ProbeServer, Signals, StallWatch,
    TaskGroup, exit_at_once, spawn, start_logging,
};
use gitstratum_store::{Files, RocksEngine, RocksMemory, RoleDirectory, SystemFiles};

use super::book::{Book, has_control};
use super::certificates::Certificates;
use super::clock_mark;
use super::ending::unless_stopped;
use super::inspection::read_tls;
use super::leading;
use super::node::{
    Common, DRAIN_WITHIN, ENGINE_CACHE_BYTES, ENGINE_WRITE_BUFFER_BYTES, close, finish,
    ready_within, serve_control,
};
use super::plan::{Https, Place, Plan};
use super::roles::control::Led;
use super::roles::{self, agent, control, frontend, metadata, object};
use super::secrets;
use super::transport::{Between, Transport};
use crate::cli::role_args::{FrontendSettings, KeyFiles, RoleSettings};
use inspection::inspect;

/// Longest wait for others to take what this one leads.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(3);

/// Runs until a signal asks it to stop.
///
/// # Errors
/// What is wrong, in one line with its causes.
pub(crate) async fn run(settings: RoleSettings) -> Result<ExitCode> {
    let filter = settings.log_filter.clone();
    start_logging(&LogConfig { filter, ..LogConfig::default() }).context("starting the log")?;
    let signals = Signals::install().context("listening for signals")?;
    let (stop, stopping) = Drain::new();
    let waiting = spawn("stop signal", async move {
        let signal = signals.first(exit_at_once).await;
        tracing::info!(?signal, "stopping");
        stop.start();
    });
    let plan = plan(&settings);
    let started = unless_stopped(&stopping, Alone::start(&settings, &plan)).await;
    let ended = match started {
        Ok(Some(alone)) => alone.run(&plan, stopping).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    drop(waiting);
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// The role and its agent, as far as they keep something.
fn with_folders(role: ProcessRole) -> impl Iterator<Item = ProcessRole> {
    let keeps = Some(role).filter(|role| *role != ProcessRole::Frontend);
    keeps.into_iter().chain([ProcessRole::Agent])
}

/// The settings as the roles know them.
fn plan(settings: &RoleSettings) -> Plan {
    let RoleSettings { directory, region, zone, .. } = settings.clone();
    let plan = Plan {
        folder: directory.clone(),
        scrub_every: Duration::from_secs(settings.scrub_every.into()),
        offline_grace: settings.offline_grace,
        place: Place { region, zone },
        log_filter: settings.log_filter.clone(),
        ..Plan::of_one_role(directory, settings.metrics)
    };
    match &settings.frontend {
        None => plan,
        Some(FrontendSettings { ssh, http, https, .. }) => Plan {
            ssh: *ssh,
            http: http.unwrap_or(plan.http),
            is_without_http: http.is_none(),
            https: https.clone().map(|(address, files)| Https {
                address,
                certificate: files.certificate_file,
                key: files.key_file,
            }),
            ..plan
        },
    }
}

/// A role and its agent, running.
struct Alone {
    common: Common,
    probes: ProbeServer,
    running: TaskGroup<Result<()>>,
    stop: DrainTrigger,
    parts: Opened,
    directories: Arc<[RoleDirectory]>,
}

/// What a role keeps for its end.
#[derive(Default)]
struct Opened {
    engine: Option<Arc<RocksEngine>>,
    /// Of a control plane, with what ends the process when it was stalled.
    leads: Option<(Led, StallWatch)>,
    /// Of a metadata node: where its partitions are led, with the same.
    partitions: Option<(Arc<Host>, StallWatch)>,
    /// Of a frontend, with the time that its requests may take at the end.
    serves: Option<(gitstratum_frontend::Service, Duration)>,
}

impl Alone {
    async fn start(settings: &RoleSettings, plan: &Plan) -> Result<Self> {
        let files: Arc<dyn Files> = SystemFiles::new();
        let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
        inspect(plan, settings.role, files.as_ref(), clock.as_ref())?;
        files.create_directory(&plan.data)?;
        let directories =
            with_folders(settings.role).map(|role| roles::directory(plan, &files, role));
        let directories = directories.collect::<Result<Arc<[_]>>>()?;
        let common = join(settings, plan, files, (clock, entropy)).await?;
        let (stop, drain) = Drain::new();
        let mut running = TaskGroup::new("roles");
        running.spawn(roles::watch_directories(Arc::clone(&directories), drain.clone()));
        let (path, clock) = (clock_mark::path(&plan.folder()), Arc::clone(&common.clock));
        let marked = clock_mark::keep(Arc::clone(&common.files), path, clock, drain.clone());
        running.spawn(async move {
            marked.await;
            Ok(())
        });
        let agent = agent::start(plan, &common, &drain, &mut running).await?;
        let layout = first(&agent.news).await?;
        let began = (agent, layout);
        let opening = open(settings, plan, (&common, began), &drain, &mut running);
        let parts = Box::pin(opening).await?;
        let probes = ProbeServer::bind(plan.metrics, common.health.clone(), common.metrics.clone());
        Ok(Self { common, probes: probes.await?, running, stop, parts, directories })
    }

    /// Serves until `stopping` starts, then finishes what is open.
    async fn run(mut self, plan: &Plan, stopping: Drain) -> Result<()> {
        let (stop_probes, probes_drain) = Drain::new();
        let probing = spawn("probes", self.probes.run(probes_drain));
        self.common.health.watch(stopping.clone());
        let (node, directory) = (self.common.node, plan.data.display());
        tracing::info!(%node, %directory, "ready");
        let Opened { engine, leads, partitions, serves } = self.parts;
        let (stop_serving, serving_drain) = Drain::new();
        let serving =
            serves.map(|(service, within)| (spawn("frontend", service.run(serving_drain)), within));
        let failed = tokio::select! {
            biased;
            () = stopping.started() => None,
            ended = self.running.next() => ended,
        };
        stop_serving.start();
        if let Some((serving, within)) = serving
            && tokio::time::timeout(within, serving).await.is_err()
        {
            tracing::warn!("requests were cut at the end of the drain");
        }
        if let Some(handle) = leads.as_ref().and_then(|(led, _)| led.get()) {
            handle.leave(HAND_OVER_WITHIN).await;
        }
        if let Some((host, _)) = &partitions {
            let left = host.leave(HAND_OVER_WITHIN).await;
            tracing::info!(left, "leaderships of partitions handed over");
        }
        // What waits for a full disk to have room again would wait for ever.
        engine.iter().for_each(|engine| engine.refuse_when_full());
        self.stop.start();
        self.running.drain(DRAIN_WITHIN).await;
        stop_probes.start();
        finish(probing).await;
        close(engine.into_iter().collect()).await;
        drop(self.directories);
        match failed {
            None => Ok(()),
            Some(ended) => ended.context("a role ended by itself")?.context("a role failed"),
        }
    }
}

/// Opens the role.
async fn open(
    settings: &RoleSettings,
    plan: &Plan,
    (common, (agent, snapshot)): (&Common, (agent::Started, Arc<Snapshot>)),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Opened> {
    match (settings.role, &settings.frontend) {
        (ProcessRole::Object, _) => {
            let started = object::start(plan, common, agent.incarnation, drain, running).await?;
            Ok(Opened { engine: Some(started.engine), ..Opened::default() })
        }
        (ProcessRole::Metadata, _) => {
            let started = metadata::start(plan, common, drain, running).await?;
            let partitions = Some((started.host, leading::watch_stalls(&common.clock)));
            Ok(Opened { engine: Some(started.engine), partitions, ..Opened::default() })
        }
        (ProcessRole::Control, _) => {
            let began = (agent.news, snapshot);
            control_plane(plan, common, began, drain, running).await
        }
        (ProcessRole::Frontend, Some(served)) => {
            let files = common.files.as_ref();
            let host_key = secrets::host_key(files, &served.host_key_file)?;
            let tls = plan.https.as_ref().map(read_tls).transpose()?;
            let (incarnation, shown) = (agent.incarnation, (host_key, tls));
            let service = frontend::open(plan, common, incarnation, shown, drain, running).await?;
            Ok(Opened { serves: Some((service, served.drain_within)), ..Opened::default() })
        }
        (role, _) => bail!("{role} cannot run alone"),
    }
}

/// Opens a control plane, and serves it to nodes and people.
async fn control_plane(
    plan: &Plan,
    common: &Common,
    (news, snapshot): (News, Arc<Snapshot>),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Opened> {
    let known = snapshot.layout().nodes.iter().filter(|node| has_control(node));
    let known = known.map(|node| NodeId(node.id)).collect();
    let opened = control::join(plan, common, known, drain, running).await?;
    let led = serve_control(plan, common, opened.service, drain, running).await?;
    let joined = Arc::clone(&led);
    common.health.check(Probe::Ready, "control", move || match joined.get() {
        Some(_) => Ok(()),
        None => Err("the other control planes have yet to let it in".to_owned()),
    });
    let leads = Some((led, leading::watch_stalls(&common.clock)));
    if let Transport::Between(between) = &common.transport {
        let kept = Arc::clone(&between.certificates).keep(news, drain.clone());
        running.spawn(async move {
            kept.await;
            Ok(())
        });
    }
    Ok(Opened { engine: Some(opened.engine), leads, ..Opened::default() })
}

/// The first state that the control plane streamed, now or before an earlier end.
async fn first(news: &News) -> Result<Arc<Snapshot>> {
    let mut snapshots = news.snapshots();
    let first = snapshots.wait_for(|snapshot| snapshot.version().0 > 0);
    let first = tokio::time::timeout(ready_within(), first).await;
    let first = first.context("the control plane's state did not arrive in time")??;
    Ok(Arc::clone(&first))
}

/// Has the node enrolled, and makes what its roles are given.
async fn join(
    settings: &RoleSettings,
    plan: &Plan,
    files: Arc<dyn Files>,
    (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
) -> Result<Common> {
    let joining = secrets::join(files.as_ref(), &settings.token_file)?;
    let mut between = Between {
        certificates: Arc::default(),
        own: settings.listen.clone(),
        shown: settings.shown.clone(),
        book: Arc::new(Book::of_doors(settings.doors.clone())),
    };
    let roles = vec![settings.role];
    let on = (Arc::clone(&files), Arc::clone(&clock));
    let enrolled = agent::enrolled(plan, &between, (None, &roles), &joining, on).await;
    let enrolled = enrolled.context("joining the cluster")?;
    let (node, id) = (enrolled.node(), enrolled.cluster());
    if let Some(KeyFiles { certificate_file, key_file }) = &settings.authority {
        let authority = secrets::authority_in(files.as_ref(), (certificate_file, key_file), id)?;
        let peer = Peer { cluster: id, role: ProcessRole::Control, node };
        let (clock, entropy) = (Arc::clone(&clock), Arc::clone(&entropy));
        let authority = Arc::new(authority);
        between.certificates = Certificates::of_control(authority, peer, clock, entropy)?;
    }
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
