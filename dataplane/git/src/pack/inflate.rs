//! Reading an entry a second time, from the spool.

use flate2::{Decompress, FlushDecompress, Status};
use gitstratum_core::ObjectFormat;

use super::entry::Header;
use super::{ByteSource, EntryList, Error};

/// Spooled bytes read at once.
const READ_LEN: usize = 64 * 1024;

/// Where a spooled entry lies.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) format: ObjectFormat,
    pub(super) offset: u64,
    pub(super) end: u64,
}

impl Place {
    pub(super) fn of(entries: &EntryList, ordinal: u32) -> Self {
        Self { format: entries.format, offset: entries.offset(ordinal), end: entries.end(ordinal) }
    }
}

/// Inflates spooled entries, reusing its buffers.
pub(super) struct Inflater {
    zlib: Decompress,
    input: Vec<u8>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new(true), input: Vec::new() }
    }

    /// Puts what the entry inflates to into `out`, replacing what it held. The
    /// scan has checked the size, so the allocation is exact and bounded.
    pub(super) fn inflate(
        &mut self,
        source: &dyn ByteSource,
        place: Place,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let changed = || Error::SpoolChanged { offset: place.offset };
        let mut position = self.fill(source, place.offset, place.end)?;
        let (header, mut start) =
            Header::parse(place.format, &self.input).ok().flatten().ok_or_else(changed)?;
        let size = usize::try_from(header.size).map_err(|_beyond_memory| changed())?;
        out.clear();
        // One byte to spare, so that a stream which goes on shows itself.
        out.reserve_exact(size + 1);
        self.zlib.reset(true);
        while !self.run(start, size, out).ok_or_else(changed)? {
            if position == place.end {
                return Err(changed());
            }
            position = self.fill(source, position, place.end)?;
            start = 0;
        }
        if out.len() == size { Ok(()) } else { Err(changed()) }
    }

    /// Reads the next bytes up to `end`; returns where it stopped.
    fn fill(&mut self, source: &dyn ByteSource, offset: u64, end: u64) -> Result<u64, Error> {
        let len = usize::try_from(end - offset).unwrap_or(usize::MAX).min(READ_LEN);
        self.input.resize(len, 0);
        source.read_at(offset, &mut self.input).map_err(|source| Error::Read {
            offset,
            len,
            source,
        })?;
        Ok(offset + len as u64)
    }

    /// Inflates the input from `start` on: whether the stream ended, `None` if
    /// it is not the stream that was scanned.
    fn run(&mut self, mut start: usize, size: usize, out: &mut Vec<u8>) -> Option<bool> {
        while start < self.input.len() {
            let (in_before, out_before) = (self.zlib.total_in(), self.zlib.total_out());
            let status =
                self.zlib.decompress_vec(&self.input[start..], out, FlushDecompress::None).ok()?;
            let taken = (self.zlib.total_in() - in_before) as usize;
            if status == Status::StreamEnd {
                return Some(true);
            }
            let stuck = taken == 0 && self.zlib.total_out() == out_before;
            if stuck || out.len() > size {
                return None;
            }
            start += taken;
        }
        Some(false)
    }
}
