use bytes::{Buf, BufMut};
use crc32c::crc32c_append;
use gitstratum_core::SegmentId;

use super::checksum::segment_seed;
use super::{BLOCK_BYTES, BODY_BYTES_MAX, Error, FOOTER_BYTES_MAX, PIECES_MAX};
use crate::part;

const MAGIC: &[u8; 8] = b"GSSEGFTR";
const END_MAGIC: &[u8; 8] = b"GSSEGEND";
const VERSION: u8 = 1;
/// Bytes before the part directory.
const FRONT_BYTES: usize = 48;
/// Length, checksum and magic at the very end, in every version.
const END_BYTES: usize = 16;
/// Bytes of a footer without pieces and blocks.
pub(super) const FIXED_BYTES: usize = FRONT_BYTES + END_BYTES;
/// Bytes of one entry of the part directory.
pub(super) const PIECE_BYTES: usize = 24;
/// Bytes of one block checksum.
pub(super) const SUM_BYTES: usize = 4;

/// A piece of a part that lies in a segment, as the segment's own directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Which part it is a piece of.
    pub kind: part::Kind,
    /// Its number among the part's pieces, from 0.
    pub number: u16,
    /// How many pieces the part has.
    pub of: u16,
    /// Where it starts in the body.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

/// What a segment says of itself after its last body byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) body_len: u64,
    pub(super) entries_len: u64,
    pub(super) pieces: Vec<DirectoryEntry>,
    pub(super) sums: Vec<u32>,
}

impl Footer {
    pub(super) const fn encoded_len(&self) -> usize {
        FIXED_BYTES + self.pieces.len() * PIECE_BYTES + self.sums.len() * SUM_BYTES
    }

    pub(super) fn encode(&self, segment: SegmentId) -> Vec<u8> {
        let len = self.encoded_len();
        let mut out = Vec::with_capacity(len);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u8(0);
        out.put_u16(self.pieces.len() as u16);
        out.put_u32(self.sums.len() as u32);
        out.put_u64(self.body_len);
        out.put_u64(self.entries_len);
        out.put_slice(&segment.0);
        self.pieces.iter().for_each(|piece| put_piece(&mut out, piece));
        self.sums.iter().for_each(|sum| out.put_u32(*sum));
        out.put_u32(len as u32);
        let sum = crc32c_append(segment_seed(segment), &out);
        out.put_u32(sum);
        out.put_slice(END_MAGIC);
        out
    }

    /// The footer at the end of `tail`: the last bytes of `segment`,
    /// [`FOOTER_BYTES_MAX`] of them or all that there are.
    pub(super) fn decode(segment: SegmentId, tail: &[u8]) -> Result<Self, Error> {
        let bytes = cut_frame(segment, tail)?;
        let fail = |what| Err(Error::Footer { segment, what });
        let mut rest = &bytes[MAGIC.len()..];
        let version = rest.get_u8();
        if version != VERSION {
            return Err(Error::Unsupported { segment, what: "version", value: version.into() });
        }
        rest.advance(1);
        let (pieces, blocks) = (usize::from(rest.get_u16()), rest.get_u32() as usize);
        let (body_len, entries_len) = (rest.get_u64(), rest.get_u64());
        let mut named = SegmentId([0; 16]);
        rest.copy_to_slice(&mut named.0);
        if named != segment {
            return Err(Error::Other { segment, found: named });
        }
        let fits = pieces <= PIECES_MAX
            && body_len <= BODY_BYTES_MAX as u64
            && blocks as u64 == body_len.div_ceil(BLOCK_BYTES as u64)
            && rest.len() == pieces * PIECE_BYTES + blocks * SUM_BYTES + END_BYTES;
        if !fits || entries_len > body_len {
            return fail("its counts do not add up");
        }
        let footer = Self {
            body_len,
            entries_len,
            pieces: (0..pieces).map(|_| get_piece(segment, &mut rest)).collect::<Result<_, _>>()?,
            sums: (0..blocks).map(|_| rest.get_u32()).collect(),
        };
        if !footer.pieces_follow_entries() {
            return fail("a part lies outside of its place");
        }
        Ok(footer)
    }

    /// Pieces fill the body behind the entries, one after the other.
    fn pieces_follow_entries(&self) -> bool {
        let mut end = Some(self.entries_len);
        for piece in &self.pieces {
            if end != Some(piece.offset) || piece.number >= piece.of {
                return false;
            }
            end = piece.offset.checked_add(piece.len);
        }
        end == Some(self.body_len)
    }
}

/// The footer's bytes, found and checked from the end.
fn cut_frame(segment: SegmentId, tail: &[u8]) -> Result<&[u8], Error> {
    let fail = |what| Err(Error::Footer { segment, what });
    let Some((_, end)) = tail.split_last_chunk::<END_BYTES>() else {
        return Err(Error::Truncated { segment, len: tail.len() as u64 });
    };
    if !end.ends_with(END_MAGIC) {
        return fail("no magic: cut short or never sealed");
    }
    let mut fields = &end[..];
    let (len, sum) = (fields.get_u32() as usize, fields.get_u32());
    if !(FIXED_BYTES..=FOOTER_BYTES_MAX.min(tail.len())).contains(&len) {
        return fail("its length is impossible");
    }
    let bytes = &tail[tail.len() - len..];
    if crc32c_append(segment_seed(segment), &bytes[..len - 12]) != sum {
        return fail("checksum differs");
    }
    if !bytes.starts_with(MAGIC) {
        return fail("no magic at its front");
    }
    Ok(bytes)
}

fn put_piece(out: &mut Vec<u8>, piece: &DirectoryEntry) {
    out.put_u8(piece.kind as u8);
    out.put_u8(0);
    out.put_u16(piece.number);
    out.put_u16(piece.of);
    out.put_u16(0);
    out.put_u64(piece.offset);
    out.put_u64(piece.len);
}

fn get_piece(segment: SegmentId, rest: &mut &[u8]) -> Result<DirectoryEntry, Error> {
    let kind = rest.get_u8();
    rest.advance(1);
    let (number, of) = (rest.get_u16(), rest.get_u16());
    rest.advance(2);
    let (offset, len) = (rest.get_u64(), rest.get_u64());
    let kind = part::Kind::from_number(kind).ok_or(Error::Unsupported {
        segment,
        what: "part kind",
        value: kind.into(),
    })?;
    Ok(DirectoryEntry { kind, number, of, offset, len })
}
