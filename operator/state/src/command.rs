//! What can be asked of the state. A command holds what was asked as it came in;
//! everything is checked when it is applied, so that a refusal has its audit line too.

mod access;
mod change;
mod cluster;
mod directory;
mod node;

pub use access::{
    AddKey, CreateToken, CreateUser, DeleteUser, GrantRole, RemoveKey, RevokeRole, RevokeToken,
    SetUser,
};
pub use change::Change;
pub use cluster::{
    EnrolNode, Found, FoundNode, PartitionApplied, PruneAudit, RecordRefusal, Restore, RestoredRow,
    SetJoinToken, SetSetting,
};
pub use directory::{
    CreateRepository, DeleteRepository, RenameRepository, SetRepository, SettleRepository,
    UndeleteRepository,
};
pub use node::{
    DrainNode, EnterRing, NodeEndpoint, PlacePartition, RegisterNode, RemoveNode, SetNodeState,
    UndrainNode,
};

use gitstratum_core::{ErrorKind, UnixMillis};
use prost::Message as _;

/// Version byte of an encoded command.
const FORMAT: u8 = 1;
/// Longest client address or request id kept in an audit line, bytes.
const ORIGIN_TEXT_MAX: usize = 100;

/// One entry of the control plane's log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Command {
    /// 16 random bytes: a repeat with the same ones is answered from memory, not applied again.
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
    /// The proposer's wall clock, milliseconds since the Unix epoch: for audit lines and
    /// the expiry of tokens only.
    #[prost(uint64, tag = "2")]
    pub wall_millis: u64,
    /// Who asks.
    #[prost(message, optional, tag = "3")]
    pub origin: Option<Origin>,
    /// What is asked.
    #[prost(
        oneof = "Change",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, \
                31, 32, 33, 34, 35, 36, 40, 41, 42"
    )]
    pub change: Option<Change>,
}

/// Who asks, and from where.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Origin {
    /// SHA-256 of the token shown; empty when the control plane itself asks.
    #[prost(bytes = "vec", tag = "1")]
    pub credential: Vec<u8>,
    /// Set when a part of the system asks, which may do everything: `system`, `node ID`.
    #[prost(string, tag = "2")]
    pub system: String,
    /// One id for the request in every role's log.
    #[prost(string, tag = "3")]
    pub request_id: String,
    /// The client's address.
    #[prost(string, tag = "4")]
    pub client_addr: String,
}

impl Origin {
    /// The control plane itself.
    pub fn system() -> Self {
        Self { system: "system".to_owned(), ..Self::default() }
    }

    /// An agent, known by its certificate.
    pub fn node(id: gitstratum_core::NodeId) -> Self {
        Self { system: format!("node {id}"), ..Self::default() }
    }

    /// A node that has no certificate yet, from `client_addr`.
    pub fn joiner(request_id: &str, client_addr: &str) -> Self {
        let (system, credential) = ("joiner".to_owned(), Vec::new());
        Self { credential, system, request_id: cut(request_id), client_addr: cut(client_addr) }
    }

    /// Whoever showed the token with SHA-256 `credential`. Long texts are cut.
    pub fn person(credential: &[u8; 32], request_id: &str, client_addr: &str) -> Self {
        Self {
            credential: credential.to_vec(),
            system: String::new(),
            request_id: cut(request_id),
            client_addr: cut(client_addr),
        }
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(ORIGIN_TEXT_MAX)].to_owned()
}

/// Bytes that are no command of this version.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing there.
    #[error("command is empty")]
    Empty,
    /// Written by another version.
    #[error("command has format {0}, this build reads {FORMAT}")]
    Format(u8),
    /// Not protobuf.
    #[error("command does not decode")]
    Decode(#[source] prost::DecodeError),
    /// A kind of change that this build does not know, or a request id of a wrong length.
    #[error("command has no {0} that this build knows")]
    Unknown(&'static str),
}

impl CommandError {
    /// A committed entry that cannot be read stops the replica (S14).
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

impl Command {
    /// A command with request id `request`.
    pub fn new(request: [u8; 16], wall: UnixMillis, origin: Origin, change: Change) -> Self {
        Self {
            request: request.to_vec(),
            wall_millis: wall.0,
            origin: Some(origin),
            change: Some(change),
        }
    }

    /// Its bytes in the log: a version byte, then protobuf (S49).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.encoded_len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.encode_to_vec());
        bytes
    }

    /// The command in `bytes`.
    ///
    /// # Errors
    /// [`CommandError`]; no part of such an entry may be applied.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CommandError> {
        let (format, body) = bytes.split_first().ok_or(CommandError::Empty)?;
        if *format != FORMAT {
            return Err(CommandError::Format(*format));
        }
        let command = Self::decode(body).map_err(CommandError::Decode)?;
        if command.request.len() != 16 {
            return Err(CommandError::Unknown("request id"));
        }
        if command.change.is_none() {
            return Err(CommandError::Unknown("kind of change"));
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s49_a_command_of_an_unknown_kind_or_format_is_not_read() {
        let change = Change::DeleteUser(DeleteUser { name: "eva".to_owned() });
        let command = Command::new([7; 16], UnixMillis(5), Origin::system(), change);
        let mut bytes = command.to_bytes();
        assert_eq!(Command::from_bytes(&bytes).expect("because we wrote it"), command);
        bytes[0] = 2;
        assert!(matches!(Command::from_bytes(&bytes), Err(CommandError::Format(2))));
        let unknown = Command { change: None, ..command };
        assert!(matches!(Command::from_bytes(&unknown.to_bytes()), Err(CommandError::Unknown(_))));
        assert!(matches!(Command::from_bytes(&[]), Err(CommandError::Empty)));
    }

    #[test]
    fn long_origins_are_cut_at_a_character() {
        let origin = Origin::person(&[1; 32], &"é".repeat(80), "::1");
        assert_eq!(origin.request_id.len(), 100);
    }
}
