//! What happened to names and bytes, in order: the evidence of tests about durability.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How many events are kept; then the oldest go.
const EVENTS_MAX: usize = 1_000_000;

/// Something that a test may want to see in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A file got its first name.
    Create,
    /// A directory was made.
    MakeDirectory,
    /// A name became another; the path is the new one.
    Rename,
    /// A name was removed.
    Remove,
    /// `fsync` of a file.
    Sync,
    /// `fdatasync` of a file.
    DataSync,
    /// `fsync` of a directory.
    DirectorySync,
}

impl EventKind {
    /// Whether a program waited for durability.
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::DataSync | Self::DirectorySync)
    }
}

/// One call, as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the order of all events since the mount, from 0.
    pub number: u64,
    /// When it ended, on the system's monotonic clock, the same in every process.
    pub at: Duration,
    /// What was called.
    pub kind: EventKind,
    /// On what, relative to the mount point.
    pub path: String,
    /// Whether it succeeded.
    pub succeeded: bool,
}

/// The events of a mount.
#[derive(Default)]
pub(crate) struct Events {
    kept: VecDeque<Event>,
    next: u64,
}

impl Events {
    /// Notes a call.
    pub(crate) fn note(
        &mut self,
        kind: EventKind,
        path: String,
        result: &Result<(), rustix::io::Errno>,
    ) {
        if self.kept.len() == EVENTS_MAX {
            self.kept.pop_front();
        }
        let (number, at, succeeded) = (self.next, monotonic_now(), result.is_ok());
        self.kept.push_back(Event { number, at, kind, path, succeeded });
        self.next += 1;
    }

    /// The number of the next one.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Those with this number or a later one.
    pub(crate) fn since(&self, number: u64) -> Vec<Event> {
        self.kept.iter().filter(|event| event.number >= number).cloned().collect()
    }
}

/// Now, on the clock that events are stamped with.
pub fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock counts up from the start of the machine: neither part is negative.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::MakeDirectory => "mkdir",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Sync => "fsync",
            Self::DataSync => "fdatasync",
            Self::DirectorySync => "fsyncdir",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.succeeded { "ok" } else { "failed" };
        let seconds = self.at.as_secs_f64();
        write!(f, "{} {seconds:.6} {} {result} {}", self.number, self.kind, self.path)
    }
}
