use std::path::PathBuf;
use std::sync::Arc;

use gitstratum_store::{File, Permissions};

use super::{Hold, Segments};
use crate::error::Error;

/// A file that was just made. Nothing of it stays when nobody waits for it any more.
pub(super) struct Fresh {
    segments: Arc<Segments>,
    path: PathBuf,
    file: Option<Box<dyn File>>,
    /// Until it is gone.
    _hold: Hold,
}

impl Fresh {
    /// Makes the file of a segment that `hold` holds. Blocking.
    pub(super) fn create(
        segments: Arc<Segments>,
        path: PathBuf,
        hold: Hold,
    ) -> Result<Self, Error> {
        // What a crash left of an earlier try was never sealed: `begin` looked.
        if segments.deps.files.metadata(&path)?.is_some() {
            segments.deps.files.remove(&path)?;
        }
        let file = segments.deps.files.create(&path, Permissions::Private)?;
        Ok(Self { segments, path, file: Some(file), _hold: hold })
    }

    /// Somebody has waited.
    pub(super) fn claim(mut self) -> Result<Box<dyn File>, Error> {
        self.file.take().ok_or(Error::Bug("a fresh file has two owners"))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.file.take().is_none() {
            return;
        }
        if let Err(error) = self.segments.deps.files.remove(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a segment's file that nobody waited for stays");
        }
    }
}
