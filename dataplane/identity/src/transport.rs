//! Connections between the services of a cluster: inside one process, or over
//! mutually authenticated TLS. What runs above cannot tell which.

use std::fmt;
use std::io;

use futures::future::BoxFuture;
use gitstratum_core::{ClusterId, NodeId, ProcessRole};
use tokio::io::{AsyncRead, AsyncWrite};

mod guests;
mod listener;
mod local;
mod stream;
mod tcp;

pub use guests::Guests;
pub use listener::Listener;
pub use local::LocalNetwork;
pub use stream::{Accepted, Guest, PeerStream};
pub use tcp::{
    AddressBook, Admitted, GuestDialer, RoleDialer, TcpDialer, listen_open_tcp, listen_tcp,
};

/// Connections that wait to be accepted by one listener; the next dial waits.
const ACCEPT_QUEUE_MAX: usize = 1_024;

/// An internal service of a node: one port each (design §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Control-plane gRPC, 9090.
    Control,
    /// Raft between control planes, 8080.
    ControlRaft,
    /// Metadata gRPC, 9100.
    Metadata,
    /// Raft between partitions, 9101.
    MetadataRaft,
    /// Object gRPC, 9110.
    Object,
    /// Bulk bytes of object nodes, 9111.
    Bulk,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Control,
        Self::ControlRaft,
        Self::Metadata,
        Self::MetadataRaft,
        Self::Object,
        Self::Bulk,
    ];

    /// The service that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == word)
    }

    /// The word used in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::ControlRaft => "control-raft",
            Self::Metadata => "metadata",
            Self::MetadataRaft => "metadata-raft",
            Self::Object => "object",
            Self::Bulk => "bulk",
        }
    }

    /// The role whose processes serve it: what a dialler expects to meet.
    pub const fn served_by(self) -> ProcessRole {
        match self {
            Self::Control | Self::ControlRaft => ProcessRole::Control,
            Self::Metadata | Self::MetadataRaft => ProcessRole::Metadata,
            Self::Object | Self::Bulk => ProcessRole::Object,
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its cluster.
    pub cluster: ClusterId,
    /// What it is there.
    pub role: ProcessRole,
    /// Its node.
    pub node: NodeId,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of cluster {}", self.role, self.node, self.cluster)
    }
}

/// Bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Bytes both ways, of whatever kind.
pub type BoxStream = Box<dyn ByteStream>;

/// Opens connections to services, as one certain peer.
pub trait Dialer: Send + Sync {
    /// A connection to `service` of `node`. Waits as long as the other side lets it:
    /// the caller brings the deadline.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens, else what the network or the proof of
    /// identity says.
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>>;
}
