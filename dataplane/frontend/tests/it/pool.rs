//! A frontend's connections to object nodes (GS-FE-26): as many as there are calls at once and no more,
//! kept, bounded for each node, and made anew when a node is replaced.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use gitstratum_client::bulk::{Client, Error};
use gitstratum_core::{NodeId, SegmentId};
use gitstratum_identity::{BoxStream, Dialer, Service};
use gitstratum_process::spawn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::within;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const SEGMENT: SegmentId = SegmentId([7; 16]);
/// Connections without a call that are kept to one node, and calls to one node at once.
const IDLE_MAX: usize = 16;
const CALLS_MAX: usize = 256;

/// Object nodes, as far as a connection shows them.
#[derive(Clone)]
struct Nodes {
    /// Connections made to each, and requests that it has read.
    seen: Arc<watch::Sender<BTreeMap<NodeId, Seen>>>,
    /// The one that answers nothing for now.
    held: Arc<watch::Sender<Option<NodeId>>>,
    /// Which process runs on all of them; connections end with theirs.
    life: Arc<watch::Sender<u32>>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    dials: usize,
    requests: usize,
}

impl Nodes {
    fn new() -> Self {
        Self {
            seen: Arc::new(watch::Sender::new(BTreeMap::new())),
            held: Arc::new(watch::Sender::new(None)),
            life: Arc::new(watch::Sender::new(0)),
        }
    }

    fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()))
    }

    fn seen(&self, node: NodeId) -> Seen {
        self.seen.borrow().get(&node).copied().unwrap_or_default()
    }

    async fn serve(self, node: NodeId, mut io: DuplexStream) -> io::Result<()> {
        let (mut held, mut life) = (self.held.subscribe(), self.life.subscribe());
        loop {
            tokio::select! {
                head = read_head(&mut io) => head?,
                _ = life.changed() => return Ok(()),
            }
            self.seen.send_modify(|seen| seen.entry(node).or_default().requests += 1);
            drop(held.wait_for(|held| *held != Some(node)).await);
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    }

    /// Calls to `node` that are all under way before the first is answered.
    async fn call_at_once(&self, client: &Client, node: NodeId, count: usize) {
        let before = self.seen(node).requests;
        self.held.send_replace(Some(node));
        let calls = futures::future::join_all((0..count).map(|_| fetch(client, node)));
        let release = async {
            let mut seen = self.seen.subscribe();
            let are_there = |seen: &BTreeMap<NodeId, Seen>| {
                seen.get(&node).is_some_and(|seen| seen.requests == before + count)
            };
            drop(seen.wait_for(are_there).await);
            self.held.send_replace(None);
        };
        let (answers, ()) = within(async { tokio::join!(calls, release) }).await;
        assert!(answers.into_iter().all(|answer| answer.is_ok_and(|bytes| bytes == b"ok")));
    }
}

async fn read_head(io: &mut DuplexStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    Ok(())
}

impl Dialer for Nodes {
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        assert_eq!(service, Service::Bulk);
        self.seen.send_modify(|seen| seen.entry(node).or_default().dials += 1);
        let (near, far) = tokio::io::duplex(64 * 1024);
        spawn("object node", self.clone().serve(node, far)).detach();
        Box::pin(async move { Ok(Box::new(near) as BoxStream) })
    }
}

async fn fetch(client: &Client, node: NodeId) -> Result<Vec<u8>, Error> {
    let pieces = client.fetch(node, SEGMENT).await?;
    pieces.try_fold(Vec::new(), async |whole, piece| Ok([&whole[..], &piece].concat())).await
}

#[tokio::test(start_paused = true)]
async fn gs_fe_26_calls_one_after_the_other_share_one_connection_to_each_node() {
    let nodes = Nodes::new();
    let client = nodes.client();
    for _ in 0..20 {
        for node in NODES {
            assert_eq!(fetch(&client, node).await.unwrap(), b"ok");
        }
    }
    for node in NODES {
        assert_eq!((nodes.seen(node).dials, nodes.seen(node).requests), (1, 20), "node {node}");
    }
}

#[tokio::test(start_paused = true)]
async fn gs_fe_26_idle_connections_are_kept_up_to_a_limit_for_each_node() {
    let nodes = Nodes::new();
    let client = nodes.client();
    for node in NODES {
        nodes.call_at_once(&client, node, IDLE_MAX).await;
        nodes.call_at_once(&client, node, IDLE_MAX).await;
        assert_eq!(nodes.seen(node).dials, IDLE_MAX, "all of them are used again");
        nodes.call_at_once(&client, node, IDLE_MAX + 10).await;
        assert_eq!(nodes.seen(node).dials, IDLE_MAX + 10);
        nodes.call_at_once(&client, node, IDLE_MAX + 10).await;
        assert_eq!(nodes.seen(node).dials, IDLE_MAX + 20, "those beyond the limit were closed");
    }
}

/// The queue before a node that answers nothing: bounded, and short.
#[tokio::test(start_paused = true)]
async fn gs_fe_26_a_node_that_hangs_has_its_limit_of_calls_and_takes_no_place_of_others() {
    let nodes = Nodes::new();
    let client = nodes.client();
    nodes.held.send_replace(Some(NODES[0]));
    let mut calls: futures::stream::FuturesUnordered<_> =
        (0..CALLS_MAX).map(|_| fetch(&client, NODES[0])).collect();
    let waited = tokio::time::timeout(Duration::from_millis(1), calls.next()).await;
    assert!(waited.is_err(), "it hangs");
    assert_eq!(nodes.seen(NODES[0]).dials, CALLS_MAX);
    let began = Instant::now();
    let refused = fetch(&client, NODES[0]).await.unwrap_err();
    assert!(matches!(refused, Error::Busy { node } if node == NODES[0]), "{refused}");
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(nodes.seen(NODES[0]).dials, CALLS_MAX, "no connection for who was refused");
    assert_eq!(fetch(&client, NODES[1]).await.unwrap(), b"ok");
    nodes.held.send_replace(None);
    assert_eq!(calls.next().await.unwrap().unwrap(), b"ok");
    assert_eq!(fetch(&client, NODES[0]).await.unwrap(), b"ok", "there is a place again");
}

#[tokio::test(start_paused = true)]
async fn gs_fe_26_a_pool_survives_the_replacement_of_its_node() {
    let nodes = Nodes::new();
    let client = nodes.client();
    nodes.call_at_once(&client, NODES[0], IDLE_MAX).await;
    nodes.life.send_modify(|life| *life += 1);
    // Both ends see to what has ended.
    tokio::time::sleep(Duration::from_millis(1)).await;
    for _ in 0..IDLE_MAX {
        assert_eq!(fetch(&client, NODES[0]).await.unwrap(), b"ok");
    }
    assert_eq!(nodes.seen(NODES[0]).dials, IDLE_MAX + 1, "one connection to the new process");
}
