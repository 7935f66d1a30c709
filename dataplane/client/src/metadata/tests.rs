use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use gitstratum_core::{ClusterId, ProcessRole, SegmentId};
use gitstratum_identity::{LocalNetwork, Peer};
use gitstratum_process::{Drain, DrainTrigger, Task, spawn};
use gitstratum_proto::control::v1::{Layout, Node, PartitionPlacement, SnapshotUpdate};
use gitstratum_proto::metadata::v1::{SegmentStatesRequest, UpdateRefsRequest};
use tonic::body::Body;
use tonic::server::NamedService;

use super::*;
use crate::cluster::Snapshot;

const PARTITION: PartitionId = PartitionId(7);
/// There are others too.
const PARTITIONS: u32 = 20;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A voter that gives every call the same answer, a status, and counts the calls.
#[derive(Clone)]
struct Voter {
    /// `None`: it hangs.
    answer: Option<Status>,
    calls: Arc<Mutex<Vec<NodeId>>>,
    node: NodeId,
}

impl NamedService for Voter {
    const NAME: &'static str = "gitstratum.metadata.v1.Metadata";
}

impl tower::Service<http::Request<Body>> for Voter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        self.calls.lock().push(self.node);
        let answer = self.answer.clone();
        Box::pin(async move {
            match answer {
                Some(answer) => Ok(answer.into_http()),
                None => std::future::pending().await,
            }
        })
    }
}

/// Three voters of one partition, the first one preferred, and a client of them.
struct World {
    partitions: Partitions,
    calls: Arc<Mutex<Vec<NodeId>>>,
    _trigger: DrainTrigger,
    _serving: Vec<Task<Result<(), tonic::transport::Error>>>,
}

impl World {
    fn new(answers: [Status; 3]) -> Self {
        Self::of(answers.map(Some))
    }

    fn of(answers: [Option<Status>; 3]) -> Self {
        Self::placed(answers, layout())
    }

    fn placed(answers: [Option<Status>; 3], snapshot: Snapshot) -> Self {
        let (network, calls) = (LocalNetwork::new(), Arc::new(Mutex::new(Vec::new())));
        let (trigger, drain) = Drain::new();
        let serve = |(node, answer): (NodeId, Option<Status>)| {
            let listener = network.listen(node, Service::Metadata, 10, drain.clone()).unwrap();
            let voter = Voter { answer, calls: Arc::clone(&calls), node };
            let routes = tonic::service::Routes::new(voter);
            let serving = grpc::serve(listener, ProcessRole::Metadata, routes, drain.clone());
            spawn("voter double", serving)
        };
        let serving = NODES.into_iter().zip(answers).map(serve).collect();
        let peer =
            Peer { cluster: ClusterId([1; 16]), role: ProcessRole::Frontend, node: NODES[0] };
        let (publisher, feed) = Feed::channel();
        publisher.publish(snapshot);
        let partitions = Partitions::new(network.dialer(peer), feed);
        Self { partitions, calls, _trigger: trigger, _serving: serving }
    }

    async fn ask(&self) -> ErrorKind {
        let asked = self.partitions.segment_states(PARTITION, SegmentStatesRequest::default());
        asked.await.expect_err("because every answer is a status").kind()
    }

    fn calls(&self) -> Vec<u64> {
        std::mem::take(&mut *self.calls.lock()).into_iter().map(|node| node.0).collect()
    }
}

fn layout() -> Snapshot {
    let voters = NODES.map(|node| node.0).to_vec();
    let placement = |partition| PartitionPlacement {
        partition,
        voters: voters.clone(),
        preferred_leader: 1,
        ..PartitionPlacement::default()
    };
    let partitions = (0..PARTITIONS).map(placement).collect();
    let layout = Layout { partitions, ..Layout::default() };
    Snapshot::empty().apply(&SnapshotUpdate {
        version: 1,
        layout: Some(layout),
        ..SnapshotUpdate::default()
    })
}

