use std::ops::Range;

use bytes::Bytes;
use gitstratum_core::SegmentId;

use super::checksum::block_sum;
use super::footer::Footer;
use super::{BLOCK_BYTES, DirectoryEntry, Error, FOOTER_BYTES_MAX, HEADER_BYTES, Header};

/// A sealed segment as its header and footer describe it: what a reader needs to
/// find bytes and to know that they are sound (S29).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    header: Header,
    footer: Footer,
}

impl Layout {
    /// The layout of `segment`, of whose `total_len` bytes `head` is the first
    /// [`HEADER_BYTES`] or more and `tail` the last [`FOOTER_BYTES_MAX`], or all
    /// when there are fewer.
    ///
    /// # Errors
    /// Truncated, unsealed, damaged, another segment's, or of a newer release.
    pub fn open(
        segment: SegmentId,
        total_len: u64,
        head: &[u8],
        tail: &[u8],
    ) -> Result<Self, Error> {
        let wanted_tail = total_len.min(FOOTER_BYTES_MAX as u64);
        if (tail.len() as u64) < wanted_tail {
            let found = tail.len() as u64;
            return Err(Error::Read { segment, expected: wanted_tail, found });
        }
        let header = Header::decode(segment, head)?;
        let footer = Footer::decode(segment, tail)?;
        let layout = Self { header, footer };
        if layout.total_len() != total_len {
            return Err(Error::Footer { segment, what: "its body has another length" });
        }
        Ok(layout)
    }

    /// The layout of `segment`, all of whose bytes are at hand (an inline row, S4).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_whole(segment: SegmentId, bytes: &[u8]) -> Result<Self, Error> {
        Self::open(segment, bytes.len() as u64, bytes, bytes)
    }

    pub(super) const fn of(header: Header, footer: Footer) -> Self {
        Self { header, footer }
    }

    /// What the segment says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the body: entries and pieces of parts.
    pub const fn body_len(&self) -> u64 {
        self.footer.body_len
    }

    /// Bytes of pack entries at the start of the body.
    pub const fn entries_len(&self) -> u64 {
        self.footer.entries_len
    }

    /// Bytes of the whole segment.
    pub const fn total_len(&self) -> u64 {
        HEADER_BYTES as u64 + self.footer.body_len + self.footer.encoded_len() as u64
    }

    /// The offsets in the pack of the entry bytes that lie here.
    pub const fn pack_range(&self) -> Range<u64> {
        let start = self.header.pack_offset;
        start..start.saturating_add(self.footer.entries_len)
    }

    /// The pieces of parts that lie behind the entries, in order.
    pub fn pieces(&self) -> &[DirectoryEntry] {
        &self.footer.pieces
    }

    /// Number of blocks in the body.
    pub const fn block_count(&self) -> usize {
        self.footer.sums.len()
    }

    /// The bytes of the segment (file offsets, not body offsets) that have to be
    /// read to check and give `range` of the body. Empty for an empty range.
    ///
    /// # Errors
    /// [`Error::Range`] when the body does not have them.
    pub fn cover(&self, range: Range<u64>) -> Result<Range<u64>, Error> {
        let blocks = self.blocks(&range)?;
        let start = blocks.start * BLOCK_BYTES as u64;
        let end = (blocks.end * BLOCK_BYTES as u64).min(self.body_len()).max(start);
        Ok(HEADER_BYTES as u64 + start..HEADER_BYTES as u64 + end)
    }

    /// `range` of the body, cut out of `bytes`, which were read at
    /// [`cover`](Self::cover) of the same range. No byte is given that its block's
    /// checksum does not vouch for.
    ///
    /// # Errors
    /// [`Error::Block`] names the first damaged block, [`Error::Read`] a short read.
    pub fn verify_and_slice(&self, range: Range<u64>, bytes: Bytes) -> Result<Bytes, Error> {
        let segment = self.header.segment;
        let cover = self.cover(range.clone())?;
        let expected = cover.end - cover.start;
        if bytes.len() as u64 != expected {
            return Err(Error::Read { segment, expected, found: bytes.len() as u64 });
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let first = self.blocks(&range)?.start as usize;
        for (number, block) in (first..).zip(bytes.chunks(BLOCK_BYTES)) {
            if block_sum(segment, number as u32, block) != self.footer.sums[number] {
                return Err(Error::Block { segment, block: number as u32 });
            }
        }
        let before = (range.start - (cover.start - HEADER_BYTES as u64)) as usize;
        Ok(bytes.slice(before..before + (range.end - range.start) as usize))
    }

    /// Numbers of the blocks that hold `range` of the body.
    fn blocks(&self, range: &Range<u64>) -> Result<Range<u64>, Error> {
        if range.start > range.end || range.end > self.body_len() {
            return Err(Error::Range {
                segment: self.header.segment,
                start: range.start,
                end: range.end,
                body: self.body_len(),
            });
        }
        let first = range.start / BLOCK_BYTES as u64;
        if range.is_empty() {
            return Ok(first..first);
        }
        Ok(first..range.end.div_ceil(BLOCK_BYTES as u64))
    }
}
