use std::sync::Arc;

use gitstratum_client::grpc;
use gitstratum_core::{ErrorKind, GrantsVersion, NodeId, PartitionId, ProcessRole};
use gitstratum_process::spawn;
use gitstratum_proto::control::v1::fleet_server::Fleet;
use gitstratum_proto::control::v1::{
    LogAuditRequest, LogAuditResponse, ProcessReport, RegisterNodeRequest, RegisterNodeResponse,
    RenewRequest, RenewResponse, ReportRequest, ReportResponse, SnapshotUpdate, WatchRequest,
};
use gitstratum_state::Reply;
use gitstratum_state::command::{Change, NodeEndpoint, Origin, PartitionApplied, RegisterNode};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::stream::TaskStream;
use super::{Api, SEND_DEADLINE, in_time, status};
use crate::enrol;
use crate::error::Error;
use crate::fleet::Report;
use crate::plane::Plane;
use crate::watch;
use crate::{logins, nodes};

#[tonic::async_trait]
impl Fleet for Api {
    type WatchStream = TaskStream<SnapshotUpdate>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let node = agent_of(&request, request.get_ref().node)?;
        let held = GrantsVersion(request.get_ref().from_version);
        let place = Arc::clone(&self.plane.streams)
            .try_acquire_owned()
            .map_err(|_| status(&Error::Busy("streams of this control plane")))?;
        let (messages, receiver) = mpsc::channel(1);
        let (plane, drain) = (Arc::clone(&self.plane), self.drain.clone());
        let task = spawn("control watch", async move {
            let _place = place;
            forward(plane, held, messages, drain).await;
        });
        tracing::info!(%node, held = held.0, "node watches");
        Ok(Response::new(TaskStream::new(receiver, task)))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let node = agent_of(&request, request.get_ref().node)?;
        let report = request.into_inner();
        let response = in_time(take_report(&self.plane, node, report)).await;
        response.map(Response::new).map_err(|error| status(&error))
    }

    async fn log_audit(
        &self,
        request: Request<LogAuditRequest>,
    ) -> Result<Response<LogAuditResponse>, Status> {
        let node = agent_of(&request, request.get_ref().node)?;
        let logged = in_time(logins::record(&self.plane, node, request.into_inner())).await;
        logged.map(|()| Response::new(LogAuditResponse {})).map_err(|error| status(&error))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let node = agent_of(&request, request.get_ref().node)?;
        let renewed = in_time(enrol::renew(&self.plane, node, request.into_inner())).await;
        renewed.map(Response::new).map_err(|error| status(&error))
    }

    async fn register_node(
        &self,
        request: Request<RegisterNodeRequest>,
    ) -> Result<Response<RegisterNodeResponse>, Status> {
        let described = request.get_ref().node.clone().unwrap_or_default();
        let node = agent_of(&request, described.id)?;
        let register = Change::RegisterNode(RegisterNode {
            id: described.id,
            roles: described.roles,
            address: described.address,
            region: described.region,
            zone: described.zone,
            incarnation: described.incarnation,
            software: described.version,
            endpoints: described.endpoints.into_iter().map(endpoint).collect(),
        });
        let registered = in_time(register_node(&self.plane, node, register)).await;
        let response = registered.map(|node| RegisterNodeResponse { node: node.0 });
        response.map(Response::new).map_err(|error| status(&error))
    }
}

fn endpoint(named: gitstratum_proto::control::v1::NodeEndpoint) -> NodeEndpoint {
    NodeEndpoint { service: named.service, address: named.address }
}

/// The node whose agent asks; it speaks for no other one.
fn agent_of<T>(request: &Request<T>, claimed: u64) -> Result<NodeId, Status> {
    gitstratum_process::failpoint!(
        "control.call.answer",
        return Err(Status::unavailable("the control plane is not there"))
    );
    let peer = grpc::peer(request)?;
    if peer.role != ProcessRole::Agent || peer.node.0 != claimed {
        let message = format!("{peer} does not speak for node {}", NodeId(claimed));
        return Err(grpc::status(ErrorKind::Denied, message));
    }
    Ok(peer.node)
}

async fn forward(
    plane: Arc<Plane>,
    held: GrantsVersion,
    messages: mpsc::Sender<Result<SnapshotUpdate, Status>>,
    drain: gitstratum_process::Drain,
) {
    let (sender, mut updates) = mpsc::channel(watch::QUEUE_MESSAGES);
    let watching = watch::run(plane, held, sender, drain);
    let sending = async {
        while let Some(update) = updates.recv().await {
            if messages.send_timeout(Ok(update), SEND_DEADLINE).await.is_err() {
                return;
            }
        }
    };
    let (watched, ()) = tokio::join!(watching, sending);
    if let Err(error) = watched {
        drop(messages.send(Err(status(&error))).await);
    }
}

async fn take_report(
    plane: &Plane,
    node: NodeId,
    report: ReportRequest,
) -> Result<ReportResponse, Error> {
    // What is reported is kept in the leader's memory, and waited for there.
    plane.leading()?;
    let reports: Vec<Report> = report.processes.iter().filter_map(read_report).collect();
    let applied = reports.iter().find(|report| report.role == ProcessRole::Metadata);
    let applied = applied.map(|report| report.applied);
    let (incarnation, version, awaited) = plane
        .read(move |state| {
            let known = state.node(node).map(|node| node.incarnation.0);
            let layout = state.layout();
            // What was applied before is not said of partitions that were placed there since.
            let applied = applied.filter(|version| *version >= layout.version);
            let placements = &layout.partitions;
            let awaited: Vec<PartitionId> = placements
                .iter()
                .filter(|placement| placement.voters.contains(&node))
                .map(|placement| placement.partition)
                .filter(|partition| {
                    applied.is_some_and(|version| state.is_awaited(*partition, version))
                })
                .collect();
            (known, state.version(), awaited)
        })
        .await?;
    if incarnation != Some(report.incarnation) {
        // A zombie, or a node that has yet to register (RV-S3).
        return Err(Error::OldIncarnation { node, known: incarnation, sent: report.incarnation });
    }
    nodes::heard(plane, node, &report);
    plane.fleet.record(node, &reports, plane.clock.monotonic());
    for partition in awaited {
        let version = applied.map_or(0, |version| version.0);
        let applied = PartitionApplied { partition: partition.0, version };
        plane.propose(Origin::node(node), Change::PartitionApplied(applied)).await?;
    }
    Ok(ReportResponse { version: version.0 })
}

fn read_report(report: &ProcessReport) -> Option<Report> {
    const ROLES: [ProcessRole; 4] =
        [ProcessRole::Control, ProcessRole::Frontend, ProcessRole::Metadata, ProcessRole::Object];
    let role = ROLES.into_iter().find(|role| role.as_str() == report.role)?;
    Some(Report { role, applied: GrantsVersion(report.applied_version), ready: report.ready })
}

async fn register_node(plane: &Plane, node: NodeId, register: Change) -> Result<NodeId, Error> {
    let outcome = plane.propose(Origin::node(node), register).await?;
    match outcome.result.map_err(Error::Refused)? {
        Reply::Node(id) => Ok(id),
        Reply::Done | Reply::Repository(_) | Reply::User(_) | Reply::Key(_) | Reply::Token(_) => {
            Err(Error::Answer)
        }
    }
}
