use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_consensus::NoNetwork;
use gitstratum_control_plane::{Cluster, Config, Dependencies, Founding, Handle, Service};
use gitstratum_core::ProcessRole;
use gitstratum_store::RocksEngine;

use super::super::folder::Folder;
use super::super::node::Common;
use super::super::plan::{PARTITIONS, Plan};
use super::super::secrets;

/// The control plane, open and of a known cluster, not yet serving.
pub(in super::super) struct Opened {
    pub(in super::super) service: Service,
    pub(in super::super) cluster: Cluster,
    pub(in super::super) engine: Arc<RocksEngine>,
}

/// Opens the control plane; founds the cluster if there is none.
pub(in super::super) async fn open(plan: &Plan, common: &Common, data: &Folder) -> Result<Opened> {
    let directory = plan.role(ProcessRole::Control.as_str());
    let families = gitstratum_consensus::families().to_vec();
    let engine = super::engine(&directory.join("db"), families, common).await?;
    engine.wait_when_full();
    let recorded = data.recorded.as_ref();
    let config = Config {
        recorded_cluster: recorded.map(|cluster| cluster.id),
        ..Config::single(recorded.and_then(|c| c.nodes.first().copied()).unwrap_or(common.node))
    };
    let dependencies = Dependencies {
        engine: Arc::clone(&engine) as _,
        network: Arc::new(NoNetwork),
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
        metrics: common.metrics.clone(),
    };
    let service = Service::open(config, dependencies).await.context("opening the control plane")?;
    let cluster = match recorded {
        Some(cluster) => cluster.clone(),
        None => found(plan, common, data, &service.handle()).await?,
    };
    Ok(Opened { service, cluster, engine })
}

/// The secrets first, then the cluster, then the record of it: a crash in between is made
/// good by the next start, and no data exists before the record.
async fn found(plan: &Plan, common: &Common, data: &Folder, handle: &Handle) -> Result<Cluster> {
    let files = common.files.as_ref();
    let cluster = match handle.cluster().await? {
        Some(_) => handle.finish_founding().await?,
        None => {
            let (clock, entropy) = (common.clock.as_ref(), common.entropy.as_ref());
            let founding = Founding::draw(1, PARTITIONS, clock, entropy)?;
            secrets::write(files, &plan.data, &founding, entropy)?;
            handle.found(&founding).await.context("founding the cluster")?
        }
    };
    let secrets = secrets::read(files, &plan.data, cluster.id)?;
    data.record(files, &cluster, &secrets.token_id())?;
    Ok(cluster)
}
