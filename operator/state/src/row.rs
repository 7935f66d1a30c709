//! Keys of the rows that the state is stored as: a kind byte, then the record's name
//! in big-endian or as text. `docs/formats/control-state.md` describes them.

use gitstratum_core::{GrantsVersion, NodeId, RepoId, RepoPath, UserId};

use crate::record::{GrantKey, GrantSubject};

/// A row and what it holds now; `None` deletes it.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// Names a row. All but the audit lines are also in memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Cluster id, generation, version, floors.
    Header,
    /// How data is placed.
    Layout,
    /// A setting or flag.
    Setting(String),
    /// A node.
    Node(NodeId),
    /// A user with keys.
    User(UserId),
    /// A token, by its SHA-256.
    Token([u8; 32]),
    /// A grant.
    Grant(GrantKey),
    /// A repository.
    Repository(RepoId),
    /// An owner under whom a repository was ever made.
    Owner(String),
    /// A path that is not free yet.
    PathWait(RepoPath),
    /// What one version changed, for differences.
    Change(GrantsVersion),
    /// The outcome of a request, for repeats.
    Request([u8; 16]),
    /// An audit line, by its log index.
    Audit(u64),
}

/// Kind bytes of the rows that are loaded at start: all but the audit lines.
pub const LOADED_KINDS: &[u8] = b"hlsnutgrowcq";

/// Kind byte of the audit lines.
pub const AUDIT_KIND: u8 = b'a';

impl Key {
    /// The key's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, name): (u8, Vec<u8>) = match self {
            Self::Header => (b'h', Vec::new()),
            Self::Layout => (b'l', Vec::new()),
            Self::Setting(name) => (b's', name.clone().into_bytes()),
            Self::Node(id) => (b'n', id.0.to_be_bytes().to_vec()),
            Self::User(id) => (b'u', id.0.to_be_bytes().to_vec()),
            Self::Token(hash) => (b't', hash.to_vec()),
            Self::Grant(grant) => (b'g', grant_name(grant)),
            Self::Repository(id) => (b'r', id.0.to_be_bytes().to_vec()),
            Self::Owner(name) => (b'o', name.clone().into_bytes()),
            Self::PathWait(path) => (b'w', path.as_str().as_bytes().to_vec()),
            Self::Change(version) => (b'c', version.0.to_be_bytes().to_vec()),
            Self::Request(request) => (b'q', request.to_vec()),
            Self::Audit(index) => (AUDIT_KIND, index.to_be_bytes().to_vec()),
        };
        let mut bytes = vec![kind];
        bytes.extend(name);
        bytes
    }

    /// The key in `bytes`; `None` if they are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, name) = bytes.split_first()?;
        let text = || String::from_utf8(name.to_vec()).ok();
        Some(match kind {
            b'h' if name.is_empty() => Self::Header,
            b'l' if name.is_empty() => Self::Layout,
            b's' => Self::Setting(text()?),
            b'n' => Self::Node(NodeId(number(name)?)),
            b'u' => Self::User(UserId(number(name)?)),
            b't' => Self::Token(name.try_into().ok()?),
            b'g' => Self::Grant(parse_grant(name)?),
            b'r' => Self::Repository(RepoId(number(name)?)),
            b'o' => Self::Owner(text()?),
            b'w' => Self::PathWait(RepoPath::parse(&text()?).ok()?),
            b'c' => Self::Change(GrantsVersion(number(name)?)),
            b'q' => Self::Request(name.try_into().ok()?),
            b'a' => Self::Audit(number(name)?),
            _ => return None,
        })
    }

    /// Whether changes of it are streamed to the nodes. Nodes travel in the layout.
    pub(crate) const fn is_streamed(&self) -> bool {
        match self {
            Self::Layout
            | Self::Setting(_)
            | Self::User(_)
            | Self::Token(_)
            | Self::Grant(_)
            | Self::Repository(_) => true,
            Self::Header
            | Self::Node(_)
            | Self::Owner(_)
            | Self::PathWait(_)
            | Self::Change(_)
            | Self::Request(_)
            | Self::Audit(_) => false,
        }
    }
}

fn grant_name(grant: &GrantKey) -> Vec<u8> {
    let mut name = grant.user.0.to_be_bytes().to_vec();
    match &grant.subject {
        GrantSubject::Owner(owner) => {
            name.push(b'o');
            name.extend_from_slice(owner.as_bytes());
        }
        GrantSubject::Repository(id) => {
            name.push(b'r');
            name.extend_from_slice(&id.0.to_be_bytes());
        }
    }
    name
}

fn parse_grant(name: &[u8]) -> Option<GrantKey> {
    let (user, rest) = name.split_first_chunk::<8>()?;
    let (kind, subject) = rest.split_first()?;
    let subject = match kind {
        b'o' => GrantSubject::Owner(String::from_utf8(subject.to_vec()).ok()?),
        b'r' => GrantSubject::Repository(RepoId(number(subject)?)),
        _ => return None,
    };
    Some(GrantKey { user: UserId(u64::from_be_bytes(*user)), subject })
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_every_kind_is_loaded_or_an_audit_line() {
        let grant = |subject| Key::Grant(GrantKey { user: UserId(3), subject });
        let path = RepoPath::parse("demo/hello").expect("because the path is good");
        let keys = [
            Key::Header,
            Key::Layout,
            Key::Setting("wantGrace".to_owned()),
            Key::Node(NodeId(1)),
            Key::User(UserId(2)),
            Key::Token([9; 32]),
            grant(GrantSubject::Owner("demo".to_owned())),
            grant(GrantSubject::Repository(RepoId(4))),
            Key::Repository(RepoId(4)),
            Key::Owner("demo".to_owned()),
            Key::PathWait(path),
            Key::Change(GrantsVersion(5)),
            Key::Request([6; 16]),
            Key::Audit(7),
        ];
        for key in keys {
            let bytes = key.to_bytes();
            assert_eq!(Key::from_bytes(&bytes), Some(key.clone()));
            assert_ne!(LOADED_KINDS.contains(&bytes[0]), matches!(key, Key::Audit(_)));
        }
        for bad in [&b""[..], b"x", b"hx", b"n123", b"t12", b"g", b"gAAAAAAAAx", b"w/"] {
            assert_eq!(Key::from_bytes(bad), None);
        }
    }
}
