//! The segments of this node: small ones as rows, the rest as files. The row that
//! describes a file is a hint that can be rebuilt (S4).

mod copies;
mod damage;
mod doubt;
mod fresh;
mod place;
mod read;
mod record;
mod stock;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{Clock, ClusterId, PartitionId, SegmentId};
use gitstratum_git::segment::{Header, Layout};
use gitstratum_store::{Batch, Committer, Durability, Engine, Family, Files, SpaceGuard};
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::Error;
use crate::metric_names::ObjectMetrics;
pub(crate) use copies::Hold;
pub(crate) use doubt::settle as settle_doubts;
pub(crate) use place::Place;
pub(crate) use record::Record;
pub(crate) use write::{SegmentWrite, blocking};

/// Whole segments of at most `inline_bytes_max`, by id.
const INLINE: Family = Family("segments_inline");
/// What is known of each sealed segment, by id.
const RECORDS: Family = Family("segment_records");
/// What the node knows of itself: its standing with each partition (S23), where scrubbing is.
pub(crate) const STATE: Family = Family("node_state");
/// The families an object node's engine needs.
pub const FAMILIES: [Family; 3] = [INLINE, RECORDS, STATE];

/// What the store works with.
pub(crate) struct StoreDeps {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) space: Arc<SpaceGuard>,
    pub(crate) metrics: ObjectMetrics,
}

/// The segments of this node.
pub(crate) struct Segments {
    deps: StoreDeps,
    cluster: ClusterId,
    directory: PathBuf,
    inline_bytes_max: usize,
    puts_damage_aside: bool,
    opened: Cache<SegmentId, Arc<Opened>>,
    /// Those that are being written, copied here, looked at anew or removed: each by one alone.
    taken: Mutex<BTreeSet<SegmentId>>,
    unlisted: Mutex<BTreeMap<SegmentId, Unlisted>>,
    refusing: Mutex<Option<String>>,
    /// Served only once they were verified whole.
    doubted: Mutex<BTreeMap<SegmentId, PartitionId>>,
    /// Listed and not here, or put aside, and not yet told.
    lost: Mutex<BTreeMap<SegmentId, Option<PartitionId>>>,
    /// Why the process should end and start anew, if it should.
    unsound: watch::Sender<Option<Unsound>>,
}

/// Why a node cannot vouch for itself any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// A sync failed: bytes may be gone that the kernel still shows (P-D5).
    Sync(String),
    /// The data base of small segments and records is damaged (P-I5).
    Rows(String),
}

/// A sealed segment that can be read.
pub(crate) struct Opened {
    pub(crate) layout: Layout,
    pub(crate) place: Place,
}

/// A segment that no manifest is known to list yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlisted {
    pub(crate) header: Header,
    pub(crate) since: Duration,
}

impl Segments {
    /// Opens the store and takes stock of what is there. Blocking.
    pub(crate) fn open(
        deps: StoreDeps,
        cluster: ClusterId,
        config: &crate::Config,
    ) -> Result<Self, Error> {
        let opened = Cache::builder()
            .max_capacity(config.layout_cache_bytes)
            .weigher(|_, opened: &Arc<Opened>| opened.weight())
            .build();
        let segments = Self {
            deps,
            cluster,
            directory: config.segments.clone(),
            inline_bytes_max: config.inline_bytes_max,
            puts_damage_aside: config.puts_damage_aside,
            opened,
            taken: Mutex::new(BTreeSet::new()),
            unlisted: Mutex::new(BTreeMap::new()),
            refusing: Mutex::new(None),
            doubted: Mutex::new(BTreeMap::new()),
            lost: Mutex::new(BTreeMap::new()),
            unsound: watch::Sender::new(None),
        };
        segments.make_directories()?;
        segments.take_stock()?;
        segments.recall_lost()?;
        Ok(segments)
    }

    /// All folders are made, and made durable, before the first segment: a new segment then
    /// needs one directory sync only.
    fn make_directories(&self) -> Result<(), Error> {
        let files = &self.deps.files;
        let last = self.directory.join(place::shard_name(u8::MAX));
        if files.metadata(&last)?.is_some() {
            return Ok(());
        }
        files.create_directory(&self.directory)?;
        for shard in 0..=u8::MAX {
            files.create_directory(&self.directory.join(place::shard_name(shard)))?;
        }
        files.sync_directory(&self.directory)?;
        if let Some(parent) = self.directory.parent() {
            files.sync_directory(parent)?;
        }
        Ok(())
    }

