use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use gitstratum_core::UnixMillis;

const MAGIC: &[u8; 7] = b"GSSILEN";
const VERSION: u8 = 1;
/// Magic, version, two numbers and their CRC32C.
const BYTES: usize = 28;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// How long the control plane had not been heard.
    pub(super) lasted: Duration,
    /// When that was.
    pub(super) wall: UnixMillis,
}

/// Why bytes are no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Of a newer format.
    Newer { found: u8 },
    /// Not what was written.
    Content,
}

pub(super) fn encode(record: &Record) -> Bytes {
    let mut out = BytesMut::with_capacity(BYTES);
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    out.put_u64(u64::try_from(record.lasted.as_millis()).unwrap_or(u64::MAX));
    out.put_u64(record.wall.0);
    let checksum = crc32c::crc32c(&out);
    out.put_u32(checksum);
    out.freeze()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, Damage> {
    let Some((MAGIC, rest)) = bytes.split_first_chunk() else { return Err(Damage::Content) };
    match rest.first() {
        Some(&VERSION) => {}
        Some(&found) if found > VERSION => return Err(Damage::Newer { found }),
        _ => return Err(Damage::Content),
    }
    if bytes.len() != BYTES {
        return Err(Damage::Content);
    }
    let (sealed, mut checksum) = bytes.split_at(BYTES - 4);
    if checksum.get_u32() != crc32c::crc32c(sealed) {
        return Err(Damage::Content);
    }
    let mut numbers = &sealed[MAGIC.len() + 1..];
    let lasted = Duration::from_millis(numbers.get_u64());
    Ok(Record { lasted, wall: UnixMillis(numbers.get_u64()) })
}
