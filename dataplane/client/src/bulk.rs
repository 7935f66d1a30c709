//! Segments on the wire (S50): ranged reads and streamed writes, HTTP/1.1 over the
//! dialler, connections pooled by node.

mod error;
mod failover;
mod frames;
mod load;
mod pool;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use gitstratum_core::{ErrorKind, Incarnation, NodeId, PartitionId, SegmentId};
use gitstratum_identity::Dialer;
use gitstratum_process::RequestId;
use gitstratum_proto::bulk::{IN_FLIGHT_HEADER, RANGES_MAX, READ_PATH, segment_path};
use gitstratum_proto::object::v1::{Range, ReadRequest, WriteResponse};
use http_body_util::{Empty, Full, StreamBody};
use hyper::body::Frame;
use prost::Message;

use crate::cluster::Feed;
use crate::metadata::Partitions;
pub use error::Error;
pub use failover::read_any;
use load::Loads;
use pool::{Pool, RequestBody};
use standing::Standings;

/// Longest wait for the first byte of an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A run of bytes in a segment's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset in the body.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// What an owner answered to a write, after the bytes were durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The node.
    pub node: NodeId,
    /// The incarnation it acknowledged under (S23).
    pub incarnation: Incarnation,
    /// Bytes it holds of the segment.
    pub length: u64,
}

/// A piece of a read's answer: bytes of one range, in order, never crossing into the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which of the asked ranges.
    pub range: usize,
    /// Its next bytes.
    pub bytes: Bytes,
}

/// The bytes of a whole segment, in order.
pub type Pieces = BoxStream<'static, Result<Bytes, Error>>;

/// The pieces of a read's answer.
pub type Chunks = BoxStream<'static, Result<Chunk, Error>>;

/// How far away a node is, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// It is on this very node.
    Here,
    /// In the same zone.
    SameZone,
    /// In another zone, or nobody knows.
    Far,
}

/// Reads of segments. A trait so that a room can count calls and a test can answer them.
pub trait BulkRead: Send + Sync {
    /// Asks `node` for ranges of one segment, in one request. Every byte of the answer has
    /// been verified by the node against the segment's checksums, and by us against the frame's.
    fn read(
        &self,
        node: NodeId,
        segment: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, Error>>;

    /// Whether `node` failed lately and is better left alone for now. Asking changes nothing.
    fn is_out(&self, _node: NodeId) -> bool {
        false
    }

    /// How far away `node` is: of those that are fit the nearest is asked first (GS-OB-19).
    fn distance(&self, _node: NodeId) -> Distance {
        Distance::Far
    }

    /// How long an answer of `node` is likely to take, in milliseconds: of those that are
    /// equally near the one with the shortest wait is asked first (GS-FE-28).
    fn wait_millis(&self, _node: NodeId) -> u128 {
        0
    }

    /// Notes that `node` kept somebody waiting who did not wait any longer.
    fn note_slow(&self, _node: NodeId) {}

    /// Who holds `segment` by the list as it is now, which is `listed_in` if that is known; nobody
    /// when that cannot be known (S19).
    fn owners(
        &self,
        _segment: SegmentId,
        _listed_in: Option<PartitionId>,
    ) -> BoxFuture<'static, Vec<NodeId>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// The pooled client.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
    standings: Arc<Standings>,
    loads: Arc<Loads>,
    here: Option<(NodeId, Feed)>,
    lists: Option<Partitions>,
}

impl Client {
    /// A client that dials through `dialer`.
    pub fn new(dialer: Arc<dyn Dialer>) -> Self {
        let pool = Arc::new(Pool::new(dialer));
        let (standings, loads) = (Arc::default(), Arc::default());
        Self { pool, standings, loads, here: None, lists: None }
    }

    /// The same on `node`, with the layout to know what is near.
    #[must_use]
    pub fn on(self, node: NodeId, feed: Feed) -> Self {
        Self { here: Some((node, feed)), ..self }
    }

    /// The same, with whom to ask where a segment is by now that has left its owners (S19).
    #[must_use]
    pub fn listed_by(self, partitions: Partitions) -> Self {
        Self { lists: Some(partitions), ..self }
    }

