//! A small world around one frontend, for tests: users, repositories, and a metadata
//! service whose state the test writes. The frontend in it is the real one, with real
//! ports on loopback.

mod grpc;
mod metadata;
mod world;

pub use metadata::{Metadata, RepoState};
pub use world::{Running, World};
