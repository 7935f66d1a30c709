use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Error, Files, Kind, Permissions, read_whole, write_atomically};

/// A file system under test and an empty directory in it.
pub struct FilesUnderTest {
    /// The file system.
    pub files: Arc<dyn Files>,
    /// The directory.
    pub directory: PathBuf,
}

/// Checks that a file system keeps the contract of [`Files`].
///
/// # Panics
/// When it does not.
pub fn check_files(under_test: &FilesUnderTest) {
    let FilesUnderTest { files, directory } = under_test;
    files_are_made_once_and_appended_to(&**files, &directory.join("a"));
    names_change_and_go(&**files, &directory.join("b"));
    directories_nest(&**files, &directory.join("c"));
    a_lock_is_held_by_one(&**files, &directory.join("d"));
    small_files_are_replaced_whole(&**files, &directory.join("e"));
    unnamed_files_hold_bytes(&**files, &directory.join("f"));
}

fn make(files: &dyn Files, directory: &Path) {
    files.create_directory(directory).expect("because there is room for one");
}

fn files_are_made_once_and_appended_to(files: &dyn Files, directory: &Path) {
    make(files, directory);
    let path = directory.join("file");
    assert!(matches!(files.open(&path), Err(Error::Missing { .. })));
    assert_eq!(files.metadata(&path).expect("because it is sound"), None);
    let file = files.create(&path, Permissions::Private).expect("because it is sound");
    assert!(matches!(files.create(&path, Permissions::Private), Err(Error::Exists { .. })));
    file.append(b"hello ").expect("because it is sound");
    file.append(b"world").expect("because it is sound");
    file.sync().expect("because it is sound");
    assert_eq!(&file.read_at(4, 4).expect("because it is sound")[..], b"o wo");
    assert!(matches!(file.read_at(4, 8), Err(Error::Short { end: 12, .. })));
    drop(file);
    let file = files.open(&path).expect("because it is sound");
    file.append(b"!").expect("because it is sound");
    assert_eq!(file.length().expect("because it is sound"), 12);
    file.truncate(5).expect("because it is sound");
    assert_eq!(&read_whole(files, &path, 5).expect("because it is sound")[..], b"hello");
    assert!(matches!(read_whole(files, &path, 4), Err(Error::TooLong { limit: 4, .. })));
}

fn names_change_and_go(files: &dyn Files, directory: &Path) {
    make(files, directory);
    let (from, to) = (directory.join("from"), directory.join("to"));
    assert!(matches!(files.rename(&from, &to), Err(Error::Missing { .. })));
    files
        .create(&from, Permissions::Shared)
        .expect("because it is sound")
        .append(b"new")
        .expect("because it is sound");
    files
        .create(&to, Permissions::Shared)
        .expect("because it is sound")
        .append(b"old")
        .expect("because it is sound");
    files.rename(&from, &to).expect("because it is sound");
    assert_eq!(&read_whole(files, &to, 10).expect("because it is sound")[..], b"new");
    let names = |listed: Vec<crate::files::Entry>| -> Vec<String> {
        listed.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(files.list(directory).expect("because it is sound")), ["to"]);
    let held = files.open(&to).expect("because it is sound");
    files.remove(&to).expect("because it is sound");
    assert!(matches!(files.remove(&to), Err(Error::Missing { .. })));
    assert_eq!(&held.read_at(0, 3).expect("because an open file outlives its name")[..], b"new");
    files.sync_directory(directory).expect("because it is sound");
}

fn directories_nest(files: &dyn Files, directory: &Path) {
    let deep = directory.join("x/y");
    make(files, &deep);
    make(files, &deep);
    let listed = files.list(directory).expect("because it is sound");
    assert!(listed.len() == 1 && listed[0].is_directory && listed[0].name == "x");
    let found = files.metadata(&deep).expect("because it is sound").expect("because it was made");
    assert_eq!(found.kind, Kind::Directory);
    assert!(files.remove_directory(&directory.join("x")).is_err(), "it is not empty");
    files.remove_directory(&deep).expect("because it is sound");
    assert!(matches!(files.list(&deep), Err(Error::Missing { .. })));
    assert!(files.space(directory).expect("because it is sound").total > 0);
}

