//! What the control plane knows and how a command changes it: directory, users,
//! keys, tokens, grants, nodes, layout, settings and the audit lines of
//! administration.
//!
//! This crate must never know a clock, randomness, a file, a network or an async
//! runtime: time and fresh secrets arrive inside the command. Its one invariant:
//! the same commands at the same log indices make the same rows on every replica.

pub mod command;
pub mod record;
pub mod row;

mod apply;
mod authorize;
mod decide;
mod differences;
mod export;
mod outcome;
mod placement;
mod public_key;
mod records;
mod refusal;
mod setting;
mod state;
mod stored;

pub use apply::Applied;
pub use authorize::{Caller, Subject, Verb};
pub use decide::Preview;
pub use differences::{DIFFERENCES_MAX, Differences};
pub use outcome::{Outcome, Rejection, Reply};
pub use placement::RingChange;
pub use public_key::{PublicKey, PublicKeyError};
pub use records::Records;
pub use refusal::{Denial, Refusal};
pub use setting::{FLAG_PREFIX, FLAGS, Kind, Known, SETTINGS};
pub use state::{Counts, State};
pub use stored::RowError;
