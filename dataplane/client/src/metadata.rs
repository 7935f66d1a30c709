//! Calls to partitions: the leader is found through the layout, each call has a
//! deadline, and what may be tried again is.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, NodeId, PartitionId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;
use parking_lot::Mutex;
use tonic::{Request, Status, Streaming};

use crate::cluster::Feed;
use crate::grpc::{self, Channel};

/// Response metadata in which a voter that is not the leader names the leader.
pub const LEADER_HEADER: &str = "gs-leader";

/// Most tries of one call, and the pause before the second, doubled each time.
const TRIES_MAX: u32 = 6;
const PAUSE_FIRST: Duration = Duration::from_millis(25);
/// Longest wait for one try of a read, of a plan, of a push.
const READ_DEADLINE: Duration = Duration::from_secs(10);
const PLAN_DEADLINE: Duration = Duration::from_secs(60);
const UPDATE_DEADLINE: Duration = Duration::from_secs(60);

/// Why a call to a partition failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout names no voter for it.
    #[error("partition {partition} has no voters in the layout")]
    NoVoters {
        /// The partition.
        partition: PartitionId,
    },
    /// No answer in time.
    #[error("partition {partition} did not answer in time")]
    Deadline {
        /// The partition.
        partition: PartitionId,
    },
    /// The partition refused.
    #[error("partition {partition}: {}", status.message())]
    Refused {
        /// The partition.
        partition: PartitionId,
        /// Its answer.
        status: Box<Status>,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoVoters { .. } | Self::Deadline { .. } => ErrorKind::Unavailable,
            Self::Refused { status, .. } => grpc::kind(status),
        }
    }

    fn leader_hint(&self) -> Option<NodeId> {
        let Self::Refused { status, .. } = self else { return None };
        NodeId::parse(status.metadata().get(LEADER_HEADER)?.to_str().ok()?)
    }
}

/// Channels to the metadata service of every node, and the last known leaders.
#[derive(Clone)]
pub struct Partitions {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Arc<dyn Dialer>,
    feed: Feed,
    channels: Mutex<BTreeMap<NodeId, Channel>>,
    leaders: Mutex<BTreeMap<PartitionId, NodeId>>,
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partitions").finish_non_exhaustive()
    }
}

type Client = MetadataClient<Channel>;

