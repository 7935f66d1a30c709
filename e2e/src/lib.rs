//! Real git against real processes: starts the built `gitstratum`, drives stock git and a
//! client of its own at it, stops and kills it.
//!
//! This crate must never look inside the system: it sees what a user sees. Its one
//! invariant: everything it starts or makes is gone when its owner is dropped.

mod apart;
pub mod fetch;
mod git;
mod home;
mod member;
mod moment;
pub mod push;
mod repos;
mod skip;
mod stratum;
pub mod wire;

pub use apart::Apart;
pub use git::{Git, Ran};
pub use home::Place;
pub use member::Member;
pub use moment::now;
pub use repos::bundle;
pub use skip::{is_long, skip};
pub use stratum::{Endpoint, NodeEndpoint, Options, Stratum, program};
