//! Object ids, content fingerprints and pack checksums.
//!
//! Three hashers that must not be mixed up: [`ObjectHasher`] names objects and
//! detects manufactured SHA-1 collisions (S16, P-I3); [`DigestHasher`] adds the
//! BLAKE3 fingerprint that tells two contents of one id apart (S5);
//! [`ChecksumHasher`] is the plain hash of a pack's trailer and names nothing (S29).

use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind};
use sha1::Digest as _;

/// Bytes of a content fingerprint: the first half of BLAKE3 (S5).
pub const FINGERPRINT_LEN: usize = 16;

/// BLAKE3 of an object's content without its header, cut to 128 bits.
pub type Fingerprint = [u8; FINGERPRINT_LEN];

/// Why bytes got no object id.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The bytes bear the marks of a SHA-1 collision attack. Refused and alarmed.
    #[error("{kind} of {size} bytes is part of a sha-1 collision attack")]
    Collision {
        /// Kind of the object.
        kind: ObjectKind,
        /// Bytes of its content.
        size: u64,
    },
}

impl HashError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Names one object while its content streams by.
#[derive(Clone)]
pub struct ObjectHasher {
    inner: gix_hash::Hasher,
    kind: ObjectKind,
    size: u64,
}

impl ObjectHasher {
    /// A hasher for an object of `size` bytes of content. The id is right only
    /// if exactly that many bytes follow.
    pub fn new(format: ObjectFormat, kind: ObjectKind, size: u64) -> Self {
        let mut inner = gix_hash::hasher(hash_kind(format));
        inner.update(header(kind, size).as_bytes());
        Self { inner, kind, size }
    }

    /// Takes the next bytes of content.
    pub fn update(&mut self, content: &[u8]) {
        self.inner.update(content);
    }

    /// The id.
    ///
    /// # Errors
    /// [`HashError::Collision`] if the content was made to collide.
    pub fn finish(self) -> Result<ObjectId, HashError> {
        settle(self.inner.try_finalize(), self.kind, self.size)
    }
}

/// The id of an object whose content is at hand.
///
/// # Errors
/// [`HashError::Collision`] if the content was made to collide.
pub fn object_id(
    format: ObjectFormat,
    kind: ObjectKind,
    content: &[u8],
) -> Result<ObjectId, HashError> {
    let mut hasher = ObjectHasher::new(format, kind, content.len() as u64);
    hasher.update(content);
    hasher.finish()
}

/// What is known of an object's content once it was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectDigest {
    /// Its name.
    pub id: ObjectId,
    /// Its fingerprint, for the duplicate check.
    pub blake3: Fingerprint,
}

/// Names and fingerprints one object while its content streams by.
#[derive(Clone)]
pub struct DigestHasher {
    id: ObjectHasher,
    content: blake3::Hasher,
}

impl DigestHasher {
    /// A hasher for an object of `size` bytes of content.
    pub fn new(format: ObjectFormat, kind: ObjectKind, size: u64) -> Self {
        Self { id: ObjectHasher::new(format, kind, size), content: blake3::Hasher::new() }
    }

    /// Takes the next bytes of content. Pieces of some KiB are much faster than
    /// pieces of some bytes.
    pub fn update(&mut self, content: &[u8]) {
        self.id.update(content);
        self.content.update(content);
    }

    /// The id and the fingerprint.
    ///
    /// # Errors
    /// [`HashError::Collision`] if the content was made to collide.
    pub fn finish(self) -> Result<ObjectDigest, HashError> {
        Ok(ObjectDigest { id: self.id.finish()?, blake3: cut(&self.content.finalize()) })
    }
}

/// The id and the fingerprint of an object whose content is at hand.
///
/// # Errors
/// [`HashError::Collision`] if the content was made to collide.
pub fn digest(
    format: ObjectFormat,
    kind: ObjectKind,
    content: &[u8],
) -> Result<ObjectDigest, HashError> {
    Ok(ObjectDigest { id: object_id(format, kind, content)?, blake3: fingerprint(content) })
}

/// The fingerprint of a content at hand.
pub fn fingerprint(content: &[u8]) -> Fingerprint {
    cut(&blake3::hash(content))
}

/// Plain SHA-1 or SHA-256 over pack bytes, without collision detection: a
/// trailer guards against accidents only (S29).
#[derive(Clone)]
pub enum ChecksumHasher {
    /// Trailer of 20 bytes.
    Sha1(sha1::Sha1),
    /// Trailer of 32 bytes.
    Sha256(sha2::Sha256),
}

impl ChecksumHasher {
    /// A hasher for packs of this format.
    pub fn new(format: ObjectFormat) -> Self {
        match format {
            ObjectFormat::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ObjectFormat::Sha256 => Self::Sha256(sha2::Sha256::new()),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(inner) => inner.update(bytes),
            Self::Sha256(inner) => inner.update(bytes),
        }
    }

    /// The checksum: 20 or 32 bytes.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(inner) => inner.finalize().to_vec(),
            Self::Sha256(inner) => inner.finalize().to_vec(),
        }
    }
}

/// The text that git hashes in front of the content.
fn header(kind: ObjectKind, size: u64) -> String {
    format!("{kind} {size}\0")
}

const fn hash_kind(format: ObjectFormat) -> gix_hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    }
}

/// Reads the hasher's outcome: its only failure is a detected attack.
fn settle<E>(
    outcome: Result<gix_hash::ObjectId, E>,
    kind: ObjectKind,
    size: u64,
) -> Result<ObjectId, HashError> {
    let id = outcome.map_err(|_attack| HashError::Collision { kind, size })?;
    Ok(ObjectId::from_slice(id.as_slice()).expect("because the hasher's ids have 20 or 32 bytes"))
}

fn cut(hash: &blake3::Hash) -> Fingerprint {
    let mut out = [0; FINGERPRINT_LEN];
    out.copy_from_slice(&hash.as_bytes()[..FINGERPRINT_LEN]);
    out
}

#[cfg(test)]
mod tests;
