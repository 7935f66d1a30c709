//! The sidecar of a node: it enrols the node and renews its certificates, registers the node, holds the one watch stream to the
//! control plane, keeps the last snapshot on disk and serves it to the other processes
//! of the node on a Unix socket.
//!
//! This room must never know Git, refs or segments, and decides nothing by what the
//! snapshot says. Its one invariant: a version is reported as applied only after it is
//! durable here, so that a restart never goes back behind a report (S42), and nothing that is
//! sent ever goes back behind it either (S45).

mod config;
mod enrol;
mod error;
mod heartbeat;
mod incarnation;
mod records;
mod refusals;
mod rpc;
mod service;
mod silence;
mod snapshot;
mod watch;

pub use config::Config;
pub use enrol::{Enrolment, Joining};
pub use error::Error;
pub use service::{Deps, News, Service};
pub use snapshot::held;
