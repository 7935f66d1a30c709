use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use gitstratum_core::SegmentId;
use gitstratum_proto::metadata::v1::metadata_server::Metadata;
use gitstratum_proto::object::v1::object_server::Object;
use gitstratum_proto::{metadata::v1 as meta, object::v1 as obj};
use tonic::{Request, Response, Status};

use super::Rpc;

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = BoxStream<'static, Result<T, Status>>;

fn stream<T: Send + 'static>(answers: Vec<T>) -> Response<Answers<T>> {
    Response::new(stream::iter(answers.into_iter().map(Ok)).boxed())
}

/// What no user verb asks.
fn not_for_people<T>() -> Answer<T> {
    Err(Status::unimplemented("no verb asks this"))
}

#[tonic::async_trait]
impl Metadata for Rpc {
    type GetRefsStream = Answers<meta::GetRefsResponse>;
    type ListRepositoriesStream = Answers<meta::RepositoryRecord>;
    type AuditStream = Answers<meta::AuditLine>;

    async fn open_claim(
        &self,
        _: Request<meta::OpenClaimRequest>,
    ) -> Answer<meta::OpenClaimResponse> {
        not_for_people()
    }

    async fn show_claim(
        &self,
        _: Request<meta::ShowClaimRequest>,
    ) -> Answer<meta::ShowClaimResponse> {
        not_for_people()
    }

    async fn close_claim(
        &self,
        _: Request<meta::CloseClaimRequest>,
    ) -> Answer<meta::CloseClaimResponse> {
        not_for_people()
    }

    async fn swap(&self, _: Request<meta::SwapRequest>) -> Answer<meta::SwapResponse> {
        not_for_people()
    }

    async fn open_session(
        &self,
        _: Request<meta::OpenSessionRequest>,
    ) -> Answer<meta::OpenSessionResponse> {
        not_for_people()
    }

    async fn renew_sessions(
        &self,
        _: Request<meta::RenewSessionsRequest>,
    ) -> Answer<meta::RenewSessionsResponse> {
        not_for_people()
    }

    async fn close_session(
        &self,
        _: Request<meta::CloseSessionRequest>,
    ) -> Answer<meta::CloseSessionResponse> {
        not_for_people()
    }

    async fn compare_inventory(
        &self,
        _: Request<meta::CompareInventoryRequest>,
    ) -> Answer<meta::CompareInventoryResponse> {
        not_for_people()
    }

    async fn report_lost(
        &self,
        _: Request<meta::ReportLostRequest>,
    ) -> Answer<meta::ReportLostResponse> {
        not_for_people()
    }

    async fn get_refs(&self, _: Request<meta::GetRefsRequest>) -> Answer<Self::GetRefsStream> {
        not_for_people()
    }

    async fn plan_fetch(
        &self,
        _: Request<meta::PlanFetchRequest>,
    ) -> Answer<meta::PlanFetchResponse> {
        not_for_people()
    }

    async fn update_refs(
        &self,
        _: Request<meta::UpdateRefsRequest>,
    ) -> Answer<meta::UpdateRefsResponse> {
        not_for_people()
    }

    async fn show_incarnation(
        &self,
        _: Request<meta::ShowIncarnationRequest>,
    ) -> Answer<meta::ShowIncarnationResponse> {
        not_for_people()
    }

    async fn segment_states(
        &self,
        _: Request<meta::SegmentStatesRequest>,
    ) -> Answer<meta::SegmentStatesResponse> {
        not_for_people()
    }

    async fn list_repositories(
        &self,
        request: Request<meta::ListRepositoriesRequest>,
    ) -> Answer<Self::ListRepositoriesStream> {
        let (world, partition) = (self.world().await?, request.into_inner().partition);
        let records = world.records.iter().filter(|record| record.partition == partition);
        Ok(stream(records.cloned().collect()))
    }

    async fn get_repository(
        &self,
        request: Request<meta::GetRepositoryRequest>,
    ) -> Answer<meta::RepositoryRecord> {
        let world = self.world().await?;
        let key = request.into_inner().repo.unwrap_or_default();
        let record = world.records.iter().find(|record| record.repo_id == key.repo_id);
        record.cloned().map(Response::new).ok_or_else(|| Status::not_found("no such repository"))
    }

