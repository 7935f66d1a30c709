use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::AuthorityError;

/// Bytes of a PEM file and what to call it in an error.
#[derive(Clone, Copy)]
pub struct PemFile<'a> {
    /// Its path, as a person knows it.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl std::fmt::Debug for PemFile<'_> {
    /// Without the bytes: they may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PemFile<'_> {
    /// The certificates in it, in order.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes).collect();
        let certificates = read.map_err(|_| self.damaged("certificate"))?;
        if certificates.is_empty() {
            return Err(self.lacking("certificate"));
        }
        Ok(certificates)
    }

    /// The first certificate in it.
    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, AuthorityError> {
        Ok(self.certificates()?.swap_remove(0))
    }

    /// The private key in it, for TLS.
    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>, AuthorityError> {
        use rustls_pki_types::pem::Error;
        PrivateKeyDer::from_pem_slice(self.bytes).map_err(|error| match error {
            Error::NoItemsFound => self.lacking("private key"),
            _ => self.damaged("private key"),
        })
    }

    /// The private key in it, for signing.
    pub(super) fn key_pair(&self) -> Result<KeyPair, AuthorityError> {
        let key = self.private_key()?;
        KeyPair::try_from(&key).map_err(|_| self.damaged("private key"))
    }

    fn lacking(&self, what: &'static str) -> AuthorityError {
        AuthorityError::Lacking { file: self.name.to_owned(), what }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> AuthorityError {
        AuthorityError::Damaged { file: self.name.to_owned(), what }
    }

    pub(crate) fn apart_from(&self, key_file: &PemFile<'_>) -> AuthorityError {
        let (certificate, key) = (self.name.to_owned(), key_file.name.to_owned());
        AuthorityError::Apart { certificate, key }
    }
}
