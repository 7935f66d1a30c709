//! A replicated log and its state machine, for the control plane and the partitions.
//!
//! This crate must never know what a command means, nor how bytes reach a peer. Its one
//! invariant: a proposal is acknowledged only when its entry is durable on a majority of
//! the voters and applied here (S13), and every replica applies the same entries to the
//! same state (S14).
//!
//! openraft does the consensus and is named nowhere else: encodings, keys and everything
//! in this interface are our own, so that it can be replaced.

mod admission;
mod applier;
mod command;
mod config;
mod error;
mod group;
mod host;
mod id;
mod log;
mod machine;
mod meta;
mod network;
mod peer;
mod raft;
mod runtime;
mod seal;
mod snapshot;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod wire;

pub use config::{Config, ConfigError};
pub use error::{Error, MachineError, ProposeError, ReadError};
pub use group::{Group, LeaderView, Reply, Role, Status};
pub use host::{Electorate, Host, HostOptions, Stats, families};
pub use id::{GroupId, LogIndex};
pub use machine::{State, StateMachine, StateWriter};
pub use network::{BoxFuture, Network, NetworkError, NoNetwork};

#[cfg(test)]
mod tests;
