//! One segment on its way to all its owners at once (S2, S18).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use gitstratum_client::bulk::{self, Written};
use gitstratum_client::cluster::Draw;
use gitstratum_core::{ErrorKind, NodeId, SegmentId};
use gitstratum_process::{Task, TaskError, failpoint, spawn};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Begun, Storage};
use crate::ingest::Error;

/// Bytes of one piece of a segment.
pub(super) const PIECE_BYTES: usize = 512 * 1024;
/// Bytes that an owner may be behind (S18).
const LAG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are kept to be sent once more: most pushes are smaller.
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Time that an owner may be behind those that suffice (S18).
const LAG_MAX: Duration = Duration::from_secs(2);
/// The same for an owner that failed lately: enough to show that it is well again.
const OUT_LAG_MAX: Duration = Duration::from_millis(50);
/// Longest wait for the reason of an owner that has stopped.
const ENDING_MAX: Duration = Duration::from_secs(1);
/// Longest wait for as many owners as suffice: longer than one waits that has just started to be
/// admitted by a partition (5 s).
const STALL_MAX: Duration = Duration::from_secs(10);
/// The same where only owners that failed lately are waited for.
const OUT_STALL_MAX: Duration = Duration::from_secs(3);

/// The owners that a segment is being written to.
pub(super) struct Lanes {
    segment: SegmentId,
    lanes: Vec<Lane>,
    quorum: usize,
    last_failure: Option<bulk::Error>,
    storage: Arc<dyn Storage>,
    /// Owners that failed lately.
    out: BTreeSet<NodeId>,
    /// All that was sent, as long as it is little: to an owner whose connection breaks it is
    /// sent again.
    sent: Option<Vec<Bytes>>,
}

/// One owner. It ends with its lane: what it has then is not durable and will not be.
struct Lane {
    node: NodeId,
    pieces: mpsc::Sender<Bytes>,
    writing: Writing,
    attempt: Attempt,
}

/// Which time a segment is written to one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    /// The connection of the first broke; there is no third.
    Second,
}

type Writing = Task<Result<Written, bulk::Error>>;
type Ended = Result<Result<Written, bulk::Error>, TaskError>;

impl Lane {
    /// Begins to write to `node`; `again` is what was sent to it before.
    fn begin(
        storage: &Arc<dyn Storage>,
        (node, segment): (NodeId, SegmentId),
        again: Option<Vec<Bytes>>,
    ) -> Self {
        let attempt = if again.is_some() { Attempt::Second } else { Attempt::First };
        let (pieces, mut waiting) = mpsc::channel(LAG_BYTES_MAX / PIECE_BYTES);
        let body = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
        let body = futures::stream::iter(again.unwrap_or_default()).chain(body).boxed();
        let writing = spawn("segment write", storage.write(node, segment, body));
        Self { node, pieces, writing, attempt }
    }

    /// Its end, now that all was sent.
    async fn ending(self) -> (NodeId, Attempt, Ended) {
        drop(self.pieces);
        (self.node, self.attempt, self.writing.await)
    }
}

impl Lanes {
    /// Begins to write a segment at each of its owners, of whom `quorum` suffice. Those that are
    /// said to be down are tried as well, unless they failed lately, and not waited for: after a
    /// cut has healed the control plane may not have heard of them yet, when the next one fails.
    pub(super) fn begin(
        storage: &Arc<dyn Storage>,
        begun: &Begun,
        draw: &Draw,
        quorum: usize,
    ) -> Self {
        let (segment, is_out) = (draw.segment, |node: &NodeId| storage.is_out(*node));
        // Looked at before the writes begin: one of them may be what shows whether it is well.
        let tried: Vec<NodeId> = draw.down.iter().copied().filter(|node| !is_out(node)).collect();
        let known = draw.owners.iter().copied().filter(is_out);
        let out = known.chain(tried.iter().copied()).collect();
        let lane = |node: &NodeId| {
            begun.note(*node, segment);
            Lane::begin(storage, (*node, segment), None)
        };
        let lanes = draw.owners.iter().chain(&tried).map(lane).collect();
        let (storage, sent) = (Arc::clone(storage), Some(Vec::new()));
        Self { segment, lanes, quorum, last_failure: None, storage, out, sent }
    }

    /// Hands the next piece to every owner. Waits while fewer than W have room for it; those
    /// that are behind the W for too long are dropped, as are those that have failed.
    ///
    /// # Errors
    /// [`Error::UnderQuorum`] when fewer than W are left.
    pub(super) async fn send(&mut self, piece: Bytes) -> Result<(), Error> {
        let quorum = self.quorum;
        let mut sending: FuturesUnordered<_> = self
            .lanes
            .iter()
            .map(|lane| async { (lane.node, lane.pieces.send(piece.clone()).await.is_ok()) })
            .collect();
        let start = Instant::now();
        let mut pending: BTreeSet<NodeId> = self.lanes.iter().map(|lane| lane.node).collect();
        let mut taken: Vec<NodeId> = Vec::with_capacity(sending.len());
        while !sending.is_empty() {
            let behind = pending.iter().copied();
            let enough = taken.len() >= quorum;
            let limit = if enough { self.lag_max(behind) } else { self.stall_max(behind) };
            let ended = timeout_at(start + limit, sending.next()).await;
            let Ok(Some((node, is_taken))) = ended else { break };
            pending.remove(&node);
            if is_taken {
                taken.push(node);
            }
        }
        drop(sending);
        self.remember(piece);
        self.keep(&taken).await
    }

