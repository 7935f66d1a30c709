//! The first look at an incoming pack, while it arrives.

mod body;

use gitstratum_core::{ObjectFormat, encode_hex};

use self::body::{BodyScanner, Ended, Progress};
use super::entries::{NewEntry, ScannedKind};
use super::entry::{EntryKind, Header};
use super::{EntryList, Error, Limits, PACK_HEADER_LEN};
use crate::hash::ChecksumHasher;

const MAGIC: [u8; 4] = *b"PACK";

/// Checks a pack while its bytes arrive in pieces of any size.
///
/// It finds every entry's border, inflates every entry once (never holding more
/// than 64 KiB of it), names and fingerprints every whole object, and verifies
/// counts, sizes and the trailer. Memory grows with the entries seen, never
/// with the number announced (bad input 42).
pub struct Scanner {
    format: ObjectFormat,
    limits: Limits,
    state: State,
    /// Bytes of a header or trailer that is not complete yet.
    pending: Vec<u8>,
    checksum: ChecksumHasher,
    body: BodyScanner,
    entries: EntryList,
    version: u32,
    count: u32,
    position: u64,
    border: u64,
    trailer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    PackHeader,
    EntryHeader,
    Body,
    Trailer,
    Complete,
}

/// A pack whose every byte was seen and is well-formed, its deltas not resolved.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// Its entries.
    pub entries: EntryList,
    /// The version in its header, 2 or 3.
    pub version: u32,
    /// Its trailer: the checksum of all bytes before it.
    pub trailer: Vec<u8>,
    /// Its bytes, header and trailer included.
    pub pack_len: u64,
}

