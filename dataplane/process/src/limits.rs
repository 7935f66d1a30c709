use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Budgets are counted in units of so many bytes, so that one reservation may pass 4 GiB.
const UNIT_BYTES: u64 = 1024;

/// Why bytes were not reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Others hold the bytes, and gave none back in time.
    #[error("{budget} is busy: {asked} bytes did not come free in time")]
    Busy {
        /// The budget.
        budget: &'static str,
        /// Bytes asked for.
        asked: u64,
    },
    /// More than the whole budget.
    #[error("{asked} bytes are more than {budget} ever has")]
    TooLarge {
        /// The budget.
        budget: &'static str,
        /// Bytes asked for.
        asked: u64,
    },
}

impl BudgetError {
    /// `Busy`, or `Invalid` for what can never succeed.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy { .. } => ErrorKind::Busy,
            Self::TooLarge { .. } => ErrorKind::Invalid,
        }
    }
}

/// A fixed number of bytes of memory or disk that the requests of a process share.
/// Who cannot get its part within a bounded time is told that it is busy. First
/// come, first served. Counts whole KiB.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    name: &'static str,
    units: Arc<Semaphore>,
    total_units: u32,
    wait: Duration,
}

/// Bytes of a budget; given back when dropped.
#[must_use = "dropping a reservation gives the bytes back"]
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl ByteBudget {
    /// A budget of `bytes` (at most 4 TiB), each wait bounded by `wait`.
    pub fn new(name: &'static str, bytes: u64, wait: Duration) -> Self {
        let total_units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        let units = Arc::new(Semaphore::new(total_units as usize));
        Self { name, units, total_units, wait }
    }

    /// Reserves `bytes`, waiting for others if need be.
    ///
    /// # Errors
    /// `Busy` when the wait was too long, `TooLarge` when the budget never has so many.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, BudgetError> {
        let units = self.units_of(bytes)?;
        let permit = timeout(self.wait, Arc::clone(&self.units).acquire_many_owned(units)).await;
        match permit {
            Ok(Ok(permit)) => Ok(Reservation { permit }),
            Ok(Err(_)) | Err(_) => Err(self.busy(bytes)),
        }
    }

    /// Reserves `bytes` without waiting.
    ///
    /// # Errors
    /// As [`ByteBudget::reserve`].
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation, BudgetError> {
        let units = self.units_of(bytes)?;
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units);
        permit.map(|permit| Reservation { permit }).map_err(|_| self.busy(bytes))
    }

    /// Bytes that nobody holds.
    pub fn available(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT_BYTES
    }

    fn units_of(&self, bytes: u64) -> Result<u32, BudgetError> {
        match u32::try_from(bytes.div_ceil(UNIT_BYTES)) {
            Ok(units) if units <= self.total_units => Ok(units),
            _ => Err(BudgetError::TooLarge { budget: self.name, asked: bytes }),
        }
    }

    const fn busy(&self, asked: u64) -> BudgetError {
        BudgetError::Busy { budget: self.name, asked }
    }
}

impl Reservation {
    /// Bytes held: those asked for, rounded up to whole KiB.
    pub fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT_BYTES
    }

    /// Holds the bytes of `more`, of the same budget, too.
    ///
    /// # Panics
    /// When `more` is of another budget.
    pub fn absorb(&mut self, more: Self) {
        self.permit.merge(more.permit);
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        let surplus = self.permit.num_permits().saturating_sub(keep);
        drop(self.permit.split(surplus));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn;

    const MIB: u64 = 1024 * 1024;

    fn budget(bytes: u64) -> ByteBudget {
        ByteBudget::new("spool", bytes, Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn s17_who_cannot_reserve_within_the_wait_gets_busy() {
        let budget = budget(100 * MIB);
        let _held = budget.reserve(64 * MIB).await.unwrap();
        let error = budget.reserve(64 * MIB).await.unwrap_err();
        assert_eq!(error, BudgetError::Busy { budget: "spool", asked: 64 * MIB });
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(budget.available(), 36 * MIB, "the wait that ended holds nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_given_back_go_to_who_waits() {
        let budget = budget(100 * MIB);
        let held = budget.reserve(100 * MIB).await.unwrap();
        let waiter = budget.clone();
        let waiting = spawn("waiter", async move { waiter.reserve(MIB).await.map(|r| r.bytes()) });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiting.await, Ok(Ok(MIB)));
    }

    #[tokio::test]
    async fn more_than_the_whole_is_refused_at_once() {
        let error = budget(MIB).reserve(MIB + 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(budget(MIB).try_reserve(u64::MAX).is_err());
    }

    #[test]
    fn reservations_grow_and_shrink() {
        let budget = budget(10 * MIB);
        let mut held = budget.try_reserve(1).unwrap();
        assert_eq!(held.bytes(), 1024);
        held.absorb(budget.try_reserve(4 * MIB).unwrap());
        held.shrink_to(2 * MIB);
        assert_eq!((held.bytes(), budget.available()), (2 * MIB, 8 * MIB));
        held.shrink_to(5 * MIB);
        assert_eq!(held.bytes(), 2 * MIB, "shrinking never grows");
        drop(held);
        assert_eq!(budget.available(), 10 * MIB);
    }
}
