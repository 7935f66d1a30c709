//! The frontend as a whole: its ports, and how it starts and ends.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, join_all};
use gitstratum_client::audit::AuditLog;
use gitstratum_client::cluster::Feed;
use gitstratum_core::{Clock, ClusterId, Entropy, ErrorKind, Incarnation, NodeId};
use gitstratum_identity::accept::{AcceptConfig, Conn, Server, Transport};
use gitstratum_identity::{Dialer, PublicTls};
use gitstratum_process::{Drain, Health, Metrics, Probe, spawn};
use tokio::net::TcpListener;

use crate::Config;
use crate::frontend::Frontend;
use crate::host_key::{self, HostKeyError};
use crate::listen::http;
use crate::listen::ssh::{self, Ssh};

/// What a frontend is given by the process that runs it.
pub struct Deps {
    /// The cluster it serves.
    pub cluster: ClusterId,
    /// The node it runs on.
    pub node: NodeId,
    /// How often that node has started (S23); sessions carry it.
    pub incarnation: Incarnation,
    /// The way to the other roles.
    pub dialer: Arc<dyn Dialer>,
    /// The control plane's state.
    pub feed: Feed,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Where failed logins are told.
    pub audit: AuditLog,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Where readiness is told.
    pub health: Health,
    /// The SSH host key, OpenSSH PEM, as [`host_key::generate`] made it.
    pub host_key: Vec<u8>,
    /// Certificate and key of HTTPS; needed when [`Config::https`] is set.
    pub tls: Option<Arc<PublicTls>>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Why a frontend does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A setting makes no sense.
    #[error("frontend configuration: {problem}")]
    Config {
        /// Which, and why.
        problem: &'static str,
    },
    /// A port is not to be had.
    #[error("listen for {port} on {address}")]
    Bind {
        /// What is served there.
        port: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The SSH host key is of no use.
    #[error("ssh host key")]
    HostKey {
        /// Why.
        #[source]
        source: HostKeyError,
    },
}

impl ServiceError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. } => ErrorKind::Invalid,
            Self::Bind { .. } => ErrorKind::Unavailable,
            Self::HostKey { source } => source.kind(),
        }
    }
}

/// Where a frontend listens; a port of 0 in the configuration has become a real one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// SSH.
    pub ssh: Option<SocketAddr>,
}

