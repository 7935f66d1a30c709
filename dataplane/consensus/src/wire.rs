//! What is stored and sent, as protobuf messages (S49), and its meaning to openraft.

use std::collections::BTreeMap;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::vote::leader_id_std::CommittedLeaderId;

use crate::command::Opaque;
use crate::raft;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LogId {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Vote {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(bool, tag = "3")]
    pub(crate) committed: bool,
}

/// One voter set, or two while a change is under way; members are voters and learners.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Membership {
    #[prost(message, repeated, tag = "1")]
    pub(crate) configs: Vec<Voters>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) members: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Voters {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) nodes: Vec<u64>,
}

/// A log entry: a command, a membership, or neither (a new leader's first entry).
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Entry {
    #[prost(message, required, tag = "1")]
    pub(crate) id: LogId,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) command: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub(crate) membership: Option<Membership>,
}

/// Which generation of rows is the state, and what has been applied to it (S40).
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Position {
    #[prost(uint64, tag = "1")]
    pub(crate) generation: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) applied: Option<LogId>,
    #[prost(message, optional, tag = "3")]
    pub(crate) membership_id: Option<LogId>,
    #[prost(message, required, tag = "4")]
    pub(crate) membership: Membership,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Row {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// A piece of a snapshot. The first has a position, the last an end, those between rows.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) position: Option<Position>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) rows: Vec<Row>,
    #[prost(message, optional, tag = "4")]
    pub(crate) end: Option<SnapshotEnd>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotEnd {
    #[prost(uint64, tag = "1")]
    pub(crate) rows: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) digest: Bytes,
}

