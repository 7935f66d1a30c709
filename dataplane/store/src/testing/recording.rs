use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use crate::engine::{Batch, Durability, Engine, Error, Family, KeyRange, KeyValue, Reader, Stats};

/// A call that changed a [`RecordingEngine`], recorded once it had returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch was written into these families.
    Write(Vec<Family>),
    /// Everything before was made durable.
    Sync,
}

/// Wraps an engine and writes down the order of writes and syncs.
pub struct RecordingEngine {
    inner: Arc<dyn Engine>,
    events: Mutex<Vec<Event>>,
    gate: RwLock<()>,
}

/// While this lives, syncs of the engine do not return.
pub struct SyncGate<'a> {
    _closed: RwLockWriteGuard<'a, ()>,
}

impl RecordingEngine {
    /// `inner` with an empty record.
    pub fn new(inner: Arc<dyn Engine>) -> Arc<Self> {
        Arc::new(Self { inner, events: Mutex::default(), gate: RwLock::new(()) })
    }

    /// What happened so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// Holds every sync until the gate is dropped.
    pub fn hold_syncs(&self) -> SyncGate<'_> {
        SyncGate { _closed: self.gate.write() }
    }
}

impl Reader for RecordingEngine {
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

impl Engine for RecordingEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let families: BTreeSet<Family> =
            batch.operations().iter().map(|operation| operation.family()).collect();
        self.inner.write(batch, Durability::Buffered)?;
        self.events.lock().push(Event::Write(families.into_iter().collect()));
        if durability == Durability::Synced { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), Error> {
        let _open = self.gate.read();
        self.inner.sync()?;
        self.events.lock().push(Event::Sync);
        Ok(())
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
        self.inner.place()
    }
}
