use std::fmt;

use gitstratum_core::{GrantsVersion, RepoId, Role, UnixMillis, UserId, encode_hex};

/// Somebody who may be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never reused.
    pub id: UserId,
    /// What people call them; also the owner whose repositories are theirs.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// Keys they sign in with over SSH.
    pub keys: Vec<SshKey>,
    /// Whether every credential of theirs is refused.
    pub suspended: bool,
    /// Whether they may do everything.
    pub cluster_admin: bool,
    /// Version of the last change.
    pub version: GrantsVersion,
}

/// A public key of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// `SHA256:` and base64, as ssh-keygen prints it.
    pub fingerprint: String,
    /// Algorithm and base64 blob, without comment.
    pub public_key: String,
    /// What stood behind the key.
    pub comment: String,
}

/// What a token allows at most; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Fetch, look.
    Read,
    /// Push too.
    Write,
    /// Change settings, grants, users, tokens too.
    Admin,
}

impl Scope {
    /// The scope of wire number 1, 2 or 3.
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Read),
            2 => Some(Self::Write),
            3 => Some(Self::Admin),
            _ => None,
        }
    }

    /// Its wire number.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Admin => 3,
        }
    }

    /// The word people write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// How people name a token: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 8]);

impl TokenId {
    /// The id of the token with SHA-256 `hash`.
    pub fn of(hash: &[u8; 32]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Self(id)
    }

    /// The 16 hex digits that people see, read back.
    pub fn parse(text: &str) -> Option<Self> {
        gitstratum_core::decode_hex(text.as_bytes())?.try_into().ok().map(Self)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: UserId,
    /// What it allows at most.
    pub scope: Scope,
    /// The only repositories it is good for; empty is no such limit.
    pub repositories: Vec<RepoId>,
    /// From when on it is refused; never, if `None`.
    pub expires: Option<UnixMillis>,
    /// When it was made.
    pub created: UnixMillis,
    /// Version of the last change.
    pub version: GrantsVersion,
}

impl Token {
    /// How people name it.
    pub fn id(&self) -> TokenId {
        TokenId::of(&self.hash)
    }

    /// Whether it is refused at `now` for its age.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// What a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantSubject {
    /// Every repository of an owner, those to come too.
    Owner(String),
    /// One repository.
    Repository(RepoId),
}

/// A user has at most one grant for a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantKey {
    /// Who.
    pub user: UserId,
    /// For what.
    pub subject: GrantSubject,
}

/// A role that a user was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who, and for what.
    pub key: GrantKey,
    /// Which.
    pub role: Role,
    /// Version of the last change.
    pub version: GrantsVersion,
}
