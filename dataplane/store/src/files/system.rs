use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::small::directory_of;
use super::{Attempt, Entry, Error, File, Files, Kind, Lock, Metadata, Permissions, Space};

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl SystemFiles {
    /// A handle; all handles are the same file system.
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }
}

impl Permissions {
    fn mode(self) -> u32 {
        match self {
            Self::Shared => 0o644,
            Self::Private => 0o600,
        }
    }
}

impl Files for SystemFiles {
    fn create(&self, path: &Path, permissions: Permissions) -> Result<Box<dyn File>, Error> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(permissions.mode());
        open_with(&options, Attempt::Create, path)
    }

    fn create_unnamed(&self, directory: &Path) -> Result<Box<dyn File>, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(Permissions::Private.mode());
        match rustix::fs::open(directory, flags, mode) {
            Ok(descriptor) => Ok(SystemFile::boxed(fs::File::from(descriptor), directory)),
            // Some file systems (FUSE, overlays) have no unnamed files.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                self.create_unlinked(directory)
            }
            Err(error) => Err(Error::of(Attempt::Create, directory, error.into())),
        }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn File>, Error> {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        open_with(&options, Attempt::Open, path)
    }

    fn create_directory(&self, path: &Path) -> Result<(), Error> {
        match fs::create_dir(path) {
            Ok(()) => self.sync_directory(directory_of(path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let parent = directory_of(path);
                if parent == path || parent == Path::new(".") {
                    return Err(Error::of(Attempt::Create, path, error));
                }
                self.create_directory(parent)?;
                self.create_directory(path)
            }
            Err(error) => Err(Error::of(Attempt::Create, path, error)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        fs::rename(from, to).map_err(|error| Error::of(Attempt::Rename, from, error))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        fs::remove_file(path).map_err(|error| Error::of(Attempt::Remove, path, error))
    }

    fn remove_directory(&self, path: &Path) -> Result<(), Error> {
        fs::remove_dir(path).map_err(|error| Error::of(Attempt::Remove, path, error))
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, Error> {
        let failed = |error| Error::of(Attempt::List, directory, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_directory = entry.file_type().map_err(failed)?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Entry { name, is_directory });
            }
        }
        found.sort();
        Ok(found)
    }

    fn sync_directory(&self, directory: &Path) -> Result<(), Error> {
        fs::File::open(directory)
            .and_then(|opened| opened.sync_all())
            .map_err(|error| Error::of(Attempt::Sync, directory, error))
    }

    fn space(&self, directory: &Path) -> Result<Space, Error> {
        let found = rustix::fs::statvfs(directory)
            .map_err(|error| Error::of(Attempt::Measure, directory, error.into()))?;
        Ok(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        match fs::symlink_metadata(path) {
            Ok(found) => {
                let kind = match found.file_type() {
                    kind if kind.is_file() => Kind::File,
                    kind if kind.is_dir() => Kind::Directory,
                    _ => Kind::Other,
                };
                Ok(Some(Metadata { kind, length: found.len() }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::of(Attempt::Measure, path, error)),
        }
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, Error> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(Permissions::Private.mode());
        let file = options.open(path).map_err(|error| Error::of(Attempt::Lock, path, error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(SystemLock { file, path: path.to_owned() })),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked { path: path.to_owned() }),
            Err(error) => Err(Error::of(Attempt::Lock, path, error.into())),
        }
    }
}

impl SystemFiles {
    fn create_unlinked(self, directory: &Path) -> Result<Box<dyn File>, Error> {
        /// Tries before giving up on a free name.
        const TRIES_MAX: u32 = 1_000;
        for attempt in 0..TRIES_MAX {
            let path = directory.join(format!(".unnamed-{}-{attempt}", std::process::id()));
            match self.create(&path, Permissions::Private) {
                Ok(file) => {
                    self.remove(&path)?;
                    return Ok(file);
                }
                Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Exists { path: directory.to_owned() })
    }
}

fn open_with(options: &OpenOptions, attempt: Attempt, path: &Path) -> Result<Box<dyn File>, Error> {
    match options.open(path) {
        Ok(file) => Ok(SystemFile::boxed(file, path)),
        Err(error) => Err(Error::of(attempt, path, error)),
    }
}

struct SystemLock {
    /// The lock lives as long as this descriptor.
    file: fs::File,
    path: PathBuf,
}

impl Lock for SystemLock {
    fn is_in_place(&self) -> Result<bool, Error> {
        let failed = |error| Error::of(Attempt::Measure, &self.path, error);
        let own = self.file.metadata().map_err(failed)?;
        match fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

struct SystemFile {
    file: fs::File,
    path: PathBuf,
    /// One append at a time: a large one takes several system calls.
    appending: Mutex<()>,
}

impl SystemFile {
    fn boxed(file: fs::File, path: &Path) -> Box<dyn File> {
        Box::new(Self { file, path: path.to_owned(), appending: Mutex::new(()) })
    }

    fn failed(&self, attempt: Attempt) -> impl Fn(std::io::Error) -> Error + '_ {
        move |error| Error::of(attempt, &self.path, error)
    }
}

impl File for SystemFile {
    fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        let _one_at_a_time = self.appending.lock();
        (&self.file).write_all(bytes).map_err(self.failed(Attempt::Write))
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error> {
        let mut bytes = BytesMut::zeroed(length);
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes.freeze()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::Short { path: self.path.clone(), end: offset + length as u64 })
            }
            Err(error) => Err(Error::of(Attempt::Read, &self.path, error)),
        }
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(self.failed(Attempt::Measure))?.len())
    }

    fn truncate(&self, length: u64) -> Result<(), Error> {
        self.file.set_len(length).map_err(self.failed(Attempt::Truncate))
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(self.failed(Attempt::Sync))
    }
}
