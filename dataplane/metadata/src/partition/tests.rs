//! The state machine against the sequences that its rules forbid.

mod claims;
mod fences;
mod format;
mod invariants;
mod loss;
mod models;
mod owners;
mod pushes;
mod refs;
mod rig;
mod runs;
mod sessions;
