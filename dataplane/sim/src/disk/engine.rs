use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::NodeId;
use gitstratum_store::engine::{Attempt, Error, Stats};
use gitstratum_store::{
    Batch, Durability, Engine, Family, KeyRange, KeyValue, MemoryEngine, Reader,
};

use super::EIO;
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
    /// Set once a sync has failed.
    pub(super) has_failed: Arc<AtomicBool>,
    /// Who looks at what is written.
    pub(super) watch: Option<(NodeId, Arc<Watch>)>,
}

impl SimEngine {
    fn may_write(&self) -> Result<(), Error> {
        match self.is_poisoned.load(Ordering::Relaxed) {
            true => Err(Error::Poisoned { place: self.name.clone() }),
            false => Ok(()),
        }
    }

    /// Syncs what was written, or fails once and for all.
    fn sync_or_fail(&self) -> Result<(), Error> {
        self.may_write()?;
        if !self.failing.swap(false, Ordering::Relaxed) {
            return self.inner.sync();
        }
        events::story(|| format!("a sync of {} fails", self.name));
        self.is_poisoned.store(true, Ordering::Relaxed);
        self.has_failed.store(true, Ordering::Relaxed);
        self.inner.fail_sync();
        let source = Arc::new(std::io::Error::from_raw_os_error(EIO));
        Err(Error::Io { attempt: Attempt::Sync, place: self.name.clone(), source })
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
        self.may_write()?;
        if let Some((node, watch)) = &self.watch {
            watch.see(*node, self.inner.as_ref(), &batch);
        }
        if durability == Durability::Synced {
            self.inner.write(batch, Durability::Buffered)?;
            return self.sync_or_fail();
        }
        self.inner.write(batch, durability)
    }

    fn sync(&self) -> Result<(), Error> {
        events::detail(format_args!("{} syncs", self.name), &[]);
        self.sync_or_fail()
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