    /// What is recorded of a segment. Blocking.
    pub(crate) fn record(&self, segment: SegmentId) -> Result<Option<Record>, Error> {
        let row = self.deps.engine.get(RECORDS, &segment.0)?;
        Ok(row.and_then(|row| Record::decode(&row)))
    }

    /// Remembers that a manifest lists the segment, so that it is not asked about again.
    pub(crate) async fn mark_listed(self: &Arc<Self>, segment: SegmentId) -> Result<(), Error> {
        let Some(partition) = self.stated_partition(segment) else { return Ok(()) };
        let held = match self.record(segment)? {
            Some(held) => held,
            None => self.rebuilt_record(segment).await,
        };
        let partition = held.partition.or(Some(partition));
        let record = Record { listed: true, partition, ..held };
        let mut batch = Batch::new();
        batch.put(RECORDS, segment.0.to_vec(), record.encode());
        self.commit(batch, Durability::Buffered).await?;
        self.unlisted.lock().remove(&segment);
        Ok(())
    }

    /// What a record that was lost said, but for the number of a list.
    async fn rebuilt_record(self: &Arc<Self>, segment: SegmentId) -> Record {
        let segments = Arc::clone(self);
        let opened = blocking(move || segments.open_segment(segment)).await;
        let length = opened.map_or(0, |opened| opened.layout.total_len());
        Record { length, ..Record::default() }
    }

    fn stated_partition(&self, segment: SegmentId) -> Option<PartitionId> {
        self.unlisted.lock().get(&segment).map(|unlisted| unlisted.header.partition)
    }

    /// Removes a segment for good. Blocking; late and repeated removals are harmless (S21).
    pub(crate) fn remove(&self, segment: SegmentId) -> Result<(), Error> {
        let length = self.open_segment(segment).map_or(0, |opened| opened.layout.total_len());
        let path = self.path(segment);
        if self.deps.files.metadata(&path)?.is_some() {
            self.deps.files.remove(&path)?;
        }
        let mut batch = Batch::new();
        batch.delete(INLINE, segment.0.to_vec());
        batch.delete(RECORDS, segment.0.to_vec());
        self.deps.engine.write(batch, Durability::Buffered)?;
        self.opened.invalidate(&segment);
        self.doubted.lock().remove(&segment);
        if self.unlisted.lock().remove(&segment).is_some() || length > 0 {
            self.deps.metrics.segments.dec();
            self.deps.metrics.stored_bytes.add(-i64::try_from(length).unwrap_or(0));
        }
        Ok(())
    }

    /// Segments not known to be listed, those sealed before `before` first.
    pub(crate) fn unlisted_before(&self, before: Duration) -> Vec<Header> {
        let unlisted = self.unlisted.lock();
        let old = unlisted.values().filter(|entry| entry.since <= before);
        old.map(|entry| entry.header).collect()
    }

    /// Why writes are refused, if they are (P-D5, P-D6).
    pub(crate) fn refusing(&self) -> Option<String> {
        self.refusing.lock().clone()
    }

    /// Free bytes on the disk of the segment files. Blocking.
    pub(crate) fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.deps.files.space(&self.directory)?.free)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.deps.clock
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.deps.engine
    }

    /// Writes rows that are no segment's.
    pub(crate) async fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let committed = self.deps.committer.commit(batch, durability).await;
        committed.map_err(|source| {
            let error = Error::from(source);
            self.note_rows(&error);
            error
        })
    }

    /// Waits until the node cannot vouch for itself any more.
    pub(crate) async fn unsound(&self) -> Unsound {
        let mut why = self.unsound.subscribe();
        match why.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn metrics(&self) -> &ObjectMetrics {
        &self.deps.metrics
    }

    fn note_unlisted(&self, segment: SegmentId, header: Header) {
        let since = self.deps.clock.monotonic();
        self.unlisted.lock().insert(segment, Unlisted { header, since });
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        place::path(&self.directory, segment)
    }
}

impl Opened {
    fn weight(&self) -> u32 {
        let inline = match &self.place {
            Place::Row(bytes) => bytes.len(),
            Place::File(_) => 256,
        };
        u32::try_from(inline + self.layout.block_count() * 4 + 512).unwrap_or(u32::MAX)
    }
}
