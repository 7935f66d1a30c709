use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_agent::{Config, Deps, Enrolment, Joining, News, Service};
use gitstratum_core::{Incarnation, ProcessRole};
use gitstratum_identity::{GuestTls, PemFile};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_proto::control::v1::Node;

use super::super::node::Common;
use super::super::plan::Plan;
use super::super::secrets::Join;
use super::super::transport::Transport;

/// The agent, running.
pub(in super::super) struct Started {
    pub(in super::super) incarnation: Incarnation,
    pub(in super::super) news: News,
}

/// Has the node enrolled, where it is one of several: from then on its roles have
/// certificates.
pub(in super::super) async fn enrol(plan: &Plan, common: &Common, join: &Join) -> Result<()> {
    let Transport::Between(between) = &common.transport else { return Ok(()) };
    let authority = PemFile { name: "join.token", bytes: join.authority_pem.as_bytes() };
    let tls = GuestTls::new(&authority, Arc::clone(&common.clock))?;
    let joining = Joining {
        directory: plan.role(ProcessRole::Agent.as_str()),
        node: Some(common.node),
        roles: vec![ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object],
        token: join.token.clone(),
        authority_pem: join.authority_pem.clone(),
        doors: between.doors(&tls),
    };
    let (files, clock) = (Arc::clone(&common.files), Arc::clone(&common.clock));
    between.certificates.enrolled(Enrolment::open(joining, files, clock).await?);
    Ok(())
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
        enrolment: match &common.transport {
            Transport::Inside(_) => None,
            Transport::Between(between) => between.certificates.enrolment(),
        },
    };
    let mut config = Config::new(plan.role(ProcessRole::Agent.as_str()));
    config.offline_grace = plan.offline_grace.unwrap_or(config.offline_grace);
    let service = Service::open(config, deps).await.context("starting the agent")?;
    let (incarnation, news) = (service.incarnation(), service.news());
    let served = service.run(drain.clone());
    running.spawn(async move {
        served.await;
        Ok(())
    });
    Ok(Started { incarnation, news })
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
