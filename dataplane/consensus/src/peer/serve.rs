use std::sync::Arc;

use gitstratum_core::NodeId;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use parking_lot::Mutex;

use crate::applier::Applied;
use crate::error::{Error, ReadError};
use crate::group::{Contact, Driver, Failure, Joining, Reads, Steering};
use crate::machine::StateMachine;
use crate::network::BoxFuture;
use crate::raft::{Raft, Types, Vote, has_settled};
use crate::snapshot::{Received, Receiver};
use crate::wire::{self, Answer, Ask};

/// A group of this node, as its peers see it.
pub(crate) trait Member: Send + Sync {
    /// The answer to what `from` asks.
    fn answer(&self, from: NodeId, ask: Ask) -> BoxFuture<'_, Result<Answer, Error>>;

    /// The replica that it is.
    fn replica(&self) -> u64;

    /// Hands leadership over, if this node has it; whether it has not any more.
    fn hand_over(&self) -> BoxFuture<'_, bool>;

    /// Sends no heartbeat any more, so that the others elect another.
    fn fall_silent(&self);

    /// Takes part as before.
    fn speak_up(&self);

    /// Whether other nodes have voters.
    fn is_replicated(&self) -> bool;

    /// What stopped the group, if anything but its end did.
    fn failure(&self) -> Option<Arc<Error>>;

    /// Stops the group.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// Answers peers of one group.
pub(crate) struct Served<M: StateMachine> {
    pub(crate) driver: Driver<M>,
    pub(crate) applied: Arc<Applied<M>>,
    pub(crate) reads: Reads<M>,
    pub(crate) failure: Failure,
    pub(crate) contact: Contact,
    pub(crate) steering: Steering<M>,
    pub(crate) joining: Joining<M>,
    /// The snapshot that is arriving; a new one takes its place.
    pub(crate) transfer: Mutex<Option<Transfer>>,
}

/// A snapshot that is arriving.
pub(crate) struct Transfer {
    from: NodeId,
    number: u64,
    receiver: Receiver,
}

impl<M: StateMachine> Member for Served<M> {
    fn answer(&self, from: NodeId, ask: Ask) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move {
            match ask {
                Ask::Append(ask) => self.append(ask).await,
                Ask::Vote(ask) => {
                    let ask = vote_request(ask);
                    self.call(|raft| async move { raft.vote(ask).await }).await.map(vote_answer)
                }
                Ask::PreVote(ask) => {
                    let ask = vote_request(ask);
                    self.call(|raft| async move { raft.pre_vote(ask).await }).await.map(vote_answer)
                }
                Ask::Snapshot(ask) => self.snapshot(from, ask).await,
                Ask::TransferLeader(ask) => self.transfer_leader(ask).await,
                Ask::ReadIndex(wire::ReadIndexAsk {}) => self.read_index().await,
                Ask::Standing(wire::StandingAsk {}) => {
                    Ok(Answer::Standing(self.steering.standing()))
                }
                Ask::Join(ask) => {
                    self.joining.begin(from, ask.replica)?;
                    Ok(Answer::Joining(wire::JoiningAnswer {}))
                }
                Ask::Members(wire::MembersAsk {}) => self.members().await,
                Ask::Known(_) | Ask::Show(_) => {
                    let what = "the host answers that".to_owned();
                    Err(Error::Message { what })
                }
            }
        })
    }

    fn replica(&self) -> u64 {
        self.joining.peers.replica
    }

    fn fall_silent(&self) {
        self.driver.fall_silent();
    }

    fn speak_up(&self) {
        self.driver.take_part();
    }

    fn is_replicated(&self) -> bool {
        // What was lost with the disk the log does not tell any more.
        let is_known = self.joining.voters.lock().nodes().len() > 1;
        let metrics = self.driver.metrics();
        is_known || metrics.borrow_watched().membership_config.voter_ids().nth(1).is_some()
    }

    fn failure(&self) -> Option<Arc<Error>> {
        self.failure.cause()
    }

    fn hand_over(&self) -> BoxFuture<'_, bool> {
        self.driver.stand_back();
        Box::pin(self.steering.hand_over())
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.driver.stop())
    }
}

impl<M: StateMachine> Served<M> {
    /// What openraft answers, unless the group has ended.
    async fn call<T, E, F>(&self, call: impl FnOnce(Raft<M>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.driver.call(call).await {
            Some(answered) => answered.map_err(|error| self.stopped(&error)),
            None => Err(self.stopped(&"it has ended")),
        }
    }

    fn stopped(&self, error: &impl std::fmt::Display) -> Error {
        tracing::debug!(%error, group = %self.applied.group, "a peer found the group stopped");
        Error::Stopped { group: self.applied.group, cause: self.failure.cause() }
    }

    async fn append(&self, ask: wire::AppendAsk) -> Result<Answer, Error> {
        let entries: Result<Vec<_>, String> =
            ask.entries.into_iter().map(wire::Entry::read).collect();
        let request = AppendEntriesRequest {
            vote: ask.vote.into(),
            prev_log_id: ask.previous.map(Into::into),
            entries: entries.map_err(|what| Error::Message { what })?,
            leader_commit: ask.committed.map(Into::into),
        };
        let response = self.call(|raft| async move { raft.append_entries(request).await }).await;
        let response = response?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.contact.hear();
        }
        let mut answer = wire::AppendAnswer::default();
        match response {
            AppendEntriesResponse::Success => {}
            AppendEntriesResponse::PartialSuccess(upto) => {
                answer.partial = true;
                answer.partial_upto = upto.map(Into::into);
            }
            AppendEntriesResponse::Conflict => answer.conflict = true,
            AppendEntriesResponse::HigherVote(vote) => answer.higher_vote = Some(vote.into()),
        }
        Ok(Answer::Append(answer))
    }

