//! What a node has on disk: it survives the node's processes, and loses what was not synced
//! when the power goes.

mod engine;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{NodeId, SegmentId};
use gitstratum_store::files::{File, read_whole, write_atomically};
use gitstratum_store::{
    Batch, Durability, Engine, Family, Files, KeyRange, KeyValue, MemoryEngine, MemoryFiles,
    Permissions, Reader as _,
};
use parking_lot::Mutex;

use crate::checks::Watch;
use crate::events;
use crate::world::Draw;
use engine::SimEngine;
use files::SimFiles;

/// Rows of small segments, and of replicated state (docs/formats).
const INLINE: Family = gitstratum_object::FAMILIES[0];
const RECORDS: Family = gitstratum_object::FAMILIES[1];
pub(crate) const STATE: Family = Family("raft_state");
/// Where files of large segments lie (docs/formats/data-directory.md), and most bytes of one.
const SEGMENTS: &str = "/object/segments";
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Where a node counts its starts.
const STARTS: &str = "/agent/incarnation";
/// The number of the error of a disk that fails.
const EIO: i32 = 5;

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
    draw: Draw,
    files: Mutex<Arc<MemoryFiles>>,
    engines: Mutex<[Arc<MemoryEngine>; 3]>,
    /// How long a sync takes, in microseconds.
    sync_micros: Arc<AtomicU64>,
    /// Stores whose next sync fails.
    failing: [Arc<AtomicBool>; 3],
    /// Whether one has failed since the process started.
    has_failed: Arc<AtomicBool>,
}

impl Disk {
    pub(crate) fn new(name: String, node: NodeId, watch: Arc<Watch>, draw: Draw) -> Arc<Self> {
        Arc::new(Self {
            name,
            node,
            watch,
            draw,
            files: Mutex::new(MemoryFiles::new()),
            engines: Mutex::new(STORES.map(empty)),
            sync_micros: Arc::new(AtomicU64::new(200)),
            failing: Default::default(),
            has_failed: Arc::default(),
        })
    }

