//! The library behind the user verbs: finds a control plane, asks it, and shapes the answers
//! for people and for scripts.
//!
//! This crate must never know a terminal, the arguments of a command line or the environment,
//! nor keep state of its own. Its one invariant: what a verb says is done has been committed.

pub mod access;
pub mod audit;
pub mod check;
pub mod endpoint;
pub mod grant;
pub mod maintenance;
pub mod moment;
pub mod node;
pub mod output;
pub mod rebalance;
pub mod recovery;
pub mod repository;
pub mod ring;
pub mod rpc;
pub mod setting;
pub mod status;
pub mod text;
pub mod token;
pub mod user;

mod error;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;

pub use error::{Error, Exit};
pub use rpc::Connection;
