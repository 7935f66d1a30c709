use std::path::PathBuf;

use gitstratum_core::ErrorKind;
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
            Self::Incarnation { .. } => ErrorKind::Corrupt,
            Self::Listen { .. } => ErrorKind::Unavailable,
            Self::Interrupted => ErrorKind::Bug,
        }
    }
}
