//! Partitions as an object node sees them, whose answers a test writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use gitstratum_client::cluster::{Feed, Snapshot};
use gitstratum_client::grpc;
use gitstratum_client::inventory;
use gitstratum_core::{NodeId, ProcessRole, SegmentId};
use gitstratum_identity::{LocalNetwork, Service as Port};
use gitstratum_process::{Drain, spawn};
use gitstratum_proto::control::v1::{Layout, PartitionPlacement, SnapshotUpdate};
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::metadata::v1::metadata_server::{Metadata, MetadataServer};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

/// Longest wait for a node.
const PATIENCE: Duration = Duration::from_secs(20);
/// The one voter.
const VOTER: NodeId = NodeId(90);
/// Partitions of the layout.
const PARTITIONS: [u32; 2] = [0, 1];

type Answer<T> = Result<Response<T>, Status>;

/// What the partitions know.
#[derive(Default)]
struct State {
    /// By partition and node.
    shown: BTreeMap<(u32, u64), u64>,
    /// Listed segments: partition, owners, number of the list.
    listed: BTreeMap<SegmentId, (u32, Vec<u64>, u64)>,
    /// Whether every writer is closed.
    closed: bool,
    /// Partitions without a quorum.
    cut_off: BTreeSet<u32>,
    /// Segments told as lost, with the number of the list.
    lost: Vec<(SegmentId, u64)>,
    compared: u32,
    /// Who has shown a number since it was last waited for.
    heard: BTreeSet<(u32, u64)>,
}

/// The double.
#[derive(Clone, Default)]
pub(crate) struct Partitions {
    state: Arc<Mutex<State>>,
}

impl Partitions {
    /// Serves on `network` until it is dropped with it.
    pub(crate) fn serve(&self, network: &LocalNetwork) {
        let listener = network.listen(VOTER, Port::Metadata, 16, Drain::never()).unwrap();
        let routes = tonic::service::Routes::new(MetadataServer::new(self.clone()));
        let serving = grpc::serve(listener, ProcessRole::Metadata, routes, Drain::never());
        spawn("partitions", serving).detach();
    }

    /// A layout that names them.
    pub(crate) fn feed() -> Feed {
        let placement = |partition| PartitionPlacement {
            partition,
            voters: vec![VOTER.0],
            preferred_leader: VOTER.0,
            ..PartitionPlacement::default()
        };
        let partitions = PARTITIONS.into_iter().map(placement).collect();
        let layout = Layout { partitions, ..Layout::default() };
        let update = SnapshotUpdate { layout: Some(layout), ..SnapshotUpdate::default() };
        Feed::fixed(Snapshot::empty().apply(&update))
    }

    pub(crate) fn cut_off(&self, partition: u32) {
        self.state.lock().cut_off.insert(partition);
    }

    pub(crate) fn join(&self, partition: u32) {
        self.state.lock().cut_off.remove(&partition);
    }

    pub(crate) fn shown(&self, partition: u32, node: NodeId) -> u64 {
        self.state.lock().shown.get(&(partition, node.0)).copied().unwrap_or(0)
    }

    /// The partition saw `number` of `node` in another life of its disk.
    pub(crate) fn has_seen(&self, partition: u32, node: NodeId, number: u64) {
        self.state.lock().shown.insert((partition, node.0), number);
    }

    /// Lists a segment of partition 0 with these owners, by a list with this number.
    pub(crate) fn list(&self, segment: SegmentId, owners: &[NodeId], number: u64) {
        let owners = owners.iter().map(|node| node.0).collect();
        self.state.lock().listed.insert(segment, (0, owners, number));
    }

    pub(crate) fn unlist(&self, segment: SegmentId) {
        self.state.lock().listed.remove(&segment);
    }

    pub(crate) fn close_writers(&self) {
        self.state.lock().closed = true;
    }

    /// Waits until `node` has shown this start's number to every partition that has a quorum.
    pub(crate) async fn admitted(&self, node: NodeId) {
        let has_all = || {
            let state = self.state.lock();
            let heard =
                |id: &u32| state.cut_off.contains(id) || state.heard.contains(&(*id, node.0));
            PARTITIONS.iter().all(heard)
        };
        let waited = tokio::time::timeout(PATIENCE, async {
            while !has_all() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.expect("because partitions admit a node at once");
        self.state.lock().heard.retain(|(_, heard)| *heard != node.0);
    }

    /// What was told as lost so far.
    pub(crate) fn lost(&self) -> Vec<(SegmentId, u64)> {
        self.state.lock().lost.clone()
    }

    /// Calls of comparisons so far.
    pub(crate) fn compared(&self) -> u32 {
        self.state.lock().compared
    }

    fn state(&self, partition: u32) -> Result<parking_lot::MutexGuard<'_, State>, Status> {
        let state = self.state.lock();
        match state.cut_off.contains(&partition) {
            true => Err(Status::unavailable("no quorum")),
            false => Ok(state),
        }
    }
}

fn peer_of<T>(request: &Request<T>) -> Result<u64, Status> {
    Ok(grpc::peer(request)?.node.0)
}

/// What no object node asks.
fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("no object node asks this"))
}

#[tonic::async_trait]
impl Metadata for Partitions {
    type GetRefsStream = BoxStream<'static, Result<wire::GetRefsResponse, Status>>;
    type ListRepositoriesStream = BoxStream<'static, Result<wire::RepositoryRecord, Status>>;
    type AuditStream = BoxStream<'static, Result<wire::AuditLine, Status>>;

    async fn open_claim(
        &self,
        _: Request<wire::OpenClaimRequest>,
    ) -> Answer<wire::OpenClaimResponse> {
        never()
    }

