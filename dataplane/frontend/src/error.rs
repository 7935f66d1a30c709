use std::sync::Arc;

use gitstratum_core::ErrorKind;
use gitstratum_git::{pktline, protocol};

use crate::conversation::{InputError, OutputError};

/// Said of a repository that does not exist and of one that may not be known (HIDE).
const NO_REPOSITORY: &str = "repository not found, or you may not read it";

/// Said when the replicas that can be reached are no majority (P-A8).
const NO_QUORUM: &str =
    "too few replicas of this repository's refs can be reached now; try again later";

/// Why a request failed, in words for the client and a kind for the edge.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`; `message` is what the client reads: no internals.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same, keeping what caused it for the log.
    pub fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(Box::new(source)) }
    }

    /// The one answer for a repository that does not exist and for one the caller may
    /// not know of (HIDE).
    pub fn no_repository() -> Self {
        Self::new(ErrorKind::NotFound, NO_REPOSITORY)
    }

    /// One failure that several requests share, for each of them.
    pub(crate) fn shared(error: &Arc<Self>) -> Self {
        Self::caused(error.kind, error.message.clone(), Arc::clone(error))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the client sent more than its request may have.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self.input(), Some(InputError::TooLarge { .. }))
    }

    /// Whether the client was silent for too long, or as good as silent.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.input(), Some(InputError::Idle { .. } | InputError::Slow { .. }))
    }

    /// Whether the client takes no bytes any more.
    pub(crate) fn is_of_output(&self) -> bool {
        self.source.as_deref().is_some_and(|source| source.is::<OutputError>())
    }

    fn input(&self) -> Option<&InputError> {
        self.source.as_deref()?.downcast_ref()
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::caused(error.kind(), error.to_string(), error)
    }
}

impl From<OutputError> for Error {
    fn from(error: OutputError) -> Self {
        Self::caused(error.kind(), error.to_string(), error)
    }
}

impl From<pktline::Error> for Error {
    fn from(error: pktline::Error) -> Self {
        Self::caused(error.kind(), error.to_string(), error)
    }
}

impl From<protocol::Error> for Error {
    fn from(error: protocol::Error) -> Self {
        Self::caused(error.kind(), error.to_string(), error)
    }
}

impl From<gitstratum_client::metadata::Error> for Error {
    fn from(error: gitstratum_client::metadata::Error) -> Self {
        let words = match error {
            gitstratum_client::metadata::Error::NoQuorum { .. } => NO_QUORUM,
            _ => words(error.kind()),
        };
        Self::caused(error.kind(), words, error)
    }
}

impl From<gitstratum_client::objects::Error> for Error {
    fn from(error: gitstratum_client::objects::Error) -> Self {
        Self::caused(error.kind(), words(error.kind()), error)
    }
}

/// What a client reads of a failure inside: no names of nodes, no bytes.
fn words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => NO_REPOSITORY,
        ErrorKind::Conflict => "the repository changed meanwhile; try again",
        ErrorKind::Denied => "you may not do this",
        ErrorKind::Busy => "the server is busy; try again later",
        ErrorKind::Corrupt => "stored data is damaged; the operators have been told",
        ErrorKind::Unavailable => "a part of the service does not answer; try again",
        ErrorKind::Invalid => "the request is not valid",
        ErrorKind::Bug => "internal error",
    }
}
