//! The key by which SSH clients know this service: Ed25519, kept as OpenSSH PEM. This
//! module makes and reads bytes; who stores them, and keeps them secret, is outside.

use gitstratum_core::{Entropy, ErrorKind};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{Algorithm, LineEnding};
use russh::keys::{PrivateKey, ssh_key};

/// Why bytes are not a host key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// Damaged, or not an OpenSSH private key in clear.
    #[error("read the ssh host key")]
    Read {
        /// What the reader says; nothing of the key.
        #[source]
        source: ssh_key::Error,
    },
    /// A kind of key that is not used here.
    #[error("the ssh host key must be ed25519, not {algorithm}")]
    Algorithm {
        /// What it is.
        algorithm: String,
    },
}

impl HostKeyError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } => ErrorKind::Corrupt,
            Self::Algorithm { .. } => ErrorKind::Invalid,
        }
    }
}

/// A new key, as the bytes of a file that only its owner may read.
///
/// # Panics
/// Never: a key made of 32 bytes can be written down.
pub fn generate(entropy: &dyn Entropy) -> Vec<u8> {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let pem = key.to_openssh(LineEnding::LF);
    pem.expect("because an ed25519 key in clear has an encoding").as_bytes().to_vec()
}

/// The public half as it stands in `known_hosts` after the host: `ssh-ed25519 AAAA…`.
///
/// # Errors
/// When `pem` is no such key.
pub fn public_line(pem: &[u8]) -> Result<String, HostKeyError> {
    let key = parse(pem)?;
    let mut public = key.public_key().clone();
    public.set_comment("");
    let line = public.to_openssh().map_err(|source| HostKeyError::Read { source })?;
    Ok(line.trim_end().to_owned())
}

/// The key in `pem`.
pub(crate) fn parse(pem: &[u8]) -> Result<PrivateKey, HostKeyError> {
    let key = PrivateKey::from_openssh(pem).map_err(|source| HostKeyError::Read { source })?;
    match key.algorithm() {
        Algorithm::Ed25519 if !key.is_encrypted() => Ok(key),
        Algorithm::Ed25519 => Err(HostKeyError::Read { source: ssh_key::Error::Encrypted }),
        other => Err(HostKeyError::Algorithm { algorithm: other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::SeededEntropy;

    use super::*;

    #[test]
    fn gs_fe_01_a_key_is_stable_and_shown_as_one_line() {
        let pem = generate(&*SeededEntropy::new(1));
        assert!(pem.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let line = public_line(&pem).unwrap();
        assert!(line.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"), "{line}");
        assert_eq!(line.split(' ').count(), 2, "{line}");
        assert_eq!(public_line(&generate(&*SeededEntropy::new(1))).unwrap(), line);
        assert_ne!(public_line(&generate(&*SeededEntropy::new(2))).unwrap(), line);
    }

    #[test]
    fn a_damaged_key_is_corrupt() {
        let mut pem = generate(&*SeededEntropy::new(1));
        pem[60] ^= 1;
        assert_eq!(public_line(&pem).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(public_line(b"").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
