use std::path::Path;

use gitstratum_core::Incarnation;
use gitstratum_store::Permissions;
use gitstratum_store::files::{Files, read_whole, write_atomically};

use crate::Error;

/// Name of the file: the number in decimal and a line feed.
const FILE: &str = "incarnation";
/// More than the file ever holds.
const BYTES_MAX: u64 = 32;

/// Raises the number of starts by one and makes it durable before anyone hears of it (S23).
/// Blocking.
pub(crate) fn raise(files: &dyn Files, directory: &Path) -> Result<Incarnation, Error> {
    let next = last(files, directory)?.unwrap_or(Incarnation(0)).next();
    write(files, directory, next)?;
    Ok(next)
}

/// Has a disk that knows less go on from the start that the control plane knows: one that was
/// emptied would count from 1 again, and be refused as older until it has started as often as
/// before. Blocking.
pub(crate) fn continue_from(
    files: &dyn Files,
    directory: &Path,
    known: Incarnation,
) -> Result<(), Error> {
    match last(files, directory)? {
        Some(last) if last >= known => Ok(()),
        _ => write(files, directory, known),
    }
}

/// Whether the number is on the disk. Blocking.
pub(crate) fn is_kept(files: &dyn Files, directory: &Path) -> Result<bool, Error> {
    Ok(files.metadata(&directory.join(FILE))?.is_some())
}

fn last(files: &dyn Files, directory: &Path) -> Result<Option<Incarnation>, Error> {
    let path = directory.join(FILE);
    if files.metadata(&path)?.is_none() {
        return Ok(None);
    }
    let bytes = read_whole(files, &path, BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).ok();
    let number = text.and_then(|text| text.trim_end().parse::<u64>().ok());
    number.map(Incarnation).map(Some).ok_or(Error::Incarnation { path })
}

fn write(files: &dyn Files, directory: &Path, number: Incarnation) -> Result<(), Error> {
    let (path, line) = (directory.join(FILE), format!("{number}\n"));
    Ok(write_atomically(files, &path, line.as_bytes(), Permissions::Private)?)
}

#[cfg(test)]
mod tests {
    use gitstratum_store::MemoryFiles;

    use super::*;

    #[test]
    fn s23_every_start_has_a_higher_number_even_after_a_power_cut() {
        let files = MemoryFiles::new();
        let directory = Path::new("/agent");
        files.create_directory(directory).unwrap();
        files.sync_directory(Path::new("/")).unwrap();
        assert_eq!(raise(files.as_ref(), directory).unwrap(), Incarnation(1));
        files.crash();
        assert_eq!(raise(files.as_ref(), directory).unwrap(), Incarnation(2));
    }

    #[test]
    fn s23_an_emptied_disk_counts_on_from_what_is_known_and_no_other_goes_back() {
        let files = MemoryFiles::new();
        let directory = Path::new("/agent");
        files.create_directory(directory).unwrap();
        files.sync_directory(Path::new("/")).unwrap();
        let disk = files.as_ref();
        assert!(!is_kept(disk, directory).unwrap());
        for (known, next) in [(7, 8), (3, 9), (9, 10), (10, 11), (12, 13)] {
            continue_from(disk, directory, Incarnation(known)).unwrap();
            files.crash();
            assert_eq!(raise(disk, directory).unwrap(), Incarnation(next), "known {known}");
        }
        assert!(is_kept(disk, directory).unwrap());
    }

    #[test]
    fn a_damaged_number_is_told_and_not_replaced() {
        let files = MemoryFiles::new();
        let directory = Path::new("/agent");
        files.create_directory(directory).unwrap();
        let path = directory.join(FILE);
        write_atomically(files.as_ref(), &path, b"seven", Permissions::Private).unwrap();
        assert!(matches!(raise(files.as_ref(), directory), Err(Error::Incarnation { .. })));
        assert_eq!(read_whole(files.as_ref(), &path, BYTES_MAX).unwrap().as_ref(), b"seven");
    }
}
