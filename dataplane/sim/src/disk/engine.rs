use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;
use gitstratum_store::engine::{Attempt, Error, Stats};
use gitstratum_store::{
    Batch, Durability, Engine, Family, KeyRange, KeyValue, MemoryEngine, Reader,
};

use crate::checks::Watch;
use crate::events;

/// An engine whose writes and syncs are events, whose syncs take time and may fail. One start
/// of a process has one.
pub(super) struct SimEngine {
    pub(super) name: String,
    pub(super) inner: Arc<MemoryEngine>,
    pub(super) sync_micros: Arc<AtomicU64>,
    pub(super) failing: Arc<AtomicBool>,
    /// A sync has failed: nothing is written until the process starts again.
    pub(super) is_poisoned: AtomicBool,
    /// Who looks at what is written.
    pub(super) watch: Option<(NodeId, Arc<Watch>)>,
}

impl SimEngine {
    fn check(&self, is_sync: bool) -> Result<(), Error> {
        let place = || self.name.clone();
        if self.is_poisoned.load(Ordering::Relaxed) {
            return Err(Error::Poisoned { place: place() });
        }
        if is_sync && self.failing.swap(false, Ordering::Relaxed) {
            events::story(|| format!("a sync of {} fails", self.name));
            self.is_poisoned.store(true, Ordering::Relaxed);
            self.inner.fail_sync();
            let source = std::io::Error::from_raw_os_error(5);
            return Err(Error::Io {
                attempt: Attempt::Sync,
                place: place(),
                source: Arc::new(source),
            });
        }
        Ok(())
    }
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
        self.check(false)?;
        if let Some((node, watch)) = &self.watch {
            watch.see(*node, self.inner.as_ref(), &batch);
        }
        if durability == Durability::Synced {
            self.inner.write(batch, Durability::Buffered)?;
            self.check(true)?;
            return self.inner.sync();
        }
        self.inner.write(batch, durability)
    }

    fn sync(&self) -> Result<(), Error> {
        events::detail(format_args!("{} syncs", self.name), &[]);
        self.check(true)?;
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