    async fn show_claim(
        &self,
        _: Request<wire::ShowClaimRequest>,
    ) -> Answer<wire::ShowClaimResponse> {
        never()
    }

    async fn close_claim(
        &self,
        _: Request<wire::CloseClaimRequest>,
    ) -> Answer<wire::CloseClaimResponse> {
        never()
    }

    async fn swap(&self, _: Request<wire::SwapRequest>) -> Answer<wire::SwapResponse> {
        never()
    }

    async fn show_incarnation(
        &self,
        request: Request<wire::ShowIncarnationRequest>,
    ) -> Answer<wire::ShowIncarnationResponse> {
        let node = peer_of(&request)?;
        let request = request.into_inner();
        let mut state = self.state(request.partition)?;
        if request.incarnation > 0 {
            state.heard.insert((request.partition, node));
        }
        let shown = state.shown.entry((request.partition, node)).or_default();
        *shown = (*shown).max(request.incarnation);
        Ok(Response::new(wire::ShowIncarnationResponse { shown: *shown }))
    }

    async fn segment_states(
        &self,
        request: Request<wire::SegmentStatesRequest>,
    ) -> Answer<wire::SegmentStatesResponse> {
        let request = request.into_inner();
        let state = self.state(request.partition)?;
        let of = |query: wire::SegmentQuery| {
            let id = SegmentId::from_slice(&query.segment_id).unwrap();
            let listed = state.listed.get(&id).filter(|(at, ..)| *at == request.partition);
            let (owners, list_number) =
                listed.map(|(_, owners, number)| (owners.clone(), *number)).unwrap_or_default();
            wire::SegmentState {
                segment_id: query.segment_id,
                listed: listed.is_some(),
                writer_closed: state.closed,
                owners,
                list_number,
            }
        };
        let states = request.segments.into_iter().map(of).collect();
        Ok(Response::new(wire::SegmentStatesResponse { version: 1, states }))
    }

    async fn compare_inventory(
        &self,
        request: Request<wire::CompareInventoryRequest>,
    ) -> Answer<wire::CompareInventoryResponse> {
        let node = peer_of(&request)?;
        let request = request.into_inner();
        let mut state = self.state(request.partition)?;
        state.compared += 1;
        let listed = state
            .listed
            .iter()
            .filter(|(_, (at, owners, _))| *at == request.partition && owners.contains(&node));
        let listed: Vec<SegmentId> = listed.map(|(id, _)| *id).collect();
        let listed = inventory::below(&listed, &request.prefix);
        let equal = request.held == Some(inventory::summary(listed, request.prefix.len()));
        let ids = listed.iter().filter(|_| !equal).map(|id| id.0.to_vec().into());
        let segment_ids = ids.collect();
        Ok(Response::new(wire::CompareInventoryResponse { equal, segment_ids, branches: vec![] }))
    }

    async fn report_lost(
        &self,
        request: Request<wire::ReportLostRequest>,
    ) -> Answer<wire::ReportLostResponse> {
        let request = request.into_inner();
        let mut state = self.state(request.partition)?;
        for copy in &request.copies {
            let id = SegmentId::from_slice(&copy.segment_id).unwrap();
            state.lost.push((id, copy.list_number));
        }
        let noted = request.copies.len() as u32;
        Ok(Response::new(wire::ReportLostResponse { noted }))
    }

    async fn open_session(
        &self,
        _: Request<wire::OpenSessionRequest>,
    ) -> Answer<wire::OpenSessionResponse> {
        never()
    }

    async fn renew_sessions(
        &self,
        _: Request<wire::RenewSessionsRequest>,
    ) -> Answer<wire::RenewSessionsResponse> {
        never()
    }

    async fn close_session(
        &self,
        _: Request<wire::CloseSessionRequest>,
    ) -> Answer<wire::CloseSessionResponse> {
        never()
    }

    async fn get_refs(&self, _: Request<wire::GetRefsRequest>) -> Answer<Self::GetRefsStream> {
        never()
    }

    async fn plan_fetch(
        &self,
        _: Request<wire::PlanFetchRequest>,
    ) -> Answer<wire::PlanFetchResponse> {
        never()
    }

    async fn update_refs(
        &self,
        _: Request<wire::UpdateRefsRequest>,
    ) -> Answer<wire::UpdateRefsResponse> {
        never()
    }

    async fn list_repositories(
        &self,
        _: Request<wire::ListRepositoriesRequest>,
    ) -> Answer<Self::ListRepositoriesStream> {
        never()
    }

    async fn get_repository(
        &self,
        _: Request<wire::GetRepositoryRequest>,
    ) -> Answer<wire::RepositoryRecord> {
        never()
    }

    async fn check_repository(
        &self,
        _: Request<wire::CheckRepositoryRequest>,
    ) -> Answer<wire::CheckRepositoryResponse> {
        never()
    }

    async fn fence_node(
        &self,
        _: Request<wire::FenceNodeRequest>,
    ) -> Answer<wire::FenceNodeResponse> {
        never()
    }

    async fn unfence_node(
        &self,
        _: Request<wire::UnfenceNodeRequest>,
    ) -> Answer<wire::FenceNodeResponse> {
        never()
    }

    async fn show_node_use(
        &self,
        _: Request<wire::ShowNodeUseRequest>,
    ) -> Answer<wire::ShowNodeUseResponse> {
        never()
    }

    async fn accept_loss(
        &self,
        _: Request<wire::AcceptLossRequest>,
    ) -> Answer<wire::AcceptLossResponse> {
        never()
    }

    async fn status(&self, _: Request<wire::StatusRequest>) -> Answer<wire::StatusResponse> {
        never()
    }

    async fn audit(&self, _: Request<wire::AuditRequest>) -> Answer<Self::AuditStream> {
        never()
    }
}
