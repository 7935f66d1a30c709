use bytes::Bytes;

use super::checksum::BlockSums;
use super::footer::Footer;
use super::{DirectoryEntry, ENTRIES_BYTES_MAX, Error, HEADER_BYTES, Header, PIECES_MAX};
use crate::part::{self, Piece, Portion};

/// Composes a segment: header, then entries as they come, then parts and footer.
/// Its caller sends the bytes it gets back, in order, to all owners at once (S2).
#[derive(Debug)]
pub struct Writer {
    header: Header,
    sums: BlockSums,
}

/// The end of a segment and what the manifest has to know of it.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What is still to be sent, in order: the parts' pieces, then the footer.
    pub tail: Vec<Bytes>,
    /// Where each piece came to lie, in the order given.
    pub pieces: Vec<Placed>,
    /// Bytes of pack entries at the start of the body.
    pub entries_len: u64,
    /// Bytes of the body.
    pub body_len: u64,
    /// Bytes of the whole segment.
    pub total_len: u64,
}

/// A piece of a part that has got its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which part it is a piece of.
    pub kind: part::Kind,
    /// Its number among the part's pieces, from 0.
    pub number: u16,
    /// Where it is.
    pub piece: Piece,
}

impl Writer {
    /// A writer, and the first bytes to send.
    pub fn new(header: Header) -> (Self, Bytes) {
        let bytes = Bytes::copy_from_slice(&header.encode());
        (Self { header, sums: BlockSums::new(header.segment) }, bytes)
    }

    /// Bytes of entries that still fit.
    pub const fn room(&self) -> usize {
        ENTRIES_BYTES_MAX - self.sums.body_len() as usize
    }

    /// Takes pack entries and gives back what to send for them. Today these are
    /// the same bytes; a cipher will change that and not this signature.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`room`](Self::room); nothing was taken then.
    pub fn write(&mut self, entries: Bytes) -> Result<Bytes, Error> {
        if entries.len() > self.room() {
            return Err(self.too_large("bytes of entries", ENTRIES_BYTES_MAX));
        }
        self.sums.update(&entries);
        Ok(entries)
    }

    /// Ends the segment with `parts`, which may be none.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a body cannot hold them.
    pub fn finish(mut self, parts: Vec<Portion>) -> Result<Sealed, Error> {
        let entries_len = self.sums.body_len();
        let parts_len: usize = parts.iter().map(|portion| portion.bytes.len()).sum();
        let limit = if entries_len == 0 { part::PIECE_BYTES_MAX } else { part::RIDE_BYTES_MAX };
        if parts_len > limit {
            return Err(self.too_large("bytes of parts", limit));
        }
        if parts.len() > PIECES_MAX {
            return Err(self.too_large("pieces of parts", PIECES_MAX));
        }
        let directory: Vec<_> = parts.iter().map(|portion| self.place(portion)).collect();
        let footer = Footer {
            body_len: self.sums.body_len(),
            entries_len,
            sums: self.sums.finish(),
            pieces: directory,
        };
        Ok(seal(&self.header, footer, parts))
    }

    fn place(&mut self, portion: &Portion) -> DirectoryEntry {
        let offset = self.sums.body_len();
        self.sums.update(&portion.bytes);
        DirectoryEntry {
            kind: portion.kind,
            number: portion.number,
            of: portion.of,
            offset,
            len: portion.bytes.len() as u64,
        }
    }

    const fn too_large(&self, what: &'static str, limit: usize) -> Error {
        Error::TooLarge { segment: self.header.segment, what, limit }
    }
}

fn seal(header: &Header, footer: Footer, parts: Vec<Portion>) -> Sealed {
    let segment = header.segment;
    let end = Bytes::from(footer.encode(segment));
    let placed = footer.pieces.iter().map(|entry| Placed {
        kind: entry.kind,
        number: entry.number,
        piece: Piece { segment, offset: entry.offset, len: entry.len },
    });
    Sealed {
        pieces: placed.collect(),
        entries_len: footer.entries_len,
        body_len: footer.body_len,
        total_len: HEADER_BYTES as u64 + footer.body_len + end.len() as u64,
        tail: parts.into_iter().map(|portion| portion.bytes).chain([end]).collect(),
    }
}