/// The word of a voter that does not lead, and knows who does, or not.
fn not_leading(leader: Option<u64>) -> Status {
    let mut status = Status::unavailable("not the leader");
    if let Some(leader) = leader {
        let name = NodeId(leader).to_string().parse().unwrap();
        status.metadata_mut().insert(LEADER_HEADER, name);
    }
    status
}

fn answered() -> Status {
    Status::not_found("the leader's own answer")
}

#[tokio::test(start_paused = true)]
async fn gs_md_25_a_request_is_passed_on_once_to_the_leader_and_the_next_goes_there() {
    let world = World::new([not_leading(Some(3)), not_leading(Some(3)), answered()]);
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [1, 3]);
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [3]);
}

/// A read that has failed makes no storm: no other group could list the segment.
#[tokio::test(start_paused = true)]
async fn s9_s19_only_the_partition_that_lists_a_segment_is_asked_for_its_owners() {
    let world = World::new([answered(), answered(), answered()]);
    let segment = SegmentId([5; 16]);
    assert!(world.partitions.owners(segment, Some(PARTITION)).await.is_empty());
    assert_eq!(world.calls(), [1]);
    assert!(world.partitions.owners(segment, None).await.is_empty());
    assert_eq!(world.calls().len(), PARTITIONS as usize, "where that is not known");
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_the_voters_are_asked_in_turn() {
    let world = World::new([not_leading(None), not_leading(None), answered()]);
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [1, 2, 3]);
}

/// RV-C1, GS-FE-37: retries pause, and end.
#[tokio::test(start_paused = true)]
async fn voters_that_point_at_each_other_are_given_up() {
    let world = World::new([not_leading(Some(2)), not_leading(Some(1)), answered()]);
    let began = tokio::time::Instant::now();
    assert_eq!(world.ask().await, ErrorKind::Unavailable);
    assert_eq!(began.elapsed().as_secs(), 2, "tried for two seconds");
    assert!((10..60).contains(&world.calls().len()), "with pauses");
    let told = world.partitions.update_refs(PARTITION, UpdateRefsRequest::default()).await;
    assert_eq!(told.expect_err("because nobody leads").kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_hint_at_a_node_that_is_no_voter_is_not_followed() {
    let world = World::new([not_leading(Some(9)), answered(), answered()]);
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [1, 2]);
}

/// While voters change one leads that the layout names no more, or not yet.
#[tokio::test(start_paused = true)]
async fn s39_a_hint_at_a_metadata_node_that_is_about_to_vote_or_to_leave_is_followed() {
    let snapshot = |roles: &[&str]| {
        let mut layout = layout().layout().clone();
        layout.partitions.iter_mut().for_each(|placement| placement.voters = vec![1, 2]);
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        layout.nodes = vec![Node { id: 3, roles, state: 2, ..Node::default() }];
        let update = SnapshotUpdate { version: 1, layout: Some(layout), ..Default::default() };
        Snapshot::empty().apply(&update)
    };
    let answers = || [not_leading(Some(3)), not_leading(Some(3)), answered()].map(Some);
    let world = World::placed(answers(), snapshot(&["metadata"]));
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [1, 3]);
    let world = World::placed(answers(), snapshot(&["object"]));
    assert_eq!(world.ask().await, ErrorKind::Unavailable);
    assert!(!world.calls().contains(&3));
}

#[tokio::test(start_paused = true)]
async fn p_a8_an_old_hint_at_a_leader_that_is_silent_is_not_followed() {
    let world = World::new([not_leading(None), not_leading(Some(1)), answered()]);
    assert_eq!(world.ask().await, ErrorKind::NotFound);
    assert_eq!(world.calls(), [1, 2, 3]);
}

fn without_majority() -> Status {
    let mut status = not_leading(None);
    status.metadata_mut().insert(QUORUM_HEADER, "none".parse().unwrap());
    status
}

async fn push(world: &World) -> (Error, Duration) {
    let began = Instant::now();
    let pushed = world.partitions.update_refs(PARTITION, UpdateRefsRequest::default()).await;
    (pushed.expect_err("because nobody takes it"), began.elapsed())
}

