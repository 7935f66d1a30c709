//! Refs, repository records and manifests: one replicated state machine per
//! partition, and the service that frontends and object nodes ask.
//!
//! This crate must never know a Git protocol, a socket's format, or how segments are
//! stored; it authorises by the snapshot it is given and never asks the control plane.
//! Its one invariant: a ref moves only by one log entry, which also lists the pack it
//! needs, so that whoever sees a ref can read all that it reaches (S13).

mod config;
mod error;
mod graph;
mod machine;
mod metric_names;
pub mod partition;
pub mod plan;
pub mod planner;
pub mod refs;
pub mod rpc;
mod service;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError};
pub use error::Error;
pub use metric_names::MetadataMetrics;
pub use service::{Deps, Inspection, RefsAnswer, Service, WithChecksums, WithRefs};
