use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::ranges::{PackSpan, SegmentRead, split};
use super::{Error, Reader};
use crate::bulk::{Chunk, Chunks};
use crate::manifest::Pack;

/// Bytes of asked spans: which span, and its next bytes.
pub type Pieces = BoxStream<'static, Result<(usize, Bytes), Error>>;

impl Reader {
    /// The bytes of `asked`, sorted by offset, as they come: memory is one frame, whatever
    /// their length. One call for each segment touched (S28).
    pub fn stream_pack(self: &Arc<Self>, pack: Arc<Pack>, asked: Vec<PackSpan>) -> Pieces {
        let reads = match split(&pack, &asked) {
            Ok(reads) => reads.into(),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let state = Streaming {
            reader: Arc::clone(self),
            pack,
            reads,
            current: None,
            ready: VecDeque::new(),
        };
        stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), Some(state))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

struct Streaming {
    reader: Arc<Reader>,
    pack: Arc<Pack>,
    reads: VecDeque<SegmentRead>,
    current: Option<Current>,
    ready: VecDeque<(usize, Bytes)>,
}

/// A segment that is being read.
struct Current {
    read: SegmentRead,
    chunks: Chunks,
    /// Next span and where in it the next byte lies.
    span: usize,
    position: u64,
    /// Next cut that is not whole yet.
    cut: usize,
}

impl Streaming {
    async fn next(&mut self) -> Result<Option<(usize, Bytes)>, Error> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let Some(current) = &mut self.current else {
                let Some(read) = self.reads.pop_front() else { return Ok(None) };
                let asked = (read.segment, read.spans.clone());
                let chunks = self.reader.open_segment(&self.pack, asked)?;
                self.current = Some(Current { read, chunks, span: 0, position: 0, cut: 0 });
                continue;
            };
            match current.chunks.next().await {
                None => self.current = None,
                Some(Ok(chunk)) => current.cut_up(&chunk, &mut self.ready),
                Some(Err(error)) => {
                    let segment = current.read.segment;
                    return Err(Error::Segment { segment, source: Arc::new(error) });
                }
            }
        }
    }
}

impl Current {
    /// Gives each asked span its share of `chunk`; bytes of gaps are dropped.
    fn cut_up(&mut self, chunk: &Chunk, ready: &mut VecDeque<(usize, Bytes)>) {
        if chunk.range != self.span {
            (self.span, self.position) = (chunk.range, 0);
        }
        let (start, end) = (self.position, self.position + chunk.bytes.len() as u64);
        self.position = end;
        while let Some(cut) = self.read.cuts.get(self.cut).filter(|cut| cut.span == self.span) {
            let (from, until) = (cut.start.max(start), (cut.start + cut.length).min(end));
            if from < until {
                let piece = chunk.bytes.slice(usize_of(from - start)..usize_of(until - start));
                ready.push_back((cut.asked, piece));
            }
            if cut.start + cut.length > end {
                break;
            }
            self.cut += 1;
        }
    }
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("because a chunk fits in memory")
}
