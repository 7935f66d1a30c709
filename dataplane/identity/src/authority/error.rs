use gitstratum_core::{ClusterId, ErrorKind};

use crate::Peer;

/// Why a key or certificate was not made, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// An empty file, or one of other things.
    #[error("{file} holds no {what}")]
    Lacking {
        /// Its name.
        file: String,
        /// What was looked for.
        what: &'static str,
    },
    /// Something is there, and it cannot be read.
    #[error("{file} holds a damaged {what}")]
    Damaged {
        /// Its name.
        file: String,
        /// What was looked for.
        what: &'static str,
    },
    /// Each is whole, but they were not made together: one was swapped.
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Apart {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// An authority's certificate of another cluster.
    #[error("{file} is of cluster {found}, not of {expected}")]
    OtherCluster {
        /// Its name.
        file: String,
        /// What it says.
        found: String,
        /// This cluster.
        expected: ClusterId,
    },
    /// A certificate that may not sign others.
    #[error("{file} holds a certificate that is not an authority's")]
    NoAuthority {
        /// Its name.
        file: String,
    },
    /// A certificate that names no node of ours.
    #[error("certificate names no node: {rule}")]
    NoNode {
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A peer of another cluster wants a certificate of this one.
    #[error("peer is of cluster {found}, not of {expected}")]
    Stranger {
        /// The peer's.
        found: ClusterId,
        /// This one.
        expected: ClusterId,
    },
    /// A signing request that proves nothing.
    #[error("read the signing request of {peer}")]
    Request {
        /// Who sent it.
        peer: Peer,
        /// What is wrong with it.
        #[source]
        source: rcgen::Error,
    },
    /// The same, before it is known who sent it.
    #[error("read a signing request")]
    Unsigned(#[source] rcgen::Error),
    /// The crypto library failed.
    #[error("make a {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// What it said.
        #[source]
        source: rcgen::Error,
    },
}

impl AuthorityError {
    /// What to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Lacking { .. }
            | Self::Damaged { .. }
            | Self::Apart { .. }
            | Self::OtherCluster { .. }
            | Self::NoAuthority { .. } => ErrorKind::Corrupt,
            Self::NoNode { .. } | Self::Stranger { .. } => ErrorKind::Denied,
            Self::Request { .. } | Self::Unsigned(_) => ErrorKind::Invalid,
            Self::Make { .. } => ErrorKind::Bug,
        }
    }
}
