//! Which manifest an engine lives by, checked before RocksDB reads it: of a directory
//! whose `CURRENT` is lost RocksDB makes a new, empty engine, and of a manifest that was
//! cut short an older one; both remove the tables that they do not know.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::engine::{Attempt, Error};

/// Names the manifest.
const CURRENT: &str = "CURRENT";
const PREFIX: &str = "MANIFEST-";

/// How much of which manifest is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) number: u64,
    /// In bytes.
    pub(super) length: u64,
}

impl Manifest {
    /// `MANIFEST-000005`.
    pub(super) fn name(number: u64) -> String {
        format!("{PREFIX}{number:06}")
    }

    /// The number in such a name.
    pub(super) fn parse(name: &str) -> Option<u64> {
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        (Self::name(number) == name).then_some(number)
    }
}

/// Looks at the manifest of the engine in `directory`, of which `kept` was durable.
///
/// # Errors
/// [`Error::Corrupt`] naming `CURRENT` or the manifest.
pub(super) fn check(directory: &Path, kept: &Manifest) -> Result<(), Error> {
    let number = current(directory)?;
    let path = directory.join(Manifest::name(number));
    let damaged = |what: String| Err(Error::damaged(path.display().to_string(), what));
    if number < kept.number {
        let what = format!("{CURRENT} names it, but {} was in use", Manifest::name(kept.number));
        return damaged(what);
    }
    let length = match fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return damaged("it is missing".to_owned());
        }
        Err(error) => return Err(failed(&path, error)),
    };
    if number == kept.number && length < kept.length {
        return damaged(format!("it has {length} bytes, but {} were synced", kept.length));
    }
    Ok(())
}

/// Makes the manifest of the engine in `directory` durable as it is now. That costs a sync
/// only if it is not `known` to be.
pub(super) fn settle(directory: &Path, known: Option<&Manifest>) -> Result<Manifest, Error> {
    let number = current(directory)?;
    let path = directory.join(Manifest::name(number));
    let file = fs::File::open(&path).map_err(|error| failed(&path, error))?;
    let length = file.metadata().map_err(|error| failed(&path, error))?.len();
    let found = Manifest { number, length };
    if known != Some(&found) {
        file.sync_data().map_err(|error| failed(&path, error))?;
    }
    Ok(found)
}

fn current(directory: &Path) -> Result<u64, Error> {
    let path = directory.join(CURRENT);
    let damaged = |what: &str| Error::damaged(path.display().to_string(), what);
    let text = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged("it is missing"),
        _ => failed(&path, error),
    })?;
    let name = text.strip_suffix(b"\n").and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(Manifest::parse).ok_or_else(|| damaged("it names no manifest"))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Io { attempt: Attempt::Open, place: path.display().to_string(), source: Arc::new(error) }
}
