//! The last snapshot on disk: one file of checksummed updates, the first of which
//! replaces everything. New versions are appended and synced; the file is written anew
//! when it has grown to twice what it needs.

mod codec;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitstratum_client::cluster::Snapshot;
use gitstratum_proto::control::v1::SnapshotUpdate;
use gitstratum_store::files::{File, Files, read_whole, write_atomically};
use gitstratum_store::{Permissions, files};

use crate::Error;
use codec::Damage;

/// Name of the file.
const FILE: &str = "snapshot";
/// Largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Appended bytes that are worth no rewrite.
const SLACK_BYTES: u64 = 1024 * 1024;

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
                return Err(Error::NewerSnapshot { path: store.path, found });
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

    /// Makes a whole version durable: all its messages, in order. Blocking.
    pub(crate) fn advance(&mut self, updates: &[SnapshotUpdate]) -> Result<(), files::Error> {
        let next = updates.iter().fold(self.current.clone(), |held, update| held.apply(update));
        let resets = updates.iter().any(|update| update.reset);
        let grown = self.appended_bytes > self.base_bytes.max(SLACK_BYTES);
        match &self.file {
            Some(file) if !resets && !grown => {
                let bytes = codec::records(updates);
                file.append(&bytes)?;
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

#[cfg(test)]
mod tests {
    use gitstratum_core::GrantsVersion;
    use gitstratum_proto::control::v1::UserRecord;
    use gitstratum_store::MemoryFiles;

    use super::*;

    fn update(version: u64, reset: bool) -> SnapshotUpdate {
        let name = format!("user{version}");
        let users = vec![UserRecord { id: version, name, ..Default::default() }];
        SnapshotUpdate { version, reset, users, ..Default::default() }
    }

    fn directory(files: &MemoryFiles) -> &'static Path {
        let directory = Path::new("/agent");
        files.create_directory(directory).unwrap();
        files.sync_directory(Path::new("/")).unwrap();
        directory
    }

    #[test]
    fn rv_m2_every_version_told_is_there_after_a_power_cut() {
        let files = MemoryFiles::new();
        let directory = directory(&files);
        let mut store = Store::open(files.clone(), directory).unwrap();
        for version in 1..=5 {
            store.advance(&[update(version, version == 1)]).unwrap();
        }
        files.crash();
        let store = Store::open(files, directory).unwrap();
        assert_eq!(store.current().version(), GrantsVersion(5));
        assert!(store.current().user_by_name("user1").is_some());
        assert!(store.current().user_by_name("user5").is_some());
    }

    #[test]
    fn a_reset_forgets_what_was_before() {
        let files = MemoryFiles::new();
        let directory = directory(&files);
        let mut store = Store::open(files.clone(), directory).unwrap();
        store.advance(&[update(1, true)]).unwrap();
        store.advance(&[update(2, true)]).unwrap();
        let store = Store::open(files, directory).unwrap();
        assert!(store.current().user_by_name("user1").is_none());
        assert!(store.current().user_by_name("user2").is_some());
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_snapshot() {
        let files = MemoryFiles::new();
        let directory = directory(&files);
        let mut store = Store::open(files.clone(), directory).unwrap();
        store.advance(&[update(1, true)]).unwrap();
        let path = directory.join(FILE);
        let mut bytes = read_whole(files.as_ref(), &path, BYTES_MAX).unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        write_atomically(files.as_ref(), &path, &bytes, Permissions::Private).unwrap();
        let store = Store::open(files, directory).unwrap();
        assert_eq!(store.current().version(), GrantsVersion(0));
    }
}
