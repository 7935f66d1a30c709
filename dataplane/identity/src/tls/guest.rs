use std::fmt;
use std::sync::Arc;

use gitstratum_core::{Clock, ClusterId, ProcessRole};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::version::TLS13;
use tokio_rustls::TlsConnector;

use super::internal::{ClockTime, roots};
use super::verify::{Expected, Tolerance, Verifier};
use super::{ClientTls, TlsError, provider};
use crate::PemFile;
use crate::authority::authority_cluster;

/// TLS of somebody who has no certificate yet, and asks a control plane for one. It knows
/// the cluster's authority beforehand and believes nobody else.
#[derive(Clone)]
pub struct GuestTls {
    cluster: ClusterId,
    client: ClientTls,
}

impl fmt::Debug for GuestTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestTls").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl GuestTls {
    /// Trusting the authority in `authority_file`, for control planes of its cluster.
    ///
    /// # Errors
    /// Names the file when it holds no authority's certificate or a damaged one.
    pub fn new(authority_file: &PemFile<'_>, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let cluster = authority_cluster(authority_file).map_err(TlsError::Files)?;
        let verifier = Verifier {
            roots: roots(authority_file)?,
            algorithms: provider().signature_verification_algorithms,
            expected: Expected::Roles { cluster, roles: vec![ProcessRole::Control] },
            tolerance: Arc::new(Tolerance::default()),
            guests: false,
        };
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Configure)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        let client = ClientTls { connector: TlsConnector::from(Arc::new(config)) };
        Ok(Self { cluster, client })
    }

    /// The cluster of the authority.
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// For connections to a control plane of the cluster, whichever.
    pub fn client(&self) -> ClientTls {
        self.client.clone()
    }
}