fn a_lock_is_held_by_one(files: &dyn Files, directory: &Path) {
    make(files, directory);
    let path = directory.join("lock");
    let held = files.lock(&path).expect("because it is sound");
    assert!(matches!(files.lock(&path), Err(Error::Locked { .. })));
    drop(held);
    drop(files.lock(&path).expect("because it is free again"));
}

fn small_files_are_replaced_whole(files: &dyn Files, directory: &Path) {
    make(files, directory);
    let path = directory.join("small");
    write_atomically(files, &path, b"one", Permissions::Private).expect("because it is sound");
    // What an interrupted write leaves behind is in nobody's way.
    files.create(&directory.join(".small.tmp"), Permissions::Shared).expect("because it is sound");
    write_atomically(files, &path, b"two", Permissions::Private).expect("because it is sound");
    assert_eq!(&read_whole(files, &path, 10).expect("because it is sound")[..], b"two");
    assert_eq!(files.list(directory).expect("because it is sound").len(), 1);
}

fn unnamed_files_hold_bytes(files: &dyn Files, directory: &Path) {
    make(files, directory);
    let file = files.create_unnamed(directory).expect("because it is sound");
    file.append(b"spool").expect("because it is sound");
    assert_eq!(&file.read_at(1, 3).expect("because it is sound")[..], b"poo");
    assert_eq!(files.list(directory).expect("because it is sound"), []);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{MemoryFiles, SystemFiles};

    #[test]
    fn the_machines_files_keep_the_contract() {
        let directory = tempfile::tempdir().expect("because there is room for one");
        let path = directory.path().to_owned();
        check_files(&FilesUnderTest { files: SystemFiles::new(), directory: path.clone() });
        let mode = std::os::unix::fs::MetadataExt::mode(
            &std::fs::metadata(path.join("e/small")).expect("because it was written"),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn files_in_memory_keep_the_contract() {
        check_files(&FilesUnderTest {
            files: MemoryFiles::new(),
            directory: PathBuf::from("/test"),
        });
    }

    #[test]
    fn s4_a_crash_forgets_bytes_and_names_that_were_not_synced() {
        let files = MemoryFiles::new();
        let root = Path::new("/");
        let name = |name: &str| root.join(name);
        let both = files.create(&name("both"), Permissions::Shared).expect("because it is sound");
        both.append(b"kept").expect("because it is sound");
        both.sync().expect("because it is sound");
        both.append(b" lost").expect("because it is sound");
        files.create(&name("unsynced"), Permissions::Shared).expect("because it is sound");
        files.sync_directory(root).expect("because it is sound");
        let unnamed =
            files.create(&name("unnamed"), Permissions::Shared).expect("because it is sound");
        unnamed.append(b"bytes").expect("because it is sound");
        unnamed.sync().expect("because it is sound");
        files.rename(&name("unsynced"), &name("renamed")).expect("because it is sound");
        files.crash();
        let names: Vec<_> = files
            .list(root)
            .expect("because it is sound")
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["both", "unsynced"]);
        assert_eq!(
            &read_whole(&*files, &name("both"), 10).expect("because it is sound")[..],
            b"kept"
        );
    }

    #[test]
    fn rv_m2_a_small_file_is_old_or_new_after_a_crash_at_any_step() {
        let files = MemoryFiles::new();
        let path = Path::new("/small");
        write_atomically(&*files, path, b"old", Permissions::Shared).expect("because it is sound");
        // The rename happened, the directory was not synced yet.
        let temporary = files
            .create(Path::new("/.small.tmp"), Permissions::Shared)
            .expect("because it is sound");
        temporary.append(b"new").expect("because it is sound");
        temporary.sync().expect("because it is sound");
        files.rename(Path::new("/.small.tmp"), path).expect("because it is sound");
        files.crash();
        assert_eq!(&read_whole(&*files, path, 10).expect("because it is sound")[..], b"old");
        write_atomically(&*files, path, b"new", Permissions::Shared).expect("because it is sound");
        files.crash();
        assert_eq!(&read_whole(&*files, path, 10).expect("because it is sound")[..], b"new");
    }
}
