//! TLS on both kinds of port: the public one with the operator's certificate, the
//! internal ones where both sides prove which node they are. No other crate names
//! rustls for a server.

use std::sync::Arc;

use gitstratum_core::ErrorKind;
use rustls::crypto::CryptoProvider;

use crate::AuthorityError;

mod guest;
mod internal;
mod public;
mod verify;

pub use guest::GuestTls;
pub use internal::{ClientTls, InternalTls};
pub use public::PublicTls;

/// What a TLS server needs for its handshakes.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(crate) config: Arc<rustls::ServerConfig>,
    pub(crate) audience: Audience,
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Anybody; who it is, is found out above TLS.
    Public,
    /// Nodes of the cluster, by their certificates.
    Nodes,
    /// Nodes by their certificates, and whoever shows none.
    NodesAndGuests,
}

/// Why TLS was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is of no use.
    #[error("read certificate and key for tls")]
    Files(#[source] AuthorityError),
    /// The TLS library refuses the settings.
    #[error("configure tls")]
    Configure(#[source] rustls::Error),
    /// The TLS library refuses the authority's certificate.
    #[error("trust the cluster authority")]
    Trust(#[source] rustls::Error),
}

impl TlsError {
    /// What to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Files(source) => source.kind(),
            Self::Trust(_) => ErrorKind::Corrupt,
            Self::Configure(_) => ErrorKind::Bug,
        }
    }
}

/// The one crypto provider, named so that no global default matters.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
