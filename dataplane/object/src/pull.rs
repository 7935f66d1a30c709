//! Copies of segments that other nodes hold: the leader of a partition asks, this node
//! copies from a peer, verifies every byte and makes it durable (S21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use gitstratum_client::bulk::{Client, Pieces};
use gitstratum_core::{NodeId, PartitionId, SegmentId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;
use crate::rate::{Bucket, Share};
use crate::segments::{Hold, SegmentWrite, Segments, blocking};

/// Longest wait for a place among the copies under way.
const PLACE_DEADLINE: Duration = Duration::from_secs(2);
/// Longest silence of the node that is copied from.
const SILENCE_MAX: Duration = Duration::from_secs(10);

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

/// Copies segments from other nodes.
pub(crate) struct Puller {
    node: NodeId,
    segments: Arc<Segments>,
    peers: Client,
    places: Semaphore,
    share: Share,
    bucket: Bucket,
    /// The highest term that each partition's leaders have shown.
    terms: Mutex<BTreeMap<PartitionId, u64>>,
}

impl Puller {
    /// Copies for `node` into `segments`, at most `places` at once.
    pub(crate) fn new(
        (node, segments): (NodeId, Arc<Segments>),
        peers: Client,
        share: Share,
        places: usize,
    ) -> Self {
        Self {
            node,
            segments,
            peers,
            places: Semaphore::new(places),
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
        let place = timeout(PLACE_DEADLINE, self.places.acquire()).await;
        let _place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let hold = self.segments.hold(order.segment)?;
        if let Some(layout) = self.segments.confirm(&hold, order.list).await? {
            return Ok(Pulled { length: layout.total_len(), was_held: true });
        }
        let mut why = "no other node was named".to_owned();
        for node in order.from.iter().copied().filter(|node| *node != self.node) {
            match self.copy(node, &order, &hold).await {
                Ok(length) => return Ok(Pulled { length, was_held: false }),
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => {
                    let segment = order.segment;
                    tracing::warn!(%segment, %node, %error, "a segment could not be copied");
                    why = error.to_string();
                }
            }
        }
        Err(Error::NoSource { segment: order.segment, why })
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
        let pieces = self.peers.fetch(node, segment).await;
        let pieces = pieces.map_err(|error| failed(error.to_string()))?;
        let length = self.write(pieces, order, hold).await?;
        let metrics = self.segments.metrics();
        metrics.pulled.inc();
        metrics.pulled_bytes.add(length);
        let segments = Arc::clone(&self.segments);
        blocking(move || segments.drop_aside(segment)).await?;
        tracing::info!(%segment, %node, length, "a segment was copied from another node");
        Ok(length)
    }

    /// Writes as a push's segment is written: verified whole before it is durable.
    async fn write(&self, pieces: Pieces, order: &Order, hold: &Hold) -> Result<u64, Error> {
        let mut write = self.segments.begin_copy(hold, order.list).await?;
        if let Err(error) = self.fill(&mut write, pieces, order).await {
            // The next source's bytes go to the same place.
            write.give_up().await?;
            return Err(error);
        }
        Ok(write.seal().await?.total_len())
    }

    async fn fill(
        &self,
        write: &mut SegmentWrite,
        mut pieces: Pieces,
        order: &Order,
    ) -> Result<(), Error> {
        let segment = order.segment;
        let failed = |why: String| Error::NoSource { segment, why };
        loop {
            let piece = timeout(SILENCE_MAX, pieces.next()).await;
            let Some(piece) = piece.map_err(|_| failed("silent for too long".into()))? else {
                return Ok(());
            };
            let piece = piece.map_err(|error| failed(error.to_string()))?;
            self.bucket.take(piece.len() as u64, self.share.bytes_per_second()).await;
            write.update(piece).await?;
            let header = write.header();
            if header.is_some_and(|header| header.partition != order.partition) {
                return Err(Error::ForeignPartition { segment });
            }
        }
    }
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
