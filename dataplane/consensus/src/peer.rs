//! One peer of a group, as openraft talks to it.

mod serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;
use openraft::errors::{
    NetworkError as Lost, RPCError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use prost::Message as _;

use crate::id::GroupId;
use crate::network::{Network, NetworkError};
use crate::raft::{LogId, Metrics, Place, Types, Vote, node_of};
use crate::snapshot::{self, Snapshot};
use crate::wire::{self, Answer, Ask};

pub(crate) use serve::{Member, Served};

type Failed = RPCError<Types>;

/// What a network carries at least: entries that take longer are sent in vain.
const BYTES_PER_SECOND: u32 = 8 << 20;

/// How long a message may be on its way for its size.
fn time_of(bytes: usize) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1).mul_f64(f64::from(bytes) / f64::from(BYTES_PER_SECOND))
}

/// Makes [`Peer`]s.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) node: NodeId,
    /// This node's replica.
    pub(crate) replica: u64,
    pub(crate) group: GroupId,
    pub(crate) network: Arc<dyn Network>,
    /// Longest a whole snapshot may take.
    pub(crate) snapshot_timeout: Duration,
    /// Numbers the snapshots sent by this process.
    pub(crate) transfers: Arc<AtomicU64>,
}

impl Peers {
    /// Who leads, as far as `metrics` know.
    pub(crate) fn leader(&self, metrics: &Metrics) -> Option<NodeId> {
        metrics.current_leader.map(|leader| node_of(metrics, leader))
    }

    /// The replica on `node`, if it has a vote.
    pub(crate) fn voter_on(&self, metrics: &Metrics, node: NodeId) -> Option<u64> {
        metrics.membership_config.voter_ids().find(|id| node_of(metrics, *id) == node)
    }

    /// Asks `target`, whichever replica it has, and waits up to `within` for its answer, and longer
    /// for a large message.
    pub(crate) async fn ask(
        &self,
        target: NodeId,
        ask: Ask,
        within: Duration,
    ) -> Result<Answer, NetworkError> {
        self.ask_replica((target, 0), ask, within).await
    }

    async fn ask_replica(
        &self,
        (target, to_replica): (NodeId, u64),
        ask: Ask,
        within: Duration,
    ) -> Result<Answer, NetworkError> {
        let (group, from, to) = (self.group.0, self.node.0, target.0);
        let request = wire::Request { group, from, to, ask: Some(ask), to_replica };
        let message = Bytes::from(request.encode_to_vec());
        let within = within + time_of(message.len());
        let sent = self.network.send(self.group, target, message);
        let answered = tokio::time::timeout(within, sent)
            .await
            .map_err(|_| NetworkError::Lost(format!("no answer within {within:?}")))??;
        let response = wire::Response::decode(answered)
            .map_err(|error| NetworkError::Lost(format!("answer does not decode: {error}")))?;
        match response.answer {
            Some(Answer::Refused(why)) => Err(NetworkError::Unreachable(why)),
            Some(answer) => Ok(answer),
            None => Err(NetworkError::Lost("answer is empty".to_owned())),
        }
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, replica: u64, place: &Place) -> Peer {
        Peer { peers: self.clone(), target: NodeId(place.node), replica }
    }
}

/// One peer.
pub(crate) struct Peer {
    peers: Peers,
    target: NodeId,
    replica: u64,
}

impl Peer {
    async fn ask(&self, ask: Ask, option: &RPCOption) -> Result<Answer, Failed> {
        let asked = self.peers.ask_replica((self.target, self.replica), ask, option.hard_ttl());
        match asked.await {
            Ok(answer) => Ok(answer),
            Err(NetworkError::Unreachable(why)) => Err(Unreachable::from_string(why).into()),
            Err(NetworkError::Lost(why)) => Err(Lost::from_string(why).into()),
        }
    }

