//! Copies of segments that other nodes hold: the leader of a partition asks, this node
//! copies from a peer, verifies every byte and makes it durable (S21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use gitstratum_client::bulk::{BulkRead, Client, Pieces};
use gitstratum_client::copies::ObjectNodes;
use gitstratum_core::{NodeId, PartitionId, SegmentId};
use gitstratum_git::segment::SEGMENT_BYTES_MAX;
use gitstratum_process::{failpoint, spawn};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;
use crate::rate::{Bucket, Share};
use crate::segments::{Hold, SegmentWrite, Segments};

/// Longest wait for a place among the copies under way.
const PLACE_DEADLINE: Duration = Duration::from_secs(2);
/// Longest silence of the node that is copied from.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest that the disk may take for one step. The leader's own deadline is far longer.
const DISK_MAX: Duration = Duration::from_secs(60);
/// In how long the copies under way are to be done at the node's rate: half the time that a leader
/// waits for one, lest all of them run out of it together and begin anew (P-A7).
const DONE_WITHIN: Duration = Duration::from_secs(300);

/// What a leader asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) partition: PartitionId,
    pub(crate) term: u64,
    pub(crate) segment: SegmentId,
    /// Nodes to copy from, best first.
    pub(crate) from: Vec<NodeId>,
    /// Number of the owner list that the leader has read.
    pub(crate) list: u64,
}

/// A segment that is here, sound and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulled {
    pub(crate) length: u64,
    pub(crate) was_held: bool,
}

/// The other nodes.
pub(crate) struct Sources {
    pub(crate) peers: Client,
    pub(crate) others: ObjectNodes,
}

/// Copies segments from other nodes.
pub(crate) struct Puller {
    node: NodeId,
    segments: Arc<Segments>,
    sources: Sources,
    places: Semaphore,
    pulls_max: u32,
    share: Share,
    bucket: Bucket,
    /// The highest term that each partition's leaders have shown.
    terms: Mutex<BTreeMap<PartitionId, u64>>,
}

impl Puller {
    /// Copies for `node` into `segments`, at most `pulls_max` at once.
    pub(crate) fn new(
        (node, segments): (NodeId, Arc<Segments>),
        sources: Sources,
        share: Share,
        pulls_max: usize,
    ) -> Self {
        Self {
            node,
            segments,
            sources,
            places: Semaphore::new(pulls_max),
            pulls_max: u32::try_from(pulls_max).unwrap_or(u32::MAX),
            share,
            bucket: Bucket::default(),
            terms: Mutex::new(BTreeMap::new()),
        }
    }

    /// Has the segment here when it returns. A repeat finds it and only verifies it.
    pub(crate) async fn pull(&self, order: Order) -> Result<Pulled, Error> {
        if let Some(why) = self.segments.refusing() {
            return Err(Error::RefusingWrites { why });
        }
        self.note_term(&order)?;
        let weight = weight(self.pulls_max, self.share.bytes_per_second());
        let place = timeout(PLACE_DEADLINE, self.places.acquire_many(weight)).await;
        let _place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let hold = self.segments.hold(order.segment)?;
        let confirmed = self.segments.confirm(&hold, order.list);
        if let Some(layout) = on_disk(order.segment, confirmed).await? {
            return Ok(Pulled { length: layout.total_len(), was_held: true });
        }
        let mut why = "no other node was named".to_owned();
        for node in in_turn(&self.sources.peers, self.node, &order.from) {
            match self.copy(node, &order, &hold).await {
                Ok(length) => return Ok(Pulled { length, was_held: false }),
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => {
                    let segment = order.segment;
                    tracing::warn!(%segment, %node, %error, "a segment could not be copied");
                    why = error.to_string();
                    if matches!(error, Error::Segment { .. }) {
                        self.tell_of_damage(node, segment);
                    }
                }
            }
        }
        Err(Error::NoSource { segment: order.segment, why })
    }

