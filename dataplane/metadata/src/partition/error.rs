use gitstratum_core::ErrorKind;

/// Why the state machine cannot go on. Refusals of a push are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rows could not be read.
    #[error("reading rows of the partition")]
    Rows {
        /// Kind of the failure beneath.
        kind: ErrorKind,
        /// The failure beneath.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Bytes are not the message they should be.
    #[error("{what} row or entry is damaged")]
    Damaged {
        /// Which.
        what: &'static str,
    },
    /// Bytes have a format that this version does not know.
    #[error("{what} has format version {version}, this program knows 1")]
    Format {
        /// Which.
        what: &'static str,
        /// Its version.
        version: u8,
    },
    /// The entry needs a newer program: applying anything else would part this replica from the rest.
    #[error("entry needs feature level {level}")]
    NewerEntry {
        /// The level it needs.
        level: u32,
    },
    /// Rows contradict one another.
    #[error("rows contradict one another: {problem}")]
    Contradiction {
        /// What contradicts what.
        problem: &'static str,
    },
}

impl Error {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Rows { kind, .. } => *kind,
            Self::Damaged { .. } | Self::Contradiction { .. } => ErrorKind::Corrupt,
            Self::Format { .. } | Self::NewerEntry { .. } => ErrorKind::Unavailable,
        }
    }
}
