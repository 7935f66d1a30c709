use anyhow::{Context as _, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of the tag behind each packet.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of the length in front of each packet, which stays readable.
const LENGTH_BYTES: usize = 4;

/// `aes256-gcm@openssh.com` in one direction (RFC 5647).
pub(super) struct Cipher {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

impl Cipher {
    pub(super) fn new(key: &[u8], iv: &[u8]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).context("a key of the wrong length")?;
        Ok(Self { key: LessSafeKey::new(key), nonce: iv.get(..12).context("iv")?.try_into()? })
    }

    /// The packet, its length in clear, the rest not.
    pub(super) fn seal(&mut self, packet: &[u8]) -> Result<Vec<u8>> {
        let (length, rest) = packet.split_at(LENGTH_BYTES);
        let mut sealed = rest.to_vec();
        let nonce = self.next_nonce();
        let done = self.key.seal_in_place_append_tag(nonce, Aad::from(length), &mut sealed);
        done.context("sealing a packet")?;
        Ok([length, &sealed].concat())
    }

    /// What is behind the length of a packet, in clear.
    pub(super) fn open(&mut self, length: &[u8], sealed: &mut [u8]) -> Result<Vec<u8>> {
        let nonce = self.next_nonce();
        let opened = self.key.open_in_place(nonce, Aad::from(length), sealed);
        Ok(opened.context("opening a packet")?.to_vec())
    }

    fn next_nonce(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        for byte in self.nonce[4..].iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        nonce
    }
}
