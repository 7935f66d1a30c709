//! The Raft control plane, without Kubernetes: keeps [`gitstratum_state::State`] in a
//! replicated log, answers people (`Control`) and nodes (`Fleet`).
//!
//! This crate must never know kube, a data node's rows or bytes, nor keep a secret of its
//! callers: of a token it knows the hash. Its one invariant: an answer that says "done"
//! follows a committed command, and every administrative command, refused ones too, has
//! its audit line in the same log (GS-CP-14).

mod accounts;
mod audit;
mod call;
mod config;
mod emptying;
mod enrol;
mod error;
mod fleet;
mod founding;
mod housekeeping;
mod listing;
mod logins;
mod machine;
mod membership;
mod metric_names;
mod nodes;
mod placement;
mod plane;
mod pulse;
mod rebalance;
mod recovery;
mod removal;
mod repositories;
mod ring;
mod rpc;
mod service;
mod settings;
mod standing;
mod voter;
mod watch;
mod wire;

pub use config::{Config, ConfigError};
pub use error::Error;
pub use founding::{Cluster, Founding};
pub use recovery::Record;
pub use service::{Dependencies, Doors, Handle, Service};
pub use voter::{Receiver, Voter};
