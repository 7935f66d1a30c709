use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a leader speaks: one that cannot lead keeps others from it by its heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    disk_is_slow: AtomicBool,
    is_stuck: AtomicBool,
}

impl Voice {
    pub(crate) fn speaks(&self) -> bool {
        !self.disk_is_slow.load(Ordering::SeqCst) && !self.is_stuck.load(Ordering::SeqCst)
    }

    pub(crate) fn note_slow_disk(&self) {
        self.disk_is_slow.store(true, Ordering::SeqCst);
    }

    pub(crate) fn note_working_disk(&self) {
        self.disk_is_slow.store(false, Ordering::SeqCst);
    }

    /// Notes that no majority takes this leader's entries; true when that is new.
    pub(crate) fn note_stuck(&self) -> bool {
        !self.is_stuck.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn note_moving(&self) {
        self.is_stuck.store(false, Ordering::SeqCst);
    }
}
