//! A disk in its place in the tree of the system.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fuser::{BackgroundSession, Config, MountOption};
use parking_lot::Mutex;

use crate::backing;
use crate::bridge::Bridge;
use crate::control::Control;
use crate::disk::Disk;
use crate::event::monotonic_now;

/// How long the last users of an unmounted disk may take to let go of it.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often is looked whether they have.
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// A mounted disk. Dropping it takes it away and leaves the folder as it was before.
pub struct Mount {
    disk: Arc<Mutex<Disk>>,
    session: Option<BackgroundSession>,
    backing: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Mounts what lies in the folder `backing` on the empty folder `point`.
    ///
    /// # Errors
    /// When FUSE is not to be had, or `backing` holds anything but files and directories.
    pub fn new(backing: &Path, point: &Path) -> Result<Self> {
        let disk = Arc::new(Mutex::new(backing::load(backing)?));
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("lossyfs".to_owned()),
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoAtime,
        ];
        let session = fuser::spawn_mount(Bridge::new(Arc::clone(&disk)), point, &config)
            .with_context(|| format!("mount on {}", point.display()))?;
        let (backing, point) = (backing.to_path_buf(), point.to_path_buf());
        Ok(Self { disk, session: Some(session), backing, point })
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The hand on this disk.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.disk))
    }

    /// Takes the disk away and writes it to its folder: all that programs saw, or after a
    /// power cut what that left.
    ///
    /// # Errors
    /// When a program still uses it, or the folder cannot be written.
    pub fn unmount(mut self) -> Result<()> {
        self.take_away()?;
        let mut disk = self.disk.lock();
        disk.shut_down();
        backing::save(&disk, &self.backing)
    }

    /// The power is back: unmounts and mounts again.
    ///
    /// # Errors
    /// As [`Mount::unmount`] and [`Mount::new`].
    pub fn remount(self) -> Result<Self> {
        let (backing, point) = (self.backing.clone(), self.point.clone());
        self.unmount()?;
        Self::new(&backing, &point)
    }

    /// Detaches the mount and waits until nobody uses it any more.
    fn take_away(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        detach(&self.point)?;
        let start = monotonic_now();
        while !session.guard.is_finished() {
            let waited = monotonic_now().saturating_sub(start);
            ensure!(waited < RELEASE_TIMEOUT, "{} is still in use", self.point.display());
            std::thread::sleep(RELEASE_POLL);
        }
        match session.join() {
            // Detached while it answered a call: it has ended all the same.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => Ok(()),
            ended => ended.context("end the FUSE session"),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.session.is_some() {
            // Who is still inside has to be let go before we can wait for the end.
            self.disk.lock().cut_power(crate::disk::Loss::Everything);
            if let Err(error) = self.take_away() {
                eprintln!("lossyfs: {error:#}");
            }
        }
    }
}

/// Takes the mount out of sight at once; it ends with its last user.
fn detach(point: &Path) -> Result<()> {
    use rustix::mount::{UnmountFlags, unmount};

    match unmount(point, UnmountFlags::DETACH) {
        // Only root may; others go through the helper that mounted it.
        Err(rustix::io::Errno::PERM) => {
            let status = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(point).status();
            let status = status.context("run fusermount3")?;
            ensure!(status.success(), "fusermount3 could not unmount {}", point.display());
            Ok(())
        }
        other => other.with_context(|| format!("unmount {}", point.display())),
    }
}

/// Why nothing can be mounted on this machine, if so.
pub fn why_unavailable() -> Option<String> {
    let device = "/dev/fuse";
    let opened = File::options().read(true).write(true).open(device);
    opened.err().map(|error| format!("cannot open {device}: {error}"))
}
