//! The state machine against the sequences that its rules forbid.

mod format;
mod invariants;
mod owners;
mod pushes;
mod refs;
mod rig;
mod sessions;
