//! Invariants, each in a file named after what it protects.

mod chain;
mod durability;
mod incarnations;
mod objects;
mod readers;
mod refs;
mod replicas;
mod rows;
mod secrecy;
mod sessions;

pub(crate) use chain::check as chain;
pub(crate) use durability::{lacking, resting, surplus};
pub(crate) use objects::Cloned;
pub(crate) use refs::{Operation, Step, check as refs};
pub(crate) use replicas::{digests, groups};
pub(crate) use rows::Watch;
pub(crate) use secrecy::{SECRECY, check as secrecy};

/// What is broken when a frontend refuses what it shows.
pub(crate) const GIVEN: &str = "what-is-shown-is-given";

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl std::error::Error for Broken {}
