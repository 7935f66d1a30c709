use std::path::PathBuf;

use gitstratum_client::fleet;
use gitstratum_core::ErrorKind;
use gitstratum_identity::{AuthorityError, TlsError};
use gitstratum_store::files;

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// Files could not be read or written.
    #[error("agent files: {source}")]
    Files {
        /// What failed.
        #[from]
        source: files::Error,
    },
    /// The number of starts is not one.
    #[error("{} holds no incarnation number", path.display())]
    Incarnation {
        /// The file.
        path: PathBuf,
    },
    /// A stored file is of a newer version of this program.
    #[error("{} has format {found}, this version reads 1: use a newer version", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
    },
    /// The socket could not be made.
    #[error("listening on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is on disk is another node's or another cluster's.
    #[error("{} is of {found}, not of {expected}: the folder is another node's", path.display())]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// What is on disk does not say whose it is, and nothing else does.
    #[error(
        "{} is damaged, and nothing else says which node this is: put it back from a backup, or \
         begin with an empty directory as a new node and have the old one drained and removed",
        path.display()
    )]
    DamagedIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The control plane did not give certificates.
    #[error("enrolling: {0}")]
    Enrol(#[source] fleet::Error),
    /// There is no control plane to ask.
    #[error("enrolling: no control plane is known")]
    NoControl,
    /// The first certificates did not come.
    #[error("not enrolled within {within:?}: the control plane is not in reach; the log says why")]
    NotEnrolled {
        /// How long was waited.
        within: std::time::Duration,
    },
    /// The control plane gave something else than was asked for.
    #[error("an answer to an enrolment {0}")]
    Answer(&'static str),
    /// A key or certificate is of no use.
    #[error(transparent)]
    Authority(AuthorityError),
    /// TLS was not set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A blocking task did not finish.
    #[error("a task did not finish")]
    Interrupted,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::NewerFormat { .. } => ErrorKind::Invalid,
            Self::Files { source } => source.kind(),
            Self::Incarnation { .. } | Self::DamagedIdentity { .. } => ErrorKind::Corrupt,
            Self::Listen { .. } | Self::NoControl | Self::NotEnrolled { .. } => {
                ErrorKind::Unavailable
            }
            Self::OtherIdentity { .. } => ErrorKind::Conflict,
            Self::Enrol(source) => source.kind(),
            Self::Answer(_) => ErrorKind::Denied,
            Self::Authority(source) => source.kind(),
            Self::Tls(source) => source.kind(),
            Self::Interrupted => ErrorKind::Bug,
        }
    }
}
