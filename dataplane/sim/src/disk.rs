//! What a node has on disk: it survives the node's processes, and loses what was not synced
//! when the power goes.

mod engine;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{NodeId, SegmentId};
use gitstratum_store::{
    Batch, Durability, Engine, Family, KeyRange, KeyValue, MemoryEngine, MemoryFiles, Reader as _,
};
use parking_lot::Mutex;

use crate::checks::Watch;
use engine::SimEngine;

/// Rows of small segments, and of replicated state (docs/formats).
const INLINE: Family = gitstratum_object::FAMILIES[0];
const RECORDS: Family = gitstratum_object::FAMILIES[1];
pub(crate) const STATE: Family = Family("raft_state");

/// Which of a node's engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Control,
    Metadata,
    Object,
}

pub(crate) const STORES: [Store; 3] = [Store::Control, Store::Metadata, Store::Object];

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGKILL: what was written stays.
    Kill,
    /// With the power: what was not synced goes.
    PowerCut,
}

/// One node's disk.
pub(crate) struct Disk {
    name: String,
    node: NodeId,
    watch: Arc<Watch>,
    pub(crate) files: Arc<MemoryFiles>,
    engines: Mutex<[Arc<MemoryEngine>; 3]>,
    /// How long a sync takes, in microseconds.
    sync_micros: Arc<AtomicU64>,
    /// Stores whose next sync fails.
    failing: [Arc<AtomicBool>; 3],
}

impl Disk {
    pub(crate) fn new(name: String, node: NodeId, watch: Arc<Watch>) -> Arc<Self> {
        let engine = |store| MemoryEngine::new(&families(store));
        Arc::new(Self {
            name,
            node,
            watch,
            files: MemoryFiles::new(),
            engines: Mutex::new(STORES.map(engine)),
            sync_micros: Arc::new(AtomicU64::new(200)),
            failing: Default::default(),
        })
    }

    /// How long syncs take from now on.
    pub(crate) fn set_sync(&self, takes: Duration) {
        let micros = u64::try_from(takes.as_micros()).unwrap_or(u64::MAX);
        self.sync_micros.store(micros, Ordering::Relaxed);
    }

    /// The next sync of `store` fails, once.
    pub(crate) fn fail_sync(&self, store: Store) {
        self.failing[store as usize].store(true, Ordering::Relaxed);
    }

    /// No sync fails any more.
    pub(crate) fn heal(&self) {
        self.failing.iter().for_each(|failing| failing.store(false, Ordering::Relaxed));
    }

    /// The engine as a process opens it.
    pub(crate) fn engine(&self, store: Store) -> Arc<dyn Engine> {
        Arc::new(SimEngine {
            name: format!("{} {store:?}", self.name),
            inner: self.memory(store),
            sync_micros: Arc::clone(&self.sync_micros),
            failing: Arc::clone(&self.failing[store as usize]),
            is_poisoned: AtomicBool::new(false),
            watch: (store == Store::Metadata).then(|| (self.node, Arc::clone(&self.watch))),
        })
    }

    fn memory(&self, store: Store) -> Arc<MemoryEngine> {
        Arc::clone(&self.engines.lock()[store as usize])
    }

    /// The process has ended: its handles refuse everything, the next one finds what is left.
    pub(crate) fn end(&self, end: End) {
        for engine in self.engines.lock().iter_mut() {
            *engine = match end {
                End::Kill => engine.kill(),
                End::PowerCut => engine.crash(),
            };
        }
        match end {
            End::Kill => self.files.kill(),
            End::PowerCut => self.files.crash(),
        }
    }

    /// What a power cut now would leave of a segment.
    pub(crate) fn durable(&self, segment: SegmentId) -> Option<Bytes> {
        let row = self.memory(Store::Object).durable(INLINE, &segment.0);
        let file = || self.files.durable(&path(segment)).map(Bytes::from);
        row.ok().flatten().or_else(file)
    }

    /// Segments that the node believes to hold.
    pub(crate) fn segments(&self) -> Vec<SegmentId> {
        let all = KeyRange::from(Vec::new());
        let rows = self.memory(Store::Object).scan(RECORDS, &all, usize::MAX).unwrap_or_default();
        rows.iter().filter_map(|(key, _)| SegmentId::from_slice(key)).collect()
    }

    /// Flips a bit of a small segment that was synced; whether it is here.
    pub(crate) fn damage(&self, segment: SegmentId, at: usize) -> bool {
        let engine = self.memory(Store::Object);
        let Ok(Some(bytes)) = engine.get(INLINE, &segment.0) else { return false };
        let mut bytes = bytes.to_vec();
        let place = at % bytes.len().max(1);
        let Some(byte) = bytes.get_mut(place) else { return false };
        *byte ^= 1;
        let mut batch = Batch::new();
        batch.put(INLINE, segment.0.to_vec(), bytes);
        engine.write(batch, Durability::Synced).is_ok()
    }

    /// All rows of replicated state.
    pub(crate) fn state(&self) -> Vec<KeyValue> {
        let all = self.memory(Store::Metadata).scan(STATE, &KeyRange::from(Vec::new()), usize::MAX);
        all.unwrap_or_default()
    }
}

/// Where a large segment lies (docs/formats/data-directory.md).
fn path(segment: SegmentId) -> PathBuf {
    PathBuf::from(format!("/object/segments/{:02x}/{segment}.seg", segment.0[0]))
}

fn families(store: Store) -> Vec<Family> {
    match store {
        Store::Control | Store::Metadata => gitstratum_consensus::families().to_vec(),
        Store::Object => gitstratum_object::FAMILIES.to_vec(),
    }
}
