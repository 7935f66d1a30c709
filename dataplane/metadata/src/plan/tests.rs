//! The planner over packs in memory, held against plain walks over the same objects.

mod ancestry;
mod checking;
mod depth;
mod draft;
mod histories;
mod model;
mod reachability;
mod repo;
mod selection;
mod shelf;
