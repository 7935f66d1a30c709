//! The header in front of every pack entry: a kind and a size, then for a delta
//! where its base is (gitformat-pack, "object entries").

use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind};

/// Type number of a delta whose base is named by distance.
pub const OFS_DELTA_TYPE: u8 = 6;
/// Type number of a delta whose base is named by id.
pub const REF_DELTA_TYPE: u8 = 7;

/// Most bytes of kind and size: 4 bits, then 7 bits a byte.
const SIZE_LEN_MAX: usize = 10;
/// Most bytes of a distance.
const DISTANCE_LEN_MAX: usize = 10;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A whole object.
    Base(ObjectKind),
    /// A delta on the entry that starts `distance` bytes earlier.
    OfsDelta {
        /// Bytes between the two entries' starts, at least 1.
        distance: u64,
    },
    /// A delta on an object named by id, in this pack or not.
    RefDelta {
        /// The base.
        base: ObjectId,
    },
}

/// An entry's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the entry holds.
    pub kind: EntryKind,
    /// Bytes that the entry inflates to: of the object, or of the delta.
    pub size: u64,
}

/// Why bytes are no entry header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// One of the type numbers without meaning, 0 and 5.
    #[error("object type {0} does not exist")]
    UnknownType(u8),
    /// The size does not fit 64 bits.
    #[error("object size is beyond 64 bits")]
    SizeOverflow,
    /// The distance to the base does not fit 64 bits.
    #[error("delta base distance is beyond 64 bits")]
    DistanceOverflow,
}

impl HeaderError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Header {
    /// Most bytes a header has.
    pub const LEN_MAX: usize = SIZE_LEN_MAX + 32;

    /// The header at the start of `bytes` and its length; `None` while more
    /// bytes are needed.
    ///
    /// # Errors
    /// As soon as the bytes at hand cannot become a header.
    pub fn parse(format: ObjectFormat, bytes: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let Some((type_number, size, first)) = parse_size(bytes)? else {
            return Ok(None);
        };
        let rest = &bytes[first..];
        let parsed = match type_number {
            OFS_DELTA_TYPE => {
                parse_distance(rest)?.map(|(distance, len)| (EntryKind::OfsDelta { distance }, len))
            }
            REF_DELTA_TYPE => rest
                .get(..format.id_len())
                .and_then(|id| ObjectId::from_bytes(format, id).ok())
                .map(|base| (EntryKind::RefDelta { base }, format.id_len())),
            other => {
                let kind =
                    ObjectKind::from_pack_type(other).ok_or(HeaderError::UnknownType(other))?;
                Some((EntryKind::Base(kind), 0))
            }
        };
        Ok(parsed.map(|(kind, second)| (Self { kind, size }, first + second)))
    }

    /// Appends the header's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.kind {
            EntryKind::Base(kind) => write_size(kind as u8, self.size, out),
            EntryKind::OfsDelta { distance } => {
                write_size(OFS_DELTA_TYPE, self.size, out);
                write_distance(distance, out);
            }
            EntryKind::RefDelta { base } => {
                write_size(REF_DELTA_TYPE, self.size, out);
                out.extend_from_slice(base.as_bytes());
            }
        }
    }
}

/// Type number, size and bytes used.
fn parse_size(bytes: &[u8]) -> Result<Option<(u8, u64, usize)>, HeaderError> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    let type_number = (first >> 4) & 7;
    let mut size = u64::from(first & 0x0f);
    let mut more = first & 0x80 != 0;
    let mut len = 1;
    while more {
        if len == SIZE_LEN_MAX {
            return Err(HeaderError::SizeOverflow);
        }
        let Some(byte) = bytes.get(len) else {
            return Ok(None);
        };
        let bits = u64::from(byte & 0x7f);
        let shift = 4 + 7 * (len - 1);
        if (bits << shift) >> shift != bits {
            return Err(HeaderError::SizeOverflow);
        }
        size |= bits << shift;
        more = byte & 0x80 != 0;
        len += 1;
    }
    Ok(Some((type_number, size, len)))
}

/// A distance is big-endian, 7 bits a byte, and every continued byte adds one,
/// so that no distance has two spellings.
fn parse_distance(bytes: &[u8]) -> Result<Option<(u64, usize)>, HeaderError> {
    let mut distance = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(DISTANCE_LEN_MAX) {
        if index > 0 {
            distance = distance.checked_add(1).ok_or(HeaderError::DistanceOverflow)?;
        }
        if distance >> 57 != 0 {
            return Err(HeaderError::DistanceOverflow);
        }
        distance = (distance << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(Some((distance, index + 1)));
        }
    }
    if bytes.len() < DISTANCE_LEN_MAX {
        return Ok(None);
    }
    Err(HeaderError::DistanceOverflow)
}

fn write_size(type_number: u8, size: u64, out: &mut Vec<u8>) {
    let mut byte = (type_number << 4) | low_bits(size, 0x0f);
    let mut rest = size >> 4;
    while rest != 0 {
        out.push(byte | 0x80);
        byte = low_bits(rest, 0x7f);
        rest >>= 7;
    }
    out.push(byte);
}

fn write_distance(distance: u64, out: &mut Vec<u8>) {
    let mut buffer = [0_u8; DISTANCE_LEN_MAX];
    let mut start = DISTANCE_LEN_MAX - 1;
    buffer[start] = low_bits(distance, 0x7f);
    let mut rest = distance >> 7;
    while rest != 0 {
        rest -= 1;
        start -= 1;
        buffer[start] = low_bits(rest, 0x7f) | 0x80;
        rest >>= 7;
    }
    out.extend_from_slice(&buffer[start..]);
}

fn low_bits(value: u64, mask: u8) -> u8 {
    value.to_le_bytes()[0] & mask
}

#[cfg(test)]
mod tests;
