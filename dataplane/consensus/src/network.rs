use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use gitstratum_core::NodeId;

use crate::id::GroupId;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a message did not get an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The peer cannot be reached; wait a little before the next try.
    #[error("peer is unreachable: {0}")]
    Unreachable(String),
    /// The message or its answer was lost on the way; try again at once.
    #[error("message was lost: {0}")]
    Lost(String),
}

/// How messages reach peers. Whoever serves the other end hands them to
/// [`crate::Host::receive`] there and returns its answer. Deadlines are this crate's:
/// a future that takes too long is dropped.
///
/// Messages carry group, sender and receiver; the network checks that the peer is of the
/// same cluster and is the node it says it is.
pub trait Network: Send + Sync {
    /// Sends `message` about `group` to `target` and returns the answer. Messages of up
    /// to a command's size plus a few hundred bytes must pass; large ones must not hold
    /// up small ones (S13).
    fn send(
        &self,
        group: GroupId,
        target: NodeId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NetworkError>>;
}

/// The network of a single voter: there is nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn send(
        &self,
        _: GroupId,
        target: NodeId,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
        let error = NetworkError::Unreachable(format!("no network to node {target}"));
        Box::pin(std::future::ready(Err(error)))
    }
}
