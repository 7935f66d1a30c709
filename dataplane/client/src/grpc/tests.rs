use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use gitstratum_core::ClusterId;
use gitstratum_identity::LocalNetwork;
use gitstratum_process::spawn;
use gitstratum_proto::metadata::v1::SegmentStatesRequest;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tonic::body::Body;
use tonic::server::NamedService;

use super::*;

/// A node that is cut off while it is dialled for the first time.
#[derive(Default)]
struct Mended {
    dials: Mutex<usize>,
}

impl Dialer for Mended {
    fn dial(&self, _: NodeId, _: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let mut dials = self.dials.lock();
        *dials += 1;
        match *dials {
            1 => std::future::pending().boxed(),
            _ => std::future::ready(Ok(Box::new(tokio::io::duplex(1).0) as BoxStream)).boxed(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p_a8_a_failure_of_the_past_is_not_told_to_the_next_caller() {
    for (left_alone, dials) in [(Duration::from_secs(5), 2), (CONNECT_DEADLINE, 1)] {
        let mended = Mended::default();
        let mut connecting = Box::pin(connect(&mended, NodeId(1), Service::Control));
        assert!((&mut connecting).now_or_never().is_none());
        tokio::time::advance(left_alone).await;
        assert_eq!(connecting.await.is_ok(), dials == 2, "after {left_alone:?}");
        assert_eq!(*mended.dials.lock(), dials);
    }
}

#[test]
fn kinds_survive_the_wire() {
    for each in [
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Denied,
        ErrorKind::Busy,
        ErrorKind::Corrupt,
        ErrorKind::Unavailable,
        ErrorKind::Invalid,
        ErrorKind::Bug,
    ] {
        assert_eq!(kind(&status(each, "x")), each);
    }
}

/// Time that bytes take to a far node, one way.
const AWAY: Duration = Duration::from_millis(50);
/// Longer than an answer takes to come out of a server, and shorter than it takes to arrive.
const PATIENCE: Duration = Duration::from_millis(75);

/// A node that is far away.
struct Far {
    dialer: Arc<dyn Dialer>,
    dials: Arc<AtomicUsize>,
}

impl Dialer for Far {
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let dialled = self.dialer.dial(node, service);
        async move {
            let (near, between) = tokio::io::duplex(1 << 20);
            let (from_node, to_node) = tokio::io::split(dialled.await?);
            let (from_here, to_here) = tokio::io::split(between);
            spawn("there", carry(from_here, to_node)).detach();
            spawn("back", carry(from_node, to_here)).detach();
            Ok(Box::new(near) as BoxStream)
        }
        .boxed()
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut under_way) = mpsc::channel(10_000);
    let taking = async move {
        let mut bytes = BytesMut::new();
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            if sender.send((Instant::now() + AWAY, bytes.split())).await.is_err() {
                return;
            }
        }
    };
    let giving = async move {
        while let Some((at, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(taking, giving);
}

/// Answers at once, but for its first call.
#[derive(Clone)]
struct Answering {
    calls: Arc<AtomicUsize>,
    first: Arc<Semaphore>,
}

impl NamedService for Answering {
    const NAME: &'static str = "gitstratum.metadata.v1.Metadata";
}

impl tower::Service<http::Request<Body>> for Answering {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let (is_first, first) =
            (self.calls.fetch_add(1, Ordering::SeqCst) == 0, Arc::clone(&self.first));
        Box::pin(async move {
            if is_first {
                drop(first.acquire().await);
            }
            Ok(Status::not_found("an answer").into_http())
        })
    }
}

/// A node that is slow for a while answers calls that nobody waits for any more.
#[tokio::test(start_paused = true)]
async fn p_a8_answers_that_come_too_late_do_not_end_what_else_is_on_the_connection() {
    let (network, (_trigger, drain)) = (LocalNetwork::new(), Drain::new());
    let server = Answering { calls: Arc::default(), first: Arc::new(Semaphore::new(0)) };
    let (calls, first) = (Arc::clone(&server.calls), Arc::clone(&server.first));
    let listener = network.listen(NodeId(1), Service::Metadata, 10, drain.clone()).unwrap();
    let routes = tonic::service::Routes::new(server);
    let _serving = spawn("server", serve(listener, ProcessRole::Metadata, routes, drain));
    let peer = Peer { cluster: ClusterId([1; 16]), role: ProcessRole::Frontend, node: NodeId(2) };
    let dials = Arc::<AtomicUsize>::default();
    let far = Far { dialer: network.dialer(peer), dials: Arc::clone(&dials) };
    let client = MetadataClient::new(channel(Arc::new(far), NodeId(1), Service::Metadata));
    let ask = |mut client: MetadataClient<Channel>| async move {
        client.segment_states(SegmentStatesRequest::default()).await.unwrap_err().code()
    };
    let waiting = spawn("the first call", ask(client.clone()));
    tokio::time::sleep(AWAY * 4).await;
    for _ in 0..20 {
        let late = (0..100).map(|_| timeout(PATIENCE, ask(client.clone())));
        assert!(join_all(late).await.iter().all(Result::is_err), "nobody waited long enough");
        tokio::time::sleep(AWAY * 4).await;
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2_001);
    first.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Code::NotFound);
    assert_eq!(dials.load(Ordering::SeqCst), 1);
}