/// The leader hangs, another voter too: the third alone knows that it hears nobody.
#[tokio::test(start_paused = true)]
async fn p_a8_a_push_into_a_minority_is_refused_within_2_s() {
    for answers in [
        [None, None, Some(without_majority())],
        [Some(without_majority()), None, None],
        [Some(without_majority()), Some(without_majority()), None],
    ] {
        let (error, took) = push(&World::of(answers)).await;
        assert!(matches!(error, Error::NoQuorum { .. }), "{error}");
        assert!(took <= Duration::from_secs(2), "after {took:?}");
    }
}

/// Without such a word a leader may take its time.
#[tokio::test(start_paused = true)]
async fn p_a8_a_slow_leader_is_waited_for() {
    let world = World::of([None, Some(not_leading(Some(1))), Some(not_leading(Some(1)))]);
    let (error, took) = push(&world).await;
    assert!(!matches!(error, Error::NoQuorum { .. }), "{error}");
    assert!(took >= UPDATE.deadline, "after {took:?}");
}

/// However many calls wait for a slow leader, its voters are asked by one.
#[tokio::test(start_paused = true)]
async fn p_l7_calls_that_wait_share_what_the_voters_say() {
    let world = World::of([None, Some(not_leading(Some(1))), Some(not_leading(Some(1)))]);
    let pushes =
        (0..50).map(|_| world.partitions.update_refs(PARTITION, UpdateRefsRequest::default()));
    let pushing = futures::future::join_all(pushes);
    let waited = tokio::time::timeout(Duration::from_secs(5), pushing).await;
    assert!(waited.is_err(), "the leader hangs");
    let calls = world.calls().len();
    assert!((60..150).contains(&calls), "{calls} calls: 50 of them are the pushes");
    // Who comes later starts no second one, and with the last one it ends.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.calls().len() <= 3, "nobody waits any more");
}

/// The leader answers a read soonest; many at once are spread over all voters, evenly.
#[tokio::test(start_paused = true)]
async fn gs_md_13_s27_reads_spread_over_the_voters_once_the_leader_has_much_to_do() {
    let world = World::new([answered(), answered(), answered()]);
    for _ in 0..20 {
        world.ask().await;
    }
    assert_eq!(world.calls(), [1; 20], "one after the other");
    let world = World::of([None, None, None]);
    let reads = (0..60).map(|_| world.ask());
    let reading = futures::future::join_all(reads);
    let waited = tokio::time::timeout(HEDGE_AFTER / 2, reading).await;
    assert!(waited.is_err(), "all hang");
    let calls = world.calls();
    let of = |node| calls.iter().filter(|call| **call == node).count();
    assert_eq!([of(1), of(2), of(3)], [24, 20, 16], "eight at a time");
}

/// A voter that hangs makes one read slow, not each.
#[tokio::test(start_paused = true)]
async fn gs_md_13_a_voter_that_was_late_is_not_the_first_to_be_asked_for_a_while() {
    let world = World::of([None, Some(answered()), Some(answered())]);
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(world.ask().await, ErrorKind::NotFound);
    }
    assert!(began.elapsed() < 2 * HEDGE_AFTER, "after {:?}", began.elapsed());
    // Once for the first read, and once to hear whether it has a majority.
    let calls = world.calls().into_iter().filter(|node| *node == 1).count();
    assert!(calls <= 2, "asked {calls} times");
}

/// S44: a voter that knows older grants than the group, or is behind, says that it is busy. The leader
/// is not.
#[tokio::test(start_paused = true)]
async fn s44_gs_md_13_a_voter_that_is_behind_is_passed_over() {
    let world = World::of([None, Some(Status::resource_exhausted("behind")), Some(answered())]);
    // Eight calls wait for the leader; the ninth is for the second voter.
    let hanging = futures::future::join_all((0..8).map(|_| world.ask()));
    let asking = async {
        tokio::time::sleep(HEDGE_AFTER / 4).await;
        world.ask().await
    };
    tokio::select! {
        _ = hanging => unreachable!("they are hedged only later"),
        asked = asking => assert_eq!(asked, ErrorKind::NotFound),
    }
    assert_eq!(world.calls(), [1, 1, 1, 1, 1, 1, 1, 1, 2, 3]);
}
