use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::is_long;

/// Where memory is a file system, and how much of it has to be free to be used.
const MEMORY: &str = "/dev/shm";
const ROOM_BYTES: u64 = 4 << 30;
/// What the kernel calls such a file system (`TMPFS_MAGIC`).
const TMPFS: u64 = 0x0102_1994;

/// A new folder for a system under test: in memory where there is room, for whether a node is
/// back in time shall not hang on this machine's disk. Deleting many files stalls writes to new
/// ones for 20 s on ext4 with `discard` (a thread of a killed node was seen to wait so long in
/// `fdatasync`, and the node to hold its ports). What lies on a disk and what a power cut takes
/// is shown elsewhere, and the full figures are of a real disk.
pub(crate) fn home(on_disk: bool) -> io::Result<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("gs");
    match !on_disk && !is_long() && has_room(Path::new(MEMORY)) {
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
