//! A control plane in memory, for tests of what is built on this crate.

pub use crate::rpc::double::{Double, Offer, World};
