use crc32c::{crc32c, crc32c_append};
use gitstratum_core::SegmentId;

use super::BLOCK_BYTES;

/// What the checksum of a segment's footer starts from.
pub(super) fn segment_seed(segment: SegmentId) -> u32 {
    crc32c(&segment.0)
}

/// Checksum of one block: the seed binds it to its segment and place (S3).
pub(super) fn block_sum(segment: SegmentId, block: u32, bytes: &[u8]) -> u32 {
    crc32c_append(block_seed(segment, block), bytes)
}

fn block_seed(segment: SegmentId, block: u32) -> u32 {
    crc32c_append(segment_seed(segment), &block.to_be_bytes())
}

/// Checksums of a body that arrives in any chunking.
#[derive(Debug)]
pub(super) struct BlockSums {
    segment: SegmentId,
    body_len: u64,
    open: u32,
    filled: usize,
    sums: Vec<u32>,
}

impl BlockSums {
    pub(super) fn new(segment: SegmentId) -> Self {
        Self { segment, body_len: 0, open: 0, filled: 0, sums: Vec::new() }
    }

    /// Bytes taken so far.
    pub(super) const fn body_len(&self) -> u64 {
        self.body_len
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.body_len += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.filled == 0 {
                self.open = block_seed(self.segment, self.next_block());
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.open = crc32c_append(self.open, now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.close();
            }
            bytes = later;
        }
    }

    /// The checksum of each block in order, the last block as short as it is.
    pub(super) fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.close();
        }
        self.sums
    }

    fn close(&mut self) {
        self.sums.push(self.open);
        self.filled = 0;
    }

    fn next_block(&self) -> u32 {
        u32::try_from(self.sums.len()).expect("because a body has at most some hundred blocks")
    }
}
