//! How the voters of replicated logs reach each other. What they say is not understood
//! here: a message goes over, and its answer comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::raft::v1 as wire;
use gitstratum_proto::raft::v1::raft_client::RaftClient;
use gitstratum_proto::raft::v1::raft_server::{Raft, RaftServer};
use parking_lot::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::grpc::{self, Channel};

/// Messages above this go over a connection of their own, so that heartbeats do not wait
/// behind them (S13).
const LARGE_BYTES: usize = 64 * 1024;

/// Why a message has no answer.
#[derive(Debug, thiserror::Error)]
#[error("voter on node {node}: {}", status.message())]
pub struct Error {
    /// The voter.
    pub node: NodeId,
    status: Box<Status>,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        grpc::kind(&self.status)
    }
}

/// The other voters, dialled when first asked. Deadlines are the caller's: a future that
/// is dropped takes its message back.
pub struct Voters {
    dialer: Arc<dyn Dialer>,
    service: Service,
    lanes: Mutex<BTreeMap<(NodeId, Lane), Channel>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Small,
    Large,
}

impl fmt::Debug for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voters").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Voters {
    /// Voters that serve `service`, reached through `dialer`.
    pub fn new(dialer: Arc<dyn Dialer>, service: Service) -> Arc<Self> {
        Arc::new(Self { dialer, service, lanes: Mutex::default() })
    }

    /// Sends `message` to `target` and waits for the answer.
    ///
    /// # Errors
    /// When the voter cannot be reached, or refuses the message.
    pub async fn send(&self, target: NodeId, message: Bytes) -> Result<Bytes, Error> {
        let lane = if message.len() > LARGE_BYTES { Lane::Large } else { Lane::Small };
        let mut client = RaftClient::new(self.channel(target, lane))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        match client.exchange(wire::Message { body: message }).await {
            Ok(answer) => Ok(answer.into_inner().body),
            Err(status) => Err(Error { node: target, status: Box::new(status) }),
        }
    }

    fn channel(&self, target: NodeId, lane: Lane) -> Channel {
        let mut lanes = self.lanes.lock();
        let dialed = || grpc::channel(Arc::clone(&self.dialer), target, self.service);
        lanes.entry((target, lane)).or_insert_with(dialed).clone()
    }
}

/// Answers a message from a node; the error is told to the voter that sent it.
pub type Receive = dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync;

/// The service that hands messages of other voters to `receive`.
pub fn routes(receive: Arc<Receive>) -> Routes {
    let server = RaftServer::new(Receiver { receive })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(server)
}

struct Receiver {
    receive: Arc<Receive>,
}

#[tonic::async_trait]
impl Raft for Receiver {
    async fn exchange(
        &self,
        request: Request<wire::Message>,
    ) -> Result<Response<wire::Message>, Status> {
        let sender = grpc::peer(&request)?.node;
        match (self.receive)(sender, request.into_inner().body).await {
            Ok(body) => Ok(Response::new(wire::Message { body })),
            Err(why) => Err(Status::invalid_argument(why)),
        }
    }
}

#[cfg(test)]
mod tests;
