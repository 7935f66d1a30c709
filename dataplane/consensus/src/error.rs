use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_store::{commit, engine};

use crate::config::ConfigError;
use crate::id::{GroupId, LogIndex};

/// Why a group cannot be opened, or does not work any more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("consensus configuration: {0}")]
    Config(#[source] ConfigError),
    /// The engine failed.
    #[error("group {group}: {source}")]
    Engine {
        /// The group.
        group: GroupId,
        /// What happened.
        source: engine::Error,
    },
    /// A batch could not be made durable.
    #[error("group {group}: {source}")]
    Commit {
        /// The group.
        group: GroupId,
        /// What happened.
        source: commit::Error,
    },
    /// An entry of the log is damaged or missing.
    #[error("group {group}: log entry {index} is damaged: {what}")]
    Log {
        /// The group.
        group: GroupId,
        /// The entry.
        index: LogIndex,
        /// What was found.
        what: String,
    },
    /// A record beside the log is damaged.
    #[error("group {group}: its {record} is damaged: {what}")]
    Record {
        /// The group.
        group: GroupId,
        /// Which record.
        record: &'static str,
        /// What was found.
        what: String,
    },
    /// The state machine could not go on.
    #[error("group {group}: entry {index} could not be applied: {source}")]
    Machine {
        /// The group.
        group: GroupId,
        /// The entry; the last applied one if the state could not be loaded.
        index: LogIndex,
        /// What the machine said.
        source: MachineError,
    },
    /// A snapshot that a peer sent is damaged, cut short or of a newer version.
    #[error("group {group}: snapshot refused: {what}")]
    Snapshot {
        /// The group.
        group: GroupId,
        /// What was found.
        what: String,
    },
    /// The group is already open in this host.
    #[error("group {group} is open already")]
    Open {
        /// The group.
        group: GroupId,
    },
    /// A peer's message cannot be understood or is not for this node.
    #[error("message refused: {what}")]
    Message {
        /// What is wrong with it.
        what: String,
    },
    /// This node does not lead the group.
    #[error("group {group} is led by {}", name(*leader))]
    NotLeader {
        /// The group.
        group: GroupId,
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The membership asked for is refused.
    #[error("group {group}: membership refused: {what}")]
    Membership {
        /// The group.
        group: GroupId,
        /// Why.
        what: String,
    },
    /// It took too long.
    #[error("group {group}: no {awaited} within {within:?}")]
    Timeout {
        /// The group.
        group: GroupId,
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        within: Duration,
    },
    /// No majority of the voters has answered here for too long.
    #[error("group {group}: no majority of its voters has answered for {silence:?}")]
    NoQuorum {
        /// The group.
        group: GroupId,
        /// For how long.
        silence: Duration,
    },
    /// Too few peers have said what they know of this replica's starts (S23).
    #[error("group {group}: {answers} peers have answered this start, {needed} are needed")]
    NotAdmitted {
        /// The group.
        group: GroupId,
        /// Peers that have answered.
        answers: usize,
        /// How many have to.
        needed: usize,
    },
    /// A peer has seen a later start of this replica: it has lost what it did since, and was
    /// destroyed (S23). A new one takes its place at the next start.
    #[error("group {group}: a peer knows a later start of this replica, which was destroyed")]
    RolledBack {
        /// The group.
        group: GroupId,
    },
    /// The group has stopped.
    #[error("group {group} has stopped{}", because(cause.as_deref()))]
    Stopped {
        /// The group.
        group: GroupId,
        /// What stopped it, unless it was told to.
        cause: Option<Arc<Error>>,
    },
    /// A thread or task of this crate failed.
    #[error("group {group}: {what}")]
    Task {
        /// The group.
        group: GroupId,
        /// Which.
        what: String,
    },
}

impl Error {
    /// What kind of failure it is. A group that stopped because of damage is unavailable:
    /// the damage itself was reported when it was found.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Message { .. } | Self::Membership { .. } => ErrorKind::Invalid,
            Self::Engine { source, .. } => source.kind(),
            Self::Commit { source, .. } => source.kind(),
            Self::Log { .. } | Self::Record { .. } | Self::Snapshot { .. } => ErrorKind::Corrupt,
            Self::Machine { source, .. } => source.kind(),
            Self::Open { .. } => ErrorKind::Conflict,
            Self::NotLeader { .. }
            | Self::Timeout { .. }
            | Self::NoQuorum { .. }
            | Self::NotAdmitted { .. }
            | Self::RolledBack { .. }
            | Self::Stopped { .. } => ErrorKind::Unavailable,
            Self::Task { .. } => ErrorKind::Bug,
        }
    }
}

