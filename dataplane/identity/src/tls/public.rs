use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{Audience, ServerTls, TlsError, provider};
use crate::PemFile;
use crate::authority::certified;

/// Protocols over HTTPS, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS 1.3 and 1.2 for everyone, with a certificate that can be exchanged while
/// connections are open. No early data: a replayed push must not be possible.
#[derive(Debug)]
pub struct PublicTls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl PublicTls {
    /// With the certificate chain and key of the two files.
    ///
    /// # Errors
    /// Names the file that is empty or damaged, or both when they do not belong
    /// together.
    pub fn new(certificate: &PemFile<'_>, key: &PemFile<'_>) -> Result<Self, TlsError> {
        let certified = certified(certificate, key).map_err(TlsError::Files)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Configure)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Self { current, config: Arc::new(config) })
    }

    /// From the next handshake on, the certificate and key of these files.
    ///
    /// # Errors
    /// As [`PublicTls::new`]; the old ones then stay.
    pub fn replace(&self, certificate: &PemFile<'_>, key: &PemFile<'_>) -> Result<(), TlsError> {
        let certified = certified(certificate, key).map_err(TlsError::Files)?;
        self.current.0.store(Arc::new(certified));
        Ok(())
    }

    /// For a server.
    pub fn server(&self) -> ServerTls {
        ServerTls { config: Arc::clone(&self.config), audience: Audience::Public }
    }
}
