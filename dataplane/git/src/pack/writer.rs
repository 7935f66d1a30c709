use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectKind};

use super::entry::{EntryKind, Header};
use crate::hash::ChecksumHasher;

/// The version that it writes.
const VERSION: u32 = 2;

/// How hard to deflate what has to be encoded, 0 (stored) to 9. Git's default
/// is 6; 1 is four times as fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate(u32);

impl Deflate {
    /// The quickest that still deflates.
    pub const FAST: Self = Self(1);

    /// This level; those above 9 are 9.
    pub const fn level(level: u32) -> Self {
        Self(if level > 9 { 9 } else { level })
    }
}

/// Why a pack could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The header announced another number of entries.
    #[error("pack announces {announced} entries and has {written}")]
    Count {
        /// Entries announced.
        announced: u32,
        /// Entries written, as far as counted.
        written: u32,
    },
}

impl WriteError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Bug
    }
}

/// Makes an outgoing pack of copied and encoded entries (S26).
///
/// It only hashes and counts: the caller sends what each method returns, and
/// after [`start_copy`](Self::start_copy) the body that it passed to
/// [`copy`](Self::copy), in the same order.
#[derive(Clone)]
pub struct Writer {
    checksum: ChecksumHasher,
    position: u64,
    announced: u32,
    written: u32,
}

impl Writer {
    /// A pack of `count` entries, and its header.
    pub fn new(format: ObjectFormat, count: u32) -> (Self, Bytes) {
        let mut writer = Self {
            checksum: ChecksumHasher::new(format),
            position: 0,
            announced: count,
            written: 0,
        };
        let mut header = b"PACK".to_vec();
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.extend_from_slice(&count.to_be_bytes());
        writer.pass(&header);
        (writer, header.into())
    }

    /// Where the next entry starts. A later delta on it is written with the
    /// distance from its own start to here.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The kind of a delta, about to be written, on the entry that was written
    /// at `base`; `None` if that is not before this place.
    pub fn delta_on(&self, base: u64) -> Option<EntryKind> {
        let distance = self.position.checked_sub(base).filter(|distance| *distance > 0)?;
        Some(EntryKind::OfsDelta { distance })
    }

    /// Begins an entry whose deflated body is copied; returns its header.
    ///
    /// # Errors
    /// [`WriteError::Count`] if all entries announced were written.
    pub fn start_copy(&mut self, header: Header) -> Result<Bytes, WriteError> {
        if self.written == self.announced {
            let Self { announced, written, .. } = *self;
            return Err(WriteError::Count { announced, written: written.saturating_add(1) });
        }
        self.written += 1;
        let mut bytes = Vec::with_capacity(Header::LEN_MAX);
        header.write(&mut bytes);
        self.pass(&bytes);
        Ok(bytes.into())
    }

    /// Takes note of the next piece of the entry's body, which the caller sends.
    pub fn copy(&mut self, piece: &[u8]) {
        self.pass(piece);
    }

    /// A whole object, deflated here: its header and body.
    ///
    /// # Errors
    /// [`WriteError::Count`] if all entries announced were written.
    pub fn encode(
        &mut self,
        kind: ObjectKind,
        content: &[u8],
        deflate: Deflate,
    ) -> Result<Bytes, WriteError> {
        let header = Header { kind: EntryKind::Base(kind), size: content.len() as u64 };
        let header = self.start_copy(header)?;
        let mut encoder = ZlibEncoder::new(header.to_vec(), Compression::new(deflate.0));
        let encoded = encoder.write_all(content).and_then(|()| encoder.finish());
        let bytes = encoded.expect("because writing to a Vec does not fail");
        self.pass(&bytes[header.len()..]);
        Ok(bytes.into())
    }

    /// The trailer.
    ///
    /// # Errors
    /// [`WriteError::Count`] if fewer entries were written than announced.
    pub fn finish(self) -> Result<Bytes, WriteError> {
        let Self { checksum, announced, written, .. } = self;
        if written != announced {
            return Err(WriteError::Count { announced, written });
        }
        Ok(checksum.finish().into())
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.position += bytes.len() as u64;
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("position", &self.position)
            .field("written", &self.written)
            .field("announced", &self.announced)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
