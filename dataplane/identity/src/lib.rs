//! Who is who inside a cluster and how connections come in: the transport between
//! services, the cluster's certificate authority, TLS, and the accept loop of every
//! server.
//!
//! This crate must never know what is said on a connection, nor read a file. Its one
//! invariant: a [`Peer`] handed out with a connection was proved, by a certificate
//! of this cluster or by being this very process.

pub mod accept;
pub mod authority;
mod metric_names;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod transport;

pub use authority::{Authority, AuthorityError, Credentials, NodeKey, PemFile, authority_cluster};
pub use tls::{ClientTls, GuestTls, InternalTls, PublicTls, ServerTls, TlsError};
pub use transport::{
    Accepted, BoxStream, ByteStream, Dialer, Guest, Guests, Listener, LocalNetwork, Peer,
    PeerStream, Service,
};
