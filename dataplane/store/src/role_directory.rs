//! The directory of one role of one node: what it is, written down and locked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitstratum_core::{ErrorKind, ProcessRole};

use crate::files::{self, Files, Lock, Permissions};

/// The version of the layout below a role directory that this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the file that says what the directory is: `gitstratum ROLE VERSION`.
const FORMAT_FILE: &str = "format";
/// Name of the file that is locked while a process uses the directory.
const LOCK_FILE: &str = "lock";
/// More than the format file ever holds.
const FORMAT_BYTES_MAX: u64 = 128;

/// Why a directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It belongs to another role.
    #[error("{} is the directory of a {found} node, not of a {wanted} node", path.display())]
    Role {
        /// The directory.
        path: PathBuf,
        /// The role it belongs to.
        found: String,
        /// The role that wanted to use it.
        wanted: ProcessRole,
    },
    /// It was written by a newer version of this program.
    #[error("{} has format {found}, this version reads up to {FORMAT_VERSION}: use a newer version", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It was written by a version so old that this one cannot read it.
    #[error("{} has format {found}, this version reads from {FORMAT_VERSION}: upgrade in between", path.display())]
    Older {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is neither empty nor one of ours.
    #[error("{} is not empty and not a data directory of ours: it has no file `{FORMAT_FILE}`", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// What it is cannot be read.
    #[error("{} does not say what it is", path.display())]
    Unreadable {
        /// The format file.
        path: PathBuf,
    },
    /// Another process uses it.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("could not use {}: {source}", path.display())]
    Files {
        /// The directory.
        path: PathBuf,
        /// What happened.
        source: files::Error,
    },
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Role { .. } | Self::Newer { .. } | Self::Older { .. } | Self::Foreign { .. } => {
                ErrorKind::Invalid
            }
            Self::Unreadable { .. } => ErrorKind::Corrupt,
            Self::Locked { .. } => ErrorKind::Unavailable,
            Self::Files { source, .. } => source.kind(),
        }
    }
}

/// A role directory, locked for as long as this lives.
pub struct RoleDirectory {
    path: PathBuf,
    lock: Box<dyn Lock>,
}

impl RoleDirectory {
    /// Looks at `path` and changes nothing: whether it is the directory of a node of
    /// `role`, which nobody uses, or `false` if it is yet to be made.
    ///
    /// # Errors
    /// Those that [`RoleDirectory::open`] would have now.
    pub fn inspect(files: &dyn Files, path: &Path, role: ProcessRole) -> Result<bool, Error> {
        let failed = |source| Error::Files { path: path.to_owned(), source };
        let is_made = check_format(files, path, role)?;
        if !is_made {
            check_empty(files, path)?;
        }
        let lock = path.join(LOCK_FILE);
        if files.metadata(&lock).map_err(failed)?.is_some() {
            drop(take_lock(files, path)?);
        }
        Ok(is_made)
    }

    /// Whether `path` is the directory of a node of `role`, whoever uses it.
    ///
    /// # Errors
    /// When it is one of something else, or cannot be read.
    pub fn is_made(files: &dyn Files, path: &Path, role: ProcessRole) -> Result<bool, Error> {
        check_format(files, path, role)
    }

