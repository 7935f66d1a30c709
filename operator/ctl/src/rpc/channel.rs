//! How a control plane is dialled: a Unix socket on this machine, TLS elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gitstratum_core::NodeId;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Request, Status};
use tower::Service;

use super::failure::chain;
use crate::Error;
use crate::access::{Place, Secret};

/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Stands where HTTP/2 wants an address; a socket needs none.
const LOCAL: &str = "http://gitstratum.local";

/// On a call that takes the answer of any voter.
const STALE: &str = "gs-stale";

/// How new the control plane's answers have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// They hold whatever was acknowledged before.
    Linearizable,
    /// Whatever the voter that is asked knows, with or without a leader (GS-CP-24).
    Stale,
}

/// Puts the token on every call, and how new the answer has to be.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    token: MetadataValue<Ascii>,
    freshness: Freshness,
}

impl Bearer {
    pub(super) fn new(token: &Secret, freshness: Freshness) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose()).parse().ok()?;
        value.set_sensitive(true);
        Some(Self { token: value, freshness })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.token.clone());
        if self.freshness == Freshness::Stale {
            request.metadata_mut().insert(STALE, MetadataValue::from_static("1"));
        }
        Ok(request)
    }
}

/// Connects to `place` at once, so that what cannot be reached is known before anything is asked.
pub(super) async fn connect(place: &Place) -> Result<Channel, Error> {
    let unreachable = |reason: String| Error::Unreachable { place: place.to_string(), reason };
    let connected = tokio::time::timeout(CONNECT_DEADLINE, async {
        match place {
            Place::Local { socket, .. } => {
                Endpoint::from_static(LOCAL).connect_with_connector(dialler(socket)).await
            }
            Place::Remote { host, port, ca } => dial_tls(host, *port, ca).await,
        }
    });
    match connected.await {
        Ok(connected) => connected.map_err(|error| unreachable(chain(&error))),
        Err(_) => Err(unreachable(format!("no connection within {CONNECT_DEADLINE:?}"))),
    }
}

/// A channel to a node's store, connected when first used; none where there is no such socket.
pub(super) fn store(socket: &Path) -> Option<Channel> {
    let dialled = || Endpoint::from_static(LOCAL).connect_with_connector_lazy(dialler(socket));
    socket.exists().then(dialled)
}

/// A channel to the object store of `node`, through a node of this machine: the id goes first.
pub(super) fn peer(socket: &Path, node: NodeId) -> Channel {
    let socket: PathBuf = socket.to_owned();
    let dialled = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move {
            let mut stream = UnixStream::connect(socket).await?;
            stream.write_all(&node.0.to_be_bytes()).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static(LOCAL).connect_with_connector_lazy(dialled)
}

/// What dials `socket`, whatever the address says.
fn dialler(
    socket: &Path,
) -> impl Service<Uri, Response = TokioIo<UnixStream>, Error = io::Error, Future: Send> + Send + 'static
{
    let socket: PathBuf = socket.to_owned();
    tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    })
}

async fn dial_tls(host: &str, port: u16, ca: &[u8]) -> Result<Channel, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    Endpoint::from_shared(format!("https://{host}:{port}"))?.tls_config(tls)?.connect().await
}
