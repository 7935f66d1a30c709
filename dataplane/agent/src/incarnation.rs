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
    let path = directory.join(FILE);
    let last = match files.metadata(&path)? {
        None => 0,
        Some(_) => {
            let bytes = read_whole(files, &path, BYTES_MAX)?;
            let text = std::str::from_utf8(&bytes).ok();
            let number = text.and_then(|text| text.trim_end().parse::<u64>().ok());
            number.ok_or_else(|| Error::Incarnation { path: path.clone() })?
        }
    };
    let next = Incarnation(last).next();
    write_atomically(files, &path, format!("{next}\n").as_bytes(), Permissions::Private)?;
    Ok(next)
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