impl Partitions {
    /// Clients of the partitions that `feed`'s layout names.
    pub fn new(dialer: Arc<dyn Dialer>, feed: Feed) -> Self {
        let inner = Inner {
            dialer,
            feed,
            channels: Mutex::new(BTreeMap::new()),
            leaders: Mutex::new(BTreeMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Every partition of the layout.
    pub fn all(&self) -> Vec<PartitionId> {
        let snapshot = self.inner.feed.current();
        snapshot.partitions().map(|placement| PartitionId(placement.partition)).collect()
    }

    /// Refs and manifest of a repository; the answer is streamed (S31).
    ///
    /// # Errors
    /// After the last try.
    pub async fn get_refs(
        &self,
        partition: PartitionId,
        request: wire::GetRefsRequest,
    ) -> Result<Streaming<wire::GetRefsResponse>, Error> {
        self.call(partition, READ_DEADLINE, request, |mut client, request| async move {
            client.get_refs(request).await
        })
        .await
    }

    /// One negotiation round.
    ///
    /// # Errors
    /// After the last try.
    pub async fn plan_fetch(
        &self,
        partition: PartitionId,
        request: wire::PlanFetchRequest,
    ) -> Result<wire::PlanFetchResponse, Error> {
        self.call(partition, PLAN_DEADLINE, request, |mut client, request| async move {
            client.plan_fetch(request).await
        })
        .await
    }

    /// A push. Sent again with the same number and attempt it is applied once (S11).
    ///
    /// # Errors
    /// After the last try; the outcome is then unknown.
    pub async fn update_refs(
        &self,
        partition: PartitionId,
        request: wire::UpdateRefsRequest,
    ) -> Result<wire::UpdateRefsResponse, Error> {
        self.call(partition, UPDATE_DEADLINE, request, |mut client, request| async move {
            client.update_refs(request).await
        })
        .await
    }

    /// A new session with a partition (S10).
    ///
    /// # Errors
    /// After the last try.
    pub async fn open_session(
        &self,
        partition: PartitionId,
        request: wire::OpenSessionRequest,
    ) -> Result<wire::OpenSessionResponse, Error> {
        self.call(partition, READ_DEADLINE, request, |mut client, request| async move {
            client.open_session(request).await
        })
        .await
    }

    /// Renews sessions with the partitions that the leader of `partition` leads.
    ///
    /// # Errors
    /// After the last try.
    pub async fn renew_sessions(
        &self,
        partition: PartitionId,
        request: wire::RenewSessionsRequest,
    ) -> Result<wire::RenewSessionsResponse, Error> {
        self.call(partition, READ_DEADLINE, request, |mut client, request| async move {
            client.renew_sessions(request).await
        })
        .await
    }

    /// Closes a session.
    ///
    /// # Errors
    /// After the last try.
    pub async fn close_session(
        &self,
        partition: PartitionId,
        request: wire::CloseSessionRequest,
    ) -> Result<wire::CloseSessionResponse, Error> {
        self.call(partition, READ_DEADLINE, request, |mut client, request| async move {
            client.close_session(request).await
        })
        .await
    }

    /// What the partition says of segments, in one linearizable read (S12).
    ///
    /// # Errors
    /// After the last try.
    pub async fn segment_states(
        &self,
        partition: PartitionId,
        request: wire::SegmentStatesRequest,
    ) -> Result<wire::SegmentStatesResponse, Error> {
        self.call(partition, READ_DEADLINE, request, |mut client, request| async move {
            client.segment_states(request).await
        })
        .await
    }

    /// A client of the partition's leader as far as it is known, for calls that need no retry.
    ///
    /// # Errors
    /// When the layout names no voter.
    pub fn leader(&self, partition: PartitionId) -> Result<Client, Error> {
        let node = self.leader_node(partition).ok_or(Error::NoVoters { partition })?;
        Ok(self.client(node))
    }

    async fn call<Q, A, F>(
        &self,
        partition: PartitionId,
        deadline: Duration,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        let mut pause = PAUSE_FIRST;
        let mut tries = 1;
        loop {
            let client = self.leader(partition)?;
            let sent = tokio::time::timeout(deadline, send(client, Request::new(request.clone())));
            let error = match sent.await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => Error::Refused { partition, status: Box::new(status) },
                Err(_) => Error::Deadline { partition },
            };
            self.learn_leader(partition, &error);
            if error.kind() != ErrorKind::Unavailable || tries == TRIES_MAX {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Follows a hint at a voter; without one the next voter is tried.
    fn learn_leader(&self, partition: PartitionId, error: &Error) {
        if error.kind() != ErrorKind::Unavailable {
            return;
        }
        let hint = error.leader_hint().filter(|node| self.voters(partition).contains(node));
        let next = hint.or_else(|| self.next_voter(partition));
        if let Some(node) = next {
            self.inner.leaders.lock().insert(partition, node);
        }
    }

    fn next_voter(&self, partition: PartitionId) -> Option<NodeId> {
        let current = self.leader_node(partition)?;
        let voters = self.voters(partition);
        let place = voters.iter().position(|voter| *voter == current).unwrap_or_default();
        voters.get((place + 1) % voters.len().max(1)).copied()
    }

    fn leader_node(&self, partition: PartitionId) -> Option<NodeId> {
        let known = self.inner.leaders.lock().get(&partition).copied();
        let voters = self.voters(partition);
        known.filter(|node| voters.contains(node)).or_else(|| voters.first().copied())
    }

    /// The partition's voters, the preferred leader first.
    fn voters(&self, partition: PartitionId) -> Vec<NodeId> {
        let snapshot = self.inner.feed.current();
        let placement = snapshot.partitions().find(|p| p.partition == partition.0);
        let Some(placement) = placement else { return Vec::new() };
        let mut voters: Vec<_> = placement.voters.iter().copied().map(NodeId).collect();
        voters.sort_by_key(|node| node.0 != placement.preferred_leader);
        voters
    }

    fn client(&self, node: NodeId) -> Client {
        let mut channels = self.inner.channels.lock();
        let channel = channels.entry(node).or_insert_with(|| {
            grpc::channel(Arc::clone(&self.inner.dialer), node, Service::Metadata)
        });
        MetadataClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests;
