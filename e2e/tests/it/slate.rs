//! A disk that forgets what was not synced, for the data of a system.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use gitstratum_e2e::{Options, skip};
use lossyfs::{Control, Mount, why_unavailable};
use tempfile::TempDir;

use crate::shared::Up;

/// A mounted disk between two folders.
pub(crate) struct Slate {
    // Dropped before the folders it lies between.
    mount: Option<Mount>,
    _backing: TempDir,
    point: TempDir,
}

impl Slate {
    /// Mounted, unless that cannot be done here: then the skip is told.
    pub(crate) fn new() -> Result<Option<Self>> {
        if let Some(reason) = why_unavailable() {
            skip(&reason);
            return Ok(None);
        }
        let (backing, point) = (tempfile::tempdir()?, tempfile::tempdir()?);
        match Mount::new(backing.path(), point.path()) {
            Ok(mount) => Ok(Some(Self { mount: Some(mount), _backing: backing, point })),
            Err(error) => {
                skip(&format!("{error:#}"));
                Ok(None)
            }
        }
    }

    /// The hand on the disk as it is mounted now.
    pub(crate) fn control(&self) -> Result<Control> {
        Ok(self.mount.as_ref().context("not mounted")?.control())
    }

    /// The power is back.
    pub(crate) fn remount(&mut self) -> Result<()> {
        let mount = self.mount.take().context("not mounted")?;
        self.mount = Some(mount.remount()?);
        Ok(())
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.point.path().join("data")
    }

    /// A system on it.
    pub(crate) fn start(&self) -> Result<Up> {
        Up::start_with(Options { data: Some(self.data()), ..Options::default() })
    }
}
