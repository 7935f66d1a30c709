use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use gitstratum_store::MemoryFiles;
use gitstratum_store::files::{
    Attempt, Entry, Error, File, Files, Lock, Metadata, Permissions, Space,
};

use super::{EIO, SEGMENTS};
use crate::events;

/// Files whose syncs are events, and may fail where segments lie.
pub(super) struct SimFiles {
    pub(super) name: String,
    pub(super) inner: Arc<MemoryFiles>,
    /// Set where the next sync of a segment's file fails.
    pub(super) failing: Arc<AtomicBool>,
    /// Set once a sync has failed.
    pub(super) has_failed: Arc<AtomicBool>,
}

impl SimFiles {
    fn wrapped(&self, inner: Box<dyn File>, path: &Path) -> Box<dyn File> {
        Box::new(SimFile {
            name: format!("{} {}", self.name, path.display()),
            path: path.to_owned(),
            inner,
            failing: path.starts_with(SEGMENTS).then(|| Arc::clone(&self.failing)),
            has_failed: Arc::clone(&self.has_failed),
        })
    }

    fn tell(&self, what: &str, path: &Path) {
        events::detail(format_args!("{} {what} {}", self.name, path.display()), &[]);
    }
}

impl Files for SimFiles {
    fn create(&self, path: &Path, permissions: Permissions) -> Result<Box<dyn File>, Error> {
        self.tell("makes", path);
        Ok(self.wrapped(self.inner.create(path, permissions)?, path))
    }

    fn create_unnamed(&self, directory: &Path) -> Result<Box<dyn File>, Error> {
        self.inner.create_unnamed(directory)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, Error> {
        Ok(self.wrapped(self.inner.open(path)?, path))
    }

    fn create_directory(&self, path: &Path) -> Result<(), Error> {
        self.inner.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.tell("renames to", to);
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.tell("removes", path);
        self.inner.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> Result<(), Error> {
        self.inner.remove_directory(path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, Error> {
        self.inner.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> Result<(), Error> {
        self.tell("syncs", directory);
        self.inner.sync_directory(directory)
    }

    fn space(&self, directory: &Path) -> Result<Space, Error> {
        self.inner.space(directory)
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        self.inner.metadata(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, Error> {
        self.inner.lock(path)
    }
}

struct SimFile {
    name: String,
    path: PathBuf,
    inner: Box<dyn File>,
    failing: Option<Arc<AtomicBool>>,
    has_failed: Arc<AtomicBool>,
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        events::detail(format_args!("{} grows", self.name), bytes);
        self.inner.append(bytes)
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error> {
        self.inner.read_at(offset, length)
    }

    fn length(&self) -> Result<u64, Error> {
        self.inner.length()
    }

    fn truncate(&self, length: u64) -> Result<(), Error> {
        self.inner.truncate(length)
    }

    fn sync(&self) -> Result<(), Error> {
        events::detail(format_args!("{} syncs", self.name), &[]);
        let fails = |failing: &Arc<AtomicBool>| failing.swap(false, Ordering::Relaxed);
        if !self.failing.as_ref().is_some_and(fails) {
            return self.inner.sync();
        }
        events::story(|| format!("a sync of {} fails", self.name));
        self.has_failed.store(true, Ordering::Relaxed);
        let source = std::io::Error::from_raw_os_error(EIO);
        Err(Error::Io { attempt: Attempt::Sync, path: self.path.clone(), source })
    }
}
