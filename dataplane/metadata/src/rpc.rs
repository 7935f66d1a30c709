//! The gRPC side: wire messages in and out, who may call what, and the only place
//! with status codes.

mod plan;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use gitstratum_client::grpc;
use gitstratum_client::metadata::{LEADER_HEADER, QUORUM_HEADER};
use gitstratum_core::{
    ErrorKind, Incarnation, NodeId, PartitionId, ProcessRole, RepoId, SessionId, Version,
};
use gitstratum_identity::Peer;
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::metadata::v1::metadata_server::{Metadata, MetadataServer};
use tokio_stream::StreamExt;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::error::{Error, chain};
use crate::service::{Service, WithChecksums, WithRefs};

/// Messages that wait in an answer's stream until the other side takes them.
const STREAM_MESSAGES: usize = 4;

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a listener serves for `service`.
pub fn routes(service: Arc<Service>) -> tonic::service::Routes {
    let server = MetadataServer::new(Rpc { service })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tonic::service::Routes::new(server)
}

struct Rpc {
    service: Arc<Service>,
}

/// The caller, if it has the role.
fn caller<T>(request: &Request<T>, role: ProcessRole) -> Result<Peer, Status> {
    let peer = grpc::peer(request)?;
    if peer.role == role {
        return Ok(peer);
    }
    Err(Status::permission_denied(format!("a {} may not call this", peer.role)))
}

/// The caller, of any role of the cluster: for calls that change nothing and show no names.
fn anyone<T>(request: &Request<T>) -> Result<Peer, Status> {
    grpc::peer(request)
}

fn refused(error: Error) -> Status {
    let mut status = grpc::status(error.kind(), chain(&error));
    let leader = error.leader_hint().and_then(|node| node.to_string().parse().ok());
    if let Some(leader) = leader {
        status.metadata_mut().insert(LEADER_HEADER, leader);
    }
    if error.is_of_quorum() {
        status.metadata_mut().insert(QUORUM_HEADER, MetadataValue::from_static("none"));
    }
    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Bug) {
        tracing::error!(error = %chain(&error), "a request failed");
    }
    status
}

#[tonic::async_trait]
impl Metadata for Rpc {
    type GetRefsStream = Streamed<wire::GetRefsResponse>;
    type ListRepositoriesStream = Streamed<wire::RepositoryRecord>;
    type AuditStream = Streamed<wire::AuditLine>;

    async fn open_session(
        &self,
        request: Request<wire::OpenSessionRequest>,
    ) -> Answer<wire::OpenSessionResponse> {
        let peer = caller(&request, ProcessRole::Frontend)?;
        let request = request.into_inner();
        if request.frontend_node != peer.node.0 {
            return Err(Status::permission_denied("a session is opened for oneself"));
        }
        let partition = PartitionId(request.partition);
        let incarnation = Incarnation(request.incarnation);
        let opened = self.service.open_session(partition, peer.node, incarnation).await;
        let session = opened.map_err(refused)?;
        Ok(Response::new(wire::OpenSessionResponse { session: session.0 }))
    }

    async fn renew_sessions(
        &self,
        request: Request<wire::RenewSessionsRequest>,
    ) -> Answer<wire::RenewSessionsResponse> {
        let peer = caller(&request, ProcessRole::Frontend)?;
        let renewals = request.into_inner().renewals;
        let states = self.service.renew_sessions(peer.node, renewals).await;
        Ok(Response::new(wire::RenewSessionsResponse { states }))
    }

    async fn close_session(
        &self,
        request: Request<wire::CloseSessionRequest>,
    ) -> Answer<wire::CloseSessionResponse> {
        let peer = caller(&request, ProcessRole::Frontend)?;
        let request = request.into_inner();
        let (partition, session) = (PartitionId(request.partition), SessionId(request.session));
        self.service.close_session(partition, peer.node, session).await.map_err(refused)?;
        Ok(Response::new(wire::CloseSessionResponse {}))
    }

    async fn show_incarnation(
        &self,
        request: Request<wire::ShowIncarnationRequest>,
    ) -> Answer<wire::ShowIncarnationResponse> {
        let peer = caller(&request, ProcessRole::Object)?;
        let request = request.into_inner();
        let partition = PartitionId(request.partition);
        let incarnation = Incarnation(request.incarnation);
        let shown = self.service.show_incarnation(partition, peer.node, incarnation).await;
        let shown = shown.map_err(refused)?.0;
        Ok(Response::new(wire::ShowIncarnationResponse { shown }))
    }