/// A frontend whose ports are bound: clients that connect now wait for [`Service::run`].
pub struct Service {
    frontend: Arc<Frontend>,
    addresses: Addresses,
    http: Option<Server>,
    https: Option<Server>,
    ssh: Option<(Server, Arc<Ssh>)>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Service {
    /// Binds the ports and registers metrics and readiness. Nothing is dialled yet.
    ///
    /// # Errors
    /// Names the setting, the port or the key that is of no use.
    pub async fn open(config: Config, deps: Deps) -> Result<Self, ServiceError> {
        config.validate().map_err(|problem| ServiceError::Config { problem })?;
        let frontend = Frontend::new(config, &deps);
        let mut addresses = Addresses::default();
        let binding = Binding { frontend: &frontend, deps: &deps };
        let http = binding.bind(&HTTP, frontend.config.http, &mut addresses.http).await?;
        let https = binding.bind(&HTTPS, frontend.config.https, &mut addresses.https).await?;
        let ssh = binding.bind(&SSH, frontend.config.ssh, &mut addresses.ssh).await?;
        let ssh = match ssh {
            None => None,
            Some(server) => {
                let key = host_key::parse(&deps.host_key)
                    .map_err(|source| ServiceError::HostKey { source })?;
                Some((server, Ssh::new(Arc::clone(&frontend), key)))
            }
        };
        watch_readiness(&deps);
        Ok(Self { frontend, addresses, http, https, ssh })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves HTTP on connections that come some other way than by its ports.
    pub fn http(&self) -> impl Fn(Conn) -> BoxFuture<'static, ()> + Clone + use<> {
        let frontend = Arc::clone(&self.frontend);
        move |conn| http::serve(Arc::clone(&frontend), conn).boxed()
    }

    /// Serves until `drain` starts and what was under way then has ended or used up its
    /// time; returns how many connections were cut. Sessions are closed last: pushes and
    /// fetches rest on them.
    pub async fn run(self, drain: Drain) -> usize {
        let Self { frontend, http, https, ssh, .. } = self;
        let (idle_trigger, idle) = Drain::new();
        let sessions = Arc::clone(&frontend.sessions);
        let standing = spawn("sessions", async move {
            sessions.open_all().await;
            sessions.run(idle).await;
        });
        let mut ports: Vec<BoxFuture<'static, usize>> = Vec::new();
        for server in [http, https].into_iter().flatten() {
            let frontend = Arc::clone(&frontend);
            let handler = move |conn: Conn| http::serve(Arc::clone(&frontend), conn);
            ports.push(port(server, handler, drain.clone()));
        }
        if let Some((server, ssh)) = ssh {
            let handler = move |conn: Conn| Arc::clone(&ssh).serve(conn);
            ports.push(port(server, handler, drain.clone()));
        }
        ports.push(async move { drain.started().map(|()| 0).await }.boxed());
        let cut = join_all(ports).await.into_iter().sum();
        idle_trigger.start();
        if let Err(error) = standing.await {
            tracing::error!(%error, "the task that renews sessions failed");
        }
        cut
    }
}

fn port<H, F>(server: Server, handler: H, drain: Drain) -> BoxFuture<'static, usize>
where
    H: Fn(Conn) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    server.run(handler, drain).boxed()
}

/// One kind of port.
struct Port {
    name: &'static str,
    refusal: &'static [u8],
    secure: Secure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secure {
    InClear,
    Tls,
}

const HTTP: Port = Port { name: "http", refusal: http::REFUSAL, secure: Secure::InClear };
const HTTPS: Port = Port { name: "https", refusal: b"", secure: Secure::Tls };
const SSH: Port = Port { name: "ssh", refusal: ssh::REFUSAL, secure: Secure::InClear };

struct Binding<'a> {
    frontend: &'a Frontend,
    deps: &'a Deps,
}

impl Binding<'_> {
    /// Binds `address`, if there is one, and notes the real one in `bound`.
    async fn bind(
        &self,
        port: &Port,
        address: Option<SocketAddr>,
        bound: &mut Option<SocketAddr>,
    ) -> Result<Option<Server>, ServiceError> {
        let Some(address) = address else { return Ok(None) };
        let failed = |source| ServiceError::Bind { port: port.name, address, source };
        let transport = match (port.secure, &self.deps.tls) {
            (Secure::InClear, _) => Transport::Plain,
            (Secure::Tls, Some(tls)) => Transport::Tls(tls.server()),
            (Secure::Tls, None) => {
                return Err(ServiceError::Config { problem: "https needs a certificate" });
            }
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        *bound = Some(listener.local_addr().map_err(failed)?);
        let config = &self.frontend.config;
        let accept = AcceptConfig {
            name: port.name,
            connections_max: config.connections_max,
            per_client_max: config.connections_per_client_max,
            close_after: config.close_after,
            drain_within: config.drain_within,
            refusal: port.refusal,
            ..AcceptConfig::default()
        };
        Ok(Some(Server::new(listener, transport, accept, &self.deps.metrics)))
    }
}

/// A frontend is of use once it knows users, repositories and partitions.
fn watch_readiness(deps: &Deps) {
    let feed = deps.feed.clone();
    deps.health.check(Probe::Ready, "cluster state", move || {
        let snapshot = feed.current();
        match snapshot.partitions().next() {
            Some(_) => Ok(()),
            None => Err("nothing heard from the control plane yet".to_owned()),
        }
    });
}
