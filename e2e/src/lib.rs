//! Real git against real processes: starts the built `gitstratum`, drives stock git at
//! it, stops and kills it.
//!
//! This crate must never look inside the system: it sees what a user sees. Its one
//! invariant: everything it starts or makes is gone when its owner is dropped.

mod git;
mod repos;
mod skip;
mod stratum;

pub use git::{Git, Ran};
pub use repos::bundle;
pub use skip::skip;
pub use stratum::{Endpoint, Options, Stratum, program};
