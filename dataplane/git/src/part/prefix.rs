use bytes::{Buf, BufMut, Bytes};
use crc32c::{crc32c, crc32c_append};
use gitstratum_core::{ObjectFormat, PackId};

use super::{Error, Kind};

/// Bytes of the prefix, in every version of every part.
pub(crate) const PREFIX_BYTES: usize = 64;
/// Where its own checksum lies.
const SUM_AT: usize = PREFIX_BYTES - 4;
/// Numbers that a format keeps in the prefix.
const FIELDS: usize = 9;
const VERSION: u8 = 1;

const fn magic(part: Kind) -> &'static [u8; 4] {
    match part {
        Kind::Index => b"GSIX",
        Kind::Graph => b"GSGR",
        Kind::Table => b"GSTB",
    }
}

/// Number of an object format in stored bytes.
pub(crate) const fn format_number(format: ObjectFormat) -> u8 {
    match format {
        ObjectFormat::Sha1 => 1,
        ObjectFormat::Sha256 => 2,
    }
}

/// The object format of a number in stored bytes.
pub(crate) const fn format_of(number: u8) -> Option<ObjectFormat> {
    match number {
        1 => Some(ObjectFormat::Sha1),
        2 => Some(ObjectFormat::Sha256),
        _ => None,
    }
}

/// The first bytes of every part: what it is, of which pack, and nine numbers from
/// which the lengths of its sections follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) part: Kind,
    pub(crate) pack: PackId,
    pub(crate) format: ObjectFormat,
    pub(crate) fields: [u32; FIELDS],
}

impl Prefix {
    pub(crate) fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut out = Vec::with_capacity(PREFIX_BYTES);
        out.put_slice(magic(self.part));
        out.put_u8(VERSION);
        out.put_u8(format_number(self.format));
        out.put_u16(0);
        out.put_slice(&self.pack.0);
        self.fields.iter().for_each(|field| out.put_u32(*field));
        let sum = crc32c(&out);
        out.put_u32(sum);
        out.try_into().expect("because the fields add up to the prefix")
    }

    /// The prefix at the front of `bytes`, which must be of `part` of `pack`.
    pub(crate) fn decode(part: Kind, pack: PackId, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |what| Error::Damaged { part, pack, what };
        let bytes = bytes.first_chunk::<PREFIX_BYTES>().ok_or(damaged("cut short"))?;
        if !bytes.starts_with(magic(part)) {
            return Err(damaged("no magic"));
        }
        if crc32c(&bytes[..SUM_AT]).to_be_bytes() != bytes[SUM_AT..] {
            return Err(damaged("checksum of its prefix differs"));
        }
        let unsupported = |what, value| Error::Unsupported { part, pack, what, value };
        let mut rest = &bytes[4..];
        let version = rest.get_u8();
        if version != VERSION {
            return Err(unsupported("version", version));
        }
        let number = rest.get_u8();
        let format = format_of(number).ok_or(unsupported("object format", number))?;
        rest.advance(2);
        let mut found = PackId([0; 16]);
        rest.copy_to_slice(&mut found.0);
        if found != pack {
            return Err(Error::OtherPack { part, pack, found });
        }
        Ok(Self { part, pack, format, fields: std::array::from_fn(|_| rest.get_u32()) })
    }

    /// What checksums of the bytes behind the prefix start from: it binds them to
    /// this part of this pack.
    pub(crate) fn seed(&self) -> u32 {
        crc32c(&self.encode()[..SUM_AT])
    }

    /// The bytes between prefix and closing checksum of a part that is `expected`
    /// bytes long in all, checked.
    pub(crate) fn open_body(&self, bytes: &Bytes, expected: u64) -> Result<Bytes, Error> {
        if bytes.len() as u64 != expected {
            return Err(self.damaged("its length does not follow from its counts"));
        }
        let (body, sum) = bytes.split_at(bytes.len() - 4);
        if crc32c_append(self.seed(), &body[PREFIX_BYTES..]).to_be_bytes() != sum {
            return Err(self.damaged("checksum differs"));
        }
        Ok(bytes.slice(PREFIX_BYTES..bytes.len() - 4))
    }

    /// Appends the closing checksum to `out`: a prefix and the bytes behind it.
    pub(crate) fn close(&self, out: &mut Vec<u8>) {
        let sum = crc32c_append(self.seed(), &out[PREFIX_BYTES..]);
        out.put_u32(sum);
    }

    pub(crate) const fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { part: self.part, pack: self.pack, what }
    }

    pub(crate) const fn misused(&self, what: &'static str) -> Error {
        Error::Misused { part: self.part, pack: self.pack, what }
    }

    pub(crate) const fn too_large(&self, what: &'static str, limit: usize) -> Error {
        Error::TooLarge { part: self.part, pack: self.pack, what, limit }
    }
}