    async fn ask_vote(&self, ask: Ask, option: &RPCOption) -> Result<VoteResponse<Types>, Failed> {
        match self.ask(ask, option).await? {
            Answer::Vote(answer) => {
                let vote = Vote::from(answer.vote);
                Ok(VoteResponse::new(vote, answer.last.map(LogId::from), answer.granted))
            }
            _ => Err(wrong_answer()),
        }
    }

    /// Sends one chunk; the last one is answered when the snapshot is installed.
    async fn send_chunk(
        &self,
        vote: Vote,
        transfer: u64,
        chunk: Bytes,
        option: &RPCOption,
    ) -> Result<Vote, Failed> {
        let ask = Ask::Snapshot(wire::SnapshotAsk { vote: vote.into(), transfer, chunk });
        match self.ask(ask, option).await? {
            Answer::Snapshot(answer) => Ok(answer.vote.into()),
            _ => Err(wrong_answer()),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let Snapshot::Live(source) = snapshot else {
            return Err(Unreachable::from_string("only live snapshots are sent").into());
        };
        let transfer = self.peers.transfers.fetch_add(1, Ordering::SeqCst);
        let mut chunks = snapshot::stream(source);
        let mut answered = vote;
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(|error| Unreachable::new(&error))?;
            answered = self.send_chunk(vote, transfer, chunk, &option).await?;
            if answered > vote {
                break;
            }
        }
        Ok(SnapshotResponse::new(answered))
    }
}

fn wrong_answer() -> Failed {
    Lost::from_string("answer to another question").into()
}

fn append_ask(rpc: AppendEntriesRequest<Types>) -> Ask {
    Ask::Append(wire::AppendAsk {
        vote: rpc.vote.into(),
        previous: rpc.prev_log_id.map(Into::into),
        entries: rpc.entries.into_iter().map(Into::into).collect(),
        committed: rpc.leader_commit.map(Into::into),
    })
}

fn vote_ask(rpc: VoteRequest<Types>) -> wire::VoteAsk {
    wire::VoteAsk {
        vote: rpc.vote.into(),
        last: rpc.last_log_id.map(Into::into),
        transfer: rpc.leadership_transfer,
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Snapshot;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failed> {
        match self.ask(append_ask(rpc), &option).await? {
            Answer::Append(answer) => Ok(match answer {
                wire::AppendAnswer { higher_vote: Some(vote), .. } => {
                    AppendEntriesResponse::HigherVote(vote.into())
                }
                wire::AppendAnswer { conflict: true, .. } => AppendEntriesResponse::Conflict,
                wire::AppendAnswer { partial: true, partial_upto, .. } => {
                    AppendEntriesResponse::PartialSuccess(partial_upto.map(Into::into))
                }
                wire::AppendAnswer { .. } => AppendEntriesResponse::Success,
            }),
            _ => Err(wrong_answer()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failed> {
        self.ask_vote(Ask::Vote(vote_ask(rpc)), &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failed> {
        self.ask_vote(Ask::PreVote(vote_ask(rpc)), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Types, Snapshot>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sending = self.send_snapshot(vote, snapshot.snapshot, option);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = tokio::time::timeout(self.peers.snapshot_timeout, sending) => {
                sent.unwrap_or_else(|_| {
                    Err(Unreachable::from_string("snapshot took too long").into())
                })
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failed> {
        let ask = Ask::TransferLeader(wire::TransferAsk {
            vote: (*rpc.from_leader()).into(),
            to: *rpc.to_node_id(),
            last: rpc.last_log_id().map(|id| (*id).into()),
        });
        match self.ask(ask, &option).await? {
            Answer::TransferLeader(answer) if answer.refused => {
                let last = rpc.last_log_id().copied();
                Ok(Err(TransferLeaderError::LogNotFlushed { expected: last, actual: None }))
            }
            Answer::TransferLeader(_) => Ok(Ok(())),
            _ => Err(wrong_answer()),
        }
    }
}
