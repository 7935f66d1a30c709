//! The ordered key-value store that every role keeps its rows in.

mod batch;
mod error;
mod range;

use std::time::Duration;

use bytes::Bytes;

pub use batch::{Batch, Operation};
pub(crate) use error::cause;
pub use error::{Attempt, Cause, Error};
pub use range::{KeyRange, Pages, pages};

/// A column family, chosen when the engine is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub &'static str);

/// A row.
pub type KeyValue = (Bytes, Bytes);

/// What a write survives once it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, not that of the machine.
    Buffered,
    /// Both. Everything written before it is durable too.
    Synced,
}

/// Figures for metrics and limits, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows held in memory until they are flushed.
    pub memtable_bytes: u64,
    /// Sorted files on disk.
    pub live_file_bytes: u64,
}

/// Read access to one state of an engine.
pub trait Reader: Send + Sync {
    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes that hold it are damaged: never `None` for that.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The first `limit` rows of `range`, in ascending order of their keys. Fewer than
    /// `limit` rows mean that the range has no more.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error>;

    /// The row of `range` with the greatest key.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error>;
}

/// An ordered key-value store with atomic batches and one write-ahead log, so that
/// batches are recovered as a prefix of the order in which they were written.
pub trait Engine: Reader {
    /// Writes `batch`: all of it or nothing, visible to readers on return.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after any failed sync; [`Error::Full`]; [`Error::Io`]. Whether
    /// a failed write will be there after a restart is unknown.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error>;

    /// Whether new work may begin: the disk has room for what it will write. A look that
    /// does not block. What is under way may always go on (P-D6).
    ///
    /// # Errors
    /// [`Error::Full`].
    fn admit(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes everything written before it durable.
    ///
    /// # Errors
    /// As [`Engine::write`]. The first failure poisons the engine for all later writes,
    /// for the kernel may have dropped the bytes it failed to write (P-D5).
    fn sync(&self) -> Result<(), Error>;

    /// Runs `read` on one consistent state of the whole engine. Writers are not held up,
    /// but the state keeps old versions of rows on disk: a view lasts seconds, not hours.
    ///
    /// # Errors
    /// Whatever `read` returns.
    fn view(&self, read: &mut dyn FnMut(&dyn Reader) -> Result<(), Error>) -> Result<(), Error>;

    /// How long a sync is to take where there is no disk to wait for: in a simulation.
    fn sync_takes(&self) -> Duration {
        Duration::ZERO
    }

    /// Moves rows from memory and log into sorted files.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn flush(&self) -> Result<(), Error>;

    /// Roughly how many bytes `range` takes on disk; rows not yet flushed may not count.
    ///
    /// # Errors
    /// [`Error::Family`] for a family that the engine was not opened with.
    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64, Error>;

    /// Figures for metrics.
    fn stats(&self) -> Stats;

    /// What errors call this engine: its directory, or `memory`.
    fn place(&self) -> &str;
}
