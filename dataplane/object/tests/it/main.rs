//! An object node over memory engines, asked through its real ports.
#![expect(clippy::unwrap_used, reason = "a test ends where something does not hold")]

mod copies;
mod hanging;
mod held;
mod hostile;
mod partition;
mod segments;
mod world;