    /// Files as a process opens them.
    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(SimFiles {
            name: self.name.clone(),
            inner: self.memory_files(),
            failing: Arc::clone(&self.failing[Store::Object as usize]),
            has_failed: Arc::clone(&self.has_failed),
        })
    }

    fn memory_files(&self) -> Arc<MemoryFiles> {
        Arc::clone(&self.files.lock())
    }

    /// Whether a sync has failed since the process started.
    pub(crate) fn has_failed_sync(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
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
            has_failed: Arc::clone(&self.has_failed),
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
        let files = self.memory_files();
        match end {
            End::Kill => files.kill(),
            End::PowerCut => {
                let torn = self.torn(&files);
                files.crash();
                torn.iter().for_each(|(path, rest)| tear(&files, path, rest));
            }
        }
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Of some of the segments' files that are not synced, how much the disk has all the same.
    fn torn(&self, files: &MemoryFiles) -> Vec<(PathBuf, Bytes)> {
        let list = |folder: &Path| files.list(folder).unwrap_or_default();
        let folders = list(Path::new(SEGMENTS)).into_iter().filter(|entry| entry.is_directory);
        let folders = folders.map(|folder| Path::new(SEGMENTS).join(folder.name));
        let all = folders
            .flat_map(|folder| list(&folder).into_iter().map(move |entry| folder.join(entry.name)));
        let torn = all.filter_map(|path| {
            let bytes = read_whole(files, &path, SEGMENT_BYTES_MAX).ok()?;
            let synced = files.durable(&path).map_or(0, |bytes| bytes.len());
            let rest = bytes.get(synced..).filter(|rest| !rest.is_empty())?;
            let kept = self.draw.index(rest.len() + 1);
            Some((path, bytes.slice(synced..synced + kept)))
        });
        torn.collect()
    }

    /// The node gets another disk, with nothing on it but what the control plane tells whoever
    /// comes back: how often it has started (S23).
    pub(crate) fn wipe(&self) {
        let before = self.memory_files();
        let files = MemoryFiles::new();
        *self.engines.lock() = STORES.map(empty);
        let starts = Path::new(STARTS);
        if let (Ok(count), Some(folder)) = (read_whole(&*before, starts, 32), starts.parent()) {
            let told = files.create_directory(folder);
            let told =
                told.and_then(|()| write_atomically(&*files, starts, &count, Permissions::Private));
            told.expect("because an empty disk has room");
        }
        *self.files.lock() = files;
    }

    /// How often the node has started.
    pub(crate) fn starts(&self) -> u64 {
        let count = read_whole(&*self.memory_files(), Path::new(STARTS), 32).unwrap_or_default();
        let count = std::str::from_utf8(&count).ok().and_then(|text| text.trim().parse().ok());
        count.unwrap_or_default()
    }

    /// What a power cut now would leave of a segment.
    pub(crate) fn durable(&self, segment: SegmentId) -> Option<Bytes> {
        let row = self.memory(Store::Object).durable(INLINE, &segment.0);
        let file = || self.memory_files().durable(&path(segment)).map(Bytes::from);
        row.ok().flatten().or_else(file)
    }

    /// Segments that the node believes to hold.
    pub(crate) fn segments(&self) -> Vec<SegmentId> {
        let all = KeyRange::from(Vec::new());
        let rows = self.memory(Store::Object).scan(RECORDS, &all, usize::MAX).unwrap_or_default();
        rows.iter().filter_map(|(key, _)| SegmentId::from_slice(key)).collect()
    }

    /// Flips a bit of a segment that was synced, or loses its file; how, if it is here.
    pub(crate) fn damage(&self, segment: SegmentId, at: usize) -> Option<&'static str> {
        let engine = self.memory(Store::Object);
        let Ok(Some(bytes)) = engine.get(INLINE, &segment.0) else {
            return self.damage_file(&path(segment), at);
        };
        let mut batch = Batch::new();
        batch.put(INLINE, segment.0.to_vec(), flipped(&bytes, at)?);
        engine.write(batch, Durability::Synced).is_ok().then_some("a bit of its row flips")
    }

    /// Flips a bit of a file, cuts it, or has it be gone.
    fn damage_file(&self, path: &Path, at: usize) -> Option<&'static str> {
        let files = self.memory_files();
        let bytes = read_whole(&*files, path, SEGMENT_BYTES_MAX).ok()?;
        let (left, how) = match at % 4 {
            0 => (None, "its file is gone"),
            1 => (Some(bytes[..at % bytes.len().max(1)].to_vec()), "its file is cut"),
            _ => (Some(flipped(&bytes, at)?), "a bit of its file flips"),
        };
        let damaged = match left {
            None => files.remove(path),
            Some(bytes) => files.open(path).and_then(|file| replace(&*file, &bytes)),
        };
        let folder = path.parent()?;
        damaged.and_then(|()| files.sync_directory(folder)).is_ok().then_some(how)
    }

    /// All rows of replicated state.
    pub(crate) fn state(&self) -> Vec<KeyValue> {
        let all = self.memory(Store::Metadata).scan(STATE, &KeyRange::from(Vec::new()), usize::MAX);
        all.unwrap_or_default()
    }
}

/// Where a large segment lies.
fn path(segment: SegmentId) -> PathBuf {
    Path::new(SEGMENTS).join(format!("{:02x}/{segment}.seg", segment.0[0]))
}

/// Every other time in its first quarter, where the objects of a small segment lie.
fn flipped(bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let among = if at.is_multiple_of(2) { bytes.len() } else { bytes.len().div_ceil(4) };
    let place = (at / 2).checked_rem(among)?;
    *bytes.get_mut(place)? ^= 1;
    Some(bytes)
}

/// Gives `file` these bytes, synced.
fn replace(file: &dyn File, bytes: &[u8]) -> Result<(), gitstratum_store::files::Error> {
    file.truncate(0)?;
    file.append(bytes)?;
    file.sync()
}

/// What the disk has of the file at `path` goes on with `rest`; its name may be lost.
fn tear(files: &MemoryFiles, path: &Path, rest: &[u8]) {
    let Ok(file) = files.open(path) else { return };
    events::story(|| format!("{} is torn, {} bytes more than synced", path.display(), rest.len()));
    let torn = file.append(rest).and_then(|()| file.sync());
    torn.expect("because memory has room");
}

fn empty(store: Store) -> Arc<MemoryEngine> {
    MemoryEngine::new(&families(store))
}

fn families(store: Store) -> Vec<Family> {
    match store {
        Store::Control | Store::Metadata => gitstratum_consensus::families().to_vec(),
        Store::Object => gitstratum_object::FAMILIES.to_vec(),
    }
}
