//! The cluster's certificate authority and what it issues. Bytes in, bytes out:
//! files are the caller's.

use std::time::Duration;

use gitstratum_core::{ClusterId, Entropy, UnixMillis};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
use rustls_pki_types::CertificateSigningRequestDer;
use zeroize::Zeroizing;

use crate::Peer;
use crate::tls::provider;

mod credentials;
mod error;
mod moment;
mod peer_name;
mod pem;

pub(crate) use credentials::certified;
pub use credentials::{Credentials, NodeKey};
pub use error::AuthorityError;
pub(crate) use peer_name::not_after;
pub use peer_name::parse_peer;
pub use pem::PemFile;

use moment::{before, later, since_epoch};
use peer_name::{peer_uri, single_common_name};

/// How long a node's certificate holds, unless it was asked for otherwise (S46).
pub const NODE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far before its making a certificate begins, for clocks that are behind (S46).
pub const BACKDATED_HOURS: u64 = 2;
/// How long the authority's own certificate holds.
pub const AUTHORITY_DAYS: u64 = 3_650;

pub(crate) const HOUR_MILLIS: u64 = 3_600_000;
const DAY_MILLIS: u64 = 24 * HOUR_MILLIS;
/// Random bytes of a serial number; 20 are the most that X.509 allows.
const SERIAL_BYTES: usize = 16;

/// Signs the certificates of one cluster's nodes.
pub struct Authority {
    cluster: ClusterId,
    /// How long the certificates that it signs hold.
    lifetime: Duration,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority for `cluster`, with a fresh ECDSA P-256 key. Its certificate
    /// begins 2 h before `now`.
    ///
    /// # Errors
    /// `Make` when the crypto library fails.
    pub fn create(
        cluster: ClusterId,
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<Self, AuthorityError> {
        let failed = |source| AuthorityError::Make { what: "cluster authority", source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        set_term(&mut params, now, AUTHORITY_DAYS * DAY_MILLIS);
        params.serial_number = Some(random_serial(entropy));
        params.distinguished_name = named(cluster.to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_der(certificate.der(), key).map_err(failed)?;
        let lifetime = NODE_LIFETIME;
        Ok(Self { cluster, lifetime, issuer, certificate_pem: certificate.pem() })
    }

    /// The authority of `cluster` from its two files.
    ///
    /// # Errors
    /// Names the file that is empty, damaged, of another cluster or no authority's, or
    /// both when they do not belong together.
    pub fn load(
        cluster: ClusterId,
        certificate_file: &PemFile<'_>,
        key_file: &PemFile<'_>,
    ) -> Result<Self, AuthorityError> {
        let certificate = certificate_file.certificate()?;
        let key = key_file.key_pair()?;
        let damaged = || certificate_file.damaged("certificate");
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| damaged())?;
        let found = single_common_name(parsed.subject()).ok_or_else(damaged)?;
        if found != cluster.to_string() {
            let (file, found) = (certificate_file.name.to_owned(), found.to_owned());
            return Err(AuthorityError::OtherCluster { file, found, expected: cluster });
        }
        if !parsed.is_ca() {
            return Err(AuthorityError::NoAuthority { file: certificate_file.name.to_owned() });
        }
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(certificate_file.apart_from(key_file));
        }
        if !is_signed_by_itself(&parsed) {
            return Err(damaged());
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| damaged())?;
        let certificate_pem = String::from_utf8_lossy(certificate_file.bytes).into_owned();
        Ok(Self { cluster, lifetime: NODE_LIFETIME, issuer, certificate_pem })
    }

    /// The same, for certificates that hold for `lifetime`.
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// The cluster whose nodes it knows.
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Its certificate, which every node trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its secret, for a file of mode 0600.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// Whether `request` (DER of PKCS #10) is one that could be signed.
    ///
    /// # Errors
    /// `Unsigned` when it is malformed or not signed with its own key.
    pub fn check(&self, request: &[u8]) -> Result<(), AuthorityError> {
        let request = CertificateSigningRequestDer::from(request);
        let parsed = CertificateSigningRequestParams::from_der(&request);
        parsed.map(drop).map_err(AuthorityError::Unsigned)
    }

    /// A certificate for `peer` and the key that made `request` (DER of PKCS #10),
    /// as PEM. It begins 2 h before `now` and holds for 7 days, or the lifetime that was
    /// set (S46). The names in the request do not count: the caller has found out who asks.
    ///
    /// # Errors
    /// `Request` when the request is malformed or not signed with its own key,
    /// `Stranger` when the peer is of another cluster.
    pub fn sign(
        &self,
        peer: Peer,
        request: &[u8],
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Result<String, AuthorityError> {
        if peer.cluster != self.cluster {
            return Err(AuthorityError::Stranger { found: peer.cluster, expected: self.cluster });
        }
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request)
            .map_err(|source| AuthorityError::Request { peer, source })?;
        let params = node_params(peer, (now, self.lifetime), entropy)?;
        let signed = params.signed_by(&request.public_key, &self.issuer);
        let failed = |source| AuthorityError::Make { what: "node certificate", source };
        Ok(signed.map_err(failed)?.pem())
    }
}

/// The cluster whose authority's certificate is in a file.
///
/// # Errors
/// Names the file when it holds none, a damaged one, or one that is no authority's.
pub fn authority_cluster(file: &PemFile<'_>) -> Result<ClusterId, AuthorityError> {
    let certificate = file.certificate()?;
    let damaged = || file.damaged("certificate");
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| damaged())?;
    if !parsed.is_ca() {
        return Err(AuthorityError::NoAuthority { file: file.name.to_owned() });
    }
    if !is_signed_by_itself(&parsed) {
        return Err(damaged());
    }
    single_common_name(parsed.subject()).and_then(ClusterId::parse).ok_or_else(damaged)
}

fn node_params(
    peer: Peer,
    (now, lifetime): (UnixMillis, Duration),
    entropy: &dyn Entropy,
) -> Result<CertificateParams, AuthorityError> {
    let uri = peer_uri(peer).try_into();
    let uri = uri.map_err(|source| AuthorityError::Make { what: "node name", source })?;
    let mut params = CertificateParams::default();
    let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    set_term(&mut params, now, lifetime);
    params.serial_number = Some(random_serial(entropy));
    params.distinguished_name = named(format!("{} {}", peer.role, peer.node));
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Every node both dials and is dialled.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn set_term(params: &mut CertificateParams, now: UnixMillis, millis: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(before(now, BACKDATED_HOURS * HOUR_MILLIS));
    params.not_after = epoch + since_epoch(later(now, millis));
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Whether the certificate's own key signed it. That is the only checksum it has: without
/// a look a flipped bit would be found by peers, who would call it a stranger's.
fn is_signed_by_itself(certificate: &x509_parser::certificate::X509Certificate<'_>) -> bool {
    let (key, signed) = (certificate.public_key(), certificate.tbs_certificate.as_ref());
    let (key, signature) = (&key.subject_public_key.data, &certificate.signature_value.data);
    let provider = provider();
    let known = provider.signature_verification_algorithms.mapping;
    let fitting = known.iter().filter(|(scheme, _)| *scheme == ECDSA_NISTP256_SHA256);
    let mut algorithms = fitting.flat_map(|(_, algorithms)| algorithms.iter());
    algorithms.any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
}

fn random_serial(entropy: &dyn Entropy) -> SerialNumber {
    let mut bytes = [0; SERIAL_BYTES];
    entropy.fill(&mut bytes);
    // A serial number is positive and not 0.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

#[cfg(test)]
mod tests;
