use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gitstratum_process::failpoint;

use super::{Attempt, Error, Files, Permissions};

/// Puts `bytes` at `path` so that a crash at any moment leaves the old content or the
/// new one, whole: a temporary file, fsync, rename, fsync of the directory (RV-M2).
///
/// # Errors
/// [`Error::Full`]; [`Error::Io`]. After an error the old content is still there or the
/// new one is.
pub fn write_atomically(
    files: &dyn Files,
    path: &Path,
    bytes: &[u8],
    permissions: Permissions,
) -> Result<(), Error> {
    let temporary = temporary_name(path);
    if files.metadata(&temporary)?.is_some() {
        files.remove(&temporary)?;
    }
    let written = write_new(files, &temporary, bytes, permissions).and_then(|()| {
        failpoint!("store.file.before_rename");
        files.rename(&temporary, path)
    });
    if let Err(error) = written {
        // Left behind it would only cost space until the next write removes it.
        drop(files.remove(&temporary));
        return Err(error);
    }
    failpoint!("store.file.after_rename");
    files.sync_directory(directory_of(path))
}

/// All of the file at `path`.
///
/// # Errors
/// [`Error::Missing`]; [`Error::TooLong`] if it has more than `limit` bytes; [`Error::Io`].
pub fn read_whole(files: &dyn Files, path: &Path, limit: u64) -> Result<Bytes, Error> {
    let file = files.open(path)?;
    let length = file.length()?;
    match usize::try_from(length) {
        Ok(wanted) if length <= limit => file.read_at(0, wanted),
        _ => Err(Error::TooLong { path: path.to_owned(), limit }),
    }
}

fn write_new(
    files: &dyn Files,
    path: &Path,
    bytes: &[u8],
    permissions: Permissions,
) -> Result<(), Error> {
    let file = files.create(path, permissions)?;
    file.append(bytes)?;
    file.sync()
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// The directory that holds the name of `path`.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The error of an operation that a double has no system error for.
pub(super) fn io_error(attempt: Attempt, path: &Path, what: &'static str) -> Error {
    Error::Io { attempt, path: path.to_owned(), source: std::io::Error::other(what) }
}
