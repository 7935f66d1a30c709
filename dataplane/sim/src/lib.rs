//! The whole cluster in one process on one thread: control plane, agents, metadata, object
//! nodes and frontends on memory engines, connected by turmoil's network. Clock, random
//! numbers, messages and disk calls follow from one seed, so that a run can be had again.
//!
//! This crate must never be part of what is shipped. Its one invariant: two runs of one seed,
//! in any two processes, are the same events in the same order.

mod checks;
mod clock;
mod complaints;
mod disk;
mod events;
mod faults;
mod git;
mod late;
mod network;
mod node;
mod operator;
mod roles;
mod run;
mod sabotage;
mod workload;
mod world;

pub use events::Digest;
pub use run::{Outcome, Settings, Verdict, run};
pub use sabotage::{SWITCHES, Switch, find};
