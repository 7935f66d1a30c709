use gitstratum_core::{ErrorKind, NodeId};
use gitstratum_proto::bulk::KIND_HEADER;

use super::pool::Answer;

/// Why a read or write of segments failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the node.
    #[error("connecting to the bulk port of node {node}")]
    Connect {
        /// The node.
        node: NodeId,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("exchanging bulk bytes with node {node}")]
    Exchange {
        /// The node.
        node: NodeId,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("node {node} did not answer in time")]
    Deadline {
        /// The node.
        node: NodeId,
    },
    /// Too many calls to the node are under way.
    #[error("too many bulk calls to node {node} are under way")]
    Busy {
        /// The node.
        node: NodeId,
    },
    /// The node refused.
    #[error("node {node}: {message}")]
    Refused {
        /// The node.
        node: NodeId,
        /// What kind of refusal.
        kind: ErrorKind,
        /// Its words.
        message: String,
    },
    /// A frame is not what the format says.
    #[error("answer of node {node}: {problem}")]
    Frame {
        /// The node.
        node: NodeId,
        /// What is wrong.
        problem: &'static str,
    },
    /// The answer is not the message expected.
    #[error("answer of node {node}")]
    Answer {
        /// The node.
        node: NodeId,
        /// What is wrong.
        #[source]
        source: prost::DecodeError,
    },
    /// More ranges than one read may name.
    #[error("{count} ranges in one read")]
    TooManyRanges {
        /// How many.
        count: usize,
    },
    /// The request could not be made.
    #[error("making a bulk request")]
    Request {
        /// Why.
        #[source]
        source: http::Error,
    },
}

impl Error {
    /// The connection to `node` broke under a call.
    pub(super) fn broken(
        node: NodeId,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Exchange { node, source: source.into() }
    }

    /// Whether only a connection is known to be gone: the node may be well.
    pub const fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Exchange { .. })
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect { .. } | Self::Exchange { .. } | Self::Deadline { .. } => {
                ErrorKind::Unavailable
            }
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Refused { kind, .. } => *kind,
            Self::Frame { .. } | Self::Answer { .. } => ErrorKind::Corrupt,
            Self::TooManyRanges { .. } | Self::Request { .. } => ErrorKind::Bug,
        }
    }
}

/// Longest refusal text that is read.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Passes a good answer on; turns any other into the refusal it tells.
pub(super) async fn check(node: NodeId, answer: Answer) -> Result<Answer, Error> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let kind = answer.header(KIND_HEADER).and_then(|word| parse_kind(&word));
    let status = answer.status();
    let body = answer.collect_body(super::ANSWER_DEADLINE).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)]).into_owned();
    let message = if text.is_empty() { status.to_string() } else { text };
    Err(Error::Refused { node, kind: kind.unwrap_or(ErrorKind::Unavailable), message })
}

/// The kind that a word names.
pub(super) fn parse_kind(word: &str) -> Option<ErrorKind> {
    const ALL: [ErrorKind; 8] = [
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Denied,
        ErrorKind::Busy,
        ErrorKind::Corrupt,
        ErrorKind::Unavailable,
        ErrorKind::Invalid,
        ErrorKind::Bug,
    ];
    ALL.into_iter().find(|kind| kind.as_str() == word)
}
