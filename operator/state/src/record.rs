//! The records that the state holds, each with the version of its last change.

mod audit;
mod node;
mod repository;
mod user;

pub use audit::AuditLine;
pub use node::{Layout, Node, NodeState, Placement, Setting};
pub use repository::{PathWait, Repository, RepositoryState, partition_of};
pub use user::{Grant, GrantKey, GrantSubject, Scope, SshKey, Token, TokenId, User};

use gitstratum_core::GrantsVersion;

/// The version that log entry `index` of control-plane generation `generation` makes:
/// ordered by generation first, so that a rebuilt control plane is never behind (S45).
pub const fn stamp(generation: u16, index: u64) -> GrantsVersion {
    GrantsVersion(gitstratum_core::NodeId::allocate(generation, index).0)
}
