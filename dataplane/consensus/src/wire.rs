//! What is stored and sent, as protobuf messages (S49), and its meaning to openraft.

mod convert;

use bytes::Bytes;

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
    /// The nodes that the members are on, in the same order; empty where each has its
    /// node's id.
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) places: Vec<u64>,
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
    #[prost(oneof = "Ask", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14")]
    pub(crate) ask: Option<Ask>,
    /// The replica that is meant; 0 for whichever the node has.
    #[prost(uint64, tag = "20")]
    pub(crate) to_replica: u64,
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
    #[prost(message, tag = "10")]
    Standing(StandingAsk),
    #[prost(message, tag = "11")]
    Known(KnownAsk),
    #[prost(message, tag = "12")]
    Show(ShowAsk),
    #[prost(message, tag = "13")]
    Join(JoinAsk),
    #[prost(message, tag = "14")]
    Members(MembersAsk),
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

/// Whether the receiver could lead now.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StandingAsk {}

/// Which start of the sender's replica the receiver has seen last (S23).
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct KnownAsk {
    /// The group's voters are not all those of the founding (S39): who has nothing of it may have
    /// come later, and then its ignorance says nothing. False from a sender that does not say.
    #[prost(bool, tag = "1")]
    pub(crate) is_later: bool,
}

/// Shows a start of the sender's replica.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ShowAsk {
    #[prost(uint64, tag = "1")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
}

/// The sender's new replica is to be taken in, in place of the one it had.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct JoinAsk {
    #[prost(uint64, tag = "1")]
    pub(crate) replica: u64,
    /// Its life; 0 from a sender that does not say.
    #[prost(uint64, tag = "2")]
    pub(crate) life: u64,
}

/// Who the members are: for a leader, which is to confirm that it leads.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct MembersAsk {}

/// What it answers.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Response {
    #[prost(oneof = "Answer", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
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
    #[prost(message, tag = "7")]
    Standing(StandingAnswer),
    #[prost(message, tag = "8")]
    Known(KnownAnswer),
    #[prost(message, tag = "9")]
    Shown(ShownAnswer),
    #[prost(message, tag = "10")]
    Joining(JoiningAnswer),
    #[prost(message, tag = "11")]
    Later(LaterAnswer),
    #[prost(message, tag = "12")]
    Members(MembersAnswer),
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

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StandingAnswer {
    /// Index of its last log entry.
    #[prost(uint64, tag = "1")]
    pub(crate) last: u64,
    /// It is about to stop.
    #[prost(bool, tag = "2")]
    pub(crate) leaving: bool,
    /// Its id in the group.
    #[prost(uint64, tag = "3")]
    pub(crate) replica: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct KnownAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
    /// The receiver has state of the group itself.
    #[prost(bool, tag = "3")]
    pub(crate) holds: bool,
}

/// The answerer's own last start: whoever shows one may have lost what it knew of others'.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ShownAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct JoiningAnswer {}

/// The members' replicas, by a membership that is committed and no change follows.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MembersAnswer {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) replicas: Vec<u64>,
}

/// A start was shown that is older than this one, which the answerer has seen of the same node:
/// whoever shows it has lost what it did since.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LaterAnswer {
    #[prost(uint64, tag = "1")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
}

/// Stored: a node's own replica of a group, and its last start.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Replica {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) number: u64,
}

/// Stored: the last start of another node's replica that was shown here.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Seen {
    #[prost(uint64, tag = "1")]
    pub(crate) life: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
}
