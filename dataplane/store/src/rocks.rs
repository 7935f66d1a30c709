//! The engine on disk.

mod failure;
mod manifest;
mod options;
mod room;
mod wal;
mod watermark;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{BoundColumnFamily, DB, ReadOptions, WriteBatch};

use crate::engine::{
    Attempt, Batch, Durability, Engine, Error, Family, KeyRange, KeyValue, Operation, Reader, Stats,
};

pub use options::{RocksMemory, RocksOptions};
use room::Room;
use watermark::Watermark;

/// An [`Engine`] on RocksDB. Opening it reads the write-ahead log first: a torn tail is
/// dropped, damage before synced bytes and a log that ends too early are errors that name
/// the file.
///
/// It writes nothing while the disk is as good as full: batches are refused, or wait after
/// [`RocksEngine::wait_when_full`].
pub struct RocksEngine {
    db: DB,
    place: String,
    /// Which engine it is, in its marks.
    identity: u64,
    room: Arc<Room>,
    families: Vec<Family>,
    closed: AtomicBool,
    poisoned: AtomicBool,
    /// Held while syncing, so that a poisoned engine cannot sync in another thread.
    sync: Mutex<()>,
    /// Every batch up to this sequence number is durable.
    synced: AtomicU64,
    /// The greatest `synced` that is written down in the log itself.
    marked: AtomicU64,
    watermark: Watermark,
}

impl RocksEngine {
    /// Opens the engine in `options.path`, creating it if the directory is empty or absent.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming what is damaged; [`Error::Locked`]; [`Error::Io`].
    pub fn open(options: RocksOptions) -> Result<Arc<Self>, Error> {
        let place = options.path.display().to_string();
        let failed = |error| failure::of(Attempt::Open, &place, error);
        let kept = watermark::read(&options.path)?;
        if let Some(kept) = &kept {
            manifest::check(&options.path, &kept.manifest)?;
        }
        let verdict = wal::examine(&options.path, kept.as_ref())?;
        let db = options::open(&options, verdict).map_err(failed)?;
        let (recovered, synced) =
            (db.latest_sequence_number(), kept.as_ref().map_or(0, |kept| kept.sequence));
        if recovered < synced {
            return Err(Error::damaged(
                &place,
                format!("it ends at sequence {recovered}, but {synced} was synced"),
            ));
        }
        db.flush_wal(true).map_err(failed)?;
        let identity = match kept {
            Some(kept) => kept.engine,
            None => watermark::identify(&options.path)?,
        };
        let room = Room::new(&options.path);
        Ok(Arc::new(Self {
            db,
            families: options.families,
            closed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            sync: Mutex::new(()),
            synced: AtomicU64::new(recovered),
            marked: AtomicU64::new(0),
            watermark: Watermark::start(&options.path, identity, recovered)?,
            identity,
            room,
            place,
        }))
    }

    /// From now on a batch that finds the disk full waits until there is room again: for
    /// logs, whose failure ends the group that they belong to. Readers are not held up.
    pub fn wait_when_full(&self) {
        self.room.be_patient();
    }

    /// From now on, and also if it waits already, such a batch is refused with
    /// [`Error::Full`]: for a process that is about to end.
    pub fn refuse_when_full(&self) {
        self.room.hurry();
    }

    /// Flushes everything and refuses all later calls. The directory is free for another
    /// process once the last handle is dropped.
    ///
    /// # Errors
    /// As [`Engine::flush`]; the engine is closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        let flushed = self.flush().and_then(|()| self.sync());
        self.closed.store(true, Ordering::SeqCst);
        self.db.cancel_all_background_work(true);
        self.watermark.stop(self.synced.load(Ordering::SeqCst));
        flushed
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed { place: self.place.clone() });
        }
        Ok(())
    }

    fn check_sound(&self) -> Result<(), Error> {
        self.check_open()?;
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(Error::Poisoned { place: self.place.clone() });
        }
        Ok(())
    }

    fn family(&self, family: Family) -> Result<Arc<BoundColumnFamily<'_>>, Error> {
        self.db
            .cf_handle(family.0)
            .ok_or_else(|| Error::Family { place: self.place.clone(), family: family.0 })
    }

    fn failed(&self, attempt: Attempt) -> impl Fn(rocksdb::Error) -> Error + '_ {
        move |error| failure::of(attempt, &self.place, error)
    }

    /// Writes `batch` once there is room for it.
    fn put(&self, batch: &Batch) -> Result<(), Error> {
        loop {
            let written = self.room.check().and_then(|()| {
                let out = self.translate(batch)?;
                self.db.write(out).map_err(self.failed(Attempt::Write))
            });
            match written {
                Err(Error::Full { .. }) if self.room.wait() => self.check_sound()?,
                other => return other,
            }
        }
    }

    fn translate(&self, batch: &Batch) -> Result<WriteBatch, Error> {
        let mut out = WriteBatch::default();
        let synced = self.synced.load(Ordering::SeqCst);
        if self.marked.swap(synced, Ordering::SeqCst) < synced {
            out.put(wal::MARK_KEY, wal::render_mark(synced, self.identity));
        }
        for operation in batch.operations() {
            let family = self.family(operation.family())?;
            match operation {
                Operation::Put { key, value, .. } => out.put_cf(&family, key, value),
                Operation::Delete { key, .. } => out.delete_cf(&family, key),
                Operation::DeleteRange { range, .. } => {
                    if let Some(end) = self.end_of(operation.family(), range)? {
                        out.delete_range_cf(&family, range.start(), &end);
                    }
                }
            }
        }
        Ok(out)
    }

    /// RocksDB deletes up to an end: for a range without one, just above its last row.
    fn end_of(&self, family: Family, range: &KeyRange) -> Result<Option<Bytes>, Error> {
        match range.end() {
            _ if range.is_empty() => Ok(None),
            Some(end) => Ok(Some(Bytes::copy_from_slice(end))),
            None => {
                let last = self.last(family, range)?;
                Ok(last.map(|(key, _)| Bytes::copy_from_slice(range.after(&key).start())))
            }
        }
    }
}

