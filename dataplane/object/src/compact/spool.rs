use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitstratum_git::pack::ByteSource;

use super::Error;

/// A pack that is being made: a file without a name, so that nothing of it stays whatever happens.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
}

impl Spool {
    /// An empty one in `folder`, which is made if it is not there. Blocking.
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        let made = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = made.map_err(|source| Error::Spool { action: "making", source })?;
        Ok(Self { file })
    }

    /// Writes at `offset`. Blocking.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| Error::Spool { action: "writing", source })
    }

    /// Reads `len` bytes at `offset`. Blocking.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        let read = self.read_at(offset, &mut bytes);
        read.map_err(|source| Error::Spool { action: "reading", source })?;
        Ok(bytes)
    }
}

impl ByteSource for Spool {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }
}

/// Tells work on a blocking thread that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Cancels when it is dropped.
    pub(super) fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// See [`Cancel::on_drop`].
#[derive(Debug)]
pub(super) struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    gitstratum_process::blocking(work).await.map_err(|_| Error::Bug("blocking work panicked"))?
}
