use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use gitstratum_client::bulk::{self, BulkRead as _, Written};
use gitstratum_client::grpc;
use gitstratum_core::{ErrorKind, NodeId, SegmentId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::object::v1::GiveUpRequest;
use gitstratum_proto::object::v1::object_client::ObjectClient;

/// What a push asks of object nodes. A trait so that a test can answer and count the calls.
pub(crate) trait Storage: Send + Sync {
    /// Streams a segment to `node`; done when it is durable there. A body that ends before
    /// the segment does is refused, as is one whose future is dropped.
    fn write(
        &self,
        node: NodeId,
        segment: SegmentId,
        body: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Written, bulk::Error>>;

    /// Gives a whole push up at `node`, before any `UpdateRefs` of it was sent (S12).
    fn give_up(
        &self,
        node: NodeId,
        request: GiveUpRequest,
    ) -> BoxFuture<'static, Result<(), ErrorKind>>;

    /// Whether `node` failed lately: it is not waited for while others suffice.
    fn is_out(&self, _node: NodeId) -> bool {
        false
    }

    /// Notes that `node` was behind the others for too long.
    fn note_slow(&self, _node: NodeId) {}
}

/// The object nodes of the cluster.
pub(crate) struct Nodes {
    bulk: bulk::Client,
    dialer: Arc<dyn Dialer>,
}

impl Nodes {
    /// Segments go through `bulk`, other calls are dialled when they are made: they are rare.
    pub(crate) fn new(bulk: bulk::Client, dialer: Arc<dyn Dialer>) -> Self {
        Self { bulk, dialer }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").finish_non_exhaustive()
    }
}

impl Storage for Nodes {
    fn write(
        &self,
        node: NodeId,
        segment: SegmentId,
        body: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Written, bulk::Error>> {
        let bulk = self.bulk.clone();
        Box::pin(async move { bulk.write(node, segment, body).await })
    }

    fn give_up(
        &self,
        node: NodeId,
        request: GiveUpRequest,
    ) -> BoxFuture<'static, Result<(), ErrorKind>> {
        let dialer = Arc::clone(&self.dialer);
        Box::pin(async move {
            let mut client = ObjectClient::new(grpc::channel(dialer, node, Service::Object));
            let answer = client.give_up(request).await;
            answer.map(drop).map_err(|status| grpc::kind(&status))
        })
    }

    fn is_out(&self, node: NodeId) -> bool {
        self.bulk.is_out(node)
    }

    fn note_slow(&self, node: NodeId) {
        self.bulk.note_slow(node);
    }
}
