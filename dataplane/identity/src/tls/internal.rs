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

use super::verify::{Expected, Verifier};
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
struct ClockTime(Arc<dyn Clock>);

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
        let mut roots = RootCertStore::empty();
        for certificate in authority_file.certificates().map_err(TlsError::Files)? {
            roots.add(certificate).map_err(TlsError::Trust)?;
        }
        Ok(Self {
            current: Arc::new(Current(ArcSwap::new(credentials.certified()))),
            cluster: credentials.peer().cluster,
            roots: Arc::new(roots),
            time: Arc::new(ClockTime(clock)),
        })
    }

    /// From the next handshake on, these credentials.
    pub fn replace(&self, credentials: &Credentials) {
        self.current.0.store(credentials.certified());
    }

    /// For a server that nodes of `roles` may use.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn server(&self, roles: &[ProcessRole]) -> Result<ServerTls, TlsError> {
        let provider = provider();
        let expected = Expected::Roles { cluster: self.cluster, roles: roles.to_vec() };
        let verifier = self.verifier(expected);
        let mut config = ServerConfig::builder_with_details(provider, self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Configure)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.current.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { config: Arc::new(config), audience: Audience::Nodes })
    }

    /// For connections to `expected` and nobody else.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn client(&self, expected: Peer) -> Result<ClientTls, TlsError> {
        let verifier = self.verifier(Expected::One(expected));
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

    fn verifier(&self, expected: Expected) -> Arc<Verifier> {
        let algorithms = provider().signature_verification_algorithms;
        Arc::new(Verifier { roots: Arc::clone(&self.roots), algorithms, expected })
    }
}

/// Opens TLS to one certain peer.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
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
