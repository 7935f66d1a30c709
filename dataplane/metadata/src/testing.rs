//! Doubles for the tests of this room and its neighbours: the real service over an
//! engine in memory, a planner and object nodes that answer as told.

mod double;
mod planner;
mod rpc;
pub mod tap;

pub use double::{DoubleOptions, MetadataDouble};
pub use planner::ScriptedPlanner;
pub use rpc::ScriptedCopies;
