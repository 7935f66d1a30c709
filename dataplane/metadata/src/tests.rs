//! The service as a single voter over an engine in memory, with a scripted planner.

mod admission;
mod hosting;
mod listing;
mod placing;
mod pushes;
mod rig;
mod sessions;
mod upkeep;
mod wire;
