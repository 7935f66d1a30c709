use gitstratum_core::{ObjectFormat, ObjectKind};

use crate::delta::{self, DeltaError};
use crate::hash::{self, DigestHasher, HashError, ObjectDigest};
use crate::pack::inflate::{Inflater, Place};
use crate::pack::{ByteSource, Error, Limits};

/// A blob that nothing in the pack rests on is hashed without being held if it
/// is larger than this.
const HELD_BLOB_MAX: u64 = 1 << 20;
/// Bytes handed to the hashers at once: small pieces would cost BLAKE3 its speed.
const STAGE_LEN: usize = 64 * 1024;
/// Delta instructions whose buffer is kept for the next delta.
const KEPT_BUFFER_LEN: usize = 1 << 20;

/// What a delta is applied to.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    pub(super) kind: ObjectKind,
    pub(super) content: &'a [u8],
}

/// What to hold of a delta's result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// All of it: others rest on it.
    All,
    /// All of it but a large blob's content.
    Small,
}

/// An object made from a delta.
pub(super) struct Applied {
    pub(super) kind: ObjectKind,
    pub(super) size: u64,
    pub(super) digest: ObjectDigest,
    /// Its content, unless it was hashed without being held.
    pub(super) content: Option<Vec<u8>>,
}

/// Reads entries from the spool and makes objects of them, within the budget.
pub(super) struct Applier {
    format: ObjectFormat,
    limits: Limits,
    inflater: Inflater,
    delta: Vec<u8>,
    made_total: u64,
}

impl Applier {
    pub(super) fn new(format: ObjectFormat, limits: &Limits) -> Self {
        Self {
            format,
            limits: limits.clone(),
            inflater: Inflater::new(),
            delta: Vec::new(),
            made_total: 0,
        }
    }

    /// The content of a whole entry.
    pub(super) fn whole(
        &mut self,
        source: &dyn ByteSource,
        place: Place,
    ) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.inflater.inflate(source, place, &mut content)?;
        self.spend(content.len() as u64)?;
        Ok(content)
    }

    /// The object that a delta entry makes of its base.
    pub(super) fn delta(
        &mut self,
        source: &dyn ByteSource,
        place: Place,
        base: Base<'_>,
        hold: Hold,
    ) -> Result<Applied, Error> {
        let size = self.read_delta(source, place, base.kind)?;
        let is_streamed =
            base.kind == ObjectKind::Blob && hold == Hold::Small && size > HELD_BLOB_MAX;
        if is_streamed {
            let digest = self.stream(place, base, size)?;
            return Ok(Applied { kind: base.kind, size, digest, content: None });
        }
        let content = self.apply(place, base.content, size)?;
        let digest = hash::digest(self.format, base.kind, &content)
            .map_err(|source| collision(place, source))?;
        Ok(Applied { kind: base.kind, size, digest, content: Some(content) })
    }

    /// The content that a delta entry, resolved before, makes of its base.
    pub(super) fn again(
        &mut self,
        source: &dyn ByteSource,
        place: Place,
        base: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let size = self.read_delta(source, place, ObjectKind::Blob)?;
        self.apply(place, base, size)
    }

    /// Reads a delta into the buffer; returns how many bytes it makes, which
    /// are allowed for an object of this kind.
    fn read_delta(
        &mut self,
        source: &dyn ByteSource,
        place: Place,
        kind: ObjectKind,
    ) -> Result<u64, Error> {
        if self.delta.capacity() > KEPT_BUFFER_LEN {
            self.delta = Vec::new();
        }
        self.inflater.inflate(source, place, &mut self.delta)?;
        let header = delta::Header::parse(&self.delta).map_err(|source| unfit(place, source))?;
        let (offset, size, limit) = (place.offset, header.result_size, self.limits.bytes_max(kind));
        if size > limit {
            return Err(Error::ObjectTooLarge { offset, size, limit });
        }
        self.spend(size)?;
        Ok(size)
    }

    fn apply(&self, place: Place, base: &[u8], size: u64) -> Result<Vec<u8>, Error> {
        delta::apply(base, &self.delta, size).map_err(|source| unfit(place, source))
    }

    fn stream(&self, place: Place, base: Base<'_>, size: u64) -> Result<ObjectDigest, Error> {
        let mut hasher = DigestHasher::new(self.format, base.kind, size);
        let mut stage = Vec::with_capacity(STAGE_LEN);
        let applied = delta::apply_to(base.content, &self.delta, |piece| {
            if stage.len() + piece.len() > STAGE_LEN {
                hasher.update(&stage);
                stage.clear();
            }
            if piece.len() > STAGE_LEN {
                hasher.update(piece);
            } else {
                stage.extend_from_slice(piece);
            }
        });
        applied.map_err(|source| unfit(place, source))?;
        hasher.update(&stage);
        hasher.finish().map_err(|source| collision(place, source))
    }

    /// Counts bytes made, work done twice included (bad input 52).
    fn spend(&mut self, bytes: u64) -> Result<(), Error> {
        self.made_total += bytes;
        if self.made_total > self.limits.resolved_bytes_max {
            return Err(Error::ResolveBudget { limit: self.limits.resolved_bytes_max });
        }
        Ok(())
    }
}

fn unfit(place: Place, source: DeltaError) -> Error {
    Error::Delta { offset: place.offset, source }
}

fn collision(place: Place, source: HashError) -> Error {
    Error::Collision { offset: place.offset, source }
}