    async fn check_repository(
        &self,
        request: Request<meta::CheckRepositoryRequest>,
    ) -> Answer<meta::CheckRepositoryResponse> {
        let world = self.world().await?;
        let key = request.into_inner().repo.unwrap_or_default();
        let problems = world.problems.get(&key.repo_id).cloned().unwrap_or_default();
        Ok(Response::new(meta::CheckRepositoryResponse {
            problems,
            objects_checked: 3,
            objects_too_large: world.objects_too_large,
        }))
    }

    async fn status(&self, _: Request<meta::StatusRequest>) -> Answer<meta::StatusResponse> {
        let world = self.world().await?;
        let placed = world.cluster.layout.iter().flat_map(|layout| &layout.partitions);
        let partitions = placed.map(|placement| meta::PartitionStatus {
            partition: placement.partition,
            leader: placement.preferred_leader,
            term: 1,
            applied: 5,
            ..meta::PartitionStatus::default()
        });
        let partitions = partitions.collect();
        Ok(Response::new(meta::StatusResponse { node: 1, partitions }))
    }

    async fn fence_node(
        &self,
        _: Request<meta::FenceNodeRequest>,
    ) -> Answer<meta::FenceNodeResponse> {
        not_for_people()
    }

    async fn unfence_node(
        &self,
        _: Request<meta::UnfenceNodeRequest>,
    ) -> Answer<meta::FenceNodeResponse> {
        not_for_people()
    }

    async fn show_node_use(
        &self,
        _: Request<meta::ShowNodeUseRequest>,
    ) -> Answer<meta::ShowNodeUseResponse> {
        not_for_people()
    }

    async fn accept_loss(
        &self,
        _: Request<meta::AcceptLossRequest>,
    ) -> Answer<meta::AcceptLossResponse> {
        not_for_people()
    }

    async fn audit(&self, request: Request<meta::AuditRequest>) -> Answer<Self::AuditStream> {
        let (world, request) = (self.world().await?, request.into_inner());
        let lines = world.partition_audit.get(&request.partition).into_iter().flatten();
        Ok(stream(lines.filter(|line| line.index > request.after).cloned().collect()))
    }
}

#[tonic::async_trait]
impl Object for Rpc {
    type ListStream = Answers<obj::SegmentRecord>;
    type VerifyStream = Answers<obj::VerifyResult>;
    type RunStream = Answers<obj::RunProgress>;

    async fn recheck(&self, _: Request<obj::RecheckRequest>) -> Answer<obj::RecheckResponse> {
        not_for_people()
    }

    async fn run(&self, _: Request<obj::RunRequest>) -> Answer<Self::RunStream> {
        not_for_people()
    }

    async fn give_up(&self, _: Request<obj::GiveUpRequest>) -> Answer<obj::GiveUpResponse> {
        not_for_people()
    }

    async fn stat(&self, _: Request<obj::StatRequest>) -> Answer<obj::StatResponse> {
        not_for_people()
    }

    async fn pull(&self, _: Request<obj::PullRequest>) -> Answer<obj::PullResponse> {
        not_for_people()
    }

    async fn list(&self, _: Request<obj::ListRequest>) -> Answer<Self::ListStream> {
        not_for_people()
    }

    async fn verify(&self, request: Request<obj::VerifyRequest>) -> Answer<Self::VerifyStream> {
        let (world, request) = (self.world().await?, request.into_inner());
        let asked = request.segment_ids.iter().filter_map(|id| SegmentId::from_slice(id));
        let verified = asked.map(|id| {
            let held = world.segments.get(&id).cloned();
            let missing = obj::VerifyResult {
                problem: "is not held here".to_owned(),
                ..obj::VerifyResult::default()
            };
            obj::VerifyResult { segment_id: id.0.to_vec().into(), ..held.unwrap_or(missing) }
        });
        Ok(stream(verified.collect()))
    }

    async fn status(&self, _: Request<obj::StatusRequest>) -> Answer<obj::StatusResponse> {
        let world = self.world().await?;
        let segments = world.segments.len() as u64;
        Ok(Response::new(obj::StatusResponse { node: 1, segments, ..Default::default() }))
    }
}