    async fn compare_inventory(
        &self,
        request: Request<wire::CompareInventoryRequest>,
    ) -> Answer<wire::CompareInventoryResponse> {
        let peer = caller(&request, ProcessRole::Object)?;
        let request = request.into_inner();
        let partition = PartitionId(request.partition);
        let compared = self.service.compare_inventory(partition, peer.node, request).await;
        compared.map(Response::new).map_err(refused)
    }

    async fn report_lost(
        &self,
        request: Request<wire::ReportLostRequest>,
    ) -> Answer<wire::ReportLostResponse> {
        let peer = caller(&request, ProcessRole::Object)?;
        let request = request.into_inner();
        let partition = PartitionId(request.partition);
        let noted = self.service.report_lost(partition, peer.node, request.copies).await;
        let noted = noted.map_err(refused)?;
        Ok(Response::new(wire::ReportLostResponse { noted }))
    }

    async fn get_refs(
        &self,
        request: Request<wire::GetRefsRequest>,
    ) -> Answer<Self::GetRefsStream> {
        caller(&request, ProcessRole::Frontend)?;
        let answer = self.service.get_refs(request.into_inner()).await.map_err(refused)?;
        Ok(Response::new(Box::pin(tokio_stream::iter(answer.map(Ok)))))
    }

    async fn plan_fetch(
        &self,
        request: Request<wire::PlanFetchRequest>,
    ) -> Answer<wire::PlanFetchResponse> {
        caller(&request, ProcessRole::Frontend)?;
        let (key, actor, plan) =
            plan::from_wire(request.into_inner()).map_err(|field| refused(Error::from(field)))?;
        let answer = self.service.plan_fetch(key, actor, plan).await.map_err(refused)?;
        Ok(Response::new(plan::to_wire(answer)))
    }

    async fn update_refs(
        &self,
        request: Request<wire::UpdateRefsRequest>,
    ) -> Answer<wire::UpdateRefsResponse> {
        let peer = caller(&request, ProcessRole::Frontend)?;
        let answer = self.service.update_refs(peer.node, request.into_inner()).await;
        answer.map(Response::new).map_err(refused)
    }

    async fn segment_states(
        &self,
        request: Request<wire::SegmentStatesRequest>,
    ) -> Answer<wire::SegmentStatesResponse> {
        anyone(&request)?;
        let request = request.into_inner();
        let partition = PartitionId(request.partition);
        let asked = self.service.segment_states(partition, request.segments).await;
        let found = asked.map_err(refused)?;
        let (version, states) = (found.version.0, found.records);
        Ok(Response::new(wire::SegmentStatesResponse { version, states }))
    }

    async fn list_repositories(
        &self,
        request: Request<wire::ListRepositoriesRequest>,
    ) -> Answer<Self::ListRepositoriesStream> {
        anyone(&request)?;
        let partition = PartitionId(request.into_inner().partition);
        let found = self.service.list_repositories(partition).await.map_err(refused)?;
        let service = Arc::clone(&self.service);
        let records = tokio_stream::iter(found.records).then(move |repo| {
            let service = Arc::clone(&service);
            async move { service.repository(partition, repo, WithRefs::No).await }
        });
        let records = records.filter_map(|found| found.map_err(refused).transpose());
        Ok(Response::new(Box::pin(records)))
    }

    async fn get_repository(
        &self,
        request: Request<wire::GetRepositoryRequest>,
    ) -> Answer<wire::RepositoryRecord> {
        anyone(&request)?;
        let key = request.into_inner().repo.unwrap_or_default();
        let (partition, repo) = (PartitionId(key.partition), RepoId(key.repo_id));
        let found = self.service.repository(partition, repo, WithRefs::Yes).await;
        let record = found.map_err(refused)?;
        record.map(Response::new).ok_or_else(|| refused(Error::NoRepository { repo }))
    }

    async fn check_repository(
        &self,
        request: Request<wire::CheckRepositoryRequest>,
    ) -> Answer<wire::CheckRepositoryResponse> {
        anyone(&request)?;
        let key = request.into_inner().repo.unwrap_or_default();
        let found = self.service.check_repository(&key).await.map_err(refused)?;
        Ok(Response::new(wire::CheckRepositoryResponse {
            problems: found.problems,
            objects_checked: found.objects_checked,
            objects_too_large: found.objects_too_large,
        }))
    }

    async fn status(&self, request: Request<wire::StatusRequest>) -> Answer<wire::StatusResponse> {
        anyone(&request)?;
        let partitions = match request.into_inner() {
            wire::StatusRequest { confirm: true, .. } => self.service.confirmed_status().await,
            wire::StatusRequest { brief: true, .. } => self.service.status(WithChecksums::No).await,
            wire::StatusRequest { .. } => self.service.status(WithChecksums::Yes).await,
        };
        let node = self.service.node().0;
        Ok(Response::new(wire::StatusResponse { node, partitions }))
    }