    /// Checks what `path` is and locks it for `role`. An absent or empty directory becomes
    /// one of `role`.
    ///
    /// # Errors
    /// One variant for each reason not to touch it.
    pub fn open(files: &Arc<dyn Files>, path: &Path, role: ProcessRole) -> Result<Self, Error> {
        let failed = |source| Error::Files { path: path.to_owned(), source };
        if !check_format(&**files, path, role)? {
            check_empty(&**files, path)?;
        }
        files.create_directory(path).map_err(failed)?;
        let lock = take_lock(&**files, path)?;
        // Again under the lock: another process may have been first.
        if !check_format(&**files, path, role)? {
            let format = path.join(FORMAT_FILE);
            files::write_atomically(
                &**files,
                &format,
                render(role).as_bytes(),
                Permissions::Shared,
            )
            .map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Whether it is still where it was opened, and no other in its place. Blocks.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn is_in_place(&self) -> Result<bool, Error> {
        let failed = |source| Error::Files { path: self.path.clone(), source };
        self.lock.is_in_place().map_err(failed)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn take_lock(files: &dyn Files, path: &Path) -> Result<Box<dyn Lock>, Error> {
    files.lock(&path.join(LOCK_FILE)).map_err(|error| match error {
        files::Error::Locked { .. } => Error::Locked { path: path.to_owned() },
        source => Error::Files { path: path.to_owned(), source },
    })
}

/// Whether the directory says that it is one of `role`; `false` if it says nothing yet.
fn check_format(files: &dyn Files, path: &Path, role: ProcessRole) -> Result<bool, Error> {
    let format = path.join(FORMAT_FILE);
    match files::read_whole(files, &format, FORMAT_BYTES_MAX) {
        Ok(bytes) => check(path, &format, &bytes, role).map(|()| true),
        Err(error) if error.is_missing() => Ok(false),
        Err(source) => Err(Error::Files { path: path.to_owned(), source }),
    }
}

fn render(role: ProcessRole) -> String {
    format!("gitstratum {role} {FORMAT_VERSION}\n")
}

fn check(path: &Path, format: &Path, bytes: &[u8], wanted: ProcessRole) -> Result<(), Error> {
    let unreadable = || Error::Unreadable { path: format.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable())?;
    let words: Vec<&str> = text.strip_suffix('\n').ok_or_else(unreadable)?.split(' ').collect();
    let [magic, role, version] = words[..] else { return Err(unreadable()) };
    let version: u32 = version.parse().map_err(|_| unreadable())?;
    if magic != "gitstratum" {
        return Err(unreadable());
    }
    if version > FORMAT_VERSION {
        return Err(Error::Newer { path: path.to_owned(), found: version });
    }
    if version < FORMAT_VERSION {
        return Err(Error::Older { path: path.to_owned(), found: version });
    }
    if role != wanted.as_str() {
        return Err(Error::Role { path: path.to_owned(), found: role.to_owned(), wanted });
    }
    Ok(())
}

/// A directory without a format file must be empty but for traces of a first start that
/// was interrupted.
fn check_empty(files: &dyn Files, path: &Path) -> Result<(), Error> {
    let entries = match files.list(path) {
        Ok(entries) => entries,
        Err(error) if error.is_missing() => return Ok(()),
        Err(source) => return Err(Error::Files { path: path.to_owned(), source }),
    };
    let is_trace = |name: &str| {
        name == LOCK_FILE || name == "lost+found" || name == format!(".{FORMAT_FILE}.tmp")
    };
    if entries.iter().all(|entry| is_trace(&entry.name)) {
        return Ok(());
    }
    Err(Error::Foreign { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{MemoryFiles, SystemFiles};

    fn open(files: &Arc<dyn Files>, role: ProcessRole) -> Result<RoleDirectory, Error> {
        RoleDirectory::open(files, Path::new("/data"), role)
    }

    fn with_format(text: &str) -> Arc<dyn Files> {
        let files = MemoryFiles::new();
        files.create_directory(Path::new("/data")).unwrap();
        let path = Path::new("/data/format");
        files::write_atomically(&*files, path, text.as_bytes(), Permissions::Shared).unwrap();
        files
    }

    #[test]
    fn the_page_on_formats_shows_a_format_file_as_it_is() {
        let page = include_str!("../../../docs/formats/engine.md");
        let (_, example) = page.split_once("```format\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        assert_eq!(example, render(ProcessRole::Metadata));
    }

    #[test]
    fn a_directory_is_made_once_and_opened_again_by_its_role_only() {
        let files: Arc<dyn Files> = MemoryFiles::new();
        let first = open(&files, ProcessRole::Object).unwrap();
        assert!(matches!(open(&files, ProcessRole::Object), Err(Error::Locked { .. })));
        drop(first);
        assert!(matches!(open(&files, ProcessRole::Metadata), Err(Error::Role { .. })));
        assert!(open(&files, ProcessRole::Object).is_ok());
    }

    #[test]
    fn other_formats_and_foreign_directories_are_refused_untouched() {
        let newer = with_format("gitstratum object 2\n");
        assert!(matches!(open(&newer, ProcessRole::Object), Err(Error::Newer { found: 2, .. })));
        let older = with_format("gitstratum object 0\n");
        assert!(matches!(open(&older, ProcessRole::Object), Err(Error::Older { found: 0, .. })));
        for text in ["", "gitstratum object 1", "gitstratum object\n", "else object 1\n", "\u{1}"] {
            let files = with_format(text);
            assert!(matches!(open(&files, ProcessRole::Object), Err(Error::Unreadable { .. })));
            assert_eq!(files.list(Path::new("/data")).unwrap().len(), 1, "nothing was added");
        }
        let foreign = MemoryFiles::new();
        foreign.create_directory(Path::new("/data")).unwrap();
        drop(foreign.create(Path::new("/data/photo"), Permissions::Shared).unwrap());
        let foreign: Arc<dyn Files> = foreign;
        assert!(matches!(open(&foreign, ProcessRole::Object), Err(Error::Foreign { .. })));
    }

    #[test]
    fn s4_a_directory_that_was_deleted_moved_or_replaced_is_not_in_place() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("object");
        let files: Arc<dyn Files> = SystemFiles::new();
        let open = || RoleDirectory::open(&files, &path, ProcessRole::Object).unwrap();
        let opened = open();
        assert!(opened.is_in_place().unwrap());
        std::fs::rename(&path, above.path().join("moved")).unwrap();
        assert!(!opened.is_in_place().unwrap());
        let second = open();
        assert!(!opened.is_in_place().unwrap(), "another is in its place");
        assert!(second.is_in_place().unwrap());
        std::fs::remove_dir_all(&path).unwrap();
        assert!(!second.is_in_place().unwrap());
    }

    #[test]
    fn a_look_tells_what_an_open_would_say_and_makes_nothing() {
        let memory = MemoryFiles::new();
        let (files, path): (Arc<dyn Files>, _) = (memory.clone(), Path::new("/data"));
        let inspect = |role| RoleDirectory::inspect(&*memory, path, role);
        assert!(!inspect(ProcessRole::Object).unwrap());
        assert!(files.metadata(path).unwrap().is_none(), "it was made");
        let opened = open(&files, ProcessRole::Object).unwrap();
        assert!(matches!(inspect(ProcessRole::Object), Err(Error::Locked { .. })));
        drop(opened);
        assert!(inspect(ProcessRole::Object).unwrap());
        assert!(matches!(inspect(ProcessRole::Agent), Err(Error::Role { .. })));
        assert!(open(&files, ProcessRole::Object).is_ok(), "the look left a lock");
    }

    #[test]
    fn a_second_process_is_refused_on_the_machines_own_disk() {
        let directory = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = SystemFiles::new();
        let path = directory.path().join("a/b");
        let first = RoleDirectory::open(&files, &path, ProcessRole::Agent).unwrap();
        let second = RoleDirectory::open(&files, &path, ProcessRole::Agent);
        assert!(matches!(second, Err(Error::Locked { .. })));
        drop(first);
        assert!(RoleDirectory::open(&files, &path, ProcessRole::Agent).is_ok());
    }

    #[test]
    fn the_format_survives_a_power_cut_right_after_open() {
        let memory = MemoryFiles::new();
        let files: Arc<dyn Files> = memory.clone();
        drop(open(&files, ProcessRole::Object).unwrap());
        memory.crash();
        assert!(matches!(open(&files, ProcessRole::Agent), Err(Error::Role { .. })));
    }
}
