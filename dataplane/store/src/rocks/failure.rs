use std::sync::Arc;

use crate::engine::{Attempt, Error};

/// What RocksDB's words mean. Only its message says more than its kind does.
pub(super) fn of(attempt: Attempt, place: &str, error: rocksdb::Error) -> Error {
    let text = error.as_ref();
    let place = place.to_owned();
    let is_missing_file = text.contains("No such file or directory");
    let is_locked = text.contains("While lock file") || text.contains("lock hold by");
    let is_full = text.contains("No space left on device");
    match error.kind() {
        rocksdb::ErrorKind::Corruption => Error::Corrupt { place, source: Arc::new(error) },
        rocksdb::ErrorKind::IOError if is_locked => {
            Error::Locked { place, source: Arc::new(error) }
        }
        rocksdb::ErrorKind::IOError if is_full => {
            Error::Full { attempt, place, source: Arc::new(error) }
        }
        // A file that the manifest names is gone.
        rocksdb::ErrorKind::IOError if is_missing_file => {
            Error::Corrupt { place, source: Arc::new(error) }
        }
        _ => Error::Io { attempt, place, source: Arc::new(error) },
    }
}
