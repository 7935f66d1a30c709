//! A file system that forgets what was not synced.
//!
//! It keeps a tree in memory twice: as programs see it, and as it would be found after all
//! power was lost. `fsync` of a file carries its bytes over, `fsync` of a directory its names,
//! and nothing else does: a new file whose directory was not synced is gone after a power cut,
//! a renamed one has its old name again. That is the strictest reading of the standard; disks
//! that are kinder exist, but nobody may rely on them.
//!
//! [`Mount`] makes such a tree of a folder of plain files and writes it back when unmounted,
//! so that between two mounts the folder can be looked at, and damaged. [`Control`] cuts the
//! power, fails calls, fills the disk, and tells which syncs were called in which order.
//!
//! This crate must never know GitStratum. Its one invariant: after a power cut exactly the
//! synced state is there, or with [`Loss::Some`] that and a part of what was not.

mod backing;
mod bridge;
mod content;
mod control;
mod disk;
mod event;
mod fault;
mod mount;
mod node;
mod remote;

pub use control::{Control, Space};
pub use disk::Loss;
pub use event::{Event, EventKind, monotonic_now};
pub use fault::{Fault, Operation};
pub use mount::{Mount, why_unavailable};
pub use remote::{Listener, tell};
