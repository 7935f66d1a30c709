use std::collections::VecDeque;

use gitstratum_core::SegmentId;

use super::checksum::BlockSums;
use super::footer::Footer;
use super::{
    Error, FOOTER_BYTES_MAX, HEADER_BYTES, Header, Layout, SEGMENT_BYTES_MAX, footer::FIXED_BYTES,
};

/// Checks a segment while it streams in, in any chunking. Where the body ends is
/// known only at the end, so the last [`FOOTER_BYTES_MAX`] bytes are held back.
///
/// What it has been fed is a sealed, sound segment only if [`finish`](Self::finish)
/// says so: an owner acknowledges nothing before that (S4, S13).
#[derive(Debug)]
pub struct Verifier {
    segment: SegmentId,
    taken: u64,
    front: Vec<u8>,
    header: Option<Header>,
    sums: BlockSums,
    held: VecDeque<u8>,
}

impl Verifier {
    /// A verifier of the bytes of `segment`.
    pub fn new(segment: SegmentId) -> Self {
        Self {
            segment,
            taken: 0,
            front: Vec::with_capacity(HEADER_BYTES),
            header: None,
            sums: BlockSums::new(segment),
            held: VecDeque::with_capacity(FOOTER_BYTES_MAX),
        }
    }

    /// The header, once its bytes have come: whoever stores the segment may refuse
    /// a foreign cluster or a closed session early.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Bytes taken so far.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// As soon as the stream cannot be `segment` any more: its header is damaged or
    /// another's, or it is too long. The stream is then to be dropped.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.taken += bytes.len() as u64;
        if self.taken > SEGMENT_BYTES_MAX as u64 {
            return Err(Error::TooLarge {
                segment: self.segment,
                what: "bytes",
                limit: SEGMENT_BYTES_MAX,
            });
        }
        let rest = self.fill_front(bytes)?;
        self.hold(rest);
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Whatever is wrong with the segment, naming the first damaged block.
    pub fn finish(mut self) -> Result<Layout, Error> {
        let segment = self.segment;
        let Some(header) = self.header else {
            return Err(Error::Truncated { segment, len: self.taken });
        };
        if self.held.len() < FIXED_BYTES {
            return Err(Error::Truncated { segment, len: self.taken });
        }
        let tail = self.held.make_contiguous();
        let footer = Footer::decode(segment, tail)?;
        let body_end = tail.len() - footer.encoded_len();
        self.sums.update(&tail[..body_end]);
        if self.sums.body_len() != footer.body_len {
            return Err(Error::Footer { segment, what: "its body has another length" });
        }
        let sums = self.sums.finish();
        let damaged = sums.iter().zip(&footer.sums).position(|(is, should)| is != should);
        match damaged {
            Some(block) => Err(Error::Block { segment, block: block as u32 }),
            None => Ok(Layout::of(header, footer)),
        }
    }

    /// Takes what the header still lacks and returns the rest.
    fn fill_front<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        if self.header.is_some() {
            return Ok(bytes);
        }
        let (front, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.front.len()));
        self.front.extend_from_slice(front);
        if self.front.len() == HEADER_BYTES {
            self.header = Some(Header::decode(self.segment, &self.front)?);
        }
        Ok(rest)
    }

    /// Holds back the last bytes; those before them are body.
    fn hold(&mut self, bytes: &[u8]) {
        let release = (self.held.len() + bytes.len()).saturating_sub(FOOTER_BYTES_MAX);
        let from_held = release.min(self.held.len());
        let (older, newer) = self.held.as_slices();
        let from_older = from_held.min(older.len());
        self.sums.update(&older[..from_older]);
        self.sums.update(&newer[..from_held - from_older]);
        self.held.drain(..from_held);
        let (body, back) = bytes.split_at(release - from_held);
        self.sums.update(body);
        self.held.extend(back);
    }
}
