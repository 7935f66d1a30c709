//! A data base whose disk hangs for as long as a test likes.

use std::sync::Arc;

use bytes::Bytes;
use gitstratum_store::engine::{Error, KeyValue, Stats};
use gitstratum_store::{Batch, Durability, Engine, Family, KeyRange, Reader};
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
struct Gate {
    is_closed: bool,
    held_up: u32,
}

pub(crate) struct GatedEngine {
    inner: Arc<dyn Engine>,
    gate: Mutex<Gate>,
    opened: Condvar,
}

impl GatedEngine {
    /// `inner`, whose writes go through.
    pub(crate) fn new(inner: Arc<dyn Engine>) -> Arc<Self> {
        Arc::new(Self { inner, gate: Mutex::default(), opened: Condvar::new() })
    }

    /// Writes hang from now on.
    pub(crate) fn close(&self) {
        self.gate.lock().is_closed = true;
    }

    /// They go on.
    pub(crate) fn open(&self) {
        self.gate.lock().is_closed = false;
        self.opened.notify_all();
    }

    pub(crate) fn is_held_up(&self) -> bool {
        self.gate.lock().held_up > 0
    }
}

impl Reader for GatedEngine {
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

impl Engine for GatedEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let mut gate = self.gate.lock();
        gate.held_up += 1;
        self.opened.wait_while(&mut gate, |gate| gate.is_closed);
        gate.held_up -= 1;
        drop(gate);
        self.inner.write(batch, durability)
    }

    fn admit(&self) -> Result<(), Error> {
        self.inner.admit()
    }

    fn sync(&self) -> Result<(), Error> {
        self.inner.sync()
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
