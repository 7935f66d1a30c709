use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::is_long;

/// Where memory is a file system, and how much of it has to be free to be used.
const MEMORY: &str = "/dev/shm";
const ROOM_BYTES: u64 = 4 << 30;
/// What the kernel calls such a file system (`TMPFS_MAGIC`).
const TMPFS: u64 = 0x0102_1994;

/// Where the data of a system under test lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In memory where there is room, else on a disk: whether a node is back in time shall not
    /// hang on how long this machine's disk takes. What lies on a disk and what a power cut
    /// leaves of it is shown by other tests, and the full figures are of a disk.
    #[default]
    Memory,
    /// On a disk.
    Disk,
}

/// A new folder.
pub(crate) fn home(place: Place) -> io::Result<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("gs");
    match place == Place::Memory && !is_long() && has_room(Path::new(MEMORY)) {
        true => named.tempdir_in(MEMORY),
        false => named.tempdir(),
    }
}

fn has_room(folder: &Path) -> bool {
    let Ok(found) = rustix::fs::statfs(folder) else { return false };
    let (kind, block) = (u64::try_from(found.f_type), u64::try_from(found.f_bsize));
    let free = block.map(|block| block.saturating_mul(found.f_bavail));
    kind == Ok(TMPFS) && free.is_ok_and(|free| free >= ROOM_BYTES)
}
