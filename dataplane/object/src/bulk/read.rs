use std::convert::Infallible;
use std::iter::Peekable;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::bulk::Span;
use gitstratum_core::SegmentId;
use gitstratum_process::spawn;
use gitstratum_proto::bulk::{FRAME_BYTES_MAX, FrameHeader, IN_FLIGHT_HEADER, RANGES_MAX};
use gitstratum_proto::object::v1::ReadRequest;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use prost::Message;
use tokio::sync::mpsc;

use super::Bulk;
use super::answer::AnswerBody;
use crate::error::Error;
use crate::segments::{Segments, blocking};

/// Most bytes of a request: 65,536 ranges of two varints and their frames.
const REQUEST_BYTES_MAX: usize = RANGES_MAX * 24 + 64;
/// Most frames read at one go. Each may keep a block in memory until it was taken.
const BATCH_FRAMES_MAX: usize = 16;
/// Verified frames waiting for a slow reader at most.
const FRAMES_WAITING_MAX: usize = 2;

/// Answers a read: every range in order, each frame verified before it is sent.
pub(super) async fn answer(
    bulk: Bulk,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Error> {
    let asking = tokio::time::timeout(bulk.write_idle, parse(request)).await;
    let (segment, spans) = asking.map_err(|_| Error::Request("body does not come"))??;
    let segments = Arc::clone(&bulk.segments);
    let under_way = segments.metrics().reads_in_flight.track();
    // Opened first, so that a segment that is not here is a status and not a broken body.
    let opening = Arc::clone(&segments);
    blocking(move || opening.open_to_read(segment)).await?;
    let told = HeaderValue::from(segments.metrics().reads_in_flight.get());
    let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
    let reading = spawn("segment read", async move {
        read_all(&segments, segment, &spans, &frames).await;
    });
    let held = (waiting, reading, under_way);
    let stream = futures::stream::unfold(held, |(mut waiting, reading, under_way)| async {
        let bytes: Bytes = waiting.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), (waiting, reading, under_way)))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert(IN_FLIGHT_HEADER, told);
    Ok(response)
}

async fn parse(request: Request<Incoming>) -> Result<(SegmentId, Vec<Span>), Error> {
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Error::Request("body is too long or broke off"))?.to_bytes();
    let read = ReadRequest::decode(body).map_err(|_| Error::Request("body is no ReadRequest"))?;
    let segment = SegmentId::from_slice(&read.segment_id)
        .ok_or(Error::Request("segment_id must have 16 bytes"))?;
    if read.ranges.len() > RANGES_MAX {
        return Err(Error::Request("more than 65536 ranges"));
    }
    if read.ranges.iter().any(|range| range.offset.checked_add(range.length).is_none()) {
        return Err(Error::Request("a range ends beyond what can be counted"));
    }
    let spans = read.ranges.iter().map(|r| Span { offset: r.offset, length: r.length });
    Ok((segment, spans.collect()))
}

/// Reads range by range until the reader has gone. A failure ends the answer with an error
/// frame: never a short answer that looks whole. A thread is taken for as long as the disk works
/// and no longer: of slow readers there may be any number (P-L4).
async fn read_all(
    segments: &Arc<Segments>,
    segment: SegmentId,
    spans: &[Span],
    frames: &mpsc::Sender<Bytes>,
) {
    let mut wanted = spans.iter().copied().flat_map(cut).peekable();
    while wanted.peek().is_some() {
        let (store, spans) = (Arc::clone(segments), batch(&mut wanted));
        let reading = blocking(move || Ok(read_batch(&store, segment, &spans)));
        let Batch { pieces, ends } = reading.await.unwrap_or_else(|error| {
            let (pieces, ends) = framed(Err(error));
            Batch { pieces: pieces.into(), ends }
        });
        for piece in pieces {
            if frames.send(piece).await.is_err() {
                return;
            }
        }
        if ends {
            return;
        }
    }
}

/// The frames of a range.
fn cut(span: Span) -> impl Iterator<Item = Span> {
    let end = span.offset + span.length;
    let frame = move |offset| Span { offset, length: (end - offset).min(FRAME_BYTES_MAX as u64) };
    (span.offset..end).step_by(FRAME_BYTES_MAX).map(frame)
}

/// The next frames to be read at one go: small ones are not worth a change of thread each.
fn batch(wanted: &mut Peekable<impl Iterator<Item = Span>>) -> Vec<Span> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH_FRAMES_MAX {
        let fits = |span: &Span| bytes + span.length <= FRAME_BYTES_MAX as u64;
        let Some(span) = wanted.next_if(fits) else { break };
        bytes += span.length;
        batch.push(span);
    }
    batch
}

/// Frames that were read, and whether they end the answer.
struct Batch {
    pieces: Vec<Bytes>,
    ends: bool,
}

/// Blocking.
fn read_batch(segments: &Arc<Segments>, segment: SegmentId, spans: &[Span]) -> Batch {
    let mut pieces = Vec::with_capacity(2 * spans.len());
    for span in spans {
        let (frame, ends) = framed(segments.read(segment, *span));
        pieces.extend(frame);
        if ends {
            return Batch { pieces, ends };
        }
    }
    Batch { pieces, ends: false }
}

/// The pieces of a frame, and whether it ends the answer.
fn framed(read: Result<Bytes, Error>) -> ([Bytes; 2], bool) {
    let (payload, header, ends): (_, fn(u32, u32) -> FrameHeader, _) = match read {
        Ok(bytes) => (bytes, FrameHeader::of_data, false),
        Err(error) => {
            let text = format!("{} {error}", error.kind());
            (Bytes::from(text), FrameHeader::of_error, true)
        }
    };
    let length = u32::try_from(payload.len()).expect("because a frame is at most 1 MiB");
    let header = header(length, crc32c::crc32c(&payload)).encode();
    ([Bytes::copy_from_slice(&header), payload], ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: u64, length: u64) -> Span {
        Span { offset, length }
    }

    #[test]
    fn gs_ob_19_ranges_are_cut_into_frames_and_small_ones_read_together() {
        let full = FRAME_BYTES_MAX as u64;
        let asked = [span(5, 0), span(3, 2 * full + 1), span(9, 7), span(0, full), span(1, 1)];
        let cut_up: Vec<Span> = asked.into_iter().flat_map(cut).collect();
        let frames = [span(3, full), span(3 + full, full), span(3 + 2 * full, 1), span(9, 7)];
        assert_eq!(cut_up, [&frames[..], &[span(0, full), span(1, 1)]].concat());
        let mut wanted = cut_up.into_iter().peekable();
        let mut sizes = Vec::new();
        while wanted.peek().is_some() {
            sizes.push(batch(&mut wanted).len());
        }
        assert_eq!(sizes, [1, 1, 2, 1, 1]);
        let mut small = (0..40).map(|number| span(number, 1)).peekable();
        assert_eq!(batch(&mut small).len(), BATCH_FRAMES_MAX);
        assert_eq!(batch(&mut [].into_iter().peekable()), []);
    }
}
