use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gitstratum_core::{NodeId, ProcessRole};
use gitstratum_process::{Drain, Metrics, spawn};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::mpsc;

use super::guests::GUESTS_MAX;
use super::{
    ACCEPT_QUEUE_MAX, BoxStream, Dialer, Guest, Guests, Listener, Peer, PeerStream, Service,
};
use crate::accept::{AcceptConfig, Conn, Server, Transport};
use crate::{ClientTls, GuestTls, InternalTls, ServerTls, TlsError};

/// Longest TLS handshake between nodes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a connection and its handshake: a SYN that is lost is sent again after 1 s and
/// after 3 s.
const DIAL_MAX: Duration = Duration::from_secs(5);

/// Connects to `address` and greets as `tls` says.
async fn connect(address: impl ToSocketAddrs, tls: &ClientTls) -> io::Result<BoxStream> {
    let connected = tokio::time::timeout(DIAL_MAX, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(tls.connect(stream).await?) as BoxStream)
    });
    connected.await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Where the services of nodes listen.
pub trait AddressBook: Send + Sync {
    /// The address of `service` of `node`, if it is known.
    fn address(&self, node: NodeId, service: Service) -> Option<SocketAddr>;
}

/// Opens mutually authenticated TLS connections over TCP.
pub struct TcpDialer {
    tls: Arc<InternalTls>,
    book: Arc<dyn AddressBook>,
}

impl std::fmt::Debug for TcpDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpDialer").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl TcpDialer {
    /// Dials as the node of `tls`, to the addresses in `book`.
    pub fn new(tls: Arc<InternalTls>, book: Arc<dyn AddressBook>) -> Self {
        Self { tls, book }
    }
}

impl Dialer for TcpDialer {
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let expected = Peer { cluster: self.tls.cluster(), role: service.served_by(), node };
        let (tls, address) = (self.tls.client(expected), self.book.address(node, service));
        async move {
            let address = address.ok_or_else(|| {
                let message = format!("no address of {} of node {node}", service.as_str());
                io::Error::new(io::ErrorKind::ConnectionRefused, message)
            })?;
            let tls = tls.map_err(io::Error::other)?;
            connect(address, &tls).await
        }
        .boxed()
    }
}

/// Dials one control plane as somebody who has no certificate yet, whichever node it is.
#[derive(Debug)]
pub struct GuestDialer {
    tls: GuestTls,
    address: String,
}

impl GuestDialer {
    /// To the control plane that listens on `address`, which is `HOST:PORT`.
    pub fn new(tls: GuestTls, address: String) -> Self {
        Self { tls, address }
    }
}

impl Dialer for GuestDialer {
    fn dial(&self, _: NodeId, _: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (tls, address) = (self.tls.client(), self.address.clone());
        async move { connect(address, &tls).await }.boxed()
    }
}

/// Dials as a node whichever node of one role listens on an address: for who does not know
/// yet which that is.
#[derive(Debug)]
pub struct RoleDialer {
    tls: Arc<InternalTls>,
    role: ProcessRole,
    address: String,
}

impl RoleDialer {
    /// As the node of `tls`, to a node of `role` on `address`, which is `HOST:PORT`.
    pub fn new(tls: Arc<InternalTls>, role: ProcessRole, address: String) -> Self {
        Self { tls, role, address }
    }
}

impl Dialer for RoleDialer {
    fn dial(&self, _: NodeId, _: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (tls, address) = (self.tls.client_of(self.role), self.address.clone());
        async move {
            let tls = tls.map_err(io::Error::other)?;
            connect(address, &tls).await
        }
        .boxed()
    }
}

/// Who may connect to a service, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    /// Roles of the nodes that may.
    pub roles: &'a [ProcessRole],
    /// Most connections at a time.
    pub connections_max: usize,
}

/// Accepts connections to `service` on `listener`, from nodes that prove themselves,
/// until `drain` starts or the returned listener is dropped.
///
/// # Errors
/// When the TLS library refuses the settings.
pub fn listen_tcp(
    listener: TcpListener,
    service: Service,
    tls: &InternalTls,
    admitted: Admitted<'_>,
    metrics: &Metrics,
    drain: Drain,
) -> Result<Listener, TlsError> {
    let tls = tls.server(admitted.roles)?;
    let (guests, _) = mpsc::channel(1);
    Ok(accept(Port { listener, service, tls, metrics }, guests, admitted, drain))
}

/// The same on a port where those who have no certificate may come too: they are told
/// apart, as [`Guests`], and are never taken for a node.
///
/// # Errors
/// When the TLS library refuses the settings.
pub fn listen_open_tcp(
    listener: TcpListener,
    service: Service,
    tls: &InternalTls,
    admitted: Admitted<'_>,
    metrics: &Metrics,
    drain: Drain,
) -> Result<(Listener, Guests), TlsError> {
    let tls = tls.open_server(admitted.roles)?;
    let (sender, incoming) = mpsc::channel(GUESTS_MAX);
    let guests = Guests::new(incoming, drain.clone());
    let port = Port { listener, service, tls, metrics };
    Ok((accept(port, sender, admitted, drain), guests))
}

/// A port that is about to be served.
struct Port<'a> {
    listener: TcpListener,
    service: Service,
    tls: ServerTls,
    metrics: &'a Metrics,
}

fn accept(
    port: Port<'_>,
    guests: mpsc::Sender<Guest>,
    admitted: Admitted<'_>,
    drain: Drain,
) -> Listener {
    let Port { listener, service, tls, metrics } = port;
    let config = AcceptConfig {
        name: service.as_str(),
        // Handshakes under way: a handler ends as soon as its connection is queued.
        connections_max: ACCEPT_QUEUE_MAX,
        per_client_max: ACCEPT_QUEUE_MAX,
        handshake_timeout: HANDSHAKE_TIMEOUT,
        close_after: Duration::ZERO,
        drain_within: Duration::ZERO,
        refusal: b"",
    };
    let server = Server::new(listener, Transport::Tls(tls), config, metrics);
    let (nodes, incoming) = mpsc::channel(ACCEPT_QUEUE_MAX);
    let hand_over = move |conn| hand_over(conn, nodes.clone(), guests.clone());
    let accepting = spawn(service.as_str(), server.run(hand_over, drain.clone()));
    Listener::new(incoming, admitted.connections_max, drain, accepting)
}

/// Queues an accepted connection. Should the listener be gone, so is the connection; so is
/// a guest for whom there is no room.
async fn hand_over(conn: Conn, nodes: mpsc::Sender<PeerStream>, guests: mpsc::Sender<Guest>) {
    let client = conn.client;
    match conn.peer {
        Some(peer) => {
            if nodes.send(PeerStream::new(peer, Box::new(conn.io))).await.is_err() {
                tracing::debug!(%peer, "listener is gone");
            }
        }
        None => {
            if guests.try_send(Guest::new(client, Box::new(conn.io))).is_err() {
                tracing::debug!(%client, "there is no room for another guest");
            }
        }
    }
}

#[cfg(test)]
mod tests;
