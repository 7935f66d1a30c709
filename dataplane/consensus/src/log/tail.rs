use std::collections::VecDeque;

use openraft::entry::RaftEntry as _;

use crate::raft::Entry;

/// Bytes of the newest entries that stay in memory once written: what is applied or sent
/// to peers right after.
const KEPT_BYTES: usize = 256 << 10;

/// The newest entries of a log: all that are not yet written, and some that are.
#[derive(Default)]
pub(super) struct Tail {
    slots: VecDeque<Slot>,
    bytes: usize,
    /// Number of the newest append.
    sequence: u64,
    /// All appends up to this one are written.
    written: u64,
}

struct Slot {
    entry: Entry,
    bytes: usize,
    sequence: u64,
}

impl Tail {
    /// Begins an append and returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Adds an entry of the append begun last.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        self.bytes += bytes;
        self.slots.push_back(Slot { entry, bytes, sequence: self.sequence });
    }

    /// Append `sequence`, and with it all before, is written. Appends that share their
    /// indexes with it but came later are not: hence the number.
    pub(super) fn written(&mut self, sequence: u64) {
        self.written = self.written.max(sequence);
        while self.bytes > KEPT_BYTES
            && let Some(slot) = self.slots.front()
            && slot.sequence <= self.written
        {
            self.bytes -= slot.bytes;
            self.slots.pop_front();
        }
    }

    /// The entries of `first..=last` that are here. Those before the first one returned
    /// are in the engine, those after it are all here.
    pub(super) fn range(&self, first: u64, last: u64) -> Vec<Entry> {
        let begin = self.slots.partition_point(|slot| slot.entry.index() < first);
        let within = self.slots.range(begin..).take_while(|slot| slot.entry.index() <= last);
        within.map(|slot| slot.entry.clone()).collect()
    }

    /// Forgets entries behind `last`, or all.
    pub(super) fn truncate(&mut self, last: Option<u64>) {
        while let Some(slot) = self.slots.back()
            && last.is_none_or(|last| slot.entry.index() > last)
        {
            self.bytes -= slot.bytes;
            self.slots.pop_back();
        }
    }

    /// Forgets entries up to `upto`.
    pub(super) fn purge(&mut self, upto: u64) {
        while let Some(slot) = self.slots.front()
            && slot.entry.index() <= upto
        {
            self.bytes -= slot.bytes;
            self.slots.pop_front();
        }
    }
}
