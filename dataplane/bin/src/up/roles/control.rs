use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gitstratum_client::raft;
use gitstratum_control_plane::{
    Cluster, Config, Dependencies, Doors, Error, Founding, Handle, Receiver, Record, Service, Voter,
};
use gitstratum_core::{ErrorKind, NodeId, ProcessRole};
use gitstratum_identity::{Authority, Service as Port};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_store::RocksEngine;

use super::super::book::has_control;
use super::super::folder::Folder;
use super::super::node::{Common, ready_within};
use super::super::plan::{PARTITIONS, Plan};
use super::super::secrets::{self, Secrets};
use super::super::transport::Transport;
use super::Condemner;

/// Pause before a voter tries again to reach a leader.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// What was attempted when it fails.
const OPENING: &str = "opening the control plane";
/// How often it is looked whether the first node has founded the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// This node's voter.
pub(in super::super) enum Opening {
    Open(Service),
    /// It has yet to be admitted by the others: the node does not wait for that (S45).
    Joins(Box<Voter>),
}

/// The control plane, of a known cluster, not yet serving.
pub(in super::super) struct Opened {
    pub(in super::super) service: Opening,
    pub(in super::super) cluster: Cluster,
    pub(in super::super) engine: Arc<RocksEngine>,
}

/// Opens the control plane; founds the cluster if there is none.
pub(in super::super) async fn open(
    plan: &Plan,
    common: &Common,
    (data, secrets): (&Folder, Option<&Secrets>),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Opened> {
    let engine = engine(plan, common).await?;
    let recorded = data.recorded.as_ref();
    let config = Config {
        recorded_cluster: recorded.map(|cluster| cluster.id),
        voters: BTreeSet::from_iter(common.cluster.nodes.iter().copied()),
        known: told(plan, common).await?,
        ..Config::single(common.node)
    };
    let dependencies = dependencies(common, &engine)?;
    if common.cluster.nodes.len() == 1 {
        let service = Service::open(config, dependencies).await.context(OPENING)?;
        let cluster = match recorded {
            Some(cluster) => cluster.clone(),
            None => found(plan, common, data, &service.handle()).await?,
        };
        return Ok(Opened { service: Opening::Open(service), cluster, engine });
    }
    let voter = Voter::start(config, dependencies).context(OPENING)?;
    receive(common, voter.receiver(), drain, running).await?;
    if let Some(cluster) = recorded {
        return Ok(Opened {
            service: Opening::Joins(Box::new(voter)),
            cluster: cluster.clone(),
            engine,
        });
    }
    let service = voter.open().await.context(OPENING)?;
    let cluster = match (secrets, plan.number()) {
        (Some(_), 2..) => founded_elsewhere(plan, common).await?,
        _ => {
            service.handle().join().await.context(OPENING)?;
            found(plan, common, data, &service.handle()).await?
        }
    };
    Ok(Opened { service: Opening::Open(service), cluster, engine })
}

/// The nodes with a control plane by the last layout that this node was told, before it may be
/// told a new one: there may be others than those that founded the cluster.
async fn told(plan: &Plan, common: &Common) -> Result<BTreeSet<NodeId>> {
    let files = Arc::clone(&common.files);
    let directory = plan.role(ProcessRole::Agent.as_str());
    let reading = gitstratum_process::blocking(move || gitstratum_agent::held(files, &directory));
    let held = reading.await.context("reading the node's snapshot did not finish")??;
    let nodes = held.layout().nodes.iter().filter(|node| has_control(node));
    Ok(nodes.map(|node| NodeId(node.id)).collect())
}

/// Opens a control plane that joins one which there is: `known` are its nodes, as the layout
/// names them.
pub(in super::super) async fn join(
    plan: &Plan,
    common: &Common,
    known: BTreeSet<NodeId>,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Opened> {
    let engine = engine(plan, common).await?;
    let config =
        Config { recorded_cluster: Some(common.cluster.id), known, ..Config::single(common.node) };
    let voter = Voter::start(config, dependencies(common, &engine)?).context(OPENING)?;
    receive(common, voter.receiver(), drain, running).await?;
    Ok(Opened { service: Opening::Joins(Box::new(voter)), cluster: common.cluster.clone(), engine })
}

fn dependencies(common: &Common, engine: &Arc<RocksEngine>) -> Result<Dependencies> {
    Ok(Dependencies {
        engine: Arc::clone(engine) as _,
        network: common.raft(ProcessRole::Control, Port::ControlRaft)?,
        dialer: common.dialer(ProcessRole::Control)?,
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
        metrics: common.metrics.clone(),
    })
}

/// Takes messages of the other voters.
async fn receive(
    common: &Common,
    receiver: Receiver,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<()> {
    let receive: Arc<raft::Receive> = Arc::new(move |sender, message| {
        let receiver = receiver.clone();
        Box::pin(async move { receiver.receive(sender, message).await.map_err(|e| e.to_string()) })
    });
    common.serve_raft((ProcessRole::Control, Port::ControlRaft), receive, drain, running).await
}

/// The secrets first, then the cluster, then the record of it: a crash in between is made
/// good by the next start, and no data exists before the record.
async fn found(plan: &Plan, common: &Common, data: &Folder, handle: &Handle) -> Result<Cluster> {
    let files = common.files.as_ref();
    let cluster = match handle.cluster().await? {
        Some(_) => handle.finish_founding().await?,
        None => {
            let founding = drawn(plan, common)?;
            handle.found(&founding).await.context("founding the cluster")?
        }
    };
    let secrets = secrets::read(files, &plan.data, cluster.id)?;
    data.record(files, &cluster, &secrets.token_id())?;
    Ok(cluster)
}

/// A new cluster, its secrets written down: now, or before the first of several nodes began.
fn drawn(plan: &Plan, common: &Common) -> Result<Founding> {
    let (files, nodes) = (common.files.as_ref(), u8::try_from(common.cluster.nodes.len())?);
    if nodes > 1 {
        let secrets = secrets::read(files, &plan.data, common.cluster.id)?;
        let authority = secrets::authority(files, &plan.data, common.cluster.id)?;
        return Ok(secrets.founding(authority, nodes, PARTITIONS));
    }
    let (clock, entropy) = (common.clock.as_ref(), common.entropy.as_ref());
    let founding = Founding::draw(nodes, PARTITIONS, clock, entropy)?;
    secrets::write(files, &plan.data, &founding, entropy)?;
    Ok(founding)
}

/// Waits until the first node has founded the cluster and written it down.
async fn founded_elsewhere(plan: &Plan, common: &Common) -> Result<Cluster> {
    let recorded = async {
        loop {
            if let Some(cluster) = Folder::look(common.files.as_ref(), &plan.data)?.recorded {
                return Ok(cluster);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(ready_within(), recorded).await {
        Ok(recorded) => recorded,
        Err(_) => bail!("the first node did not found the cluster in time"),
    }
}

/// Where the handle of a control plane is found once it is open.
pub(in super::super) type Led = Arc<OnceLock<Handle>>;

/// What a control plane serves with, once it is open.
pub(in super::super) struct Serving {
    pub(in super::super) doors: Doors,
    pub(in super::super) led: Led,
    /// Signs certificates; `None` where there is no other node.
    pub(in super::super) authority: Option<Arc<Authority>>,
    /// What is written down beside the data.
    pub(in super::super) record: Arc<dyn Record>,
    /// Has the store set aside when it is damaged.
    pub(super) condemner: Condemner,
}

impl Serving {
    pub(in super::super) fn new(
        plan: &Plan,
        common: &Common,
        doors: Doors,
        record: Arc<dyn Record>,
    ) -> Self {
        let authority = match &common.transport {
            Transport::Between(between) => between.certificates.authority(),
            Transport::Inside(_) => None,
        };
        let condemner = Condemner::new(&database(plan), common);
        Self { doors, led: Led::default(), authority, record, condemner }
    }
}

async fn engine(plan: &Plan, common: &Common) -> Result<Arc<RocksEngine>> {
    let families = gitstratum_consensus::families().to_vec();
    let engine = super::replicated_engine(&database(plan), families, common).await?;
    engine.wait_when_full();
    Ok(engine)
}

fn database(plan: &Plan) -> PathBuf {
    plan.role(ProcessRole::Control.as_str()).join("db")
}

/// Joins the other voters, however long that takes, then serves. A voter of a cluster whose
/// control plane has no state anywhere says so, and the data is served on (S45).
pub(in super::super) async fn serve(
    opening: Opening,
    serving: Serving,
    drain: Drain,
) -> Result<()> {
    let service = match opening {
        Opening::Open(service) => service,
        Opening::Joins(voter) => {
            let opened = tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                opened = voter.open() => opened,
            };
            match opened {
                Err(Error::Log(damage)) if damage.kind() == ErrorKind::Corrupt => {
                    return serving.condemner.condemn(&damage.to_string());
                }
                opened => opened.context(OPENING)?,
            }
        }
    };
    let Serving { doors, led, authority, record, condemner } = serving;
    service.record_with(record);
    if let Some(authority) = authority {
        service.sign_with(authority);
    }
    let handle = service.handle();
    let watched = super::watch_disk(handle.host(), condemner, drain.clone());
    let _is_first = led.set(handle.clone());
    tokio::select! {
        biased;
        served = service.run(doors, drain.clone()) => served.context("control plane"),
        Err(error) = check(&handle, &drain) => Err(error),
        Err(damage) = watched => Err(damage),
    }
}

/// Waits for a leader, and compares the cluster that its state is of with the recorded one.
async fn check(handle: &Handle, drain: &Drain) -> Result<()> {
    loop {
        let joined = tokio::select! {
            biased;
            () = drain.started() => return Ok(()),
            joined = handle.join() => joined,
        };
        match joined {
            Ok(()) => return Ok(()),
            Err(error @ Error::OtherCluster { .. }) => return Err(error.into()),
            // Until somebody brings a lost one back, or a majority is there.
            Err(error) => tracing::info!(%error, "the control plane has not been joined yet"),
        }
        tokio::time::sleep(JOIN_PAUSE).await;
    }
}