    async fn fence_node(
        &self,
        request: Request<wire::FenceNodeRequest>,
    ) -> Answer<wire::FenceNodeResponse> {
        caller(&request, ProcessRole::Control)?;
        let request = request.into_inner();
        let (partition, node) = (PartitionId(request.partition), NodeId(request.node));
        let fenced = self.service.fence_node(partition, node, request.number).await;
        let number = fenced.map_err(refused)?;
        Ok(Response::new(wire::FenceNodeResponse { number }))
    }

    async fn unfence_node(
        &self,
        request: Request<wire::UnfenceNodeRequest>,
    ) -> Answer<wire::FenceNodeResponse> {
        caller(&request, ProcessRole::Control)?;
        let request = request.into_inner();
        let (partition, node) = (PartitionId(request.partition), NodeId(request.node));
        let lifted = self.service.unfence_node(partition, node, request.number).await;
        let number = lifted.map_err(refused)?;
        Ok(Response::new(wire::FenceNodeResponse { number }))
    }

    async fn show_node_use(
        &self,
        request: Request<wire::ShowNodeUseRequest>,
    ) -> Answer<wire::ShowNodeUseResponse> {
        anyone(&request)?;
        let request = request.into_inner();
        let (partition, node) = (PartitionId(request.partition), NodeId(request.node));
        let used = self.service.node_use(partition, node).await.map_err(refused)?;
        Ok(Response::new(used))
    }

    async fn accept_loss(
        &self,
        request: Request<wire::AcceptLossRequest>,
    ) -> Answer<wire::AcceptLossResponse> {
        caller(&request, ProcessRole::Control)?;
        let accepted = self.service.accept_loss(request.into_inner()).await.map_err(refused)?;
        Ok(Response::new(wire::AcceptLossResponse { accepted }))
    }

    async fn open_claim(
        &self,
        request: Request<wire::OpenClaimRequest>,
    ) -> Answer<wire::OpenClaimResponse> {
        let peer = caller(&request, ProcessRole::Object)?;
        let opened = self.service.open_claim(peer.node, request.into_inner()).await;
        opened.map(Response::new).map_err(refused)
    }

    async fn show_claim(
        &self,
        request: Request<wire::ShowClaimRequest>,
    ) -> Answer<wire::ShowClaimResponse> {
        caller(&request, ProcessRole::Object)?;
        let shown = self.service.show_claim(request.into_inner()).await;
        shown.map(Response::new).map_err(refused)
    }

    async fn close_claim(
        &self,
        request: Request<wire::CloseClaimRequest>,
    ) -> Answer<wire::CloseClaimResponse> {
        caller(&request, ProcessRole::Object)?;
        self.service.close_claim(request.into_inner()).await.map_err(refused)?;
        Ok(Response::new(wire::CloseClaimResponse {}))
    }

    async fn swap(&self, request: Request<wire::SwapRequest>) -> Answer<wire::SwapResponse> {
        caller(&request, ProcessRole::Object)?;
        let swapped = self.service.swap(request.into_inner()).await;
        swapped.map(Response::new).map_err(refused)
    }

    async fn audit(&self, request: Request<wire::AuditRequest>) -> Answer<Self::AuditStream> {
        anyone(&request)?;
        let request = request.into_inner();
        let partition = PartitionId(request.partition);
        let (sender, receiver) = tokio::sync::mpsc::channel(STREAM_MESSAGES);
        let sending = send_audit(Arc::clone(&self.service), partition, request.after, sender);
        // Ends by itself: with the last line, or when the other side has gone away.
        gitstratum_process::spawn("audit lines", sending).detach();
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }
}

type AuditSender = tokio::sync::mpsc::Sender<Result<wire::AuditLine, Status>>;

async fn send_audit(
    service: Arc<Service>,
    partition: PartitionId,
    after: u64,
    sender: AuditSender,
) {
    let mut after = Some(Version(after));
    while let Some(index) = after {
        let page = service.audit(partition, index).await.map_err(refused);
        let (lines, next) = match page {
            Ok(page) => page,
            Err(status) => {
                // Nobody listens any more if this fails.
                sender.send(Err(status)).await.ok();
                return;
            }
        };
        for line in lines {
            if sender.send(Ok(line)).await.is_err() {
                return;
            }
        }
        after = next;
    }
}
