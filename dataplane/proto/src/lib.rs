//! Wire messages and services, and their conversions to core types.
//!
//! This crate must never decide anything: it only carries words between rooms.
//! Its one invariant: a conversion into a core type either gives a checked value
//! or an error that names the field.

pub mod bulk;
mod convert;
mod split;

pub use convert::{FieldError, format_from_wire, format_to_wire, object_id, pack_id, segment_id};
pub use split::{SNAPSHOT_CHUNK_BYTES, split_snapshot};

/// What `Node.state` says, as the `.proto` file numbers it.
pub mod node_state {
    /// It has yet to become ready.
    pub const JOINING: u32 = 1;
    /// It is heard of.
    pub const UP: u32 = 2;
    /// It was not heard of for some seconds: it may well live.
    pub const SUSPECT: u32 = 3;
    /// It was not heard of for long.
    pub const DOWN: u32 = 4;
    /// It is up, and being emptied.
    pub const LEAVING: u32 = 5;
    /// It is gone for good.
    pub const REMOVED: u32 = 6;
}

/// Largest control message either side accepts, bytes: an `UpdateRefs` entry (S13) and its frame.
pub const MESSAGE_BYTES_MAX: usize = 17 * 1024 * 1024;

macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1 of the package; the `.proto` file documents each message.
            #[allow(
                missing_docs,
                unreachable_pub,
                clippy::all,
                clippy::str_to_string,
                clippy::too_many_lines,
                reason = "generated code: the .proto files carry the words"
            )]
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    };
}

generated! {
    /// Messages that more than one service speaks.
    common, "gitstratum.common.v1"
}
generated! {
    /// Refs, manifests and plans.
    metadata, "gitstratum.metadata.v1"
}
generated! {
    /// Segments and the bulk port's messages.
    object, "gitstratum.object.v1"
}
generated! {
    /// The control plane's two services.
    control, "gitstratum.control.v1"
}
generated! {
    /// The agent's Unix socket.
    agent, "gitstratum.agent.v1"
}
generated! {
    /// Between the voters of a replicated log.
    raft, "gitstratum.raft.v1"
}
generated! {
    /// What watches over the nodes of one machine.
    local, "gitstratum.local.v1"
}