    /// What came from `node` is not the segment: it is to look at its copy. If that is damaged it
    /// tells its partition itself.
    fn tell_of_damage(&self, node: NodeId, segment: SegmentId) {
        let others = self.sources.others.clone();
        spawn("a source's copy verified", async move {
            if let Err(error) = others.verify(node, segment).await {
                tracing::warn!(%segment, %node, %error, "a source did not verify its copy");
            }
        })
        .detach();
    }

    /// Terms ride only on calls of leaders, and never fall (S22).
    fn note_term(&self, order: &Order) -> Result<(), Error> {
        let mut terms = self.terms.lock();
        let highest = terms.entry(order.partition).or_default();
        if order.term < *highest {
            return Err(Error::OldTerm { term: order.term });
        }
        *highest = order.term;
        Ok(())
    }

    async fn copy(&self, node: NodeId, order: &Order, hold: &Hold) -> Result<u64, Error> {
        let segment = order.segment;
        let failed = |why: String| Error::NoSource { segment, why };
        let peers = &self.sources.peers;
        let pieces = heard(peers, (node, segment), peers.fetch(node, segment)).await?;
        let pieces = pieces.map_err(|error| failed(error.to_string()))?;
        let length = self.write((node, pieces), order, hold).await?;
        let metrics = self.segments.metrics();
        metrics.pulled.inc();
        metrics.pulled_bytes.add(length);
        let segments = Arc::clone(&self.segments);
        hold.blocking(move || segments.drop_aside(segment)).await?;
        tracing::info!(%segment, %node, length, "a segment was copied from another node");
        Ok(length)
    }

    /// Writes as a push's segment is written: verified whole before it is durable.
    async fn write(
        &self,
        source: (NodeId, Pieces),
        order: &Order,
        hold: &Hold,
    ) -> Result<u64, Error> {
        let begun = self.segments.begin_copy(hold, order.list);
        let mut write = on_disk(order.segment, begun).await?;
        if let Err(error) = self.fill(&mut write, source, order).await {
            // The next source's bytes go to the same place.
            on_disk(order.segment, write.give_up()).await?;
            return Err(error);
        }
        failpoint!("object.pull.before_seal");
        let sealed = on_disk(order.segment, write.seal()).await?;
        failpoint!("object.pull.after_seal");
        Ok(sealed.total_len())
    }

    async fn fill(
        &self,
        write: &mut SegmentWrite,
        (node, mut pieces): (NodeId, Pieces),
        order: &Order,
    ) -> Result<(), Error> {
        let (segment, peers) = (order.segment, &self.sources.peers);
        while let Some(piece) = heard(peers, (node, segment), pieces.next()).await? {
            let failed = |why: String| Error::NoSource { segment, why };
            let piece = piece.map_err(|error| failed(error.to_string()))?;
            self.bucket.take(piece.len() as u64, self.share.bytes_per_second()).await;
            on_disk(segment, write.update(piece)).await?;
            let header = write.header();
            if header.is_some_and(|header| header.partition != order.partition) {
                return Err(Error::ForeignPartition { segment });
            }
        }
        Ok(())
    }
}

/// The nodes to copy from: those last that failed lately, else the nearest first, else in the order
/// given.
fn in_turn(peers: &impl BulkRead, here: NodeId, from: &[NodeId]) -> Vec<NodeId> {
    let mut others: Vec<NodeId> = from.iter().copied().filter(|node| *node != here).collect();
    others.sort_by_key(|node| (peers.is_out(*node), peers.distance(*node)));
    others
}

/// What `node` says, unless it is silent for too long: then the next copies ask it last.
async fn heard<T>(
    peers: &impl BulkRead,
    (node, segment): (NodeId, SegmentId),
    saying: impl Future<Output = T>,
) -> Result<T, Error> {
    let heard = timeout(SILENCE_MAX, saying).await;
    heard.map_err(|_| {
        peers.note_slow(node);
        Error::NoSource { segment, why: "silent for too long".into() }
    })
}

/// How many of `pulls_max` places a copy takes, so that those under way are done in time at
/// `bytes_per_second` together.
fn weight(pulls_max: u32, bytes_per_second: u64) -> u32 {
    let bytes = bytes_per_second.saturating_mul(DONE_WITHIN.as_secs());
    let at_once = bytes / (SEGMENT_BYTES_MAX as u64);
    let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).clamp(1, pulls_max.max(1));
    pulls_max.div_ceil(at_once)
}

