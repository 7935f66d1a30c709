use flate2::{Decompress, FlushDecompress, Status};
use gitstratum_core::{ObjectFormat, ObjectKind};

use crate::delta;
use crate::hash::{self, DigestHasher, HashError, ObjectDigest};
use crate::pack::entries::ScannedKind;
use crate::pack::{Error, Limits};

/// Inflated bytes held at once.
const WINDOW_LEN: usize = 64 * 1024;

/// What the entry is, before its content was seen.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Object(ObjectKind),
    Delta(ScannedKind),
}

/// An entry whose last byte was seen.
pub(super) struct Ended {
    pub(super) offset: u64,
    pub(super) header_len: u8,
    pub(super) size: u64,
    pub(super) kind: ScannedKind,
}

pub(super) enum Progress {
    /// So many bytes were taken; the entry goes on.
    Taken(usize),
    /// So many bytes were taken; they were the entry's last.
    Ended(usize, Ended),
}

/// Inflates the bodies of entries, one after the other, to find where each ends.
pub(super) struct BodyScanner {
    format: ObjectFormat,
    limits: Limits,
    zlib: Decompress,
    window: Box<[u8]>,
    /// Bytes of the window that hold content not hashed yet.
    filled: usize,
    /// Content so far of an object that does not fit the window.
    hasher: Option<DigestHasher>,
    /// Bytes that the delta in hand makes, once its header was seen.
    delta_result: Option<u64>,
    entry: Entry,
    inflated_total: u64,
    resolved_total: u64,
}

struct Entry {
    offset: u64,
    header_len: u8,
    size: u64,
    kind: Kind,
    /// Bytes inflated so far.
    made: u64,
}

impl BodyScanner {
    pub(super) fn new(format: ObjectFormat, limits: &Limits) -> Self {
        Self {
            format,
            limits: limits.clone(),
            zlib: Decompress::new(true),
            window: vec![0; WINDOW_LEN].into_boxed_slice(),
            filled: 0,
            hasher: None,
            delta_result: None,
            entry: Entry {
                offset: 0,
                header_len: 0,
                size: 0,
                kind: Kind::Object(ObjectKind::Blob),
                made: 0,
            },
            inflated_total: 0,
            resolved_total: 0,
        }
    }

    /// Begins an entry whose header was just read.
    pub(super) fn start(
        &mut self,
        offset: u64,
        header_len: u8,
        size: u64,
        kind: Kind,
    ) -> Result<(), Error> {
        let limit = match kind {
            Kind::Object(kind) => self.limits.bytes_max(kind),
            Kind::Delta(_) => self.limits.object_bytes_max,
        };
        if size > limit {
            return Err(Error::ObjectTooLarge { offset, size, limit });
        }
        self.zlib.reset(true);
        self.filled = 0;
        self.hasher = None;
        self.delta_result = None;
        self.entry = Entry { offset, header_len, size, kind, made: 0 };
        Ok(())
    }

    /// Inflates from `input` until it or the entry ends.
    pub(super) fn push(&mut self, input: &[u8]) -> Result<Progress, Error> {
        let mut used = 0;
        while used < input.len() {
            let (taken, made, status) = self.inflate(&input[used..])?;
            used += taken;
            if status == Status::StreamEnd {
                return Ok(Progress::Ended(used, self.end()?));
            }
            if self.filled == WINDOW_LEN {
                self.drain_window()?;
            } else if taken == 0 && made == 0 {
                let Entry { offset, size, .. } = self.entry;
                return Err(Error::InflatedSize { offset, stated: size });
            }
        }
        Ok(Progress::Taken(used))
    }

    /// One call of zlib. The room offered is one byte more than the entry may
    /// still make, so that a longer stream shows itself at once.
    fn inflate(&mut self, input: &[u8]) -> Result<(usize, usize, Status), Error> {
        let entry = &mut self.entry;
        let left = usize::try_from(entry.size - entry.made).unwrap_or(usize::MAX);
        let room = (WINDOW_LEN - self.filled).min(left.saturating_add(1));
        let (in_before, out_before) = (self.zlib.total_in(), self.zlib.total_out());
        let out = &mut self.window[self.filled..self.filled + room];
        let status = self
            .zlib
            .decompress(input, out, FlushDecompress::None)
            .map_err(|source| Error::Inflate { offset: entry.offset, source })?;
        let taken = (self.zlib.total_in() - in_before) as usize;
        let made = (self.zlib.total_out() - out_before) as usize;
        entry.made += made as u64;
        if entry.made > entry.size {
            return Err(Error::InflatedSize { offset: entry.offset, stated: entry.size });
        }
        self.filled += made;
        self.inflated_total += made as u64;
        if self.inflated_total > self.limits.inflated_bytes_max {
            return Err(Error::InflateBudget { limit: self.limits.inflated_bytes_max });
        }
        Ok((taken, made, status))
    }

    /// Makes room in a full window whose entry goes on.
    fn drain_window(&mut self) -> Result<(), Error> {
        match self.entry.kind {
            Kind::Object(kind) => {
                let (format, size) = (self.format, self.entry.size);
                let hasher =
                    self.hasher.get_or_insert_with(|| DigestHasher::new(format, kind, size));
                hasher.update(&self.window[..self.filled]);
            }
            Kind::Delta(_) => self.read_delta_header()?,
        }
        self.filled = 0;
        Ok(())
    }

    fn end(&mut self) -> Result<Ended, Error> {
        let Entry { offset, header_len, size, kind, made } = self.entry;
        if made != size {
            return Err(Error::InflatedSize { offset, stated: size });
        }
        let kind = match kind {
            Kind::Object(kind) => {
                let ObjectDigest { id, blake3 } =
                    self.digest(kind).map_err(|source| Error::Collision { offset, source })?;
                ScannedKind::Base { kind, id, blake3 }
            }
            Kind::Delta(kind) => {
                self.read_delta_header()?;
                kind
            }
        };
        Ok(Ended { offset, header_len, size, kind })
    }

    fn digest(&mut self, kind: ObjectKind) -> Result<ObjectDigest, HashError> {
        let last = &self.window[..self.filled];
        match self.hasher.take() {
            None => hash::digest(self.format, kind, last),
            Some(mut hasher) => {
                hasher.update(last);
                hasher.finish()
            }
        }
    }

    /// Checks what the delta promises to make before anyone makes it (bad
    /// input 52). The window holds the delta's first bytes.
    fn read_delta_header(&mut self) -> Result<(), Error> {
        if self.delta_result.is_some() {
            return Ok(());
        }
        let offset = self.entry.offset;
        let header = delta::Header::parse(&self.window[..self.filled])
            .map_err(|source| Error::Delta { offset, source })?;
        let (size, limit) = (header.result_size, self.limits.object_bytes_max);
        if size > limit {
            return Err(Error::ObjectTooLarge { offset, size, limit });
        }
        self.delta_result = Some(size);
        self.resolved_total += size;
        if self.resolved_total > self.limits.resolved_bytes_max {
            return Err(Error::ResolveBudget { limit: self.limits.resolved_bytes_max });
        }
        Ok(())
    }
}
