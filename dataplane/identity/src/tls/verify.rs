use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gitstratum_core::{ClusterId, ProcessRole};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::Peer;
use crate::authority::{not_after, parse_peer};

/// Whom a side of a connection wants to meet.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// This peer alone: what a dialler wants.
    One(Peer),
    /// Any node of the cluster with one of these roles: what a server wants.
    Roles { cluster: ClusterId, roles: Vec<ProcessRole> },
}

/// Why a well-signed certificate is not accepted. The TLS library logs its debug
/// form, so that is a sentence too.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Expected {
    fn accepts(&self, peer: Peer) -> bool {
        match self {
            Self::One(expected) => peer == *expected,
            Self::Roles { cluster, roles } => {
                peer.cluster == *cluster && roles.contains(&peer.role)
            }
        }
    }
}

/// How long ago a certificate may have run out and still be believed (S46). Nothing, while
/// there is news from the control plane, which would have renewed it.
#[derive(Debug, Default)]
pub(super) struct Tolerance(AtomicU64);

impl Tolerance {
    pub(super) fn set(&self, tolerated: Duration) {
        let millis = u64::try_from(tolerated.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// The moment by which to judge a certificate that holds until `not_after`.
    fn judged_at(&self, not_after: UnixTime, now: UnixTime) -> UnixTime {
        let late = now.as_secs().saturating_sub(not_after.as_secs());
        if late > 0 && Duration::from_secs(late) <= self.get() { not_after } else { now }
    }
}

/// Checks the other side's certificate: signed by the authority, in its time, fit
/// for a node, of an expected peer. Host names play no part.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) expected: Expected,
    pub(super) tolerance: Arc<Tolerance>,
    /// Whether who shows none may come in all the same, as nobody.
    pub(super) guests: bool,
}

impl Verifier {
    /// Node certificates are fit for both directions, so that one check serves both.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        let end = not_after(certificate).map_err(|error| refuse(error.to_string()))?;
        let now = self.tolerance.judged_at(end, now);
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        let peer = parse_peer(certificate).map_err(|error| refuse(error.to_string()))?;
        if !self.expected.accepts(peer) {
            return Err(refuse(format!("{peer} is not expected here")));
        }
        Ok(())
    }
}

fn refuse(reason: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refused(reason)))))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: a node has one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        !self.guests
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
