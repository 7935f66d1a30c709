use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gitstratum_client::raft;
use gitstratum_control_plane::{Cluster, Config, Dependencies, Error, Founding, Handle, Service};
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_identity::Service as Port;
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_store::RocksEngine;

use super::super::folder::Folder;
use super::super::node::{Common, ready_within};
use super::super::plan::{PARTITIONS, Plan};
use super::super::secrets::{self, Secrets};

/// How often it is looked whether the first node has founded the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The control plane, open and of a known cluster, not yet serving.
pub(in super::super) struct Opened {
    /// `None` where this node's part of it was lost: the others go on without (S45).
    pub(in super::super) service: Option<Service>,
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
    let directory = plan.role(ProcessRole::Control.as_str());
    let families = gitstratum_consensus::families().to_vec();
    let engine = super::engine(&directory.join("db"), families, common).await?;
    engine.wait_when_full();
    let recorded = data.recorded.as_ref();
    let config = Config {
        recorded_cluster: recorded.map(|cluster| cluster.id),
        voters: BTreeSet::from_iter(common.cluster.nodes.iter().copied()),
        ..Config::single(common.node)
    };
    let dependencies = dependencies(common, &engine)?;
    let is_alone = common.cluster.nodes.len() == 1;
    let prepared = match is_alone {
        true => Service::open(config, dependencies).await,
        false => Service::prepare(config, dependencies).await,
    };
    let service = match prepared {
        Err(Error::Lost(cluster)) if !is_alone => {
            let error = Error::Lost(cluster);
            tracing::error!(%error, "this node has no part in the control plane any more");
            let cluster = recorded.cloned().context("because only a recorded one can be lost")?;
            return Ok(Opened { service: None, cluster, engine });
        }
        prepared => prepared.context("opening the control plane")?,
    };
    let handle = service.handle();
    if !is_alone {
        receive(common, &handle, drain, running).await?;
    }
    let cluster = match (recorded, secrets) {
        (Some(cluster), _) => cluster.clone(),
        (None, None) => found(plan, common, data, &handle).await?,
        (None, Some(_)) if plan.number() == 1 => {
            handle.join().await.context("opening the control plane")?;
            found(plan, common, data, &handle).await?
        }
        (None, Some(_)) => founded_elsewhere(plan, common).await?,
    };
    Ok(Opened { service: Some(service), cluster, engine })
}

/// Opens a control plane that joins one which there is: `others` are its nodes, as the layout
/// names them.
pub(in super::super) async fn join(
    plan: &Plan,
    common: &Common,
    others: BTreeSet<NodeId>,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Opened> {
    let directory = plan.role(ProcessRole::Control.as_str());
    let families = gitstratum_consensus::families().to_vec();
    let engine = super::engine(&directory.join("db"), families, common).await?;
    engine.wait_when_full();
    let config = Config {
        recorded_cluster: Some(common.cluster.id),
        voters: asked(common.node, others),
        is_new: true,
        ..Config::single(common.node)
    };
    let dependencies = dependencies(common, &engine)?;
    let service = Service::prepare(config, dependencies).await;
    let service = service.context("opening the control plane")?;
    receive(common, &service.handle(), drain, running).await?;
    Ok(Opened { service: Some(service), cluster: common.cluster.clone(), engine })
}

/// An odd number of nodes, this one among them if that makes it odd.
fn asked(own: NodeId, mut others: BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    others.remove(&own);
    if others.len().is_multiple_of(2) {
        others.insert(own);
    }
    others
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
    handle: &Handle,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<()> {
    let handle = handle.clone();
    let receive: Arc<raft::Receive> = Arc::new(move |sender, message| {
        let handle = handle.clone();
        Box::pin(async move { handle.receive(sender, message).await.map_err(|e| e.to_string()) })
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