    /// Streams a segment to `node` and waits until it is durable there.
    ///
    /// # Errors
    /// When the node refuses, breaks off, or does not answer in time.
    pub async fn write(
        &self,
        node: NodeId,
        segment: SegmentId,
        body: BoxStream<'static, Bytes>,
    ) -> Result<Written, Error> {
        let frames = body.map(|bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
        let request = named(hyper::Request::put(segment_path(segment)))
            .body(RequestBody::new(StreamBody::new(frames)))
            .map_err(|source| Error::Request { source })?;
        self.standings.asking(node);
        // No deadline on the whole: the owner's own limits and the writer's lag rule (S18) bound it.
        let answer = noted(&self.standings, node, self.pool.send(node, request).await)?;
        let answer = error::check(node, answer).await?;
        let body = answer.collect_body(ANSWER_DEADLINE).await?;
        let written =
            WriteResponse::decode(body).map_err(|source| Error::Answer { node, source })?;
        Ok(Written {
            node: NodeId(written.node),
            incarnation: Incarnation(written.incarnation),
            length: written.length,
        })
    }
}

impl Client {
    /// The bytes of a whole segment, header and footer included, as `node` has them: whether they
    /// are sound, and all, is for the caller to verify.
    ///
    /// # Errors
    /// When the node refuses, breaks off, or does not begin in time.
    pub async fn fetch(&self, node: NodeId, segment: SegmentId) -> Result<Pieces, Error> {
        let request = named(hyper::Request::get(segment_path(segment)))
            .body(RequestBody::new(Empty::new()))
            .map_err(|source| Error::Request { source })?;
        self.standings.asking(node);
        let sent = tokio::time::timeout(ANSWER_DEADLINE, self.pool.send(node, request)).await;
        let sent = sent.unwrap_or(Err(Error::Deadline { node }));
        let answer = error::check(node, noted(&self.standings, node, sent)?).await?;
        Ok(stream::try_unfold(answer, |mut answer| async move {
            Ok(answer.next_data().await?.map(|bytes| (bytes, answer)))
        })
        .boxed())
    }
}

impl BulkRead for Client {
    fn read(
        &self,
        node: NodeId,
        segment: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, Error>> {
        let (pool, standings) = (Arc::clone(&self.pool), Arc::clone(&self.standings));
        let loads = Arc::clone(&self.loads);
        Box::pin(async move {
            if ranges.len() > RANGES_MAX {
                return Err(Error::TooManyRanges { count: ranges.len() });
            }
            let body = read_request(segment, &ranges).encode_to_vec();
            let request = named(hyper::Request::post(READ_PATH))
                .body(RequestBody::new(Full::new(Bytes::from(body))))
                .map_err(|source| Error::Request { source })?;
            standings.asking(node);
            let under_way = loads.begin(node);
            let sent = tokio::time::timeout(ANSWER_DEADLINE, pool.send(node, request)).await;
            let sent = sent.unwrap_or(Err(Error::Deadline { node }));
            let answer = noted(&standings, node, sent)?;
            let answer = error::check(node, answer).await?;
            under_way.answered(answer.header(IN_FLIGHT_HEADER).and_then(|told| told.parse().ok()));
            let chunks = frames::chunks(node, answer, ranges);
            // It is under way until the last of it was taken, or nobody wants it any more.
            Ok(chunks.inspect(move |_| _ = &under_way).boxed())
        })
    }

    fn is_out(&self, node: NodeId) -> bool {
        self.standings.is_out(node)
    }

    fn distance(&self, node: NodeId) -> Distance {
        let Some((here, feed)) = &self.here else { return Distance::Far };
        let snapshot = feed.current();
        let zone = |id: NodeId| {
            let node = snapshot.layout().nodes.iter().find(|node| node.id == id.0)?;
            Some(node.zone.clone())
        };
        match zone(node) {
            _ if node == *here => Distance::Here,
            Some(found) if zone(*here) == Some(found.clone()) => Distance::SameZone,
            _ => Distance::Far,
        }
    }

    fn wait_millis(&self, node: NodeId) -> u128 {
        self.loads.wait_millis(node)
    }

    fn note_slow(&self, node: NodeId) {
        self.standings.failed(node);
    }

    fn owners(
        &self,
        segment: SegmentId,
        listed_in: Option<PartitionId>,
    ) -> BoxFuture<'static, Vec<NodeId>> {
        let lists = self.lists.clone();
        Box::pin(async move {
            match lists {
                Some(partitions) => partitions.owners(segment, listed_in).await,
                None => Vec::new(),
            }
        })
    }
}

/// Counts an answer, or that none came, towards the standing of `node`.
fn noted<T>(standings: &Standings, node: NodeId, sent: Result<T, Error>) -> Result<T, Error> {
    match &sent {
        Ok(_) => standings.answered(node),
        Err(error) if error.kind() == ErrorKind::Unavailable => standings.failed(node),
        Err(_) => {}
    }
    sent
}

/// A call with what every call says: where it goes, and which request it is part of.
fn named(call: http::request::Builder) -> http::request::Builder {
    let call = call.header(http::header::HOST, "bulk.internal");
    match RequestId::current() {
        Some(id) => call.header(RequestId::HEADER, id.to_string()),
        None => call,
    }
}

fn read_request(segment: SegmentId, ranges: &[Span]) -> ReadRequest {
    let ranges =
        ranges.iter().map(|span| Range { offset: span.offset, length: span.length }).collect();
    ReadRequest { segment_id: segment.0.to_vec().into(), ranges }
}
