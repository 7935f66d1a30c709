//! SSH and HTTPS, sessions, Git commands, plans and streams: what a Git client talks to.
//!
//! This room must never know Raft, RocksDB, a segment file or Kubernetes, and never
//! starts a process. Its one invariant: nothing of a repository is looked up before
//! the caller is authorised for it.

mod auth;
mod commands;
pub mod config;
mod conversation;
mod error;
mod frontend;
pub mod host_key;
mod ingest;
mod limit;
mod listen;
mod metric_names;
mod plan;
mod request_log;
mod service;
mod session;
mod stream;
mod target;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod view;

pub use config::Config;
pub use error::Error;
pub use service::{Addresses, Deps, Service, ServiceError};
