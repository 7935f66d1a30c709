//! Where an incoming pack lies while it is checked (S17): a file without a name, so that
//! nothing of it stays whatever happens, with its space reserved before it is used.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use gitstratum_git::pack::ByteSource;
use gitstratum_process::{ByteBudget, Reservation};
use parking_lot::Mutex;

use super::Error;

/// Space is reserved in steps of so many bytes (S17).
const STEP_BYTES: u64 = 64 * 1024 * 1024;

/// A spooled pack, and behind it the delta bases that were read for it. Dropped, its bytes
/// and its space are free.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    budget: ByteBudget,
    step: u64,
    reserved: Mutex<Option<Reservation>>,
}

impl Spool {
    /// An empty spool in `folder`, whose space comes from `budget` of `budget_bytes`.
    /// Blocking.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create(
        folder: &Path,
        budget: ByteBudget,
        budget_bytes: u64,
    ) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| Error::Spool { action: "making a file", source })?;
        let step = STEP_BYTES.min(budget_bytes);
        Ok(Self { file, budget, step, reserved: Mutex::new(None) })
    }

    /// Makes sure that bytes up to `end` may be written.
    ///
    /// # Errors
    /// Busy when others have the space and do not give it back within the budget's wait.
    pub(crate) async fn reserve_to(&self, end: u64) -> Result<(), Error> {
        while self.reserved_bytes() < end {
            let more = self.budget.reserve(self.step).await;
            let more = more.map_err(|source| Error::Budget { source })?;
            let mut reserved = self.reserved.lock();
            match reserved.as_mut() {
                Some(reserved) => reserved.absorb(more),
                None => *reserved = Some(more),
            }
        }
        Ok(())
    }

    /// Gives back the space behind `end`.
    pub(crate) fn shrink_to(&self, end: u64) {
        if let Some(reserved) = self.reserved.lock().as_mut() {
            reserved.shrink_to(end);
        }
    }

    /// Writes at `offset`, within the space reserved. Blocking.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        debug_assert!(offset + bytes.len() as u64 <= self.reserved_bytes());
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| Error::Spool { action: "writing", source })
    }

    fn reserved_bytes(&self) -> u64 {
        self.reserved.lock().as_ref().map_or(0, Reservation::bytes)
    }
}

impl ByteSource for Spool {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gitstratum_core::ErrorKind;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn spool(folder: &Path, budget: &ByteBudget) -> Spool {
        Spool::create(folder, budget.clone(), 200 * MIB).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn s17_space_is_reserved_in_steps_and_freed_with_the_spool() {
        let folder = tempfile::tempdir().unwrap();
        let budget = ByteBudget::new("spool", 200 * MIB, Duration::from_secs(1));
        let first = spool(folder.path(), &budget);
        first.reserve_to(1).await.unwrap();
        assert_eq!(budget.available(), 136 * MIB);
        first.reserve_to(64 * MIB + 1).await.unwrap();
        assert_eq!(budget.available(), 72 * MIB);
        first.shrink_to(MIB);
        assert_eq!(budget.available(), 199 * MIB);
        drop(first);
        assert_eq!(budget.available(), 200 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn bad_input_062_a_push_that_finds_no_space_in_time_gets_busy() {
        let folder = tempfile::tempdir().unwrap();
        let budget = ByteBudget::new("spool", 64 * MIB, Duration::from_secs(1));
        let first = spool(folder.path(), &budget);
        first.reserve_to(1).await.unwrap();
        let refused = spool(folder.path(), &budget).reserve_to(1).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        assert!(refused.words().contains("busy"));
    }

    #[tokio::test]
    async fn bad_input_061_nothing_of_a_spool_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let budget = ByteBudget::new("spool", 200 * MIB, Duration::from_secs(1));
        let spool = spool(folder.path(), &budget);
        spool.reserve_to(3).await.unwrap();
        spool.write_at(0, b"abc").unwrap();
        let mut back = [0; 2];
        spool.read_at(1, &mut back).unwrap();
        assert_eq!(&back, b"bc");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(spool.read_at(2, &mut back).is_err(), "beyond the end is no silent zero");
    }
}
