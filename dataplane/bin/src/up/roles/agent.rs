use std::sync::Arc;

use anyhow::{Context, Result};
use gitstratum_agent::{Config, Deps, Enrolment, Joining, News, Service};
use gitstratum_client::fleet::Voter;
use gitstratum_core::{Clock, Incarnation, NodeId, ProcessRole};
use gitstratum_identity::{GuestTls, PemFile};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_proto::control::v1::Node;
use gitstratum_store::Files;

use super::super::book::Book;
use super::super::node::Common;
use super::super::plan::Plan;
use super::super::secrets::Join;
use super::super::transport::{Between, Transport};

/// The agent, running.
pub(in super::super) struct Started {
    pub(in super::super) incarnation: Incarnation,
    pub(in super::super) news: News,
}

/// Has the node enrolled, where it is one of several: from then on its roles have
/// certificates.
pub(in super::super) async fn enrol(plan: &Plan, common: &Common, join: &Join) -> Result<()> {
    let Transport::Between(between) = &common.transport else { return Ok(()) };
    let who = (Some(common.node), &common.roles[..]);
    let on = (Arc::clone(&common.files), Arc::clone(&common.clock));
    between.certificates.enrolled(enrolled(plan, between, who, join, on).await?);
    Ok(())
}

/// What a node's certificates are kept with; a new node is given its id now.
pub(in super::super) async fn enrolled(
    plan: &Plan,
    between: &Between,
    (node, roles): (Option<NodeId>, &[ProcessRole]),
    join: &Join,
    (files, clock): (Arc<dyn Files>, Arc<dyn Clock>),
) -> Result<Arc<Enrolment>> {
    let authority = PemFile { name: "join.token", bytes: join.authority_pem.as_bytes() };
    let tls = GuestTls::new(&authority, Arc::clone(&clock))?;
    let is_new = node.is_none();
    let bare = roles.iter().copied().filter(|role| is_new && *role == ProcessRole::Control);
    let joining = Joining {
        directory: plan.role(ProcessRole::Agent.as_str()),
        node,
        roles: roles.iter().copied().filter(|role| *role != ProcessRole::Control).collect(),
        bare_roles: bare.collect(),
        token: join.token.clone(),
        authority_pem: join.authority_pem.clone(),
        doors: between.doors(&tls),
    };
    Ok(Enrolment::open(joining, files, clock).await?)
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
        voters: voters(common)?,
        record: record(plan, common),
        files: std::sync::Arc::clone(&common.files),
        clock: std::sync::Arc::clone(&common.clock),
        enrolment: match &common.transport {
            Transport::Inside(_) => None,
            Transport::Between(between) => between.certificates.enrolment(),
        },
        inside: None,
    };
    let mut config = Config::new(plan.role(ProcessRole::Agent.as_str()));
    config.offline_grace = plan.offline_grace.unwrap_or(config.offline_grace);
    let service = Service::open(config, deps).await.context("starting the agent")?;
    let (incarnation, news) = (service.incarnation(), service.news());
    if let Transport::Between(between) = &common.transport {
        running.spawn(learn(Arc::clone(&between.book), news.clone(), drain.clone()));
    }
    let served = service.run(drain.clone());
    running.spawn(async move {
        served.await;
        Ok(())
    });
    Ok(Started { incarnation, news })
}

/// The voters of the control plane, in turn.
fn voters(common: &Common) -> Result<Vec<Voter>> {
    let Transport::Between(between) = &common.transport else {
        return Ok(vec![Voter::new(common.dialer(ProcessRole::Agent)?, common.node)]);
    };
    let numbered = (1..).zip(between.controls()?);
    Ok(numbered.map(|(number, dialer)| Voter::new(dialer, NodeId(number))).collect())
}

/// Has the book follow the layout until the drain starts.
async fn learn(book: Arc<Book>, news: News, drain: Drain) -> Result<()> {
    let mut snapshots = news.snapshots();
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        book.learn(snapshot.layout());
        tokio::select! {
            biased;
            () = drain.started() => return Ok(()),
            changed = snapshots.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// What the node registers as.
fn record(plan: &Plan, common: &Common) -> Node {
    let endpoints = match &common.transport {
        Transport::Inside(_) => Vec::new(),
        Transport::Between(between) => between.endpoints(),
    };
    Node {
        id: common.node.0,
        roles: common.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        endpoints,
        region: plan.place.region.clone(),
        zone: plan.place.zone.clone(),
        address: "local".to_owned(),
        weight: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        in_ring: true,
        ..Node::default()
    }
}