    fn remember(&mut self, piece: Bytes) {
        let Some(sent) = &mut self.sent else { return };
        let length: usize = sent.iter().map(Bytes::len).sum();
        if length + piece.len() <= KEPT_BYTES_MAX {
            sent.push(piece);
        } else {
            self.sent = None;
        }
    }

    /// What is sent to an owner that failed with `done`, if it is tried once more: when only its
    /// connection broke, and all is still at hand. An idle connection whose other end is gone
    /// looks well until it is used.
    fn again(&self, done: &Ended, attempt: Attempt) -> Option<Vec<Bytes>> {
        let is_broken = matches!(done, Ok(Err(error)) if error.is_broken_connection());
        if is_broken && attempt == Attempt::First { self.sent.clone() } else { None }
    }

    /// Drops all lanes but those of `nodes`.
    async fn keep(&mut self, nodes: &[NodeId]) -> Result<(), Error> {
        let (kept, dropped): (Vec<Lane>, Vec<Lane>) =
            std::mem::take(&mut self.lanes).into_iter().partition(|l| nodes.contains(&l.node));
        self.lanes = kept;
        for Lane { node, pieces, writing, attempt } in dropped {
            let segment = self.segment;
            // Whoever takes nothing any more is about to say why.
            let ended = pieces.is_closed().then(|| timeout(ENDING_MAX, writing));
            match OptionFuture::from(ended).await {
                Some(Ok(done)) => match self.again(&done, attempt) {
                    Some(sent) => {
                        let lane = Lane::begin(&self.storage, (node, segment), Some(sent));
                        self.lanes.push(lane);
                    }
                    None => self.note_failure(node, done),
                },
                Some(Err(_)) | None => {
                    tracing::warn!(%node, %segment, "owner is too slow: dropped from a segment");
                    self.storage.note_slow(node);
                }
            }
        }
        if self.lanes.len() >= self.quorum { Ok(()) } else { Err(self.under_quorum(0)) }
    }

    /// Ends the segment and waits until W owners have it durable; the others get a moment
    /// more.
    ///
    /// # Errors
    /// [`Error::UnderQuorum`] when fewer than W have made `length` bytes durable.
    pub(super) async fn finish(mut self, length: u64) -> Result<Vec<Written>, Error> {
        let lanes = std::mem::take(&mut self.lanes);
        let mut pending: BTreeSet<NodeId> = lanes.iter().map(|lane| lane.node).collect();
        let mut writing: FuturesUnordered<_> = lanes.into_iter().map(Lane::ending).collect();
        let mut durable: Vec<Written> = Vec::new();
        let (start, mut enough) = (Instant::now(), None);
        loop {
            let behind = pending.iter().copied();
            let deadline = match enough {
                Some(first) => first + self.lag_max(behind),
                None => start + self.stall_max(behind),
            };
            let ended = timeout_at(deadline, writing.next()).await;
            let Ok(Some((node, attempt, done))) = ended else { break };
            if let Some(sent) = self.again(&done, attempt) {
                let lane = Lane::begin(&self.storage, (node, self.segment), Some(sent));
                writing.push(lane.ending());
                continue;
            }
            pending.remove(&node);
            match done {
                Ok(Ok(written)) if written.length == length && written.node == node => {
                    failpoint!("frontend.ingest.after_ack");
                    durable.push(written);
                }
                done => self.note_failure(node, done),
            }
            if durable.len() >= self.quorum {
                enough.get_or_insert_with(Instant::now);
            }
        }
        for node in pending {
            tracing::warn!(%node, segment = %self.segment, "owner is too slow: left behind");
            self.storage.note_slow(node);
        }
        if durable.len() < self.quorum {
            return Err(self.under_quorum(durable.len()));
        }
        durable.sort_by_key(|written| written.node);
        Ok(durable)
    }

    /// How long `nodes` may be behind those that suffice.
    fn lag_max(&self, mut nodes: impl Iterator<Item = NodeId>) -> Duration {
        if nodes.all(|node| self.out.contains(&node)) { OUT_LAG_MAX } else { LAG_MAX }
    }

    /// How long `nodes` are waited for while fewer than suffice are there.
    fn stall_max(&self, mut nodes: impl Iterator<Item = NodeId>) -> Duration {
        if nodes.all(|node| self.out.contains(&node)) { OUT_STALL_MAX } else { STALL_MAX }
    }

    fn note_failure(&mut self, node: NodeId, done: Ended) {
        let segment = self.segment;
        match done {
            Ok(Err(error)) => {
                let kind = error.kind();
                tracing::warn!(%node, %segment, %kind, %error, "an owner did not store a segment");
                self.last_failure = Some(error);
            }
            Ok(Ok(written)) => {
                let length = written.length;
                tracing::error!(%node, %segment, length, "an owner stored something else");
            }
            Err(error) => tracing::warn!(%node, %segment, %error, "a segment was not written"),
        }
    }

    fn under_quorum(&mut self, durable: usize) -> Error {
        let (segment, quorum) = (self.segment, self.quorum);
        // A full disk is what a person can do something about: it is told before others.
        let source = self.last_failure.take().filter(|e| e.kind() != ErrorKind::Bug);
        Error::UnderQuorum { segment, durable, quorum, source }
    }
}
