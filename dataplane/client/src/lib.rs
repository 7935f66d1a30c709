//! Typed clients of the internal services, the object reader, and the view of the
//! cluster that every role decides by.
//!
//! This crate must never serve, and never decide what a push or a fetch means. Its
//! one invariant: every call has a deadline and every retry a limit.

pub mod agent;
pub mod audit;
pub mod bulk;
pub mod cluster;
pub mod copies;
pub mod fleet;
pub mod garbage;
pub mod grpc;
pub mod inventory;
pub mod manifest;
pub mod metadata;
pub mod objects;
pub mod raft;
