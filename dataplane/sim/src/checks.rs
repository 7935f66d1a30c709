//! Invariants, each in a file named after what it protects.

mod chain;

pub(crate) use chain::check as chain;
