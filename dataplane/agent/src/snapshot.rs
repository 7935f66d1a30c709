//! The last snapshot on disk: one file of checksummed updates, the first of which
//! replaces everything. New versions are appended and synced; the file is written anew
//! when it has grown to twice what it needs.

mod admission;
mod codec;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitstratum_client::cluster::Snapshot;
use gitstratum_process::failpoint;
use gitstratum_proto::control::v1::SnapshotUpdate;
use gitstratum_store::files::{File, Files, read_whole, write_atomically};
use gitstratum_store::{Permissions, files};

use crate::Error;
pub(crate) use admission::Refusal;
use codec::Damage;

/// Name of the file.
const FILE: &str = "snapshot";
/// Largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Appended bytes that are worth no rewrite.
const SLACK_BYTES: u64 = 1024 * 1024;

/// Why a version did not become the snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    #[error("keeping it: {0}")]
    Files(#[from] files::Error),
}

/// The snapshot and its file.
pub(crate) struct Store {
    files: Arc<dyn Files>,
    path: PathBuf,
    current: Snapshot,
    file: Option<Box<dyn File>>,
    base_bytes: u64,
    appended_bytes: u64,
}

impl Store {
    /// Reads what is there. A torn end is dropped; other damage is told, and everything is
    /// asked for anew: the control plane has it. Blocking.
    pub(crate) fn open(files: Arc<dyn Files>, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let mut store = Self {
            files,
            path,
            current: Snapshot::empty(),
            file: None,
            base_bytes: 0,
            appended_bytes: 0,
        };
        if store.files.metadata(&store.path)?.is_none() {
            return Ok(store);
        }
        let bytes = read_whole(store.files.as_ref(), &store.path, BYTES_MAX)?;
        match codec::decode(&bytes) {
            Ok(updates) => {
                store.current = updates.iter().fold(Snapshot::empty(), |held, u| held.apply(u));
                // Appending after a torn end would hide what follows: the next change rewrites.
                store.base_bytes = bytes.len() as u64;
            }
            Err(Damage::Newer { found }) => {
                return Err(Error::NewerFormat { path: store.path, found });
            }
            Err(Damage::Record { offset }) => {
                let path = store.path.display();
                tracing::error!(%path, offset, "the stored snapshot is damaged; fetching it anew");
            }
        }
        Ok(store)
    }

    /// The newest snapshot that is durable.
    pub(crate) fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Makes a whole version durable: all its messages, in order. One that is behind what
    /// is held, or another cluster's, changes nothing. Blocking.
    pub(crate) fn advance(&mut self, updates: &[SnapshotUpdate]) -> Result<(), AdvanceError> {
        admission::admit(&self.current, updates)?;
        let next = updates.iter().fold(self.current.clone(), |held, update| held.apply(update));
        let resets = updates.iter().any(|update| update.reset);
        let grown = self.appended_bytes > self.base_bytes.max(SLACK_BYTES);
        match &self.file {
            Some(file) if !resets && !grown => {
                let bytes = codec::records(updates);
                file.append(&bytes)?;
                failpoint!("agent.snapshot.before_sync");
                file.sync()?;
                self.appended_bytes += bytes.len() as u64;
            }
            _ => self.rewrite(&next)?,
        }
        self.current = next;
        Ok(())
    }

    fn rewrite(&mut self, next: &Snapshot) -> Result<(), files::Error> {
        let bytes = codec::encode(&next.to_update());
        write_atomically(self.files.as_ref(), &self.path, &bytes, Permissions::Private)?;
        self.file = Some(self.files.open(&self.path)?);
        self.base_bytes = bytes.len() as u64;
        self.appended_bytes = 0;
        Ok(())
    }
}

/// The snapshot that the agent of `directory` keeps, before it runs; an empty one if there is
/// none. Blocking.
///
/// # Errors
/// [`Error::NewerFormat`]; [`Error::Files`].
pub fn held(files: Arc<dyn Files>, directory: &Path) -> Result<Snapshot, Error> {
    Ok(Store::open(files, directory)?.current)
}

#[cfg(test)]
mod tests;
