//! The file system mounted for real, used with ordinary calls.

mod calls;
mod power;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use lossyfs::Mount;
use tempfile::TempDir;

/// A mount between two folders that go with it.
pub(crate) struct Bench {
    pub(crate) backing: TempDir,
    point: TempDir,
    mount: Option<Mount>,
}

impl Bench {
    /// Mounts an empty disk, or tells why it cannot be done here.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if let Some(reason) = lossyfs::why_unavailable() {
            skip(test, &reason);
            return None;
        }
        let (backing, point) = (folder(), folder());
        let mount = Mount::new(backing.path(), point.path()).expect("mounted");
        Some(Self { backing, point, mount: Some(mount) })
    }

    pub(crate) fn root(&self) -> &Path {
        self.point.path()
    }

    pub(crate) fn control(&self) -> lossyfs::Control {
        self.mount.as_ref().expect("mounted").control()
    }

    /// The power comes back.
    pub(crate) fn remount(&mut self) {
        let mount = self.mount.take().expect("mounted");
        self.mount = Some(mount.remount().expect("mounted again"));
    }

    pub(crate) fn unmount(&mut self) {
        self.mount.take().expect("mounted").unmount().expect("unmounted");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[expect(clippy::disallowed_methods, reason = "the test runner says where skips are collected")]
fn skip(test: &str, reason: &str) {
    let line = format!("SKIP: {test}: {reason}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("GITSTRATUM_TEST_SKIPS") {
        let mut file =
            OpenOptions::new().create(true).append(true).open(file).expect("the list of skips");
        writeln!(file, "{line}").expect("noted");
    }
}
