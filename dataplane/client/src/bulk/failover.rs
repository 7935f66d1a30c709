//! A read of a segment from whichever owner gives it: the next is asked when one is slow to
//! begin, and goes on where one broke off (GS-OB-29).

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};
use gitstratum_core::{ErrorKind, NodeId, PartitionId, SegmentId};
use tokio::time::{sleep, timeout};

use super::{BulkRead, Chunk, Chunks, Error, Span};

/// How long an owner may take to begin its answer before the next is asked as well.
const HEDGE_AFTER: Duration = Duration::from_millis(250);
/// Longest silence inside an answer before the rest is asked of the next owner. The last
/// one has as long as any answer has.
const STALL_MAX: Duration = Duration::from_secs(3);
/// Longest wait for the list of a segment's owners.
const LIST_MAX: Duration = Duration::from_secs(3);

/// Ranges of one segment, from `owners`, which must be one at least: the nearest first, of equally
/// near ones who is likely to answer soonest (GS-FE-28), else in the order given; but those last that
/// failed lately. When every one has failed those are asked that
/// the list names by then, that of the partition `listed_in` (S9, S19); it fails when they have
/// failed too.
pub fn read_any(
    bulk: Arc<dyn BulkRead>,
    owners: &[NodeId],
    (segment, listed_in): (SegmentId, Option<PartitionId>),
    spans: Vec<Span>,
) -> Chunks {
    let known = owners.to_vec();
    let owners = last_is_next(bulk.as_ref(), owners);
    let rest = Rest { spans, at: 0, given: 0 };
    let reading = Reading {
        bulk,
        owners,
        known,
        stalled: Vec::new(),
        is_list_new: false,
        segment,
        listed_in,
        rest,
        answer: None,
    };
    stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// The order in which `owners` are asked, the next one last.
fn last_is_next(bulk: &dyn BulkRead, owners: &[NodeId]) -> Vec<NodeId> {
    let (out, mut fit): (Vec<_>, Vec<_>) =
        owners.iter().copied().partition(|node| bulk.is_out(*node));
    fit.sort_by_key(|node| (bulk.distance(*node), bulk.wait_millis(*node)));
    fit.into_iter().chain(out).rev().collect()
}

struct Reading {
    bulk: Arc<dyn BulkRead>,
    /// Those that may be asked, the next one last.
    owners: Vec<NodeId>,
    /// Those of the list that the reader came with.
    known: Vec<NodeId>,
    /// Those that fell silent inside an answer.
    stalled: Vec<NodeId>,
    /// Whether the list was asked for again.
    is_list_new: bool,
    segment: SegmentId,
    /// The partition that lists it, if that is known.
    listed_in: Option<PartitionId>,
    rest: Rest,
    answer: Option<Answer>,
}

/// What has yet to come.
struct Rest {
    spans: Vec<Span>,
    /// The span that the next byte is of, and how many of its bytes were given.
    at: usize,
    given: u64,
}

struct Answer {
    node: NodeId,
    chunks: Chunks,
    /// The span that its first range is of.
    first: usize,
}

impl Rest {
    /// The spans that are not whole yet.
    fn spans(&self) -> Vec<Span> {
        let mut spans = self.spans.get(self.at..).unwrap_or_default().to_vec();
        if let Some(first) = spans.first_mut() {
            first.offset += self.given;
            first.length -= self.given;
        }
        spans
    }

    fn note(&mut self, chunk: &Chunk) {
        if chunk.range != self.at {
            (self.at, self.given) = (chunk.range, 0);
        }
        self.given += chunk.bytes.len() as u64;
        if self.spans.get(self.at).is_some_and(|span| self.given >= span.length) {
            (self.at, self.given) = (self.at + 1, 0);
        }
    }
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            let Some(answer) = &mut self.answer else {
                if self.rest.at > 0 && self.rest.at >= self.rest.spans.len() {
                    return Ok(None);
                }
                self.answer = Some(self.begin().await?);
                continue;
            };
            let node = answer.node;
            let next = answer.chunks.next();
            let next = match self.owners.is_empty() {
                true => Ok(next.await),
                false => timeout(STALL_MAX, next).await,
            };
            let error = match next {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(chunk))) => {
                    let chunk = Chunk { range: answer.first + chunk.range, ..chunk };
                    self.rest.note(&chunk);
                    return Ok(Some(chunk));
                }
                Ok(Some(Err(error))) => error,
                Err(_) => {
                    self.note_stall(node);
                    Error::Deadline { node }
                }
            };
            self.note_failure(node, &error);
            self.bulk.note_slow(node);
            self.answer = None;
            if self.owners.is_empty() && !self.ask_for_list().await {
                return Err(error);
            }
        }
    }

    /// The first answer that begins. An owner that is slow to begin is not waited for alone.
    async fn begin(&mut self) -> Result<Answer, Error> {
        let (spans, first) = (self.rest.spans(), self.rest.at);
        let mut asked = FuturesUnordered::new();
        let mut unanswered = Vec::new();
        loop {
            if let Some(node) = self.owners.pop() {
                let read = self.bulk.read(node, self.segment, spans.clone());
                asked.push(async move { (node, read.await) });
                unanswered.push(node);
            }
            let (node, read) = tokio::select! {
                biased;
                Some(answered) = asked.next() => answered,
                () = sleep(HEDGE_AFTER), if !self.owners.is_empty() => continue,
            };
            unanswered.retain(|asked| *asked != node);
            match read {
                Ok(chunks) => {
                    unanswered.iter().for_each(|node| self.bulk.note_slow(*node));
                    // Should this answer break off, they are asked again, after all others.
                    self.owners.splice(0..0, unanswered);
                    return Ok(Answer { node, chunks, first });
                }
                Err(error) => {
                    self.note_failure(node, &error);
                    let is_last = asked.is_empty() && self.owners.is_empty();
                    if is_last && !self.ask_for_list().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// It may only have paused, and the others may not answer at all: the first time it is asked
    /// again after them, and races them.
    fn note_stall(&mut self, node: NodeId) {
        if !self.stalled.contains(&node) {
            self.stalled.push(node);
            self.owners.insert(0, node);
        }
    }

    /// Copies may have moved since the reader learned who has them: asks once who has them now.
    /// Whether somebody is left to be read from.
    async fn ask_for_list(&mut self) -> bool {
        if std::mem::replace(&mut self.is_list_new, true) {
            return false;
        }
        let listed = timeout(LIST_MAX, self.bulk.owners(self.segment, self.listed_in)).await;
        let mut listed = listed.unwrap_or_default();
        listed.retain(|node| !self.known.contains(node));
        self.owners = last_is_next(self.bulk.as_ref(), &listed);
        !self.owners.is_empty()
    }

    fn note_failure(&self, node: NodeId, error: &Error) {
        if error.kind() == ErrorKind::Corrupt {
            tracing::error!(segment = %self.segment, %node, %error, "an owner's copy is damaged");
        }
    }
}

#[cfg(test)]
mod tests;
