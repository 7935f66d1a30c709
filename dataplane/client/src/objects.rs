//! Git objects by id, from the packs of one repository. The index tells an object's
//! whole delta chain, so a batch of objects costs one round of ranged reads, one call
//! for each segment touched, whatever the depth of the chains.
//!
//! Membership is the caller's packs: an object is found only in the packs given.

mod chain;
mod decode;
mod error;
mod locate;
mod parts;
mod ranges;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{ObjectId, ObjectKind, PackId};
use gitstratum_git::index::Record;
use gitstratum_git::part::Ordinal;
use moka::sync::Cache;

use crate::bulk::BulkRead;
use crate::manifest::Pack;

pub use error::Error;
pub use ranges::PackSpan;
pub use stream::Pieces;

/// What a reader may hold and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Parts kept in memory, in bytes.
    pub parts_cache_bytes: u64,
    /// Objects kept in memory, in bytes: delta bases and trees that are read again.
    pub objects_cache_bytes: u64,
    /// Most bytes that one call may inflate.
    pub read_bytes_max: u64,
    /// Segments read at once in one call.
    pub segments_at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts_cache_bytes: 32 * 1024 * 1024,
            objects_cache_bytes: 16 * 1024 * 1024,
            read_bytes_max: 512 * 1024 * 1024,
            segments_at_once: 4,
        }
    }
}

/// A whole object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its content, without git's object header.
    pub data: Bytes,
}

/// Where an object answers.
#[derive(Clone, Debug)]
pub struct Location {
    /// The pack.
    pub pack: Arc<Pack>,
    /// Its record in the pack's index.
    pub record: Record,
}

/// An entry's place: the key of everything that is kept of it.
type EntryKey = (PackId, Ordinal);

/// Reads objects and parts, keeping what is read again. Shared by all requests.
pub struct Reader {
    bulk: Arc<dyn BulkRead>,
    options: Options,
    parts: parts::PartCache,
    objects: Cache<EntryKey, Arc<Object>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader over `bulk`.
    pub fn new(bulk: Arc<dyn BulkRead>, options: Options) -> Arc<Self> {
        let objects = Cache::builder()
            .max_capacity(options.objects_cache_bytes)
            .weigher(|_, object: &Arc<Object>| {
                u32::try_from(object.data.len() + 128).unwrap_or(u32::MAX)
            })
            .build();
        let parts = parts::PartCache::new(options.parts_cache_bytes);
        Arc::new(Self { bulk, options, parts, objects })
    }

    /// The objects named by `ids` that are members of `packs`; others are absent. Every
    /// object is hashed before it is given (S29).
    ///
    /// # Errors
    /// When bytes cannot be had or are damaged, or when the batch is too large.
    pub async fn read(
        &self,
        packs: &[Arc<Pack>],
        ids: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, Object>, Error> {
        let located = self.locate(packs, ids).await?;
        let wanted: Vec<Location> = located.into_iter().flatten().collect();
        let objects = self.read_located(packs, wanted).await?;
        Ok(objects.into_iter().map(|(id, object)| (id, object.as_ref().clone())).collect())
    }

    /// Objects whose places are known already.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn read_located(
        &self,
        packs: &[Arc<Pack>],
        wanted: Vec<Location>,
    ) -> Result<BTreeMap<ObjectId, Arc<Object>>, Error> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for location in wanted {
            match self.objects.get(&key(&location)) {
                Some(object) => {
                    found.insert(location.record.id, object);
                }
                None => missing.push(location),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let plan = self.plan_chains(packs, missing).await?;
        let entries = self.read_entries(&plan).await?;
        let decoded = decode::decode(plan, entries).await?;
        for (entry, id, object) in decoded {
            self.objects.insert(entry, Arc::clone(&object));
            found.insert(id, object);
        }
        Ok(found)
    }
}

fn key(location: &Location) -> EntryKey {
    (location.pack.id, location.record.ordinal)
}
