//! Git without input or output: pkt-line, commands, packs, segments and their parts.
//!
//! This crate must never know sockets, files or async runtimes: bytes come in as
//! buffers, decisions and bytes go out. Its one invariant: whatever bytes arrive, what
//! comes out is either a checked value or an error, at a cost bounded by named limits;
//! never a panic.

pub mod delta;
pub mod fsck;
pub mod graph;
pub mod hash;
pub mod index;
pub mod object;
pub mod pack;
pub mod part;
pub mod parts;
pub mod pktline;
pub mod protocol;
pub mod rows;
pub mod segment;
pub mod table;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
