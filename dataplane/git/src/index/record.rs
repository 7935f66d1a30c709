use bytes::{Buf, BufMut};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use crate::part::Ordinal;

/// Bytes of a record behind its id.
const FIELD_BYTES: usize = 50;
const STRAY: u8 = 1;
const SHADOWED: u8 = 2;
const NO_BASE: u32 = u32::MAX;
/// Bit of a base word that says: the rest is a number of an external base.
const EXTERNAL: u32 = 1 << 31;

/// The first 128 bits of the BLAKE3 of an object's content (without git's object
/// header): the duplicate check of S5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

/// Number of a delta base outside of the pack, in the index's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct External(pub u32);

/// What an entry is a delta against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the entry is the whole object.
    None,
    /// Another entry of the pack.
    Entry(Ordinal),
    /// An object outside of the pack.
    External(External),
}

/// Why an indexed object may not answer (S8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Not reached from the push's tips and not a member before.
    pub stray: bool,
    /// Another live pack answers for the object.
    pub shadowed: bool,
}

impl Flags {
    /// Whether this copy of the object answers.
    pub const fn answers(self) -> bool {
        !self.stray && !self.shadowed
    }

    const fn to_bits(self) -> u8 {
        (if self.stray { STRAY } else { 0 }) | (if self.shadowed { SHADOWED } else { 0 })
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !(STRAY | SHADOWED) != 0 {
            return None;
        }
        Some(Self { stray: bits & STRAY != 0, shadowed: bits & SHADOWED != 0 })
    }
}

/// What the index knows of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: ObjectId,
    /// The place of its entry in the pack.
    pub ordinal: Ordinal,
    /// Offset of the entry in the pack as it arrived.
    pub offset: u64,
    /// Bytes of the entry: its header and the deflated bytes.
    pub packed_len: u64,
    /// What it is, after deltas are resolved.
    pub kind: ObjectKind,
    /// Whether it answers.
    pub flags: Flags,
    /// Bytes of the object, inflated and resolved.
    pub size: u64,
    /// What the entry is a delta against.
    pub base: Base,
    /// Hash of the content.
    pub content: ContentHash,
}

/// Bytes of a record in an index of `format`.
pub(super) const fn record_len(format: ObjectFormat) -> usize {
    format.id_len() + FIELD_BYTES
}

impl Record {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_slice(self.id.as_bytes());
        out.put_u32(self.ordinal.0);
        out.put_u64(self.offset);
        out.put_u64(self.packed_len);
        out.put_u8(self.kind as u8);
        out.put_u8(self.flags.to_bits());
        out.put_u64(self.size);
        out.put_u32(match self.base {
            Base::None => NO_BASE,
            Base::Entry(ordinal) => ordinal.0,
            Base::External(External(number)) => EXTERNAL | number,
        });
        out.put_slice(&self.content.0);
    }

    /// The record in `bytes`, which are exactly one; `None` if a field is impossible.
    pub(super) fn get(format: ObjectFormat, bytes: &[u8]) -> Option<Self> {
        let (id, mut rest) = bytes.split_at_checked(format.id_len())?;
        if rest.len() != FIELD_BYTES {
            return None;
        }
        Some(Self {
            id: ObjectId::from_bytes(format, id).ok()?,
            ordinal: Ordinal(rest.get_u32()),
            offset: rest.get_u64(),
            packed_len: rest.get_u64(),
            kind: ObjectKind::from_pack_type(rest.get_u8())?,
            flags: Flags::from_bits(rest.get_u8())?,
            size: rest.get_u64(),
            base: match rest.get_u32() {
                NO_BASE => Base::None,
                word if word & EXTERNAL != 0 => Base::External(External(word & !EXTERNAL)),
                word => Base::Entry(Ordinal(word)),
            },
            content: ContentHash(*rest.first_chunk()?),
        })
    }

    /// The ordinal in a record's bytes.
    pub(super) fn ordinal_in(format: ObjectFormat, bytes: &[u8]) -> u32 {
        (&bytes[format.id_len()..]).get_u32()
    }
}
