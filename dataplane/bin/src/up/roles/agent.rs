use anyhow::{Context, Result};
use gitstratum_agent::{Config, Deps, Service};
use gitstratum_core::{Incarnation, ProcessRole};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_proto::control::v1::Node;

use super::super::node::Common;
use super::super::plan::Plan;

/// The agent, running.
pub(in super::super) struct Started {
    pub(in super::super) incarnation: Incarnation,
}

/// Starts the agent of the node.
pub(in super::super) async fn start(
    plan: &Plan,
    common: &Common,
    drain: &Drain,
    running: &mut TaskGroup<Result<()>>,
) -> Result<Started> {
    let deps = Deps {
        node: common.node,
        control: common.cluster.nodes.clone(),
        record: record(common),
        dialer: common.dialer(ProcessRole::Agent)?,
        files: std::sync::Arc::clone(&common.files),
        clock: std::sync::Arc::clone(&common.clock),
    };
    let config = Config::new(plan.role(ProcessRole::Agent.as_str()));
    let service = Service::open(config, deps).await.context("starting the agent")?;
    let incarnation = service.incarnation();
    let served = service.run(drain.clone());
    running.spawn(async move {
        served.await;
        Ok(())
    });
    Ok(Started { incarnation })
}

/// What the node registers as.
fn record(common: &Common) -> Node {
    let roles =
        [ProcessRole::Control, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];
    Node {
        id: common.node.0,
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        address: "local".to_owned(),
        weight: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        in_ring: true,
        ..Node::default()
    }
}
