//! The segment: a stretch of a pack's bytes, the unit of placement (S1, S3).
//!
//! A segment is a header, a body and a footer. The body is whole pack entries,
//! then pieces of parts. Every 64 KiB of the body has a CRC32C that is seeded with
//! the segment's id and the block's number, so right bytes in a wrong place are
//! damage too. `docs/formats/segment.md` has every byte.
//!
//! [`Writer`] makes one, [`Verifier`] checks one that streams in, [`Layout`] reads
//! ranges of one that is at rest. None of them does input or output.

mod checksum;
mod cut;
mod error;
mod footer;
mod header;
mod layout;
mod verifier;
mod writer;

pub use cut::{Cut, cut, cut_parts};
pub use error::Error;
pub use footer::DirectoryEntry;
pub use header::{Cipher, ClaimNumber, Header, KeyId, Kind, Origin};
pub use layout::Layout;
pub use verifier::Verifier;
pub use writer::{Placed, Sealed, Writer};

use crate::part;

/// Bytes of a header, in every version.
pub const HEADER_BYTES: usize = 160;

/// Bytes of body under one checksum.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Most bytes of pack entries in a segment (S1).
pub const ENTRIES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most bytes of a body: entries, and the parts that ride behind them (S3).
pub const BODY_BYTES_MAX: usize = ENTRIES_BYTES_MAX + part::RIDE_BYTES_MAX;

/// Most pieces of parts in a segment. There are three kinds of part and a part is
/// cut only where a segment is full, so three would do; the rest is for later kinds.
pub const PIECES_MAX: usize = 16;

/// Most bytes of a footer. A reader that takes this many bytes off the end of a
/// segment holds the whole footer.
pub const FOOTER_BYTES_MAX: usize = footer::FIXED_BYTES
    + PIECES_MAX * footer::PIECE_BYTES
    + BODY_BYTES_MAX.div_ceil(BLOCK_BYTES) * footer::SUM_BYTES;

/// Most bytes of a whole segment.
pub const SEGMENT_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX + FOOTER_BYTES_MAX;

/// Bytes of a whole segment with a body of `body` bytes and `pieces` pieces of parts.
pub const fn total_bytes(body: u64, pieces: usize) -> u64 {
    let blocks = body.div_ceil(BLOCK_BYTES as u64);
    let footer = footer::FIXED_BYTES + pieces * footer::PIECE_BYTES;
    HEADER_BYTES as u64 + body + footer as u64 + blocks * footer::SUM_BYTES as u64
}

#[cfg(test)]
mod tests;
