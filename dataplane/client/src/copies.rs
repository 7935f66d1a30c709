//! Copies of segments, as the leader of a partition has object nodes make them (S21).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use gitstratum_core::{ErrorKind, Incarnation, NodeId, SegmentId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::object::v1::object_client::ObjectClient;
use gitstratum_proto::object::v1::{PullRequest, RecheckRequest, VerifyRequest};
use parking_lot::Mutex;
use tonic::Status;

use crate::bulk::Written;
use crate::grpc::{self, Channel};

/// Longest wait for a copy: a large segment at a low rate. A node that has gone is noticed by its
/// connection long before.
const PULL_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait until a segment is verified.
const VERIFY_DEADLINE: Duration = Duration::from_secs(60);

/// Why a node has not made a copy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It refused, or cannot be reached.
    #[error("node {node}: {}", status.message())]
    Refused {
        /// The node.
        node: NodeId,
        /// Its answer.
        status: Box<Status>,
    },
    /// No answer in time.
    #[error("node {node} did not answer in time")]
    Deadline {
        /// The node.
        node: NodeId,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { status, .. } => grpc::kind(status),
            Self::Deadline { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Has nodes make copies. A trait so that a test can answer.
pub trait Copies: Send + Sync {
    /// Has `node` copy a segment from another; done when it is verified and durable there.
    fn pull(&self, node: NodeId, order: PullRequest) -> BoxFuture<'static, Result<Written, Error>>;

    /// Has `node` ask its partition about segments that were purged. A hint: who misses it finds
    /// out when it compares what it holds (S21).
    fn recheck(&self, node: NodeId, segments: Vec<Bytes>) -> BoxFuture<'static, ()>;
}

/// The object nodes of the cluster.
#[derive(Clone)]
pub struct ObjectNodes {
    dialer: Arc<dyn Dialer>,
    channels: Arc<Mutex<BTreeMap<NodeId, Channel>>>,
}

impl fmt::Debug for ObjectNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectNodes").finish_non_exhaustive()
    }
}

impl ObjectNodes {
    /// Nodes that are dialled through `dialer`.
    pub fn new(dialer: Arc<dyn Dialer>) -> Self {
        Self { dialer, channels: Arc::default() }
    }

    fn client(&self, node: NodeId) -> ObjectClient<Channel> {
        let mut channels = self.channels.lock();
        let channel = channels
            .entry(node)
            .or_insert_with(|| grpc::channel(Arc::clone(&self.dialer), node, Service::Object));
        ObjectClient::new(channel.clone())
    }
}

impl ObjectNodes {
    /// Has `node` verify its copy of a segment: it puts it aside and tells its partition if it is
    /// damaged.
    ///
    /// # Errors
    /// When the node does not answer in time.
    pub async fn verify(&self, node: NodeId, segment: SegmentId) -> Result<(), Error> {
        let mut client = self.client(node);
        let request = VerifyRequest { segment_ids: vec![Bytes::copy_from_slice(&segment.0)] };
        let verified = tokio::time::timeout(VERIFY_DEADLINE, async {
            let mut answers = client.verify(request).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        });
        let verified = verified.await.map_err(|_| Error::Deadline { node })?;
        verified.map_err(|status| Error::Refused { node, status: Box::new(status) })
    }
}

impl Copies for ObjectNodes {
    fn pull(&self, node: NodeId, order: PullRequest) -> BoxFuture<'static, Result<Written, Error>> {
        let mut client = self.client(node);
        Box::pin(async move {
            let pulled = tokio::time::timeout(PULL_DEADLINE, client.pull(order)).await;
            let pulled = pulled.map_err(|_| Error::Deadline { node })?;
            let pulled = pulled
                .map_err(|status| Error::Refused { node, status: Box::new(status) })?
                .into_inner();
            Ok(Written {
                node: NodeId(pulled.node),
                incarnation: Incarnation(pulled.incarnation),
                length: pulled.length,
            })
        })
    }

    fn recheck(&self, node: NodeId, segments: Vec<Bytes>) -> BoxFuture<'static, ()> {
        let mut client = self.client(node);
        Box::pin(async move {
            let request = RecheckRequest { segment_ids: segments };
            if let Err(status) = client.recheck(request).await {
                tracing::debug!(%node, %status, "a node was not told of purged segments");
            }
        })
    }
}
