//! Segments: written, verified, read by range, swept when nobody lists them; runs that make one
//! pack of many and drop what no ref reaches.
//!
//! This room must never know what a user is, and outside of `compact`, which works under a claim
//! of the partition, not what a Git object means; it keeps bytes of segments. Its one invariant: what it has acknowledged is durable, and no byte
//! leaves it that its block's checksum does not vouch for (S4, S29).

mod admission;
mod bulk;
mod compact;
mod config;
mod error;
mod gauge;
mod inventory;
mod losses;
mod metric_names;
mod pull;
mod rate;
mod rpc;
mod scrub;
mod segments;
mod service;
mod sweep;

pub use config::Config;
pub use error::Error;
pub use gauge::{Gauge, Usage};
pub use segments::FAMILIES;
pub use service::{Deps, Service};