/// Why a state machine cannot apply an entry or load its state. The group stops: going on
/// without it would make the replicas differ (S14). A command that is merely refused is a
/// reply, not an error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MachineError {
    /// The engine failed.
    #[error("could not use the state: {0}")]
    Engine(#[source] engine::Error),
    /// Stored rows, or the command itself, do not decode.
    #[error("{what} does not decode: {why}")]
    Damaged {
        /// Which row or command.
        what: String,
        /// What was found.
        why: String,
    },
}

impl MachineError {
    /// Damage found in `what`.
    pub fn damaged(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Damaged { what: what.into(), why: why.to_string() }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine(error) => error.kind(),
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}

impl From<engine::Error> for MachineError {
    fn from(error: engine::Error) -> Self {
        Self::Engine(error)
    }
}

/// Why a proposal was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads. The command was not proposed.
    #[error("group {group} is led by {}", name(*leader))]
    NotLeader {
        /// The group.
        group: GroupId,
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The command is larger than the configuration allows. It was not proposed.
    #[error("command of {bytes} bytes is larger than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The group has stopped. The command was not proposed.
    #[error("group {group} has stopped{}", because(cause.as_deref()))]
    Stopped {
        /// The group.
        group: GroupId,
        /// What stopped it, unless it was told to.
        cause: Option<Arc<Error>>,
    },
    /// The disk has no room for new work. The command was not proposed.
    #[error("group {group}: {source}")]
    Full {
        /// The group.
        group: GroupId,
        /// What the engine says.
        source: engine::Error,
    },
    /// This node leads as far as it knows, but no majority has answered for too long. The
    /// command was not proposed.
    #[error("group {group}: no majority of its voters has answered for {silence:?}")]
    NoQuorum {
        /// The group.
        group: GroupId,
        /// For how long.
        silence: Duration,
    },
    /// Too many bytes of other proposals have no outcome yet. The command was not proposed.
    #[error("group {group} has too many proposals under way")]
    Busy {
        /// The group.
        group: GroupId,
    },
    /// The command was proposed, and whether it was or will be applied is not known:
    /// leadership changed, the group stopped, or it took too long.
    #[error("group {group}: outcome of the proposal is unknown{}", because(cause.as_deref()))]
    Unknown {
        /// The group.
        group: GroupId,
        /// What stopped it, if anything did.
        cause: Option<Arc<Error>>,
    },
}

impl ProposeError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader { .. }
            | Self::Stopped { .. }
            | Self::NoQuorum { .. }
            | Self::Unknown { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Full { source, .. } => source.kind(),
        }
    }

    /// Whether it failed because no majority of the voters answers here.
    pub fn is_of_quorum(&self) -> bool {
        match self {
            Self::NoQuorum { .. } => true,
            Self::Unknown { cause, .. } => matches!(cause.as_deref(), Some(Error::NoQuorum { .. })),
            _ => false,
        }
    }

    /// Whether the command may have been applied, or may yet be (S11). If not, it was not
    /// proposed and never will be.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Why a linearizable read cannot be answered here and now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads, or the leader does not answer.
    #[error("group {group} has no leader that answers ({})", name(*leader))]
    NoLeader {
        /// The group.
        group: GroupId,
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// No majority of the voters has answered here for too long.
    #[error("group {group}: no majority of its voters has answered for {silence:?}")]
    NoQuorum {
        /// The group.
        group: GroupId,
        /// For how long.
        silence: Duration,
    },
    /// The leader could not reach a quorum, or this replica is too far behind.
    #[error("group {group}: read not confirmed within {within:?}")]
    Timeout {
        /// The group.
        group: GroupId,
        /// How long it waited.
        within: Duration,
    },
    /// The group has stopped.
    #[error("group {group} has stopped{}", because(cause.as_deref()))]
    Stopped {
        /// The group.
        group: GroupId,
        /// What stopped it, unless it was told to.
        cause: Option<Arc<Error>>,
    },
}

impl ReadError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

fn name(leader: Option<NodeId>) -> String {
    leader.map_or_else(|| "nobody known".to_owned(), |node| format!("node {node}"))
}

fn because(cause: Option<&Error>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}
