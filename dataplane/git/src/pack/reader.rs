//! Reading single objects of a resolved pack.

mod cache;

use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind};

use self::cache::Cache;
use super::inflate::{Inflater, Place};
use super::resolved::{BaseRef, Resolved};
use super::{BaseSource, ByteSource, Error, Limits};
use crate::delta;

/// Where the reader gets bytes from.
#[derive(Clone, Copy)]
pub struct ReadFrom<'a> {
    /// The spooled pack.
    pub pack: &'a dyn ByteSource,
    /// Objects outside the pack that its deltas rest on.
    pub bases: &'a dyn BaseSource,
}

/// Reads objects of a resolved pack from the spool, in any order. Contents that
/// others rest on are kept, the latest used, up to `base_cache_bytes` (S17).
pub struct Reader<'a> {
    resolved: &'a Resolved,
    from: ReadFrom<'a>,
    inflater: Inflater,
    delta: Vec<u8>,
    cache: Cache,
    object_bytes_max: u64,
}

impl<'a> Reader<'a> {
    /// A reader of `resolved`.
    pub fn new(resolved: &'a Resolved, from: ReadFrom<'a>, limits: &Limits) -> Self {
        Self {
            resolved,
            from,
            inflater: Inflater::new(),
            delta: Vec::new(),
            cache: Cache::new(limits.base_cache_bytes),
            object_bytes_max: limits.object_bytes_max,
        }
    }

    /// The content of the object at `ordinal`.
    ///
    /// # Errors
    /// When the spool or an outside base cannot be read.
    pub fn read(&mut self, ordinal: u32) -> Result<Bytes, Error> {
        let (mut content, deltas) = self.chain_start(ordinal)?;
        for delta in deltas.into_iter().rev() {
            content = self.apply(delta, &content)?;
            self.cache.insert(delta, content.clone());
        }
        Ok(content)
    }

    /// Kind and content of the object `id`, if the pack has it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn find(&mut self, id: &ObjectId) -> Result<Option<(ObjectKind, Bytes)>, Error> {
        match self.resolved.find(id) {
            Some(ordinal) => Ok(Some((self.resolved.kind(ordinal), self.read(ordinal)?))),
            None => Ok(None),
        }
    }

    /// A content at hand, and the deltas from it to the object, the last one first.
    fn chain_start(&mut self, ordinal: u32) -> Result<(Bytes, Vec<u32>), Error> {
        let mut deltas = Vec::new();
        let mut node = ordinal;
        loop {
            if let Some(content) = self.cache.get(node) {
                return Ok((content, deltas));
            }
            match self.resolved.base(node) {
                BaseRef::None => {
                    let mut content = Vec::new();
                    self.inflater.inflate(self.from.pack, self.place(node), &mut content)?;
                    let content = Bytes::from(content);
                    self.cache.insert(node, content.clone());
                    return Ok((content, deltas));
                }
                BaseRef::External(id) => {
                    deltas.push(node);
                    return Ok((self.outside(&id)?, deltas));
                }
                BaseRef::InPack(base) => {
                    deltas.push(node);
                    node = base;
                }
            }
        }
    }

    fn outside(&self, id: &ObjectId) -> Result<Bytes, Error> {
        let read = self.from.bases.base(id);
        let found = read.map_err(|source| Error::ReadBase { id: *id, source })?;
        Ok(found.ok_or(Error::MissingBase { id: *id })?.1)
    }

    fn apply(&mut self, ordinal: u32, base: &[u8]) -> Result<Bytes, Error> {
        let place = self.place(ordinal);
        self.inflater.inflate(self.from.pack, place, &mut self.delta)?;
        let content = delta::apply(base, &self.delta, self.object_bytes_max)
            .map_err(|source| Error::Delta { offset: place.offset, source })?;
        Ok(Bytes::from(content))
    }

    fn place(&self, ordinal: u32) -> Place {
        Place::of(self.resolved.entries(), ordinal)
    }
}
