//! Doubles for the tests of this crate and of those that build on it.

mod network;
mod register;

pub use crate::runtime::draws::seed as seed_elections;
pub use network::LocalNetwork;
pub use register::Register;
