//! Calls to partitions: the leader is found through the layout, each call has a
//! deadline, and what may be tried again is.

mod claims;
mod error;
mod leaders;
mod lists;
mod reach;
mod readers;
#[cfg(feature = "test-util")]
pub mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use gitstratum_core::{ErrorKind, NodeId, PartitionId};
use gitstratum_identity::{Dialer, Service};
use gitstratum_proto::MESSAGE_BYTES_MAX;
use gitstratum_proto::metadata::v1 as wire;
use gitstratum_proto::metadata::v1::metadata_client::MetadataClient;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Request, Status, Streaming};

use crate::cluster::Feed;
use crate::grpc::{self, Channel};
pub use error::Error;
use error::has_no_quorum;
use reach::Probe;
use readers::{Late, Readers};

/// Response metadata in which a voter that is not the leader names the leader.
pub const LEADER_HEADER: &str = "gs-leader";

/// Response metadata of a voter that has no majority within its reach.
pub const QUORUM_HEADER: &str = "gs-quorum";

/// After so long no call is tried again: an election is over by then, and a minority has to
/// say so soon (P-A8).
const TRY_FOR: Duration = Duration::from_secs(2);
/// Fewest tries: a leader that hangs takes all the time.
const TRIES_MIN: usize = 3;
/// The pause before the second try, doubled each time, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_LONGEST: Duration = Duration::from_millis(200);
/// After so long without an answer a read is asked of another voter as well.
const HEDGE_AFTER: Duration = Duration::from_millis(400);

/// Longest wait for what a node knows of its partitions.
const STATUS_WITHIN: Duration = Duration::from_secs(2);

/// How a call is made.
#[derive(Clone, Copy)]
struct Limit {
    /// Longest wait for one try.
    deadline: Duration,
    /// Who can answer.
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Leader,
    /// Every voter: it is a read (S27).
    AnyVoter,
    /// The same; where one is slow, the next is asked beside.
    AnyVoterHedged,
}

