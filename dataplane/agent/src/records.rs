//! Checksummed records one behind the other, as in the files that an agent appends to.

use bytes::{Buf, BufMut, BytesMut};
use prost::Message;

/// Length and CRC32C of a record's body, big-endian.
const HEADER_BYTES: usize = 8;

/// Appends a record that holds `message`.
pub(crate) fn put(out: &mut BytesMut, message: &impl Message) {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).expect("because messages are bounded below 4 GiB");
    out.put_u32(length);
    out.put_u32(crc32c::crc32c(&body));
    out.put_slice(&body);
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<M> {
    /// A record.
    Message(M),
    /// Part of a record, that a crash tore off; or nothing.
    End { torn: bool },
    /// A whole record that is not what was written.
    Damaged { offset: usize },
}

/// Reads records from `offset` of a file's bytes.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// The next record; after an end or damage the same again.
    pub(crate) fn next<M: Message + Default>(&mut self) -> Next<M> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some(mut header) = rest.get(..HEADER_BYTES) else {
            return Next::End { torn: !rest.is_empty() };
        };
        let (length, checksum) = (header.get_u32() as usize, header.get_u32());
        let Some(body) = rest[HEADER_BYTES..].get(..length) else {
            return Next::End { torn: true };
        };
        let is_sound = crc32c::crc32c(body) == checksum;
        let Some(message) = M::decode(body).ok().filter(|_| is_sound) else {
            return Next::Damaged { offset: self.offset };
        };
        self.offset += HEADER_BYTES + length;
        Next::Message(message)
    }
}