    async fn snapshot(&self, from: NodeId, ask: wire::SnapshotAsk) -> Result<Answer, Error> {
        let begun = self.transfer.lock().take();
        let mut transfer = match begun {
            Some(begun) if begun.from == from && begun.number == ask.transfer => begun,
            other => {
                self.discard(other.map(|transfer| transfer.receiver)).await?;
                Transfer { from, number: ask.transfer, receiver: self.applied.receive() }
            }
        };
        let group = self.applied.group;
        let chunk = ask.chunk;
        let taking = move || {
            let taken = transfer.receiver.take(&chunk);
            (transfer, taken)
        };
        let (transfer, taken) = gitstratum_process::blocking(taking)
            .await
            .map_err(|panic| Error::Task { group, what: format!("snapshot: {panic}") })?;
        if !self.is_of_the_past(ask.vote) {
            self.contact.hear();
        }
        let vote = match taken {
            Ok(None) => {
                *self.transfer.lock() = Some(transfer);
                ask.vote
            }
            Ok(Some(received)) => {
                let answered = self.install(ask.vote, received).await?;
                if !self.applied.is_generation(transfer.receiver.generation()) {
                    self.discard(Some(transfer.receiver)).await?;
                }
                answered
            }
            Err(error) => {
                self.discard(Some(transfer.receiver)).await?;
                return Err(error);
            }
        };
        Ok(Answer::Snapshot(wire::SnapshotAnswer { vote }))
    }

    /// Whether who says so led before the one that this replica knows.
    fn is_of_the_past(&self, vote: wire::Vote) -> bool {
        Vote::from(vote) < self.driver.metrics().borrow_watched().vote
    }

    async fn install(&self, vote: wire::Vote, received: Received) -> Result<wire::Vote, Error> {
        let snapshot = self.applied.offer(received)?;
        let install =
            |raft: Raft<M>| async move { raft.install_full_snapshot(vote.into(), snapshot).await };
        let installed: SnapshotResponse<Types> = self.call(install).await?;
        Ok(installed.vote.into())
    }

    /// Removes the rows of a transfer that was given up.
    async fn discard(&self, receiver: Option<Receiver>) -> Result<(), Error> {
        let Some(receiver) = receiver else { return Ok(()) };
        let group = self.applied.group;
        gitstratum_process::blocking(move || receiver.discard())
            .await
            .map_err(|panic| Error::Task { group, what: format!("snapshot: {panic}") })?
    }

    async fn transfer_leader(&self, ask: wire::TransferAsk) -> Result<Answer, Error> {
        let request = TransferLeaderRequest::new(ask.vote.into(), ask.to, ask.last.map(Into::into));
        let handle = |raft: Raft<M>| async move { raft.handle_transfer_leader(request).await };
        let refused = self.call(handle).await?.is_err();
        Ok(Answer::TransferLeader(wire::TransferAnswer { refused }))
    }

    /// Who the members are, if this replica leads: looked at after it has confirmed that, so
    /// the membership is not one of a leader of the past.
    async fn members(&self) -> Result<Answer, Error> {
        let group = self.applied.group;
        let confirmed = self.reads.confirm_leadership().await;
        confirmed.map_err(|error| Error::Membership { group, what: error.to_string() })?;
        let metrics = self.driver.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader || !has_settled(&metrics) {
            let what = "its members are about to change".to_owned();
            return Err(Error::Membership { group, what });
        }
        let members = metrics.committed_membership_config.membership().nodes();
        let replicas = members.map(|(replica, _)| *replica).collect();
        Ok(Answer::Members(wire::MembersAnswer { replicas }))
    }

    async fn read_index(&self) -> Result<Answer, Error> {
        match self.reads.confirm_leadership().await {
            Ok(index) => Ok(Answer::ReadIndex(wire::ReadIndexAnswer { index: index.0 })),
            Err(ReadError::Stopped { group, cause }) => Err(Error::Stopped { group, cause }),
            Err(ReadError::NoQuorum { group, silence }) => Err(Error::NoQuorum { group, silence }),
            Err(ReadError::NoLeader { group, leader }) => Err(Error::NotLeader { group, leader }),
            Err(ReadError::Timeout { group, within }) => {
                Err(Error::Timeout { group, awaited: "quorum", within })
            }
        }
    }
}

fn vote_request(ask: wire::VoteAsk) -> VoteRequest<Types> {
    VoteRequest {
        vote: ask.vote.into(),
        last_log_id: ask.last.map(Into::into),
        leadership_transfer: ask.transfer,
    }
}

fn vote_answer(response: VoteResponse<Types>) -> Answer {
    Answer::Vote(wire::VoteAnswer {
        vote: response.vote.into(),
        granted: response.vote_granted,
        last: response.last_log_id.map(Into::into),
    })
}
