use std::io;

use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind};

/// The bytes of a spooled pack, readable at any place.
pub trait ByteSource {
    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or there are fewer.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// A pack in memory.
impl ByteSource for Bytes {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(out.len()).and_then(|end| self.get(start..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Objects outside the pack that deltas of a thin pack rest on.
pub trait BaseSource {
    /// Kind and content of an object; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn base(&self, id: &ObjectId) -> io::Result<Option<(ObjectKind, Bytes)>>;
}

/// For packs that are not thin.
pub struct NoBases;

impl BaseSource for NoBases {
    fn base(&self, _id: &ObjectId) -> io::Result<Option<(ObjectKind, Bytes)>> {
        Ok(None)
    }
}
