//! Stored bytes: a version, a checksum bound to their place, a body.

use bytes::{BufMut, Bytes, BytesMut};

/// The version that this build writes.
const VERSION: u8 = 1;
/// Version (1) and CRC32C (4).
const HEADER_BYTES: usize = 5;

/// Why sealed bytes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// There are too few.
    #[error("{0} bytes are too few")]
    Short(usize),
    /// They were written by a newer version.
    #[error("version {0} is newer than {VERSION}")]
    Version(u8),
    /// They are not what was written, or not where it was written.
    #[error("checksum is wrong")]
    Checksum,
    /// The body is not of its form.
    #[error("body does not decode: {0}")]
    Body(String),
}

/// `message`, sealed for `place`. Bytes moved to another place do not open there.
pub(crate) fn seal(place: &[u8], message: &impl prost::Message) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + message.encoded_len());
    out.put_u8(VERSION);
    out.put_u32(0);
    message.encode(&mut out).expect("because a BytesMut grows");
    let sum = checksum(place, &out[HEADER_BYTES..]);
    out[1..HEADER_BYTES].copy_from_slice(&sum.to_be_bytes());
    out.freeze()
}

/// The message that was sealed for `place`.
pub(crate) fn open<M: prost::Message + Default>(place: &[u8], sealed: &Bytes) -> Result<M, Broken> {
    if sealed.len() < HEADER_BYTES {
        return Err(Broken::Short(sealed.len()));
    }
    if sealed[0] != VERSION {
        return Err(Broken::Version(sealed[0]));
    }
    let body = sealed.slice(HEADER_BYTES..);
    let stored = u32::from_be_bytes([sealed[1], sealed[2], sealed[3], sealed[4]]);
    if stored != checksum(place, &body) {
        return Err(Broken::Checksum);
    }
    M::decode(body).map_err(|error| Broken::Body(error.to_string()))
}

fn checksum(place: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(u32::from(VERSION), place), body)
}
