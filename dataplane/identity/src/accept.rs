//! The accept loop of every TCP server: limits, TLS, client address, drain. What is
//! said on a connection is its handler's.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_process::{Drain, Metrics, TaskGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::metric_names::{Connections, Outcome};
use crate::tls::{Audience, ServerTls};
use crate::{Peer, authority};

mod admission;
mod connection;

pub use connection::{Conn, ConnStream};

use admission::{Admission, Ticket};

/// After an accept that failed, as when no descriptor is left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// What telling a client that it is refused may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Clients being told so at a time; the next ones are just closed.
const REFUSALS_MAX: usize = 256;

/// Limits of one server.
#[derive(Clone, Copy, Debug)]
pub struct AcceptConfig {
    /// What it is called in logs and metrics.
    pub name: &'static str,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Most of them from one client: an IPv4 address or an IPv6 /64.
    pub per_client_max: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// How long it goes on accepting once the drain has started, because those who
    /// send clients learn of it late (design §9).
    pub close_after: Duration,
    /// How long its handlers then have to finish.
    pub drain_within: Duration,
    /// What a client over a limit is told on a plain connection before it is closed,
    /// in whatever protocol the server speaks. May be empty.
    pub refusal: &'static [u8],
}

impl Default for AcceptConfig {
    fn default() -> Self {
        Self {
            name: "server",
            connections_max: 10_000,
            per_client_max: 1_000,
            handshake_timeout: Duration::from_secs(10),
            close_after: Duration::from_secs(5),
            drain_within: Duration::from_secs(900),
            refusal: b"",
        }
    }
}

/// What lies between TCP and the handler.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS.
    Tls(ServerTls),
}

/// A TCP server before it runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    reception: Reception,
}

/// What every connection passes on its way in.
#[derive(Clone, Debug)]
struct Reception {
    transport: Transport,
    config: AcceptConfig,
    admission: Arc<Admission>,
    counts: Connections,
}

impl Server {
    /// Serves `listener` within the limits of `config`.
    pub fn new(
        listener: TcpListener,
        transport: Transport,
        config: AcceptConfig,
        metrics: &Metrics,
    ) -> Self {
        let admission = Admission::new(config.connections_max, config.per_client_max);
        let counts = Connections::new(metrics, config.name);
        let reception = Reception { transport, config, admission, counts };
        Self { listener, reception }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Hands every connection to `handler`, each in a task of its own. A connection
    /// counts for the limits as long as its handler's future runs.
    ///
    /// Once `drain` starts it goes on accepting for `close_after` and then closes the
    /// port. Only then [`Conn::drain`] starts: handlers finish what they are at, for up
    /// to `drain_within`. The rest is aborted; returns how many those were.
    pub async fn run<H, F>(self, handler: H, drain: Drain) -> usize
    where
        H: Fn(Conn) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, reception } = self;
        let config = reception.config;
        let (trigger, ending) = Drain::new();
        let mut desk = Desk {
            reception,
            handler: Arc::new(handler),
            ending,
            handlers: TaskGroup::new(config.name),
            refusals: TaskGroup::new("refusal"),
        };
        let closing = async {
            drain.started().await;
            sleep(config.close_after).await;
        };
        tokio::pin!(closing);
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                Some(_) = desk.handlers.next() => {}
                Some(_) = desk.refusals.next() => {}
                accepted = listener.accept() => desk.take(accepted).await,
            }
        }
        drop(listener);
        trigger.start();
        desk.handlers.drain(config.drain_within).await
    }
}

/// Where connections are let in or turned away.
struct Desk<H> {
    reception: Reception,
    handler: Arc<H>,
    ending: Drain,
    handlers: TaskGroup,
    refusals: TaskGroup,
}

impl<H, F> Desk<H>
where
    H: Fn(Conn) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, client)) => self.admit(stream, client),
            Err(error) => {
                tracing::warn!(server = self.reception.config.name, %error, "accept failed");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, client: SocketAddr) {
        match self.reception.admission.admit(client.ip()) {
            Ok(ticket) => {
                let arrival = Arrival { stream, client, ticket, drain: self.ending.clone() };
                let handler = Arc::clone(&self.handler);
                self.handlers.spawn(self.reception.clone().receive(arrival, handler));
            }
            Err(outcome) => {
                self.reception.counts.count(outcome);
                let refusal = self.reception.config.refusal;
                if !refusal.is_empty() && self.refusals.len() < REFUSALS_MAX {
                    self.refusals.spawn(refuse(stream, refusal));
                }
            }
        }
    }
}

/// A connection that was let in.
struct Arrival {
    stream: TcpStream,
    client: SocketAddr,
    ticket: Ticket,
    drain: Drain,
}

impl Reception {
    async fn receive<H, F>(self, arrival: Arrival, handler: Arc<H>)
    where
        H: Fn(Conn) -> F,
        F: Future<Output = ()>,
    {
        let client = arrival.client;
        let shaken = timeout(self.config.handshake_timeout, self.shake_hands(arrival)).await;
        let outcome = match shaken {
            Ok(Ok((conn, _ticket))) => {
                self.counts.count(Outcome::Admitted);
                return handler(conn).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(server = self.config.name, %client, %error, "handshake failed");
                Outcome::HandshakeFailed
            }
            Err(_) => Outcome::HandshakeTimeout,
        };
        self.counts.count(outcome);
    }

    async fn shake_hands(&self, arrival: Arrival) -> io::Result<(Conn, Ticket)> {
        let Arrival { stream, client, ticket, drain } = arrival;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let mut conn =
            Conn { io: ConnStream::Plain(stream), client, local, alpn: None, peer: None, drain };
        if let Transport::Tls(tls) = &self.transport {
            conn = secure(conn, tls).await?;
        }
        Ok((conn, ticket))
    }
}

async fn secure(mut conn: Conn, tls: &ServerTls) -> io::Result<Conn> {
    let ConnStream::Plain(stream) = conn.io else { return Ok(conn) };
    let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await?;
    let (_, session) = stream.get_ref();
    conn.alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    conn.peer = match tls.audience {
        Audience::Public => None,
        Audience::Nodes => Some(proved_peer(session)?),
        // Who shows none is nobody; who shows one has proved it.
        Audience::NodesAndGuests if session.peer_certificates().is_none() => None,
        Audience::NodesAndGuests => Some(proved_peer(session)?),
    };
    conn.io = ConnStream::Tls(Box::new(stream));
    Ok(conn)
}

/// The peer of a finished handshake; the verifier has checked the certificate.
fn proved_peer(session: &rustls::ServerConnection) -> io::Result<Peer> {
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| io::Error::other("peer showed no certificate"))?;
    authority::parse_peer(certificate).map_err(io::Error::other)
}

/// Says `refusal`, then hears the client out for a moment: closing with unread bytes
/// would throw away what was said.
async fn refuse(mut stream: TcpStream, refusal: &'static [u8]) {
    let told = async {
        stream.write_all(refusal).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, told).await {
        tracing::debug!(%error, "refused client did not listen");
    }
}

#[cfg(test)]
mod tests;
