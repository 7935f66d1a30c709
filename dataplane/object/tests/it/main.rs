//! An object node over memory engines, asked through its real ports.

mod segments;
mod world;
