use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_client::cluster::{Applied, Feed};
use gitstratum_client::copies::ObjectNodes;
use gitstratum_client::grpc;
use gitstratum_client::metadata::Partitions;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_client::{bulk, raft};
use gitstratum_consensus::{Host, HostOptions};
use gitstratum_core::ProcessRole;
use gitstratum_identity::Service as Port;
use gitstratum_metadata::plan::{HistoryPlanner, Limits};
use gitstratum_metadata::{Config, Deps, MetadataMetrics, Service};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_store::RocksEngine;

use super::super::node::Common;
use super::super::plan::Plan;
use super::super::sockets;

/// The metadata node, running.
pub(in super::super) struct Started {
    pub(in super::super) engine: Arc<RocksEngine>,
    pub(in super::super) host: Arc<Host>,
}

/// Starts the metadata node: its partitions open as the layout arrives.
pub(in super::super) async fn start(
    plan: &Plan,
    common: &Common,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Started> {
    let directory = plan.role(ProcessRole::Metadata.as_str());
    let families = gitstratum_consensus::families().to_vec();
    let database = directory.join("db");
    let engine = super::replicated_engine(&database, families, common).await?;
    engine.wait_when_full();
    let host = Host::start(HostOptions {
        node: common.node,
        engine: Arc::clone(&engine) as _,
        network: common.raft(ProcessRole::Metadata, Port::MetadataRaft)?,
        clock: Arc::clone(&common.clock),
        config: gitstratum_consensus::Config::default(),
    })
    .context("opening the partitions' log")?;
    let (publisher, feed) = Feed::channel();
    let dialer = common.dialer(ProcessRole::Metadata)?;
    let lists = Partitions::new(Arc::clone(&dialer), feed.clone());
    let bytes = bulk::Client::new(dialer).on(common.node, feed.clone()).listed_by(lists);
    let reader = Reader::new(Arc::new(bytes), Options::default());
    let commits_held = MetadataMetrics::new(&common.metrics).commit_graph_size;
    let deps = Deps {
        node: common.node,
        host: Arc::clone(&host),
        feed,
        clock: Arc::clone(&common.clock),
        copies: Arc::new(ObjectNodes::new(common.dialer(ProcessRole::Metadata)?)),
        planner: Arc::new(HistoryPlanner::new(reader, Limits::default(), commits_held)),
        metrics: common.metrics.clone(),
    };
    let service = Service::new(Config::default(), deps)?;
    let applied = Applied::Told(service.applied());
    super::feed::told(plan, (ProcessRole::Metadata, publisher, applied), drain, running);
    let receiving = Arc::clone(&host);
    let receive: Arc<raft::Receive> = Arc::new(move |sender, message| {
        let host = Arc::clone(&receiving);
        Box::pin(async move { host.receive(sender, message).await.map_err(|e| e.to_string()) })
    });
    common.serve_raft((ProcessRole::Metadata, Port::MetadataRaft), receive, drain, running).await?;
    serve(common, &service, drain, running).await?;
    let kept = Arc::clone(&service).run(drain.clone());
    watch(common, &database, (&host, &service), drain, running);
    let stopped = Arc::clone(&host);
    running.spawn(async move {
        kept.await;
        stopped.shutdown().await;
        Ok(())
    });
    let socket = sockets::listen(&directory.join("admin.sock"))?;
    let dialer = common.admin_dialer(ProcessRole::Metadata)?;
    let piped = sockets::pipe(socket, dialer, (common.node, Port::Metadata), drain.clone());
    running.spawn(async move {
        piped.await;
        Ok(())
    });
    Ok(Started { engine, host })
}

/// Ends the process when its disk stalls; once its store is found damaged, that is an error.
fn watch(
    common: &Common,
    database: &Path,
    (host, service): (&Arc<Host>, &Arc<Service>),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) {
    let condemner = super::Condemner::new(database, common);
    running.spawn(super::watch_disk(Arc::clone(host), condemner, drain.clone()));
    let (watched, watching) = (Arc::clone(service), drain.clone());
    let condemner = super::Condemner::new(database, common);
    running.spawn(async move {
        let what = tokio::select! {
            biased;
            () = watching.started() => return Ok(()),
            what = watched.store_damage() => what,
        };
        condemner.condemn(&what)
    });
}

async fn serve(
    common: &Common,
    service: &Arc<Service>,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<()> {
    let listener = common.listen(Port::Metadata, drain).await?;
    let routes = gitstratum_metadata::rpc::routes(Arc::clone(service));
    let served = grpc::serve(listener, ProcessRole::Metadata, routes, drain.clone());
    running.spawn(async move { served.await.context("serving the partitions") });
    Ok(())
}
