//! What one push draws from the memory that all pushes share (P-L1).

use gitstratum_core::ObjectKind;
use gitstratum_git::pack::{EntryList, ScannedKind};
use gitstratum_process::{ByteBudget, Reservation};

use super::Error;

/// What a push takes whatever its size, in bytes: buffers of the scanner, the channels and
/// the segments under way.
pub(super) const FIXED_BYTES: u64 = 2 * 1024 * 1024;
/// What each object takes, in bytes: its entry, its links, its index record and its share
/// of the graph and the table.
pub(super) const OBJECT_BYTES: u64 = 256;
/// Objects up to so many bytes are not accounted one by one.
const MADE_BYTES_FREE: u64 = 1024 * 1024;
/// Least memory for delta bases, in bytes.
const CACHE_BYTES_MIN: u64 = 1024 * 1024;

/// The memory of one push; given back when dropped.
#[derive(Debug)]
pub(super) struct Memory {
    budget: ByteBudget,
    /// All that the budget ever has: who needs more waits until it has all.
    total: u64,
    held: Option<Reservation>,
}

impl Memory {
    pub(super) const fn new(budget: ByteBudget, total: u64) -> Self {
        Self { budget, total, held: None }
    }

    /// Holds at least `bytes`, or the whole budget.
    ///
    /// # Errors
    /// Busy when others hold the rest and do not give it back within the budget's wait.
    pub(super) async fn ensure(&mut self, bytes: u64) -> Result<(), Error> {
        let held = self.held.as_ref().map_or(0, Reservation::bytes);
        let missing = bytes.min(self.total).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let more = self.budget.reserve(missing).await;
        let more = more.map_err(|source| Error::Budget { source })?;
        match &mut self.held {
            Some(held) => held.absorb(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// What resolving a pack may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of everything but delta bases and large objects.
    records: u64,
    /// Bytes of delta bases that would be worth keeping.
    cache_wanted: u64,
    /// Bytes of the largest object that a delta may make. The scan tells how large whole
    /// objects are; what deltas make shows only when they are resolved.
    pub(super) object: u64,
}

impl Room {
    /// For a scanned pack of `pack_len` bytes: delta bases are some times as large as the
    /// pack that they come in, up to `cache_max`.
    pub(super) fn of(entries: &EntryList, pack_len: u64, cache_max: u64) -> Self {
        let cache_wanted = pack_len.saturating_mul(4).max(CACHE_BYTES_MIN).min(cache_max);
        let records = FIXED_BYTES + entries.len() as u64 * OBJECT_BYTES;
        Self { records, cache_wanted, object: largest_held(entries).max(MADE_BYTES_FREE) }
    }

    /// The same, for objects of `object` bytes.
    #[must_use]
    pub(super) const fn for_object(self, object: u64) -> Self {
        Self { object, ..self }
    }

    /// Bytes of delta bases that may be kept: large objects take their place.
    pub(super) fn cache(self) -> u64 {
        let least = CACHE_BYTES_MIN.min(self.cache_wanted);
        self.cache_wanted.saturating_sub(self.objects()).max(least)
    }

    /// Bytes in all.
    pub(super) fn total(self) -> u64 {
        self.records + self.cache() + self.objects()
    }

    /// Bytes of the largest object, held twice: as base and as result.
    const fn objects(self) -> u64 {
        2 * self.object.saturating_sub(MADE_BYTES_FREE)
    }
}

/// Bytes of the largest object that has to be held whole: not of a blob in a pack without
/// deltas, which streams through.
fn largest_held(entries: &EntryList) -> u64 {
    let (mut blob, mut other, mut has_deltas) = (0, 0, false);
    for ordinal in entries.ordinals() {
        let entry = entries.get(ordinal);
        match entry.kind {
            ScannedKind::Base { kind: ObjectKind::Blob, .. } => blob = entry.size.max(blob),
            ScannedKind::Base { .. } => other = entry.size.max(other),
            ScannedKind::OfsDelta { .. } | ScannedKind::RefDelta { .. } => {
                has_deltas = true;
                other = entry.size.max(other);
            }
        }
    }
    if has_deltas { other.max(blob) } else { other }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gitstratum_core::ErrorKind;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn p_l1_large_objects_take_the_place_of_delta_bases() {
        let room = Room { records: 3 * MIB, cache_wanted: 96 * MIB, object: MIB };
        assert_eq!((room.cache(), room.total()), (96 * MIB, 99 * MIB));
        let room = room.for_object(41 * MIB);
        assert_eq!((room.cache(), room.total()), (16 * MIB, 99 * MIB));
        let room = room.for_object(101 * MIB);
        assert_eq!((room.cache(), room.total()), (MIB, 204 * MIB));
    }

    #[tokio::test(start_paused = true)]
    async fn p_l1_pushes_share_one_budget_and_who_finds_none_gets_busy() {
        let budget = ByteBudget::new("push memory", 10 * MIB, Duration::from_secs(1));
        let mut one = Memory::new(budget.clone(), 10 * MIB);
        one.ensure(4 * MIB).await.unwrap();
        one.ensure(3 * MIB).await.unwrap();
        assert_eq!(budget.available(), 6 * MIB);
        let mut other = Memory::new(budget.clone(), 10 * MIB);
        assert_eq!(other.ensure(7 * MIB).await.unwrap_err().kind(), ErrorKind::Busy);
        other.ensure(6 * MIB).await.unwrap();
        drop(one);
        other.ensure(100 * MIB).await.unwrap();
        assert_eq!(budget.available(), 0, "who needs more than all takes all");
        drop(other);
        assert_eq!(budget.available(), 10 * MIB);
    }
}
