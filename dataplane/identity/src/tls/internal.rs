use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gitstratum_core::{Clock, ClusterId, ProcessRole};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::{ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verify::{Expected, Tolerance, Verifier};
use super::{Audience, ServerTls, TlsError, provider};
use crate::{ByteStream, Credentials, Peer, PemFile};

/// TLS 1.3 between nodes: each side shows a certificate of the cluster's authority
/// and checks cluster, role and node of the other. Sessions are not resumed, so that
/// every connection is checked anew. Certificates are exchanged without a break.
#[derive(Debug)]
pub struct InternalTls {
    current: Arc<Current>,
    cluster: ClusterId,
    roots: Arc<RootCertStore>,
    time: Arc<ClockTime>,
    tolerance: Arc<Tolerance>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The wall clock that certificates are judged by.
pub(super) struct ClockTime(pub(super) Arc<dyn Clock>);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.wall().0)))
    }
}

impl InternalTls {
    /// As the node of `credentials`, trusting the authority in `authority_file`.
    ///
    /// # Errors
    /// Names the file when it holds no certificate or a damaged one.
    pub fn new(
        credentials: &Credentials,
        authority_file: &PemFile<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            current: Arc::new(Current(ArcSwap::new(credentials.certified()))),
            cluster: credentials.peer().cluster,
            roots: roots(authority_file)?,
            time: Arc::new(ClockTime(clock)),
            tolerance: Arc::default(),
        })
    }

    /// From the next handshake on, these credentials.
    pub fn replace(&self, credentials: &Credentials) {
        self.current.0.store(credentials.certified());
    }

    /// From now on, certificates of others that ran out no longer ago than this are
    /// believed too: what a node without news does (S46).
    pub fn tolerate(&self, expired_by: Duration) {
        self.tolerance.set(expired_by);
    }

    /// For a server that nodes of `roles` may use.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn server(&self, roles: &[ProcessRole]) -> Result<ServerTls, TlsError> {
        self.serve(roles, Audience::Nodes)
    }

    /// The same, where those who show no certificate may come in as nobody.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn open_server(&self, roles: &[ProcessRole]) -> Result<ServerTls, TlsError> {
        self.serve(roles, Audience::NodesAndGuests)
    }

    fn serve(&self, roles: &[ProcessRole], audience: Audience) -> Result<ServerTls, TlsError> {
        let provider = provider();
        let expected = Expected::Roles { cluster: self.cluster, roles: roles.to_vec() };
        let verifier = self.verifier(expected, audience);
        let mut config = ServerConfig::builder_with_details(provider, self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Configure)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.current.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { config: Arc::new(config), audience })
    }

    /// For connections to `expected` and nobody else.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn client(&self, expected: Peer) -> Result<ClientTls, TlsError> {
        self.connect_to(Expected::One(expected))
    }

    /// For connections to any node of the cluster with `role`.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn client_of(&self, role: ProcessRole) -> Result<ClientTls, TlsError> {
        self.connect_to(Expected::Roles { cluster: self.cluster, roles: vec![role] })
    }

    fn connect_to(&self, expected: Expected) -> Result<ClientTls, TlsError> {
        let verifier = self.verifier(expected, Audience::Nodes);
        let mut config = ClientConfig::builder_with_details(provider(), self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Configure)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.current.clone());
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(ClientTls { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The cluster that both sides are of.
    pub(crate) const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    fn verifier(&self, expected: Expected, audience: Audience) -> Arc<Verifier> {
        Arc::new(Verifier {
            roots: Arc::clone(&self.roots),
            algorithms: provider().signature_verification_algorithms,
            expected,
            tolerance: Arc::clone(&self.tolerance),
            guests: audience == Audience::NodesAndGuests,
        })
    }
}

/// The authorities whose certificates are in a file.
pub(super) fn roots(file: &PemFile<'_>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in file.certificates().map_err(TlsError::Files)? {
        roots.add(certificate).map_err(TlsError::Trust)?;
    }
    Ok(Arc::new(roots))
}

/// Opens TLS to one certain peer.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) connector: TlsConnector,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// What a handshake must name; the verifier looks at the node's own name instead.
const UNUSED_NAME: &str = "node.gitstratum.internal";

impl ClientTls {
    /// Shakes hands over `io`. The other side's refusal of us shows only when the
    /// stream is first read (TLS 1.3).
    ///
    /// # Errors
    /// When the other side is not the expected peer, or not TLS at all.
    pub async fn connect<S: ByteStream>(&self, io: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(UNUSED_NAME).expect("because it is a host name");
        self.connector.connect(name, io).await
    }
}
