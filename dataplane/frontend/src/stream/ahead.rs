//! Entries of a pack from several segments at once, in the order in which they go out (GS-FE-23).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Error, PackSpan, Pieces, Reader};
use gitstratum_process::{Task, spawn};
use tokio::sync::mpsc;

/// Segments that are read at once for one answer: the one that goes out, and those after it.
const SEGMENTS_AT_ONCE: usize = 3;
/// Pieces of each, of 1 MiB at most, that wait to go out (GS-FE-25). With those on their way they
/// bound what a slow client costs (P-L1).
const PIECES_WAITING_MAX: usize = 2;

/// The bytes of `asked`, sorted by offset, as they come, like [`Reader::stream_pack`]; while one
/// segment goes out the next ones are read, each from whichever of its owners gives it.
pub(super) fn read_ahead(reader: &Arc<Reader>, pack: &Arc<Pack>, asked: Vec<PackSpan>) -> Pieces {
    let left = by_segment(pack, &asked);
    if left.len() <= 1 {
        return reader.stream_pack(Arc::clone(pack), asked);
    }
    let (reader, pack) = (Arc::clone(reader), Arc::clone(pack));
    let state = Ahead { reader, pack, left, running: VecDeque::new() };
    stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) }).boxed()
}

/// What is asked of one segment: spans, and which of the asked ones each is of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Share {
    asked: Vec<usize>,
    spans: Vec<PackSpan>,
}

/// `asked`, cut where a segment ends. What lies in no segment is left to the last share, whose
/// reading says so.
fn by_segment(pack: &Pack, asked: &[PackSpan]) -> VecDeque<Share> {
    let ends: Vec<u64> =
        pack.entry_segments().map(|each| each.pack_offset + each.entries_length).collect();
    let mut shares: VecDeque<(usize, Share)> = VecDeque::new();
    for (number, span) in asked.iter().enumerate() {
        let (mut offset, end) = (span.offset, span.offset.saturating_add(span.length));
        loop {
            let place = ends.partition_point(|end| *end <= offset);
            let until = ends.get(place).map_or(end, |segment| end.min(*segment));
            if shares.back().is_none_or(|(last, _)| *last != place) {
                shares.push_back((place, Share::default()));
            }
            if let Some((_, share)) = shares.back_mut() {
                share.asked.push(number);
                share.spans.push(PackSpan { offset, length: until - offset });
            }
            offset = until;
            if offset >= end {
                break;
            }
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

struct Ahead {
    reader: Arc<Reader>,
    pack: Arc<Pack>,
    left: VecDeque<Share>,
    running: VecDeque<Running>,
}

/// A segment that is being read. Dropped, its reading ends.
struct Running {
    asked: Vec<usize>,
    pieces: mpsc::Receiver<Result<(usize, Bytes), Error>>,
    reading: Task<()>,
}

impl Ahead {
    async fn next(&mut self) -> Option<Result<(usize, Bytes), Error>> {
        loop {
            while self.running.len() < SEGMENTS_AT_ONCE
                && let Some(share) = self.left.pop_front()
            {
                let running = self.begin(share);
                self.running.push_back(running);
            }
            let first = self.running.front_mut()?;
            if let Some(piece) = first.pieces.recv().await {
                return Some(piece.map(|(span, bytes)| (first.asked[span], bytes)));
            }
            // A reading that panicked has not given all: what went out is not to pass for whole.
            let ended = self.running.pop_front()?.reading.await;
            if ended.is_err() {
                return Some(Err(Error::Interrupted));
            }
        }
    }

    fn begin(&self, share: Share) -> Running {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let mut read = self.reader.stream_pack(Arc::clone(&self.pack), share.spans);
        let reading = spawn("segment read", async move {
            while let Some(piece) = read.next().await {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Running { asked: share.asked, pieces, reading }
    }
}

#[cfg(test)]
mod tests;
