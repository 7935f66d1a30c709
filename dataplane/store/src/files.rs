//! The disk as an argument: files, directories and what makes them durable.

mod error;
mod memory;
mod small;
mod space;
mod system;

use std::path::Path;

use bytes::Bytes;

pub use error::{Attempt, Error};
pub use memory::MemoryFiles;
pub use small::{read_whole, write_atomically};
pub use space::SpaceGuard;
pub use system::SystemFiles;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Everyone (0644).
    Shared,
    /// Its owner (0600): keys and tokens.
    Private,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// A file's length in bytes.
    pub length: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name within the directory. Names that are not UTF-8 are not ours and not listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// The file system that a directory lies on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an ordinary user can still write.
    pub free: u64,
    /// Its size.
    pub total: u64,
}

/// A lock that is held until this is dropped or the process dies.
pub trait Lock: Send + Sync {
    /// Whether the file that is locked still has its name: false once it, or a directory above
    /// it, was deleted, moved or replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn is_in_place(&self) -> Result<bool, Error>;
}

/// An open file. Its bytes survive a crash once [`File::sync`] has returned, its name
/// once [`Files::sync_directory`] has (S4).
pub trait File: Send + Sync {
    /// Adds `bytes` at the end. Concurrent appends do not interleave.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`]. A failed append may have added some of the bytes.
    fn append(&self, bytes: &[u8]) -> Result<(), Error>;

    /// `length` bytes from `offset`.
    ///
    /// # Errors
    /// [`Error::Short`] if the file ends before; [`Error::Io`].
    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn length(&self) -> Result<u64, Error>;

    /// Cuts it to `length` bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn truncate(&self, length: u64) -> Result<(), Error>;

    /// Makes its bytes and length durable (fdatasync). After an error nothing may be
    /// acknowledged for this file any more: the kernel may have dropped the bytes (P-D5).
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`].
    fn sync(&self) -> Result<(), Error>;
}

/// A file system. Every call blocks.
pub trait Files: Send + Sync {
    /// Makes a file that must not exist yet.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Full`]; [`Error::Io`].
    fn create(&self, path: &Path, permissions: Permissions) -> Result<Box<dyn File>, Error>;

    /// Makes a file without a name in `directory`; it is gone when dropped.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`].
    fn create_unnamed(&self, directory: &Path) -> Result<Box<dyn File>, Error>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn open(&self, path: &Path) -> Result<Box<dyn File>, Error>;

    /// Makes a directory and those above it; one that exists is fine. The new names are
    /// durable on return.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Io`].
    fn create_directory(&self, path: &Path) -> Result<(), Error>;

    /// Gives `from` the name `to`, taking the place of any file there.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn remove(&self, path: &Path) -> Result<(), Error>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn remove_directory(&self, path: &Path) -> Result<(), Error>;

    /// What `directory` holds, in order of names.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn list(&self, directory: &Path) -> Result<Vec<Entry>, Error>;

    /// Makes the names in `directory` durable: creations, renames, removals.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Io`].
    fn sync_directory(&self, directory: &Path) -> Result<(), Error>;

    /// Room on the file system of `directory`.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn space(&self, directory: &Path) -> Result<Space, Error>;

    /// What `path` is; `None` if there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error>;

    /// Takes the exclusive lock on the file `path`, making the file if needed.
    ///
    /// # Errors
    /// [`Error::Locked`] at once if anyone else holds it; [`Error::Io`].
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, Error>;
}
