//! The service over engines in memory, with a scripted planner: as a single voter, and as several.

mod admission;
mod hosting;
mod listing;
mod placing;
mod pushes;
mod rig;
mod sessions;
mod upkeep;
mod voters;
mod wire;