/// A step of this node's own disk, which may hang while the node lives.
async fn on_disk<T>(
    segment: SegmentId,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(DISK_MAX, step).await.unwrap_or(Err(Error::DiskSilent { segment }))
}

/// Whether no other node could help.
fn is_ours(error: &Error) -> bool {
    !matches!(
        error,
        Error::NoSource { .. }
            | Error::Segment { .. }
            | Error::ForeignCluster { .. }
            | Error::ForeignPartition { .. }
    )
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use gitstratum_client::bulk::{self, Chunks, Distance, Span};

    use super::*;

    const SEGMENT: SegmentId = SegmentId([7; 16]);

    /// Nodes of which one is near, and some failed lately.
    #[derive(Default)]
    struct Peers(Mutex<Vec<NodeId>>);

    impl BulkRead for Peers {
        fn read(
            &self,
            node: NodeId,
            _: SegmentId,
            _: Vec<Span>,
        ) -> BoxFuture<'static, Result<Chunks, bulk::Error>> {
            Box::pin(std::future::ready(Err(bulk::Error::Busy { node })))
        }

        fn is_out(&self, node: NodeId) -> bool {
            self.0.lock().contains(&node)
        }

        fn distance(&self, node: NodeId) -> Distance {
            if node == NodeId(4) { Distance::SameZone } else { Distance::Far }
        }

        fn note_slow(&self, node: NodeId) {
            self.0.lock().push(node);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p_a7_a_source_that_hangs_is_soon_left_and_asked_last_by_the_next_copies() {
        let (peers, from) = (Peers::default(), [1, 2, 3, 4].map(NodeId));
        assert_eq!(in_turn(&peers, NodeId(1), &from), [4, 2, 3].map(NodeId));
        let began = tokio::time::Instant::now();
        let hangs = std::future::pending::<()>();
        let error = heard(&peers, (NodeId(4), SEGMENT), hangs).await.unwrap_err();
        assert!(began.elapsed() <= SILENCE_MAX && !is_ours(&error), "{error}");
        assert_eq!(in_turn(&peers, NodeId(1), &from), [2, 3, 4].map(NodeId));
    }

    #[tokio::test(start_paused = true)]
    async fn p_a7_a_disk_that_hangs_is_not_waited_for_and_no_other_source_is_tried() {
        let hangs = std::future::pending::<Result<(), Error>>();
        let error = on_disk(SEGMENT, hangs).await.unwrap_err();
        assert_eq!(error.kind(), gitstratum_core::ErrorKind::Unavailable);
        assert!(is_ours(&error));
    }

    #[tokio::test(start_paused = true)]
    async fn p_a7_copies_at_the_lowest_rate_are_done_before_their_leader_gives_them_up() {
        const MIB: u64 = 1 << 20;
        // The least that may be set, shared by three nodes, and far more than is needed.
        for rate in [MIB / 3, MIB, 10 * MIB, 256 * MIB] {
            let (bucket, places) = (Bucket::default(), Semaphore::new(8));
            let began = tokio::time::Instant::now();
            let copying = (0..8).map(async |_| {
                let _place = places.acquire_many(weight(8, rate)).await.unwrap();
                let started = tokio::time::Instant::now();
                for _ in 0..32 {
                    bucket.take(MIB, rate).await;
                }
                started.elapsed()
            });
            let longest = futures::future::join_all(copying).await.into_iter().max().unwrap();
            assert!(longest <= DONE_WITHIN, "{rate} bytes/s: {longest:?}");
            let all = Duration::from_secs(8 * 32 * MIB / rate);
            assert!(began.elapsed() <= all + Duration::from_secs(1), "nor is the rate wasted");
        }
        assert_eq!(weight(8, 256 * MIB), 1, "all places at a usual rate");
        assert_eq!(weight(8, 1), 8, "one at a time at least");
    }
}
