//! Durable bytes: the ordered key-value engine, group commit, files and role directories.
//!
//! This crate must never know what a repository, a log entry or a segment means. Its one
//! invariant: what it has called durable survives a crash, and a failed sync is never
//! followed by another acknowledgement (P-D5).
//!
//! Everything here but [`Committer`] blocks: call it from blocking threads.

pub mod commit;
pub mod engine;
mod faulty;
pub mod files;
mod memory;
mod rocks;
pub mod role_directory;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;

pub use commit::Committer;
pub use engine::{Batch, Durability, Engine, Family, KeyRange, KeyValue, Operation, Reader, pages};
pub use faulty::{Fault, FaultyEngine};
pub use files::{File, Files, MemoryFiles, Permissions, SpaceGuard, SystemFiles};
pub use memory::MemoryEngine;
pub use rocks::{RocksEngine, RocksMemory, RocksOptions};
pub use role_directory::RoleDirectory;
