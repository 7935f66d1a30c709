use std::time::Duration;

use gitstratum_core::SegmentId;
use gitstratum_git::segment::SEGMENT_BYTES_MAX;
use gitstratum_identity::Peer;
use gitstratum_proto::object::v1::WriteResponse;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use prost::Message;

use super::answer::{AnswerBody, whole};
use super::{Bulk, may_have_made};
use crate::error::Error;

/// Longest wait for a place among the writes under way (P-L2).
const PLACE_DEADLINE: Duration = Duration::from_secs(1);

/// Takes a segment and answers once it is durable.
pub(super) async fn answer(
    bulk: Bulk,
    peer: Peer,
    (id, request): (&str, Request<Incoming>),
) -> Result<Response<AnswerBody>, Error> {
    let segment = SegmentId::parse(id).ok_or(Error::Request("path names no segment id"))?;
    let place = tokio::time::timeout(PLACE_DEADLINE, bulk.writes.acquire()).await;
    let _place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
    let mut write = bulk.segments.begin(segment).await?;
    let (idle, mut body, mut taken) = (bulk.write_idle, request.into_body(), 0);
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        let gone = |why: String| Error::WriterGone { segment, why };
        let Some(frame) = frame.map_err(|_| gone("silent for too long".into()))? else { break };
        let frame = frame.map_err(|error| gone(error.to_string()))?;
        let Ok(bytes) = frame.into_data() else { continue };
        taken += bytes.len();
        if taken > SEGMENT_BYTES_MAX {
            return Err(Error::Request("segment is too long"));
        }
        write.update(bytes).await?;
    }
    // Under the number shown before: an ack of an earlier start is refused with its entry (S23).
    let header = write.header().ok_or(Error::Request("body is no segment"))?;
    let (partition, origin) = (header.partition, header.origin);
    if !may_have_made(peer, origin) {
        return Err(Error::NotAllowed);
    }
    let incarnation = bulk.admissions.number(partition).await?;
    let layout = write.seal().await?;
    let written =
        WriteResponse { node: bulk.node.0, incarnation: incarnation.0, length: layout.total_len() };
    Ok(whole(written.encode_to_vec()))
}
