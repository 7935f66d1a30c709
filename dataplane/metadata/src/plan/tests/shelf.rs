//! An object node that has the bodies of segments in memory.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use gitstratum_client::bulk::{BulkRead, Chunk, Chunks, Error, Span};
use gitstratum_core::{ErrorKind, NodeId, SegmentId};
use parking_lot::Mutex;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Shelf(Mutex<BTreeMap<SegmentId, Bytes>>);

impl Shelf {
    pub(super) fn put(&self, segment: SegmentId, body: Bytes) {
        self.0.lock().insert(segment, body);
    }
}

impl BulkRead for Shelf {
    fn read(
        &self,
        node: NodeId,
        segment: SegmentId,
        ranges: Vec<Span>,
    ) -> BoxFuture<'static, Result<Chunks, Error>> {
        let body = self.0.lock().get(&segment).cloned();
        Box::pin(async move {
            let missing =
                Error::Refused { node, kind: ErrorKind::NotFound, message: String::new() };
            let body = body.ok_or(missing)?;
            let chunk = move |(range, span): (usize, Span)| {
                let (start, length) = (span.offset as usize, span.length as usize);
                Ok(Chunk { range, bytes: body.slice(start..start + length) })
            };
            Ok(futures::stream::iter(ranges.into_iter().enumerate().map(chunk)).boxed())
        })
    }
}
