use std::pin::Pin;

use futures::{Stream, stream};
use gitstratum_client::grpc;
use gitstratum_core::{ClusterId, ManualClock, NodeId, ProcessRole, UnixMillis};
use gitstratum_identity::{LocalNetwork, Peer, Service as Port};
use gitstratum_process::{DrainTrigger, Task, spawn};
use gitstratum_proto::control::v1::fleet_server::{Fleet, FleetServer};
use gitstratum_proto::control::v1::{
    LogAuditRequest, LogAuditResponse, RegisterNodeRequest, RegisterNodeResponse, RenewRequest,
    RenewResponse, ReportRequest, ReportResponse, WatchRequest,
};
use gitstratum_store::{Files as _, MemoryFiles};
use tonic::{Request, Response, Status};

use super::*;

const NODE: NodeId = NodeId(1);
const OWN: ClusterId = ClusterId([1; 16]);
const OTHER: ClusterId = ClusterId([2; 16]);
const PATIENCE: Duration = Duration::from_secs(20);

fn update(version: u64, cluster: ClusterId) -> SnapshotUpdate {
    let cluster_id = cluster.0.to_vec().into();
    SnapshotUpdate { version, reset: true, cluster_id, ..SnapshotUpdate::default() }
}

fn known(clock: &Arc<ManualClock>) -> Arc<Known> {
    let files = MemoryFiles::new();
    let directory = std::path::Path::new("/agent");
    files.create_directory(directory).unwrap();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let silence = Silence::open(files.clone(), directory, Arc::clone(&clock)).unwrap();
    let store = Store::open(files, directory).unwrap();
    Arc::new(Known::new(store, Arc::new(silence), clock))
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[tokio::test]
async fn s46_a_stream_on_which_nothing_is_heard_is_given_up() {
    let clock = ManualClock::new(UnixMillis(1));
    let known = known(&clock);
    known.connected();
    clock.advance(seconds(10));
    assert!(known.judge_stream(seconds(0)).is_ok());
    clock.advance(seconds(1));
    assert!(matches!(known.judge_stream(seconds(0)), Err(FollowError::Quiet)));
    assert!(known.judge_stream(seconds(9)).is_ok(), "a new stream has its own time");
    known.told(GrantsVersion(0));
    assert!(known.judge_stream(seconds(0)).is_ok(), "an answered report is news");
    assert_eq!(known.silence(), (true, Duration::ZERO));
}

#[tokio::test]
async fn s46_a_stream_that_keeps_a_version_back_is_given_up() {
    let clock = ManualClock::new(UnixMillis(1));
    let known = known(&clock);
    known.connected();
    known.advance(vec![update(5, OWN)]).await.unwrap();
    for version in 6..=16 {
        known.told(GrantsVersion(version));
        assert!(known.judge_stream(clock.monotonic()).is_ok(), "{version}");
        clock.advance(seconds(1));
    }
    assert!(matches!(known.judge_stream(clock.monotonic()), Err(FollowError::Behind)));
    known.advance(vec![update(6, OWN)]).await.unwrap();
    known.told(GrantsVersion(17));
    assert!(known.judge_stream(clock.monotonic()).is_ok(), "it is slow, not stuck");
}

#[tokio::test]
async fn s45_answers_of_a_control_plane_that_went_back_are_no_news() {
    let clock = ManualClock::new(UnixMillis(1));
    let known = known(&clock);
    known.connected();
    known.advance(vec![update(5, OWN)]).await.unwrap();
    clock.advance(seconds(60));
    known.told(GrantsVersion(4));
    assert_eq!(known.silence().1, seconds(60));
    known.lost_touch();
    known.told(GrantsVersion(5));
    assert_eq!(known.silence(), (false, seconds(60)), "nor are those without a stream");
}

/// A control plane that sends one version to each stream and then closes it, or never
/// begins one.
struct Voice {
    sent: Arc<Mutex<Option<SnapshotUpdate>>>,
    streams: watch::Sender<u64>,
}

#[tonic::async_trait]
impl Fleet for Voice {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<SnapshotUpdate, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.streams.send_modify(|count| *count += 1);
        let Some(update) = self.sent.lock().clone() else { std::future::pending().await };
        Ok(Response::new(Box::pin(stream::iter([Ok(update)]))))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Ok(Response::new(ReportResponse::default()))
    }

    async fn log_audit(
        &self,
        _: Request<LogAuditRequest>,
    ) -> Result<Response<LogAuditResponse>, Status> {
        Ok(Response::new(LogAuditResponse {}))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn register_node(
        &self,
        _: Request<RegisterNodeRequest>,
    ) -> Result<Response<RegisterNodeResponse>, Status> {
        Ok(Response::new(RegisterNodeResponse { node: NODE.0 }))
    }
}

struct World {
    known: Arc<Known>,
    sent: Arc<Mutex<Option<SnapshotUpdate>>>,
    streams: watch::Receiver<u64>,
    trigger: DrainTrigger,
    _tasks: (Task<Result<(), tonic::transport::Error>>, Task<()>),
}

fn world(first: Option<SnapshotUpdate>) -> World {
    let known = known(&ManualClock::new(UnixMillis(1)));
    let network = LocalNetwork::new();
    let (trigger, drain) = Drain::new();
    let sent = Arc::new(Mutex::new(first));
    let (count, streams) = watch::channel(0);
    let voice = Voice { sent: Arc::clone(&sent), streams: count };
    let listener = network.listen(NODE, Port::Control, 10, drain.clone()).unwrap();
    let routes = tonic::service::Routes::new(FleetServer::new(voice));
    let serving =
        spawn("control double", grpc::serve(listener, ProcessRole::Control, routes, drain.clone()));
    let peer = Peer { cluster: OWN, role: ProcessRole::Agent, node: NODE };
    let voter = Voter::new(network.dialer(peer), NODE);
    let record = Node { id: NODE.0, ..Node::default() };
    let running = spawn("agent watch", run(Arc::clone(&known), record, vec![voter], drain));
    World { known, sent, streams, trigger, _tasks: (serving, running) }
}

impl World {
    async fn reach(&self, version: u64) {
        let mut current = self.known.current.subscribe();
        let reached = current.wait_for(|snapshot| snapshot.version() == GrantsVersion(version));
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
    }

    /// Waits for `count` more streams.
    async fn streams(&mut self, count: u64) {
        let enough = *self.streams.borrow() + count;
        let opened = self.streams.wait_for(|streams| *streams >= enough);
        tokio::time::timeout(PATIENCE, opened).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s45_s46_the_agent_goes_neither_back_nor_to_another_cluster_but_on() {
    let mut world = world(Some(update(5, OWN)));
    world.reach(5).await;
    for wrong in [update(4, OWN), update(9, OTHER)] {
        *world.sent.lock() = Some(wrong);
        // Of two more streams, the first has told it.
        world.streams(2).await;
        assert_eq!(world.known.current().version(), GrantsVersion(5));
        assert_eq!(world.known.current().cluster_id(), Some(OWN));
    }
    *world.sent.lock() = Some(update(6, OWN));
    world.reach(6).await;
    world.trigger.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn s46_a_control_plane_that_never_answers_is_asked_again() {
    let mut world = world(None);
    world.streams(2).await;
    assert!(!world.known.silence().0, "no stream was opened");
    *world.sent.lock() = Some(update(5, OWN));
    world.reach(5).await;
    world.trigger.start();
}
