use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_client::audit::{AuditLog, tell};
use gitstratum_core::{Incarnation, ProcessRole};
use gitstratum_frontend::{Config, Deps, Service};
use gitstratum_identity::PublicTls;
use gitstratum_process::{Drain, TaskGroup};

use super::super::node::Common;
use super::super::plan::Plan;

/// Opens the frontend and its ports.
pub(in super::super) async fn open(
    plan: &Plan,
    common: &Common,
    incarnation: Incarnation,
    (host_key, tls): (Vec<u8>, Option<Arc<PublicTls>>),
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Service> {
    let feed = super::feed::published(plan, ProcessRole::Frontend, drain, running);
    super::feed::first(&feed).await?;
    let copies = feed.current().layout().replication_factor;
    let copies = u8::try_from(copies).context("how many copies segments have")?;
    let spool = plan.folder().join("spool");
    common.files.create_directory(&spool)?;
    let config = Config {
        http: (!plan.is_without_http).then_some(plan.http),
        ssh: Some(plan.ssh),
        https: plan.https.as_ref().map(|https| https.address),
        replication_factor: copies,
        ..Config::new(spool)
    };
    let config = match common.roles[..] {
        [ProcessRole::Frontend] => config,
        // Nothing balances load in front of one node: there is nobody to wait for.
        _ => Config { close_after: std::time::Duration::ZERO, ..config },
    };
    let (audit, untold) = AuditLog::channel(Arc::clone(&common.clock));
    let telling = tell(audit.clone(), untold, super::feed::agent(plan), drain.clone());
    running.spawn(async move {
        telling.await;
        Ok(())
    });
    let deps = Deps {
        cluster: common.cluster.id,
        node: common.node,
        incarnation,
        dialer: common.dialer(ProcessRole::Frontend)?,
        feed,
        audit,
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
        metrics: common.metrics.clone(),
        health: common.health.clone(),
        host_key,
        tls,
    };
    Ok(Service::open(config, deps).await?)
}
