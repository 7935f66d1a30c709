//! Doubles for the tests of this room and its neighbours: the real service over an
//! engine in memory, and a planner that answers as told.

mod double;
mod planner;

pub use double::{DoubleOptions, MetadataDouble};
pub use planner::ScriptedPlanner;
