use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::bulk::Span;
use gitstratum_core::SegmentId;
use gitstratum_process::spawn;
use gitstratum_proto::bulk::{FRAME_BYTES_MAX, FrameHeader, RANGES_MAX};
use gitstratum_proto::object::v1::ReadRequest;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use prost::Message;
use tokio::sync::mpsc;

use super::Bulk;
use super::answer::AnswerBody;
use crate::error::Error;
use crate::segments::{Segments, blocking};

/// Most bytes of a request: 65,536 ranges of two varints and their frames.
const REQUEST_BYTES_MAX: usize = RANGES_MAX * 24 + 64;
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
    // Opened first, so that a segment that is not here is a status and not a broken body.
    let opening = Arc::clone(&segments);
    blocking(move || opening.open_to_read(segment)).await?;
    let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
    let reading = spawn("segment read", async move {
        read_all(&segments, segment, &spans, &frames).await;
    });
    let stream = futures::stream::unfold((waiting, reading), |(mut waiting, reading)| async {
        let bytes: Bytes = waiting.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), (waiting, reading)))
    });
    Ok(Response::new(StreamBody::new(stream).boxed_unsync()))
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
    for span in spans {
        let mut offset = span.offset;
        let end = span.offset + span.length;
        while offset < end {
            let length = (end - offset).min(FRAME_BYTES_MAX as u64);
            let (store, span) = (Arc::clone(segments), Span { offset, length });
            let frame = blocking(move || Ok(framed(store.read(segment, span))));
            let (frame, ends) = frame.await.unwrap_or_else(|error| framed(Err(error)));
            for piece in frame {
                if frames.send(piece).await.is_err() {
                    return;
                }
            }
            if ends {
                return;
            }
            offset += length;
        }
    }
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