const READ: Limit = Limit { deadline: Duration::from_secs(10), by: By::AnyVoterHedged };
const PLAN: Limit = Limit { deadline: Duration::from_secs(60), by: By::AnyVoter };
const USE: Limit = Limit { deadline: Duration::from_secs(60), by: By::Leader };
const SESSION: Limit = Limit { deadline: Duration::from_secs(10), by: By::Leader };
/// The partition reads all its manifests for an answer now and then.
const INVENTORY: Limit = Limit { deadline: Duration::from_secs(20), by: By::Leader };
const UPDATE: Limit = Limit { deadline: Duration::from_secs(60), by: By::Leader };

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
    readers: Readers,
    probes: Mutex<BTreeMap<PartitionId, Weak<Probe>>>,
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
            readers: Readers::default(),
            probes: Mutex::new(BTreeMap::new()),
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
        self.call(partition, READ, request, |mut client, request| async move {
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
        self.call(partition, PLAN, request, |mut client, request| async move {
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
        #[cfg(feature = "test-util")]
        tap::pass(partition, &request).await?;
        self.send_update(partition, request).await
    }

    async fn send_update(
        &self,
        partition: PartitionId,
        request: wire::UpdateRefsRequest,
    ) -> Result<wire::UpdateRefsResponse, Error> {
        self.call(partition, UPDATE, request, |mut client, request| async move {
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
        self.call(partition, SESSION, request, |mut client, request| async move {
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
        #[cfg(feature = "test-util")]
        tap::hear(&request.renewals);
        self.call(partition, SESSION, request, |mut client, request| async move {
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
        self.call(partition, SESSION, request, |mut client, request| async move {
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
        self.call(partition, READ, request, |mut client, request| async move {
            client.segment_states(request).await
        })
        .await
    }

    /// Fences a node in the partition (S20); the number of its fence as it then is.
    ///
    /// # Errors
    /// After the last try; a refusal says why.
    pub async fn fence_node(
        &self,
        partition: PartitionId,
        request: wire::FenceNodeRequest,
    ) -> Result<wire::FenceNodeResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.fence_node(request).await
        })
        .await
    }

    /// Lifts a node's fence in the partition.
    ///
    /// # Errors
    /// As [`Partitions::fence_node`].
    pub async fn unfence_node(
        &self,
        partition: PartitionId,
        request: wire::UnfenceNodeRequest,
    ) -> Result<wire::FenceNodeResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.unfence_node(request).await
        })
        .await
    }

    /// What still names a node in the partition (S20).
    ///
    /// # Errors
    /// After the last try.
    pub async fn show_node_use(
        &self,
        partition: PartitionId,
        request: wire::ShowNodeUseRequest,
    ) -> Result<wire::ShowNodeUseResponse, Error> {
        self.call(partition, USE, request, |mut client, request| async move {
            client.show_node_use(request).await
        })
        .await
    }

    /// Gives up a segment whose owners are all lost (S20).
    ///
    /// # Errors
    /// After the last try.
    pub async fn accept_loss(
        &self,
        partition: PartitionId,
        request: wire::AcceptLossRequest,
    ) -> Result<wire::AcceptLossResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.accept_loss(request).await
        })
        .await
    }

    /// Shows the caller's incarnation, or only asks for the one it showed last (S23).
    ///
    /// # Errors
    /// After the last try.
    pub async fn show_incarnation(
        &self,
        partition: PartitionId,
        request: wire::ShowIncarnationRequest,
    ) -> Result<wire::ShowIncarnationResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.show_incarnation(request).await
        })
        .await
    }

    /// Compares what the caller holds with what the partition lists for it (S21).
    ///
    /// # Errors
    /// After the last try.
    pub async fn compare_inventory(
        &self,
        partition: PartitionId,
        request: wire::CompareInventoryRequest,
    ) -> Result<wire::CompareInventoryResponse, Error> {
        self.call(partition, INVENTORY, request, |mut client, request| async move {
            client.compare_inventory(request).await
        })
        .await
    }

    /// Says which copies the caller has lost (S21).
    ///
    /// # Errors
    /// After the last try.
    pub async fn report_lost(
        &self,
        partition: PartitionId,
        request: wire::ReportLostRequest,
    ) -> Result<wire::ReportLostResponse, Error> {
        self.call(partition, SESSION, request, |mut client, request| async move {
            client.report_lost(request).await
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

    /// What `node` knows of its partitions, without checksums, after it has confirmed where it leads;
    /// `None` without an answer in time.
    pub async fn confirmed_status(&self, node: NodeId) -> Option<wire::StatusResponse> {
        let mut client = self.client(node);
        let asked = client.status(Request::new(wire::StatusRequest { brief: true, confirm: true }));
        let answer = tokio::time::timeout(STATUS_WITHIN, asked).await.ok()?;
        answer.map(tonic::Response::into_inner).ok()
    }

    /// Asks until there is an answer, or it is known that there can be none.
    async fn call<Q, A, F>(
        &self,
        partition: PartitionId,
        limit: Limit,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        tokio::select! {
            biased;
            asked = self.ask(partition, limit, request, send) => asked,
            () = self.out_of_reach(partition) => Err(Error::NoQuorum { partition }),
        }
    }

    async fn ask<Q, A, F>(
        &self,
        partition: PartitionId,
        limit: Limit,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        let (began, mut pause, mut tries) = (Instant::now(), PAUSE_FIRST, 0);
        let (mut silent, mut asked) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            let node = match limit.by {
                By::Leader => self.leader_node(partition),
                By::AnyVoter => self.reader(partition, &silent, Late::Last),
                By::AnyVoterHedged => self.reader(partition, &silent, Late::TriedAgain),
            };
            let node = node.ok_or(Error::NoVoters { partition })?;
            // A read that is slow is asked once of each voter, never twice of one.
            let may_hedge =
                limit.by == By::AnyVoterHedged && asked.len() + 1 < self.voters(partition).len();
            let under_way = self.inner.readers.begin(node);
            let sent = send(self.client(node), Request::new(request.clone()));
            let sent = tokio::time::timeout(limit.deadline, sent);
            asked.push(async move {
                let sent = sent.await;
                drop(under_way);
                (node, sent)
            });
            tries += 1;
            let (node, sent) = tokio::select! {
                biased;
                Some(answered) = asked.next() => answered,
                () = tokio::time::sleep(HEDGE_AFTER), if may_hedge => {
                    let late = Error::Deadline { partition };
                    self.inner.readers.note_late(node);
                    self.learn_leader(partition, node, &late, &mut silent);
                    continue;
                }
            };
            let error = match sent {
                Ok(Ok(answer)) => {
                    self.inner.readers.note_well(node);
                    return Ok(answer.into_inner());
                }
                Ok(Err(status)) => Error::Refused { partition, status: Box::new(status) },
                Err(_) => Error::Deadline { partition },
            };
            let is_behind = limit.by != By::Leader && self.is_behind(partition, node, &error);
            if is_behind {
                silent.insert(node);
            }
            self.learn_leader(partition, node, &error, &mut silent);
            let is_over = tries >= TRIES_MIN && began.elapsed() >= TRY_FOR;
            if (error.kind() != ErrorKind::Unavailable && !is_behind) || is_over {
                return Err(if error.is_of_quorum() {
                    Error::NoQuorum { partition }
                } else {
                    error
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
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
