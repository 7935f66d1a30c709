//! An engine whose disk fails, or hangs, when told to.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use bytes::Bytes;

use crate::engine::{
    Attempt, Batch, Durability, Engine, Error, Family, KeyRange, KeyValue, Reader, Stats,
};

/// What the disk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO.
    Io,
    /// ENOSPC.
    Full,
}

/// Wraps an engine; the nth sync or write from now fails once. After a failed sync every
/// write is refused, as by the engines themselves (P-D5).
pub struct FaultyEngine {
    inner: Arc<dyn Engine>,
    plan: Mutex<Plan>,
    /// Writes need not hang any more.
    resumed: Condvar,
}

#[derive(Default)]
struct Plan {
    sync: Option<(u64, Fault)>,
    write: Option<(u64, Fault)>,
    poisoned: bool,
    hangs: bool,
    hanging: u32,
}

impl FaultyEngine {
    /// `inner`, sound until told otherwise.
    pub fn new(inner: Arc<dyn Engine>) -> Arc<Self> {
        Arc::new(Self { inner, plan: Mutex::default(), resumed: Condvar::new() })
    }

    /// Fails the `nth` sync from now with `fault`; the next one is 1.
    pub fn fail_sync(&self, nth: u64, fault: Fault) {
        self.plan.lock().sync = Some((nth, fault));
    }

    /// Fails the `nth` write from now with `fault`, before anything is written; the next
    /// one is 1.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        self.plan.lock().write = Some((nth, fault));
    }

    /// Writes hang from now on.
    pub fn hang(&self) {
        self.plan.lock().hangs = true;
    }

    /// They go on.
    pub fn resume(&self) {
        self.plan.lock().hangs = false;
        self.resumed.notify_all();
    }

    /// Whether a write hangs now.
    pub fn is_hanging(&self) -> bool {
        self.plan.lock().hanging > 0
    }

    fn check_write(&self) -> Result<(), Error> {
        let mut plan = self.plan.lock();
        plan.hanging += 1;
        self.resumed.wait_while(&mut plan, |plan| plan.hangs);
        plan.hanging -= 1;
        if plan.poisoned {
            return Err(Error::Poisoned { place: self.place().to_owned() });
        }
        match count_down(&mut plan.write) {
            None => Ok(()),
            Some(fault) => Err(self.fault(fault, Attempt::Write)),
        }
    }

    fn check_sync(&self) -> Result<(), Error> {
        let mut plan = self.plan.lock();
        if plan.poisoned {
            return Err(Error::Poisoned { place: self.place().to_owned() });
        }
        let Some(fault) = count_down(&mut plan.sync) else { return Ok(()) };
        plan.poisoned = true;
        Err(self.fault(fault, Attempt::Sync))
    }

    fn fault(&self, fault: Fault, attempt: Attempt) -> Error {
        let place = self.place().to_owned();
        match fault {
            Fault::Io => {
                let source = Arc::new(std::io::Error::from_raw_os_error(
                    rustix::io::Errno::IO.raw_os_error(),
                ));
                Error::Io { attempt, place, source }
            }
            Fault::Full => {
                let source = Arc::new(std::io::Error::from_raw_os_error(
                    rustix::io::Errno::NOSPC.raw_os_error(),
                ));
                Error::Full { attempt, place, source }
            }
        }
    }
}

fn count_down(planned: &mut Option<(u64, Fault)>) -> Option<Fault> {
    let (left, fault) = planned.as_mut()?;
    *left = left.saturating_sub(1);
    let fault = (*left == 0).then_some(*fault)?;
    *planned = None;
    Some(fault)
}

impl Reader for FaultyEngine {
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

impl Engine for FaultyEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.check_write()?;
        self.inner.write(batch, Durability::Buffered)?;
        if durability == Durability::Synced { self.sync() } else { Ok(()) }
    }

    fn admit(&self) -> Result<(), Error> {
        self.inner.admit()
    }

    fn sync(&self) -> Result<(), Error> {
        self.check_sync()?;
        self.inner.sync()
    }

    fn view(&self, read: &mut dyn FnMut(&dyn Reader) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.view(read)
    }

    fn flush(&self) -> Result<(), Error> {
        self.check_sync()?;
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
