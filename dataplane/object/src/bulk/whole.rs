use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use gitstratum_core::SegmentId;
use gitstratum_process::{Outlet, produce};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;

use super::Bulk;
use super::answer::AnswerBody;
use crate::error::Error;
use crate::segments::{Opened, Segments, blocking};

/// Bytes read from the disk at once.
const PIECE_BYTES: u64 = 1024 * 1024;
/// Pieces waiting for a slow copier at most.
const PIECES_WAITING_MAX: usize = 2;

/// Gives a whole segment to an object node that copies it, which verifies every byte (S21).
pub(super) async fn answer(bulk: Bulk, id: &str) -> Result<Response<AnswerBody>, Error> {
    let segment = SegmentId::parse(id).ok_or(Error::Request("path names no segment id"))?;
    let place = Arc::clone(&bulk.transfers).try_acquire_owned().map_err(|_| Error::Busy)?;
    let segments = Arc::clone(&bulk.segments);
    let opening = Arc::clone(&segments);
    let opened = blocking(move || opening.open_to_read(segment)).await?;
    let length = opened.layout.total_len();
    let pieces = produce(PIECES_WAITING_MAX, move |pieces| {
        send_all(&segments, &opened, pieces, place);
    });
    let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    // An answer that ends before its length breaks the connection: it never looks whole.
    response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    Ok(response)
}

/// Sends until the copier has gone or the disk fails.
fn send_all(
    segments: &Arc<Segments>,
    opened: &Opened,
    pieces: &Outlet<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let total = opened.layout.total_len();
    let mut offset = 0;
    while offset < total {
        let length = PIECE_BYTES.min(total - offset);
        let piece = match segments.read_raw(opened, offset, length) {
            Ok(piece) => piece,
            Err(error) => {
                let segment = opened.layout.header().segment;
                tracing::error!(%segment, %error, "a segment could not be copied from here");
                return;
            }
        };
        if pieces.put(piece).is_err() {
            return;
        }
        offset += length;
    }
}
