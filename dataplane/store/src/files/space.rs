use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::Clock;
use parking_lot::Mutex;

use super::{Attempt, Error, Files};

/// How long a measurement is believed.
const MEASURE_INTERVAL: Duration = Duration::from_millis(200);

/// Refuses new work before the disk is full, so that what is under way can still be
/// finished and rows still be compacted. When space returns it admits again (P-D6).
pub struct SpaceGuard {
    files: Arc<dyn Files>,
    directory: PathBuf,
    reserve_bytes: u64,
    clock: Arc<dyn Clock>,
    measured: Mutex<Option<Measured>>,
}

#[derive(Clone, Copy)]
struct Measured {
    at: Duration,
    free: u64,
}

impl SpaceGuard {
    /// Watches the file system of `directory`; below `reserve_bytes` of free space it
    /// refuses.
    pub fn new(
        files: Arc<dyn Files>,
        directory: impl Into<PathBuf>,
        reserve_bytes: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            files,
            directory: directory.into(),
            reserve_bytes,
            clock,
            measured: Mutex::default(),
        }
    }

    /// Whether work that writes `wanted_bytes` may begin. A system call at most every
    /// 200 ms.
    ///
    /// # Errors
    /// [`Error::Full`] naming the directory; [`Error::Io`] if it cannot be measured.
    pub fn admit(&self, wanted_bytes: u64) -> Result<(), Error> {
        let free = self.free()?;
        if free < self.reserve_bytes.saturating_add(wanted_bytes) {
            return Err(Error::Full { attempt: Attempt::Write, path: self.directory.clone() });
        }
        Ok(())
    }

    fn free(&self) -> Result<u64, Error> {
        let now = self.clock.monotonic();
        let mut measured = self.measured.lock();
        if let Some(last) = *measured
            && now.saturating_sub(last.at) < MEASURE_INTERVAL
        {
            return Ok(last.free);
        }
        let free = self.files.space(&self.directory)?.free;
        *measured = Some(Measured { at: now, free });
        Ok(free)
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::{ManualClock, UnixMillis};

    use super::*;
    use crate::files::{MemoryFiles, Permissions};

    #[test]
    fn p_d6_work_is_refused_before_the_disk_is_full_and_admitted_when_space_returns() {
        let files = MemoryFiles::with_space(1_000);
        let clock = ManualClock::new(UnixMillis(0));
        let guard = SpaceGuard::new(files.clone(), "/", 300, clock.clone());
        assert!(guard.admit(700).is_ok());
        assert!(matches!(guard.admit(701), Err(Error::Full { .. })));
        let path = std::path::Path::new("/big");
        let file = files.create(path, Permissions::Shared).unwrap();
        file.append(&[0; 800]).unwrap();
        clock.advance(MEASURE_INTERVAL);
        assert!(matches!(guard.admit(1), Err(Error::Full { .. })));
        drop(file);
        files.remove(path).unwrap();
        clock.advance(MEASURE_INTERVAL);
        assert!(guard.admit(1).is_ok());
    }
}