impl Scanner {
    /// A scanner for one pack of a repository of this format.
    pub fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            format,
            body: BodyScanner::new(format, &limits),
            limits,
            state: State::PackHeader,
            pending: Vec::with_capacity(Header::LEN_MAX),
            checksum: ChecksumHasher::new(format),
            entries: EntryList::new(format, PACK_HEADER_LEN as u64),
            version: 0,
            count: 0,
            position: 0,
            border: 0,
            trailer: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream, all of them.
    ///
    /// # Errors
    /// As soon as the bytes seen cannot be part of an acceptable pack; the
    /// scanner is of no use afterwards. Bytes behind the trailer are
    /// [`Error::TrailingBytes`].
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let before = self.position;
        if before + chunk.len() as u64 > self.limits.pack_bytes_max {
            return Err(Error::PackTooLarge { limit: self.limits.pack_bytes_max });
        }
        let entries_end = self.scan_entries(chunk)?;
        self.checksum.update(&chunk[..entries_end]);
        let trailer_len = self.take_trailer(&chunk[entries_end..])?;
        if entries_end + trailer_len < chunk.len() {
            return Err(Error::TrailingBytes);
        }
        self.position = before + chunk.len() as u64;
        Ok(())
    }

    /// Bytes taken so far.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where the last complete entry ended (12 before the first did): a place
    /// where a segment may end (S1).
    pub const fn border(&self) -> u64 {
        self.border
    }

    /// Entries complete so far.
    pub const fn entries(&self) -> &EntryList {
        &self.entries
    }

    /// Entries announced by the header; 0 before it was seen.
    pub const fn announced(&self) -> u32 {
        self.count
    }

    /// Whether the trailer was seen and is right.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The whole pack's entries, once the stream ended.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it ended too early.
    pub fn finish(self) -> Result<Scanned, Error> {
        let inside = match self.state {
            State::Complete => {
                return Ok(Scanned {
                    entries: self.entries,
                    version: self.version,
                    trailer: self.trailer,
                    pack_len: self.position,
                });
            }
            State::PackHeader => "pack header",
            State::EntryHeader => "entry header",
            State::Body => "entry",
            State::Trailer => "trailer",
        };
        Err(Error::Truncated { position: self.position, inside })
    }

    /// Takes bytes up to the trailer; returns how many.
    fn scan_entries(&mut self, chunk: &[u8]) -> Result<usize, Error> {
        let mut used = 0;
        while used < chunk.len() {
            let rest = &chunk[used..];
            used += match self.state {
                State::PackHeader => self.take_pack_header(rest)?,
                State::EntryHeader => self.take_entry_header(rest, self.position + used as u64)?,
                State::Body => self.take_body(rest, self.position + used as u64)?,
                State::Trailer | State::Complete => return Ok(used),
            };
        }
        Ok(used)
    }

    fn take_pack_header(&mut self, input: &[u8]) -> Result<usize, Error> {
        let used = self.gather(input, PACK_HEADER_LEN);
        let Some(header) = self.pending.first_chunk::<PACK_HEADER_LEN>().copied() else {
            return Ok(used);
        };
        self.pending.clear();
        let [m0, m1, m2, m3, v0, v1, v2, v3, c0, c1, c2, c3] = header;
        let magic = [m0, m1, m2, m3];
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        self.version = u32::from_be_bytes([v0, v1, v2, v3]);
        if !matches!(self.version, 2 | 3) {
            return Err(Error::Version { found: self.version });
        }
        self.count = u32::from_be_bytes([c0, c1, c2, c3]);
        if self.count > self.limits.objects_max {
            let limit = self.limits.objects_max;
            return Err(Error::TooManyObjects { count: self.count, limit });
        }
        self.border = PACK_HEADER_LEN as u64;
        self.state = self.state_between_entries();
        Ok(used)
    }

    fn take_entry_header(&mut self, input: &[u8], at: u64) -> Result<usize, Error> {
        let held = self.pending.len();
        let offset = at - held as u64;
        let used = self.gather(input, Header::LEN_MAX);
        let parsed = Header::parse(self.format, &self.pending)
            .map_err(|source| Error::EntryHeader { offset, source })?;
        let Some((header, len)) = parsed else {
            return Ok(used);
        };
        self.pending.clear();
        let kind = self.locate_base(offset, header.kind)?;
        self.body.start(offset, u8::try_from(len).unwrap_or(u8::MAX), header.size, kind)?;
        self.state = State::Body;
        Ok(len - held)
    }

    /// A delta's base must start an earlier entry (bad input 48).
    fn locate_base(&self, offset: u64, kind: EntryKind) -> Result<body::Kind, Error> {
        Ok(match kind {
            EntryKind::Base(kind) => body::Kind::Object(kind),
            EntryKind::RefDelta { base } => body::Kind::Delta(ScannedKind::RefDelta { base }),
            EntryKind::OfsDelta { distance } => {
                let found = offset.checked_sub(distance).and_then(|base_offset| {
                    Some((self.entries.find_offset(base_offset)?, base_offset))
                });
                let (base, base_offset) = found.ok_or(Error::DeltaBase { offset, distance })?;
                body::Kind::Delta(ScannedKind::OfsDelta { base, base_offset })
            }
        })
    }

    fn take_body(&mut self, input: &[u8], at: u64) -> Result<usize, Error> {
        match self.body.push(input)? {
            Progress::Taken(used) => Ok(used),
            Progress::Ended(used, ended) => {
                self.finish_entry(ended, at + used as u64);
                Ok(used)
            }
        }
    }

    fn finish_entry(&mut self, ended: Ended, end: u64) {
        let Ended { offset, header_len, size, kind } = ended;
        let packed_len = end - offset;
        self.entries.push(NewEntry { offset, header_len, packed_len, kind, size });
        self.border = end;
        self.state = self.state_between_entries();
    }

    fn state_between_entries(&self) -> State {
        if self.entries.len() as u64 == u64::from(self.count) {
            State::Trailer
        } else {
            State::EntryHeader
        }
    }

    fn take_trailer(&mut self, input: &[u8]) -> Result<usize, Error> {
        if self.state != State::Trailer {
            return Ok(0);
        }
        let used = self.gather(input, self.format.id_len());
        if self.pending.len() == self.format.id_len() {
            self.trailer = std::mem::take(&mut self.pending);
            let found = self.checksum.clone().finish();
            if found != self.trailer {
                return Err(Error::Trailer { found, stated: self.trailer.clone() });
            }
            self.state = State::Complete;
        }
        Ok(used)
    }

    /// Fills `pending` up to `len` bytes; returns how many it took.
    fn gather(&mut self, input: &[u8], len: usize) -> usize {
        let used = input.len().min(len - self.pending.len());
        self.pending.extend_from_slice(&input[..used]);
        used
    }
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("position", &self.position)
            .field("entries", &self.entries.len())
            .field("announced", &self.count)
            .field("trailer", &encode_hex(&self.trailer))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