/// What one node asks another.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(uint64, tag = "1")]
    pub(crate) group: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) from: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) to: u64,
    #[prost(oneof = "Ask", tags = "4, 5, 6, 7, 8, 9")]
    pub(crate) ask: Option<Ask>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Ask {
    #[prost(message, tag = "4")]
    Append(AppendAsk),
    #[prost(message, tag = "5")]
    Vote(VoteAsk),
    #[prost(message, tag = "6")]
    PreVote(VoteAsk),
    #[prost(message, tag = "7")]
    Snapshot(SnapshotAsk),
    #[prost(message, tag = "8")]
    TransferLeader(TransferAsk),
    #[prost(message, tag = "9")]
    ReadIndex(ReadIndexAsk),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AppendAsk {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
    #[prost(message, optional, tag = "2")]
    pub(crate) previous: Option<LogId>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) entries: Vec<Entry>,
    #[prost(message, optional, tag = "4")]
    pub(crate) committed: Option<LogId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VoteAsk {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<LogId>,
    #[prost(bool, tag = "3")]
    pub(crate) transfer: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotAsk {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
    /// Tells transfers of one sender apart.
    #[prost(uint64, tag = "2")]
    pub(crate) transfer: u64,
    /// A sealed [`Chunk`].
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) chunk: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TransferAsk {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<LogId>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ReadIndexAsk {}

/// What it answers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Response {
    #[prost(oneof = "Answer", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Answer {
    #[prost(message, tag = "1")]
    Append(AppendAnswer),
    #[prost(message, tag = "2")]
    Vote(VoteAnswer),
    #[prost(message, tag = "3")]
    Snapshot(SnapshotAnswer),
    #[prost(message, tag = "4")]
    TransferLeader(TransferAnswer),
    #[prost(message, tag = "5")]
    ReadIndex(ReadIndexAnswer),
    /// The request was understood and refused.
    #[prost(string, tag = "6")]
    Refused(String),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AppendAnswer {
    #[prost(bool, tag = "1")]
    pub(crate) conflict: bool,
    #[prost(message, optional, tag = "2")]
    pub(crate) higher_vote: Option<Vote>,
    /// Set if only the entries up to `partial_upto` were taken.
    #[prost(bool, tag = "3")]
    pub(crate) partial: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) partial_upto: Option<LogId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VoteAnswer {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
    #[prost(bool, tag = "2")]
    pub(crate) granted: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<LogId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotAnswer {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: Vote,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TransferAnswer {
    /// The receiver's log does not reach as far as the sender's yet.
    #[prost(bool, tag = "1")]
    pub(crate) refused: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ReadIndexAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
}

impl From<raft::LogId> for LogId {
    fn from(id: raft::LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<LogId> for raft::LogId {
    fn from(id: LogId) -> Self {
        Self { leader_id: CommittedLeaderId::new(id.term), index: id.index }
    }
}

impl From<raft::Vote> for Vote {
    fn from(vote: raft::Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<Vote> for raft::Vote {
    fn from(vote: Vote) -> Self {
        if vote.committed {
            Self::new_committed(vote.term, vote.node)
        } else {
            Self::new(vote.term, vote.node)
        }
    }
}

impl From<&raft::Membership> for Membership {
    fn from(membership: &raft::Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        Self {
            configs: configs.map(|set| Voters { nodes: set.iter().copied().collect() }).collect(),
            members: membership.nodes().map(|(node, ())| *node).collect(),
        }
    }
}

impl Membership {
    /// Its meaning, unless it contradicts itself.
    pub(crate) fn read(self) -> Result<raft::Membership, String> {
        if self.configs.is_empty() && self.members.is_empty() {
            return Ok(raft::Membership::default());
        }
        let configs = self.configs.into_iter().map(|set| set.nodes.into_iter().collect());
        let members: BTreeMap<u64, ()> = self.members.into_iter().map(|node| (node, ())).collect();
        raft::Membership::new(configs.collect(), members).map_err(|error| error.to_string())
    }
}

impl From<raft::Entry> for Entry {
    fn from(entry: raft::Entry) -> Self {
        let id = entry.log_id().into();
        match entry.payload {
            EntryPayload::Blank => Self { id, command: None, membership: None },
            EntryPayload::Normal(command) => {
                Self { id, command: Some(command.0), membership: None }
            }
            EntryPayload::Membership(membership) => {
                Self { id, command: None, membership: Some((&membership).into()) }
            }
        }
    }
}

impl Entry {
    /// Its meaning, unless it contradicts itself.
    pub(crate) fn read(self) -> Result<raft::Entry, String> {
        let payload = match (self.command, self.membership) {
            (None, None) => EntryPayload::Blank,
            (Some(command), None) => EntryPayload::Normal(Opaque(command)),
            (None, Some(membership)) => EntryPayload::Membership(membership.read()?),
            (Some(_), Some(_)) => return Err("both a command and a membership".to_owned()),
        };
        Ok(raft::Entry::new(self.id.into(), payload))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memberships_round_trip_and_contradictions_are_refused() {
        let voters = BTreeSet::from([1, 2, 3]);
        let joint = vec![voters, BTreeSet::from([3, 4])];
        let members: BTreeMap<u64, ()> = (1..=5).map(|node| (node, ())).collect();
        let membership = raft::Membership::new(joint, members).unwrap();
        assert_eq!(Membership::from(&membership).read(), Ok(membership));
        let nobody = Membership { configs: vec![Voters { nodes: vec![9] }], members: vec![1] };
        assert!(nobody.read().is_err(), "a voter that is no member");
    }

    proptest! {
        #[test]
        fn entries_round_trip(
            term: u64,
            index: u64,
            command: Option<Vec<u8>>,
        ) {
            let payload = command.map_or(EntryPayload::Blank, |bytes| {
                EntryPayload::Normal(Opaque(bytes.into()))
            });
            let id = raft::LogId { leader_id: CommittedLeaderId::new(term), index };
            let entry = raft::Entry::new(id, payload);
            let read = Entry::from(entry.clone()).read().unwrap();
            prop_assert_eq!(read.log_id(), entry.log_id());
            prop_assert_eq!(read.payload, entry.payload);
        }
    }
}
