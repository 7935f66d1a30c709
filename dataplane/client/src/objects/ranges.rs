use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use gitstratum_core::SegmentId;

use super::{Error, Reader};
use crate::bulk::{self, Chunk, Chunks, Span};
use crate::manifest::{Pack, Segment};

/// Gaps below this are read and dropped rather than made two ranges (S28), in bytes.
const GAP_BYTES_MAX: u64 = 4 * 1024;

/// A run of bytes of a pack, by its offsets as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackSpan {
    /// Offset in the pack.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The reads that one segment has to answer.
pub(super) struct SegmentRead {
    pub(super) segment: SegmentId,
    pub(super) spans: Vec<Span>,
    /// For each asked span that lies here: its place in the answer.
    pub(super) cuts: Vec<Cut>,
}

/// A piece of an asked pack span that lies in a segment.
pub(super) struct Cut {
    /// Which of the asked pack spans.
    pub(super) asked: usize,
    /// Which of the segment's spans, and where in it.
    pub(super) span: usize,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Reader {
    /// The bytes of each of `asked`, which must be sorted by offset. One call for each
    /// segment touched, near ranges read as one.
    ///
    /// # Errors
    /// When no owner of a segment gives them.
    pub async fn read_pack(
        &self,
        pack: &Arc<Pack>,
        asked: &[PackSpan],
    ) -> Result<Vec<Bytes>, Error> {
        let reads = split(pack, asked)?;
        let answered: Vec<_> = stream::iter(reads)
            .map(|read| async move {
                let bytes = self.read_segment(pack, read.segment, read.spans.clone()).await?;
                Ok::<_, Error>((read, bytes))
            })
            .buffered(self.options.segments_at_once.max(1))
            .try_collect()
            .await?;
        let mut pieces: Vec<Vec<Bytes>> = vec![Vec::new(); asked.len()];
        for (read, bytes) in &answered {
            for cut in &read.cuts {
                let start = usize_of(cut.start);
                let piece = bytes[cut.span].slice(start..start + usize_of(cut.length));
                pieces[cut.asked].push(piece);
            }
        }
        Ok(pieces.into_iter().map(join).collect())
    }

    /// The stream of a segment's spans, from whichever owners give them.
    pub(super) fn open_segment(
        &self,
        pack: &Pack,
        (segment, spans): (SegmentId, Vec<Span>),
    ) -> Result<Chunks, Error> {
        let held = pack.segment(segment).filter(|held| !held.owners.is_empty());
        let held = held.ok_or(Error::Manifest { pack: pack.id, problem: "names no owner" })?;
        let listed = (segment, pack.listed_in);
        Ok(bulk::read_any(Arc::clone(&self.bulk), &held.owners, listed, spans))
    }

    /// Ranges of one segment's body.
    async fn read_segment(
        &self,
        pack: &Pack,
        segment: SegmentId,
        spans: Vec<Span>,
    ) -> Result<Vec<Bytes>, Error> {
        let mut pieces = vec![Vec::new(); spans.len()];
        self.gather(pack, (segment, spans), &mut pieces).await?;
        Ok(pieces.into_iter().map(join).collect())
    }

    /// Ranges of one segment's body, as they come.
    pub(super) async fn gather(
        &self,
        pack: &Pack,
        (segment, spans): (SegmentId, Vec<Span>),
        into: &mut impl Gather,
    ) -> Result<(), Error> {
        let mut chunks = self.open_segment(pack, (segment, spans))?;
        while let Some(chunk) = chunks.next().await {
            into.take(chunk.map_err(|source| Error::Segment { segment, source: source.into() })?);
        }
        Ok(())
    }
}

/// What takes the pieces of a read's answer, as they come.
pub(super) trait Gather: Send {
    /// Takes the next piece.
    fn take(&mut self, chunk: Chunk);
}

/// The ranges apart.
impl Gather for Vec<Vec<Bytes>> {
    fn take(&mut self, chunk: Chunk) {
        self[chunk.range].push(chunk.bytes);
    }
}

/// One after the other, in memory once.
impl Gather for BytesMut {
    fn take(&mut self, chunk: Chunk) {
        self.extend_from_slice(&chunk.bytes);
    }
}

pub(super) fn split(pack: &Pack, asked: &[PackSpan]) -> Result<Vec<SegmentRead>, Error> {
    let mut reads: Vec<SegmentRead> = Vec::new();
    for (number, span) in asked.iter().enumerate() {
        let end = span.offset.saturating_add(span.length);
        let mut covered = span.offset;
        for segment in overlapping(pack, span.offset, end) {
            let from = covered.max(segment.pack_offset) - segment.pack_offset;
            let until = end.min(segment.pack_offset + segment.entries_length) - segment.pack_offset;
            add(&mut reads, segment.id, number, Span { offset: from, length: until - from });
            covered = segment.pack_offset + until;
        }
        if covered != end {
            return Err(Error::Manifest { pack: pack.id, problem: "has a gap between segments" });
        }
    }
    Ok(reads)
}

/// Segments with entry bytes in `start..end`, in pack order, contiguous from `start`.
fn overlapping(pack: &Pack, start: u64, end: u64) -> impl Iterator<Item = &Segment> {
    pack.entry_segments().filter(move |segment| {
        segment.pack_offset < end && segment.pack_offset + segment.entries_length > start
    })
}

fn add(reads: &mut Vec<SegmentRead>, segment: SegmentId, asked: usize, span: Span) {
    if reads.last().is_none_or(|read| read.segment != segment) {
        reads.push(SegmentRead { segment, spans: Vec::new(), cuts: Vec::new() });
    }
    let read = reads.last_mut().expect("because one was just pushed if there was none");
    let near = read.spans.last_mut().filter(|last| {
        let end = last.offset + last.length;
        span.offset >= last.offset && span.offset <= end + GAP_BYTES_MAX
    });
    match near {
        Some(last) => last.length = last.length.max(span.offset + span.length - last.offset),
        None => read.spans.push(span),
    }
    let number = read.spans.len() - 1;
    let start = span.offset - read.spans[number].offset;
    read.cuts.push(Cut { asked, span: number, start, length: span.length });
}

fn join(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.remove(0),
        _ => pieces.concat().into(),
    }
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("because a segment fits in memory")
}
