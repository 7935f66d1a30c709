//! The hand of a test on a mounted disk.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, Loss};
use crate::event::Event;
use crate::fault::Fault;

/// Whether the disk takes more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// It does.
    Free,
    /// Writes and new names fail with ENOSPC; reads, syncs and removals go on.
    Full,
}

/// Steers a mounted disk. Clones steer the same one; after a remount it is another one.
#[derive(Clone)]
pub struct Control {
    disk: Arc<Mutex<Disk>>,
}

impl Control {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk }
    }

    /// Takes away what was not synced, in one step; from then on every call gives EIO until
    /// the disk is mounted again.
    pub fn cut_power(&self, loss: Loss) {
        self.disk.lock().cut_power(loss);
    }

    /// Lets calls fail. A failed sync of a file leaves its bytes in sight but never on the
    /// disk, and the next one succeeds without writing them, as kernels have it.
    pub fn fail(&self, fault: Fault) {
        self.disk.lock().faults.plan(fault);
    }

    /// Fills the disk, or frees space on it.
    pub fn set_space(&self, space: Space) {
        self.disk.lock().space = space;
    }

    /// Events from this number on; 0 gives all that are kept.
    pub fn events_since(&self, number: u64) -> Vec<Event> {
        self.disk.lock().events.since(number)
    }

    /// The number that the next event will have.
    pub fn next_event(&self) -> u64 {
        self.disk.lock().events.next_number()
    }
}
