//! What a node has on disk: it survives the node's processes, and loses what was not synced
//! when the power goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_store::engine::{Error, Stats};
use gitstratum_store::{
    Batch, Durability, Engine, Family, KeyRange, KeyValue, MemoryEngine, MemoryFiles, Reader,
};
use parking_lot::Mutex;

use crate::events;

/// Which of a node's engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Control,
    Metadata,
    Object,
}

const STORES: [Store; 3] = [Store::Control, Store::Metadata, Store::Object];

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
    pub(crate) files: Arc<MemoryFiles>,
    engines: Mutex<[Arc<MemoryEngine>; 3]>,
    /// How long a sync takes, in microseconds.
    sync_micros: Arc<AtomicU64>,
}

impl Disk {
    pub(crate) fn new(name: String) -> Arc<Self> {
        let engine = |store| MemoryEngine::new(&families(store));
        Arc::new(Self {
            name,
            files: MemoryFiles::new(),
            engines: Mutex::new(STORES.map(engine)),
            sync_micros: Arc::new(AtomicU64::new(200)),
        })
    }

    /// How long syncs take from now on.
    pub(crate) fn set_sync(&self, takes: Duration) {
        let micros = u64::try_from(takes.as_micros()).unwrap_or(u64::MAX);
        self.sync_micros.store(micros, Ordering::Relaxed);
    }

    /// The engine as a process opens it.
    pub(crate) fn engine(&self, store: Store) -> Arc<dyn Engine> {
        let inner = Arc::clone(&self.engines.lock()[store as usize]);
        let name = format!("{} {store:?}", self.name);
        Arc::new(SimEngine { name, inner, sync_micros: Arc::clone(&self.sync_micros) })
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
}

fn families(store: Store) -> Vec<Family> {
    match store {
        Store::Control | Store::Metadata => gitstratum_consensus::families().to_vec(),
        Store::Object => gitstratum_object::FAMILIES.to_vec(),
    }
}

/// An engine whose writes and syncs are events, and whose syncs take time.
struct SimEngine {
    name: String,
    inner: Arc<MemoryEngine>,
    sync_micros: Arc<AtomicU64>,
}

impl Reader for SimEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.inner.get(family, key)
    }

    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        self.inner.scan(family, range, limit)
    }

    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        self.inner.last(family, range)
    }
}

impl Engine for SimEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let bytes = u64::try_from(batch.byte_count()).unwrap_or(u64::MAX).to_be_bytes();
        events::detail(format_args!("{} writes {durability:?}", self.name), &bytes);
        self.inner.write(batch, durability)
    }

    fn sync(&self) -> Result<(), Error> {
        events::detail(format_args!("{} syncs", self.name), &[]);
        self.inner.sync()
    }

    fn sync_takes(&self) -> Duration {
        Duration::from_micros(self.sync_micros.load(Ordering::Relaxed))
    }

    fn view(&self, read: &mut dyn FnMut(&dyn Reader) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.view(read)
    }

    fn flush(&self) -> Result<(), Error> {
        self.inner.flush()
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64, Error> {
        self.inner.approximate_bytes(family, range)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn place(&self) -> &str {
        &self.name
    }
}
