//! Ids, object ids, ref names and paths, the clock and entropy: the words every
//! other crate speaks.
//!
//! This crate must never know an async runtime, a wire format or a file. Its one
//! invariant: a value of one of these types has already been checked, so later
//! code cannot hold a malformed one.

mod clock;
mod entropy;
mod error_kind;
mod hex;
mod id;
mod object;
mod path;
mod quantity;
mod ref_name;
mod role;
mod token;

pub use clock::{Clock, LogTime, ManualClock, SystemClock, UnixMillis};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use error_kind::ErrorKind;
pub use hex::{decode_hex, encode_hex};
pub use id::{
    ClusterId, Epoch, GrantsVersion, Incarnation, NodeId, PackId, PartitionId, PushNumber, RepoId,
    SegmentId, SessionId, UserId, Version,
};
pub use object::{ObjectFormat, ObjectId, ObjectIdError, ObjectKind};
pub use path::{RepoPath, RepoPathError};
pub use quantity::{parse_bytes, parse_span};
pub use ref_name::{RefName, RefNameError};
pub use role::{ProcessRole, Role, RoleError, Visibility};
pub use token::{Token, TokenError};
