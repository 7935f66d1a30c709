mod rows;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use gitstratum_client::bulk;
use gitstratum_client::cluster::StoreUse;
use gitstratum_client::copies::ObjectNodes;
use gitstratum_client::metadata::Partitions;
use gitstratum_core::{Incarnation, ProcessRole};
use gitstratum_identity::Service as Port;
use gitstratum_object::{Config, Deps, Gauge, Service, Usage};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_store::{Committer, RocksEngine, SpaceGuard, commit};
use tokio::sync::watch;

use super::super::node::Common;
use super::super::plan::Plan;
use super::super::sockets;
use super::super::transport::Transport;
use rows::{Copies, Rows};

/// Free bytes below which no segment is begun, so that logs and rows still fit (P-D6).
pub(super) const RESERVE_BYTES: u64 = 64 << 20;
/// How often it is looked what the store holds.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The object node, running.
pub(in super::super) struct Started {
    pub(in super::super) engine: Arc<RocksEngine>,
}

/// Starts the object node.
pub(in super::super) async fn start(
    plan: &Plan,
    common: &Common,
    incarnation: Incarnation,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Started> {
    let directory = plan.role(ProcessRole::Object.as_str());
    let copies = match common.transport {
        Transport::Inside(_) => Copies::HereAlone,
        Transport::Between(_) => Copies::Elsewhere,
    };
    let rows = Rows { directory: directory.clone(), files: Arc::clone(&common.files), copies };
    let engine = rows.open(common).await?;
    let clock = Arc::clone(&common.clock);
    let committer =
        Committer::start(Arc::clone(&engine) as _, Arc::clone(&clock), commit::Config::default())?;
    let (measured, store) = watch::channel(StoreUse::default());
    let feed = super::feed::stored(plan, store, drain, running);
    let dialer = common.dialer(ProcessRole::Object)?;
    let files = Arc::clone(&common.files);
    let space = SpaceGuard::new(files, &directory, RESERVE_BYTES, Arc::clone(&clock));
    let deps = Deps {
        node: common.node,
        cluster: common.cluster.id,
        incarnation,
        files: Arc::clone(&common.files),
        engine: Arc::clone(&engine) as _,
        committer,
        clock,
        entropy: Arc::clone(&common.entropy),
        space: Arc::new(space),
        partitions: Partitions::new(Arc::clone(&dialer), feed.clone()),
        peers: bulk::Client::new(Arc::clone(&dialer)),
        others: ObjectNodes::new(dialer),
        feed,
        metrics: common.metrics.clone(),
    };
    let config = Config {
        scrub_every: plan.scrub_every,
        puts_damage_aside: copies == Copies::Elsewhere,
        ends_when_unsound: copies == Copies::Elsewhere,
        ..Config::new(directory.join("segments"))
    };
    let service = Service::open(config, deps).await;
    let service = service.map_err(|error| rows.end_with(error))?;
    let control = common.listen(Port::Object, drain).await?;
    let bulk = common.listen(Port::Bulk, drain).await?;
    let measuring = measure(service.gauge(), measured, drain.clone());
    running.spawn(async move {
        measuring.await;
        Ok(())
    });
    let served = service.run(control, bulk, drain.clone());
    running.spawn(async move { served.await.map_err(|error| rows.end_with(error)) });
    let socket = sockets::listen(&directory.join("admin.sock"))?;
    let dialer = common.admin_dialer(ProcessRole::Object)?;
    let piped = sockets::pipe(socket, dialer, (common.node, Port::Object), drain.clone());
    running.spawn(async move {
        piped.await;
        Ok(())
    });
    if common.roles.contains(&ProcessRole::Control) {
        relay(&directory, common, drain, running)?;
    }
    Ok(Started { engine })
}

/// Opens the way to the stores of nodes that are elsewhere: for who owns the cluster's keys.
fn relay(
    directory: &Path,
    common: &Common,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<()> {
    let socket = sockets::listen(&directory.join("peers.sock"))?;
    let dialer = common.dialer(ProcessRole::Control)?;
    let relayed = sockets::relay(socket, dialer, Port::Object, drain.clone());
    running.spawn(async move {
        relayed.await;
        Ok(())
    });
    Ok(())
}

/// Says what the store holds, until `drain` starts.
async fn measure(gauge: Gauge, measured: watch::Sender<StoreUse>, drain: Drain) {
    loop {
        let Usage { segments, stored_bytes, free_bytes } = gauge.read().await;
        measured.send_replace(StoreUse { segments, stored_bytes, free_bytes });
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(MEASURE_EVERY) => {}
        }
    }
}
