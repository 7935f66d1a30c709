use gitstratum_core::{ErrorKind, GrantsVersion, NodeId, RepoId, UserId};
use prost::Message as _;

use crate::Refusal;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it made, or why it made nothing.
    pub result: Result<Reply, Rejection>,
    /// Version of the streamed state once it was applied.
    pub version: GrantsVersion,
}

/// What a command made or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing with a name.
    Done,
    /// A repository.
    Repository(RepoId),
    /// A user.
    User(UserId),
    /// A key, by its fingerprint.
    Key(String),
    /// A token, by its SHA-256.
    Token([u8; 32]),
    /// A node.
    Node(NodeId),
}

/// A refusal as it is kept and sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    /// Whether nobody is known to have asked.
    pub unauthenticated: bool,
}

impl From<&Refusal> for Rejection {
    fn from(refusal: &Refusal) -> Self {
        let unauthenticated =
            matches!(refusal, Refusal::Denied(denial) if denial.is_unauthenticated());
        Self { kind: refusal.kind(), message: refusal.to_string(), unauthenticated }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OutcomeMessage {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(uint32, tag = "2")]
    rejection_kind: u32,
    #[prost(string, tag = "3")]
    rejection_message: String,
    #[prost(bool, tag = "4")]
    unauthenticated: bool,
    #[prost(uint64, optional, tag = "5")]
    repository: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    user: Option<u64>,
    #[prost(string, optional, tag = "7")]
    key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    token: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "9")]
    node: Option<u64>,
}

/// Kinds by their stored number; 0 is no rejection.
const KINDS: [ErrorKind; 8] = [
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Denied,
    ErrorKind::Busy,
    ErrorKind::Corrupt,
    ErrorKind::Unavailable,
    ErrorKind::Invalid,
    ErrorKind::Bug,
];

impl Outcome {
    /// Its bytes, as a replicated log carries the answer of a command.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_message().encode_to_vec()
    }

    /// The outcome in `bytes`; `None` if they are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_message(OutcomeMessage::decode(bytes).ok()?)
    }

    pub(crate) fn to_message(&self) -> OutcomeMessage {
        let mut message = OutcomeMessage { version: self.version.0, ..OutcomeMessage::default() };
        match &self.result {
            Err(rejection) => {
                let place = KINDS.iter().position(|kind| *kind == rejection.kind).unwrap_or(7);
                message.rejection_kind =
                    u32::try_from(place + 1).expect("because there are eight kinds");
                message.rejection_message.clone_from(&rejection.message);
                message.unauthenticated = rejection.unauthenticated;
            }
            Ok(Reply::Done) => {}
            Ok(Reply::Repository(id)) => message.repository = Some(id.0),
            Ok(Reply::User(id)) => message.user = Some(id.0),
            Ok(Reply::Key(fingerprint)) => message.key = Some(fingerprint.clone()),
            Ok(Reply::Token(hash)) => message.token = Some(hash.to_vec()),
            Ok(Reply::Node(id)) => message.node = Some(id.0),
        }
        message
    }

    pub(crate) fn from_message(message: OutcomeMessage) -> Option<Self> {
        let version = GrantsVersion(message.version);
        if message.rejection_kind > 0 {
            let place = usize::try_from(message.rejection_kind - 1).ok()?;
            let kind = *KINDS.get(place)?;
            let unauthenticated = message.unauthenticated;
            let rejection = Rejection { kind, message: message.rejection_message, unauthenticated };
            return Some(Self { result: Err(rejection), version });
        }
        let reply = if let Some(id) = message.repository {
            Reply::Repository(RepoId(id))
        } else if let Some(id) = message.user {
            Reply::User(UserId(id))
        } else if let Some(fingerprint) = message.key {
            Reply::Key(fingerprint)
        } else if let Some(hash) = message.token {
            Reply::Token(hash.try_into().ok()?)
        } else if let Some(id) = message.node {
            Reply::Node(NodeId(id))
        } else {
            Reply::Done
        };
        Some(Self { result: Ok(reply), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_round_trip() {
        let rejection = |kind| Rejection { kind, message: "no".to_owned(), unauthenticated: true };
        let mut results: Vec<_> = KINDS.iter().map(|kind| Err(rejection(*kind))).collect();
        results.extend([
            Ok(Reply::Done),
            Ok(Reply::Repository(RepoId(0))),
            Ok(Reply::User(UserId(2))),
            Ok(Reply::Key("SHA256:x".to_owned())),
            Ok(Reply::Token([3; 32])),
            Ok(Reply::Node(NodeId(4))),
        ]);
        for result in results {
            let outcome = Outcome { result, version: GrantsVersion(9) };
            assert_eq!(Outcome::from_bytes(&outcome.to_bytes()), Some(outcome));
        }
        assert_eq!(Outcome::from_bytes(&[0xff]), None);
    }
}
