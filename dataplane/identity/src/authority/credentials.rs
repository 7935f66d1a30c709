use std::fmt;
use std::sync::Arc;

use gitstratum_core::UnixMillis;
use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::moment::from_date;
use super::peer_name::peer_of;
use super::{AuthorityError, BACKDATED_HOURS, HOUR_MILLIS, PemFile};
use crate::Peer;
use crate::tls::provider;

/// A node's secret key, which never leaves the node: it asks for a certificate with it.
pub struct NodeKey {
    pair: KeyPair,
}

impl NodeKey {
    /// A fresh ECDSA P-256 key, from the crypto library's own randomness.
    ///
    /// # Errors
    /// `Make` when the crypto library fails.
    pub fn generate() -> Result<Self, AuthorityError> {
        let failed = |source| AuthorityError::Make { what: "node key", source };
        Ok(Self { pair: KeyPair::generate().map_err(failed)? })
    }

    /// The key in `file`.
    ///
    /// # Errors
    /// Names the file when it holds none or a damaged one.
    pub fn load(file: &PemFile<'_>) -> Result<Self, AuthorityError> {
        Ok(Self { pair: file.key_pair()? })
    }

    /// The key, for a file of mode 0600.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// DER of a PKCS #10 request, for [`super::Authority::sign`]. It proves that the
    /// asker has the key and says nothing else.
    ///
    /// # Errors
    /// `Make` when the crypto library fails.
    pub fn signing_request(&self) -> Result<Vec<u8>, AuthorityError> {
        let request = CertificateParams::default().serialize_request(&self.pair);
        let failed = |source| AuthorityError::Make { what: "signing request", source };
        Ok(request.map_err(failed)?.der().to_vec())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").finish_non_exhaustive()
    }
}

/// A node's certificate and key, ready for use. They belong together; whether the
/// cluster's authority signed them is found out by the other side.
#[derive(Clone, Debug)]
pub struct Credentials {
    certified: Arc<CertifiedKey>,
    peer: Peer,
    not_before: UnixMillis,
    not_after: UnixMillis,
}

impl Credentials {
    /// From the node's two files.
    ///
    /// # Errors
    /// Names the file that is empty or damaged, or both when they do not belong
    /// together; `NoNode` when the certificate is not a node's.
    pub fn load(
        certificate_file: &PemFile<'_>,
        key_file: &PemFile<'_>,
    ) -> Result<Self, AuthorityError> {
        let certified = certified(certificate_file, key_file)?;
        let damaged = || certificate_file.damaged("certificate");
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certified.cert[0]).map_err(|_| damaged())?;
        let peer = peer_of(&parsed)?;
        let validity = parsed.validity();
        let (not_before, not_after) =
            (from_date(validity.not_before), from_date(validity.not_after));
        Ok(Self { certified: Arc::new(certified), peer, not_before, not_after })
    }

    /// Who they show.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The last moment at which they hold.
    pub const fn not_after(&self) -> UnixMillis {
        self.not_after
    }

    /// When to ask for new ones: at two thirds of their time, counted from when they were
    /// made and not from the hours before (S46).
    pub const fn renew_at(&self) -> UnixMillis {
        let made = self.not_before.0 + BACKDATED_HOURS * HOUR_MILLIS;
        UnixMillis(made + self.not_after.0.saturating_sub(made) / 3 * 2)
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// A certificate chain and its key from two files, found to belong together.
pub(crate) fn certified(
    certificate_file: &PemFile<'_>,
    key_file: &PemFile<'_>,
) -> Result<CertifiedKey, AuthorityError> {
    let chain = certificate_file.certificates()?;
    let key = key_file.private_key()?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => certificate_file.apart_from(key_file),
        rustls::Error::InvalidCertificate(_) => certificate_file.damaged("certificate"),
        _ => key_file.damaged("private key"),
    })
}