impl Reader for RocksEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.check_open()?;
        let found = self.db.get_cf(&self.family(family)?, key);
        Ok(found.map_err(self.failed(Attempt::Read))?.map(Bytes::from))
    }

    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        self.check_open()?;
        let rows = self.db.raw_iterator_cf_opt(&self.family(family)?, bounds(range));
        scan(rows, range, limit).map_err(self.failed(Attempt::Read))
    }

    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        self.check_open()?;
        let rows = self.db.raw_iterator_cf_opt(&self.family(family)?, bounds(range));
        last(rows, range).map_err(self.failed(Attempt::Read))
    }
}

impl Engine for RocksEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.check_sound()?;
        if !batch.is_empty() {
            self.put(&batch)?;
        }
        if durability == Durability::Synced { self.sync() } else { Ok(()) }
    }

    fn admit(&self) -> Result<(), Error> {
        self.room.admit()
    }

    fn sync(&self) -> Result<(), Error> {
        let _one_at_a_time = self.sync.lock();
        self.check_sound()?;
        let written = self.db.latest_sequence_number();
        if let Err(error) = self.db.flush_wal(true) {
            self.poisoned.store(true, Ordering::SeqCst);
            return Err(failure::of(Attempt::Sync, &self.place, error));
        }
        self.synced.fetch_max(written, Ordering::SeqCst);
        self.watermark.raise(written);
        Ok(())
    }

    fn view(&self, read: &mut dyn FnMut(&dyn Reader) -> Result<(), Error>) -> Result<(), Error> {
        self.check_open()?;
        read(&View { engine: self, snapshot: self.db.snapshot() })
    }

    fn flush(&self) -> Result<(), Error> {
        self.check_sound()?;
        for family in &self.families {
            let family = self.family(*family)?;
            self.db.flush_cf(&family).map_err(self.failed(Attempt::Flush))?;
        }
        self.db.flush().map_err(self.failed(Attempt::Flush))
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64, Error> {
        let Some(end) = self.end_of(family, range)? else { return Ok(0) };
        let range = rocksdb::Range::new(range.start(), &end);
        Ok(self.db.get_approximate_sizes_cf(&self.family(family)?, &[range]).iter().sum())
    }

    fn stats(&self) -> Stats {
        let sum = |property: &rocksdb::properties::PropName| {
            self.db.property_int_value(property).ok().flatten().unwrap_or(0)
        };
        Stats {
            memtable_bytes: sum(rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES),
            live_file_bytes: sum(rocksdb::properties::LIVE_SST_FILES_SIZE),
        }
    }

    fn place(&self) -> &str {
        &self.place
    }
}

/// One state of the engine.
struct View<'a> {
    engine: &'a RocksEngine,
    snapshot: rocksdb::SnapshotWithThreadMode<'a, DB>,
}

impl Reader for View<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let found = self.snapshot.get_cf(&self.engine.family(family)?, key);
        Ok(found.map_err(self.engine.failed(Attempt::Read))?.map(Bytes::from))
    }

    fn scan(&self, family: Family, range: &KeyRange, limit: usize) -> Result<Vec<KeyValue>, Error> {
        let rows = self.snapshot.raw_iterator_cf_opt(&self.engine.family(family)?, bounds(range));
        scan(rows, range, limit).map_err(self.engine.failed(Attempt::Read))
    }

    fn last(&self, family: Family, range: &KeyRange) -> Result<Option<KeyValue>, Error> {
        let rows = self.snapshot.raw_iterator_cf_opt(&self.engine.family(family)?, bounds(range));
        last(rows, range).map_err(self.engine.failed(Attempt::Read))
    }
}

fn bounds(range: &KeyRange) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(end) = range.end() {
        options.set_iterate_upper_bound(end);
    }
    options
}

type Rows<'a> = rocksdb::DBRawIteratorWithThreadMode<'a, DB>;

fn scan(
    mut rows: Rows<'_>,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<KeyValue>, rocksdb::Error> {
    let mut found = Vec::new();
    if limit == 0 || range.is_empty() {
        return Ok(found);
    }
    rows.seek(range.start());
    while let Some((key, value)) = rows.item() {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        if found.len() == limit {
            return Ok(found);
        }
        rows.next();
    }
    // An iterator that meets damage just ends: only its status tells.
    rows.status()?;
    Ok(found)
}

fn last(mut rows: Rows<'_>, range: &KeyRange) -> Result<Option<KeyValue>, rocksdb::Error> {
    if range.is_empty() {
        return Ok(None);
    }
    rows.seek_to_last();
    let found = rows
        .item()
        .filter(|(key, _)| *key >= range.start())
        .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    rows.status()?;
    Ok(found)
}

#[cfg(test)]
mod tests;
