use gitstratum_core::{GrantsVersion, RepoId, Role, UnixMillis, UserId};

use super::{BadField, Stored};
use crate::record::{Grant, GrantKey, GrantSubject, Scope, SshKey, Token, User};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SshKeyMessage {
    #[prost(string, tag = "1")]
    fingerprint: String,
    #[prost(string, tag = "2")]
    public_key: String,
    #[prost(string, tag = "3")]
    comment: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UserMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    email: String,
    #[prost(message, repeated, tag = "4")]
    keys: Vec<SshKeyMessage>,
    #[prost(bool, tag = "5")]
    suspended: bool,
    #[prost(bool, tag = "6")]
    cluster_admin: bool,
    #[prost(uint64, tag = "7")]
    version: u64,
}

impl Stored for User {
    type Message = UserMessage;

    fn to_message(&self) -> UserMessage {
        let key = |key: &SshKey| SshKeyMessage {
            fingerprint: key.fingerprint.clone(),
            public_key: key.public_key.clone(),
            comment: key.comment.clone(),
        };
        UserMessage {
            id: self.id.0,
            name: self.name.clone(),
            email: self.email.clone(),
            keys: self.keys.iter().map(key).collect(),
            suspended: self.suspended,
            cluster_admin: self.cluster_admin,
            version: self.version.0,
        }
    }

    fn from_message(message: UserMessage) -> Result<Self, BadField> {
        if message.name.is_empty() {
            return Err(BadField("name"));
        }
        let key = |key: SshKeyMessage| SshKey {
            fingerprint: key.fingerprint,
            public_key: key.public_key,
            comment: key.comment,
        };
        Ok(Self {
            id: UserId(message.id),
            name: message.name,
            email: message.email,
            keys: message.keys.into_iter().map(key).collect(),
            suspended: message.suspended,
            cluster_admin: message.cluster_admin,
            version: GrantsVersion(message.version),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TokenMessage {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(uint64, tag = "2")]
    user: u64,
    #[prost(uint32, tag = "3")]
    scope: u32,
    #[prost(uint64, repeated, tag = "4")]
    repositories: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    expires_millis: Option<u64>,
    #[prost(uint64, tag = "6")]
    created_millis: u64,
    #[prost(uint64, tag = "7")]
    version: u64,
}

impl Stored for Token {
    type Message = TokenMessage;

    fn to_message(&self) -> TokenMessage {
        TokenMessage {
            hash: self.hash.to_vec(),
            user: self.user.0,
            scope: self.scope.to_wire(),
            repositories: self.repositories.iter().map(|id| id.0).collect(),
            expires_millis: self.expires.map(|expires| expires.0),
            created_millis: self.created.0,
            version: self.version.0,
        }
    }

    fn from_message(message: TokenMessage) -> Result<Self, BadField> {
        Ok(Self {
            hash: message.hash.try_into().map_err(|_| BadField("hash"))?,
            user: UserId(message.user),
            scope: Scope::from_wire(message.scope).ok_or(BadField("scope"))?,
            repositories: message.repositories.into_iter().map(RepoId).collect(),
            expires: message.expires_millis.map(UnixMillis),
            created: UnixMillis(message.created_millis),
            version: GrantsVersion(message.version),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GrantMessage {
    #[prost(uint64, tag = "1")]
    user: u64,
    #[prost(string, tag = "2")]
    owner: String,
    #[prost(uint64, tag = "3")]
    repository: u64,
    #[prost(string, tag = "4")]
    role: String,
    #[prost(uint64, tag = "5")]
    version: u64,
}

impl Stored for Grant {
    type Message = GrantMessage;

    fn to_message(&self) -> GrantMessage {
        let (owner, repository) = match &self.key.subject {
            GrantSubject::Owner(owner) => (owner.clone(), 0),
            GrantSubject::Repository(id) => (String::new(), id.0),
        };
        GrantMessage {
            user: self.key.user.0,
            owner,
            repository,
            role: self.role.as_str().to_owned(),
            version: self.version.0,
        }
    }

    fn from_message(message: GrantMessage) -> Result<Self, BadField> {
        let subject = match (message.owner.is_empty(), message.repository) {
            (false, 0) => GrantSubject::Owner(message.owner),
            (true, id) if id > 0 => GrantSubject::Repository(RepoId(id)),
            _ => return Err(BadField("subject")),
        };
        Ok(Self {
            key: GrantKey { user: UserId(message.user), subject },
            role: Role::parse(&message.role).map_err(|_| BadField("role"))?,
            version: GrantsVersion(message.version),
        })
    }
}
