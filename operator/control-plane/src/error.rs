use std::collections::BTreeSet;

use gitstratum_consensus::{ProposeError, ReadError};
use gitstratum_core::{ClusterId, ErrorKind, NodeId};
use gitstratum_identity::AuthorityError;
use gitstratum_process::TaskError;
use gitstratum_state::{Rejection, RowError};

use crate::config::ConfigError;

/// Why the control plane does not run, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("control-plane configuration: {0}")]
    Config(#[from] ConfigError),
    /// The log cannot be opened or led.
    #[error("control-plane log: {0}")]
    Log(#[source] gitstratum_consensus::Error),
    /// A cluster id is recorded, but the control plane knows nothing (S45).
    #[error(
        "ControlPlaneLost: cluster {0} is recorded here, but its control plane's state is gone; \
         bring its data back, or rebuild it with `gitstratum cluster recover`"
    )]
    Lost(ClusterId),
    /// Asked to bring back what is there.
    #[error("the control plane has its state: there is nothing to bring back")]
    NotLost,
    /// What is to be brought back makes no cluster.
    #[error("what is to be brought back: {0}")]
    Snapshot(&'static str),
    /// Voters that may have the state still.
    #[error(
        "not every voter of the control plane says that it has nothing: {} may have its state; \
         start them first", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    VotersMissing(BTreeSet<NodeId>),
    /// Nobody here can write the next generation down.
    #[error("this control plane has no record beside its data: it cannot be brought back here")]
    NoRecord,
    /// The next generation could not be written down.
    #[error("writing the next generation down: {0}")]
    Generation(String),
    /// The state is another cluster's.
    #[error("the control plane's state is of cluster {found}, but cluster {recorded} is recorded")]
    OtherCluster {
        /// What is written beside the data.
        recorded: ClusterId,
        /// What the state says.
        found: ClusterId,
    },
    /// The cluster's authority could not be made.
    #[error("cluster authority: {0}")]
    Authority(#[source] AuthorityError),
    /// Nobody here signs certificates.
    #[error("this control plane has no authority: a node that is alone needs none")]
    NoAuthority,
    /// A linearizable read was not possible.
    #[error("control plane cannot answer now: {0}")]
    Read(#[source] ReadError),
    /// A command was not acknowledged.
    #[error("control plane cannot act now: {0}")]
    Propose(#[source] ProposeError),
    /// A command was acknowledged, and its answer does not read.
    #[error("answer of a command does not decode")]
    Answer,
    /// Refused.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// Made, but not yet everywhere.
    #[error("{0} was made and will appear, but not every node has confirmed it within {1:?}")]
    Unsettled(String, std::time::Duration),
    /// A node's report under another start than the last registered one (RV-S3).
    #[error("node {node} reports as start {sent}, known is {known:?}")]
    OldIncarnation {
        /// The node.
        node: NodeId,
        /// The start that is registered.
        known: Option<u64>,
        /// The start that reports.
        sent: u64,
    },
    /// A node tells of a failed login that cannot be one.
    #[error("failed login: {0}")]
    FailedLogin(&'static str),
    /// A partition could not be asked about a node.
    #[error("not every partition answers: {0}")]
    Partition(#[source] gitstratum_client::metadata::Error),
    /// A node still holds what cannot be done without.
    #[error("{problem}; {remedy}")]
    InUse {
        /// Which node holds what.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A call took too long.
    #[error("not done within {0:?}; it may yet be")]
    Deadline(std::time::Duration),
    /// Too many streams.
    #[error("{0} are at their limit")]
    Busy(&'static str),
    /// Stored audit lines do not read.
    #[error("audit lines: {0}")]
    Audit(#[source] RowError),
    /// The engine failed while audit lines were read.
    #[error("audit lines: {0}")]
    Engine(#[source] gitstratum_store::engine::Error),
    /// A server of this process ended.
    #[error("server for {door}: {source}")]
    Serve {
        /// Whom it served.
        door: &'static str,
        /// Why it ended.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A task of this process failed.
    #[error("control plane: {0}")]
    Task(#[from] TaskError),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) => ErrorKind::Invalid,
            Self::Log(source) => source.kind(),
            Self::Lost(_)
            | Self::NotLost
            | Self::VotersMissing(_)
            | Self::NoRecord
            | Self::OtherCluster { .. }
            | Self::OldIncarnation { .. } => ErrorKind::Conflict,
            Self::Snapshot(_) => ErrorKind::Invalid,
            Self::Generation(_) => ErrorKind::Unavailable,
            Self::Authority(source) => source.kind(),
            Self::NoAuthority => ErrorKind::Conflict,
            Self::Read(source) => source.kind(),
            Self::Propose(source) => source.kind(),
            Self::Partition(source) => source.kind(),
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Answer => ErrorKind::Bug,
            Self::Refused(rejection) => rejection.kind,
            Self::Unsettled(..) | Self::Deadline(_) | Self::Serve { .. } => ErrorKind::Unavailable,
            Self::FailedLogin(_) => ErrorKind::Invalid,
            Self::Busy(_) => ErrorKind::Busy,
            Self::Audit(source) => source.kind(),
            Self::Engine(source) => source.kind(),
            Self::Task(source) => source.kind(),
        }
    }
}
