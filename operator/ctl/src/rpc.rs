//! The calls of all verbs: the one place that speaks gRPC.

mod administration;
mod channel;
mod cluster;
mod control;
mod failure;
mod recovery;
pub mod supervisor;

#[cfg(any(test, feature = "test-util"))]
pub(crate) mod double;

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::control::v1::control_client::ControlClient;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;
use gitstratum_proto::object::v1::object_client::ObjectClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::access::{Access, Place, Stores};
use crate::{Error, endpoint};
use channel::Bearer;

pub use channel::Freshness;
pub use control::Listed;

/// Longest wait for an answer: the control plane itself waits up to 5 s for nodes to follow,
/// and up to 10 s for a leader.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Longest that a node may take to go: many partitions are asked, in more time than the
/// control plane gives itself for any call.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(65);
/// Longest wait for the check of one repository, which reads all that its refs reach.
const CHECK_DEADLINE: Duration = Duration::from_secs(6 * 60 * 60);
/// Longest wait for the next message of a stream.
const STREAM_DEADLINE: Duration = Duration::from_secs(120);

type Authorized = InterceptedService<Channel, Bearer>;

/// A connection to a control plane, and on the nodes' own machine to their stores too. Every call
/// has a deadline; nothing is asked twice.
#[derive(Clone, Debug)]
pub struct Connection {
    control: Authorized,
    stores: Vec<Store>,
    silent: Vec<NodeId>,
    place: String,
}

/// The stores of one node.
#[derive(Clone, Debug)]
struct Store {
    node: NodeId,
    metadata: Option<Channel>,
    object: Option<Channel>,
    peers: Option<PathBuf>,
    agent: Option<Channel>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn open(access: &Access) -> Result<Self, Error> {
        Self::open_for(access, Freshness::Linearizable).await
    }

    /// Connects, for answers that are as new as `freshness` says.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn open_for(access: &Access, freshness: Freshness) -> Result<Self, Error> {
        let place = access.place.to_string();
        let channel = channel::connect(&access.place).await?;
        let bearer = Bearer::new(&access.token, freshness);
        let bearer = bearer.ok_or_else(|| Error::TokenShape(place.clone()))?;
        let control = InterceptedService::new(channel, bearer);
        let (stores, silent) = match &access.place {
            Place::Local { stores, .. } => living(stores).await,
            Place::Remote { .. } => (Vec::new(), Vec::new()),
        };
        Ok(Self { control, stores, silent, place })
    }

    /// Nodes of this machine that did not say that they live when this was opened.
    pub fn silent(&self) -> &[NodeId] {
        &self.silent
    }

    /// Whom this asks, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    async fn control<T>(
        &self,
        call: impl AsyncFnOnce(&mut ControlClient<Authorized>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let mut client =
            ControlClient::new(self.control.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        self.within(CALL_DEADLINE, call(&mut client)).await
    }

    async fn metadata<T>(
        &self,
        deadline: Duration,
        call: impl AsyncFn(&mut MetadataClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let mut answer = Err(self.not_offered());
        for channel in self.stores.iter().filter_map(|store| store.metadata.clone()) {
            let mut client =
                MetadataClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            answer = self.within(deadline, call(&mut client)).await;
            // Every node has every partition: what one cannot say another may.
            let is_away = |error: &Error| error.kind() == ErrorKind::Unavailable;
            if !answer.as_ref().is_err_and(is_away) {
                break;
            }
        }
        answer
    }

    async fn object<T>(
        &self,
        node: NodeId,
        call: impl AsyncFnOnce(&mut ObjectClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let channel = self.object_store(node).ok_or_else(|| self.not_offered())?;
        let mut client = ObjectClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        self.within(CALL_DEADLINE, call(&mut client)).await
    }

    /// The way to the object store of `node`: by its own socket, or, where it has none on this
    /// machine, through a node that has.
    fn object_store(&self, node: NodeId) -> Option<Channel> {
        let own = self.stores.iter().find(|store| store.node == node);
        if let Some(channel) = own.and_then(|store| store.object.clone()) {
            return Some(channel);
        }
        if own.is_some() || self.silent.contains(&node) {
            return None;
        }
        let peers = self.stores.iter().find_map(|store| store.peers.as_deref())?;
        Some(channel::peer(peers, node))
    }

    fn not_offered(&self) -> Error {
        Error::NotOffered(self.place.clone())
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(deadline, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure::of(&self.place, &status)),
            Err(_) => Err(Error::Silent { place: self.place.clone(), within: deadline }),
        }
    }

    fn answers<T>(&self, stream: Streaming<T>) -> Answers<T> {
        Answers { stream, place: self.place.clone() }
    }
}

/// Channels to the stores of nodes that live, and the nodes that do not.
async fn living(stores: &[Stores]) -> (Vec<Store>, Vec<NodeId>) {
    let asked = stores.iter().map(async |store| match &store.probes {
        Some(address) => endpoint::lives(address).await,
        None => true,
    });
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for (store, lives) in stores.iter().zip(join_all(asked).await) {
        if lives {
            found.push(Store {
                node: store.node,
                metadata: channel::store(&store.metadata),
                object: channel::store(&store.object),
                peers: store.peers.exists().then(|| store.peers.clone()),
                agent: channel::store(&store.agent),
            });
        } else {
            silent.push(store.node);
        }
    }
    (found, silent)
}

/// A streamed answer.
#[derive(Debug)]
pub struct Answers<T> {
    stream: Streaming<T>,
    place: String,
}

impl<T> Answers<T> {
    /// The next message; none at the end.
    ///
    /// # Errors
    /// When the stream breaks or falls silent.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        match tokio::time::timeout(STREAM_DEADLINE, self.stream.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(failure::of(&self.place, &status)),
            Err(_) => Err(Error::Silent { place: self.place.clone(), within: STREAM_DEADLINE }),
        }
    }
}

#[cfg(test)]
mod tests;
