//! The transport over turmoil's network: who dials says who it is in a preface, which nobody
//! doubts, for there are no certificates in a run.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gitstratum_core::{ClusterId, NodeId, ProcessRole};
use gitstratum_identity::transport::PeerStream;
use gitstratum_identity::{BoxStream, Dialer, Listener, Peer, Service};
use gitstratum_process::{Drain, spawn};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, TcpStream};

use crate::events;

/// Most connections to one service of a node, and of those that wait.
const CONNECTIONS_MAX: usize = 1_024;
/// Bytes of a preface: cluster, node, role.
const PREFACE_BYTES: usize = 16 + 8 + 1;
/// Where people reach a frontend.
pub(crate) const HTTP: u16 = 80;

const ROLES: [ProcessRole; 5] = [
    ProcessRole::Control,
    ProcessRole::Metadata,
    ProcessRole::Object,
    ProcessRole::Frontend,
    ProcessRole::Agent,
];

/// What turmoil calls the node.
pub(crate) fn host(node: NodeId) -> String {
    format!("node-{}", node.0)
}

const fn port(service: Service) -> u16 {
    9_000 + service as u16
}

/// What cuts the control plane off, where a service is one of its own.
pub(crate) type Away = Arc<AtomicBool>;

fn away_of(service: Service, away: &Away) -> Option<Away> {
    let is_control = matches!(service, Service::Control | Service::ControlRaft);
    is_control.then(|| Arc::clone(away))
}

fn refused(away: Option<&Away>) -> io::Result<()> {
    match away {
        Some(away) if away.load(Ordering::Relaxed) => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(()),
    }
}

/// Opens connections as one peer.
pub(crate) struct SimDialer {
    pub(crate) peer: Peer,
    pub(crate) away: Away,
}

impl Dialer for SimDialer {
    fn dial(&self, node: NodeId, service: Service) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (me, away) = (self.peer, away_of(service, &self.away));
        async move {
            refused(away.as_ref())?;
            let mut stream = TcpStream::connect((host(node), port(service))).await?;
            stream.write_all(&preface(me)).await?;
            let name = format!("{} {} > {node} {}", me.node, me.role, service.as_str());
            Ok(Box::new(Told { name, stream, away }) as BoxStream)
        }
        .boxed()
    }
}

/// Accepts connections to `service` of the node that this runs on.
pub(crate) async fn listen(service: Service, away: &Away, drain: Drain) -> io::Result<Listener> {
    let away = away_of(service, away);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port(service))).await?;
    let (sender, incoming) = mpsc::channel(CONNECTIONS_MAX);
    let accepting = spawn("accept", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (sender, away) = (sender.clone(), away.clone());
            let greeting = async move {
                let mut preface = [0; PREFACE_BYTES];
                stream.read_exact(&mut preface).await?;
                let peer = peer(&preface);
                let name = format!("{} < {} {}", service.as_str(), peer.node, peer.role);
                let stream = PeerStream::new(peer, Box::new(Told { name, stream, away }));
                // Nobody accepts any more.
                let _gone = sender.send(stream).await;
                Ok::<_, io::Error>(())
            };
            spawn("preface", greeting).detach();
        }
    });
    Ok(Listener::new(incoming, CONNECTIONS_MAX, drain, accepting))
}

fn preface(peer: Peer) -> [u8; PREFACE_BYTES] {
    let mut bytes = [0; PREFACE_BYTES];
    bytes[..16].copy_from_slice(&peer.cluster.0);
    bytes[16..24].copy_from_slice(&peer.node.0.to_be_bytes());
    let role = ROLES.iter().position(|role| *role == peer.role);
    bytes[24] = role.and_then(|role| u8::try_from(role).ok()).unwrap_or(u8::MAX);
    bytes
}

fn peer(bytes: &[u8; PREFACE_BYTES]) -> Peer {
    let (mut cluster, mut node) = ([0; 16], [0; 8]);
    cluster.copy_from_slice(&bytes[..16]);
    node.copy_from_slice(&bytes[16..24]);
    let role = ROLES[usize::from(bytes[24]).min(ROLES.len() - 1)];
    Peer { cluster: ClusterId(cluster), role, node: NodeId(u64::from_be_bytes(node)) }
}

/// A connection whose bytes are events.
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) stream: TcpStream,
    /// Set while it is cut.
    pub(crate) away: Option<Away>,
}

impl AsyncRead for Told {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        refused(self.away.as_ref())?;
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        events::detail(&self.name, &buffer.filled()[before..]);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Told {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        refused(self.away.as_ref())?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
