//! Room on the disk of an engine. RocksDB must not meet a full disk: a log record that
//! was half written stops all writes until it has found space by itself, and there is no
//! way to ask for that earlier. So a batch is held back before it is begun.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::{Attempt, Error, cause};
use crate::files::{Files as _, SystemFiles};

/// Free bytes below which no batch is written: room for rows in memory to be flushed, and
/// for what the node's small files need.
const WRITE_RESERVE_BYTES: u64 = 16 << 20;
/// Free bytes below which no new work may begin: room for what is under way, and for
/// the entries by which logs keep time (P-D6).
const ADMIT_RESERVE_BYTES: u64 = 64 << 20;
/// Pause between two looks for space.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much room there is, and what to do when there is none.
pub(super) struct Room {
    directory: PathBuf,
    is_patient: AtomicBool,
    asleep: Mutex<()>,
    hurried: Condvar,
}

impl Room {
    pub(super) fn new(directory: &Path) -> Arc<Self> {
        Arc::new(Self {
            directory: directory.to_owned(),
            is_patient: AtomicBool::new(false),
            asleep: Mutex::default(),
            hurried: Condvar::new(),
        })
    }

    /// Free bytes. What cannot be measured is taken for room: writing then fails by itself.
    fn free(&self) -> u64 {
        SystemFiles.space(&self.directory).map_or(u64::MAX, |space| space.free)
    }

    /// Whether a batch may be written now.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.free() < WRITE_RESERVE_BYTES { Err(self.full()) } else { Ok(()) }
    }

    /// Whether new work may begin. Measured each time: what began on an older measurement
    /// would have to wait without a word. The system has the figure in memory.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if self.free() < ADMIT_RESERVE_BYTES { Err(self.full()) } else { Ok(()) }
    }

    fn full(&self) -> Error {
        let place = self.directory.display().to_string();
        Error::Full { attempt: Attempt::Write, place, source: cause("its disk is full") }
    }

    /// From now on batches wait for room.
    pub(super) fn be_patient(&self) {
        self.is_patient.store(true, Ordering::SeqCst);
    }

    /// From now on batches are refused, those that wait too.
    pub(super) fn hurry(&self) {
        self.is_patient.store(false, Ordering::SeqCst);
        self.hurried.notify_all();
    }

    /// Sleeps a little if batches wait for room; `false` if they are refused.
    pub(super) fn wait(&self) -> bool {
        if self.is_patient.load(Ordering::SeqCst) {
            self.hurried.wait_for(&mut self.asleep.lock(), LOOK_EVERY);
        }
        self.is_patient.load(Ordering::SeqCst)
    }
}
