use gitstratum_core::{
    GrantsVersion, ObjectFormat, PartitionId, RepoId, RepoPath, UnixMillis, Visibility,
};

use super::{BadField, Stored};
use crate::record::{PathWait, Repository, RepositoryState};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RepositoryMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint32, tag = "4")]
    object_format: u32,
    #[prost(string, tag = "5")]
    default_branch: String,
    #[prost(bool, tag = "6")]
    public: bool,
    #[prost(string, tag = "7")]
    description: String,
    #[prost(uint32, tag = "8")]
    state: u32,
    #[prost(uint64, tag = "9")]
    name_version: u64,
    #[prost(uint64, tag = "10")]
    created_millis: u64,
    #[prost(uint64, tag = "11")]
    version: u64,
}

impl Stored for Repository {
    type Message = RepositoryMessage;

    fn to_message(&self) -> RepositoryMessage {
        RepositoryMessage {
            id: self.id.0,
            path: self.path.as_str().to_owned(),
            partition: self.partition.0,
            object_format: match self.format {
                ObjectFormat::Sha1 => 1,
                ObjectFormat::Sha256 => 2,
            },
            default_branch: self.default_branch.clone(),
            public: self.visibility == Visibility::Public,
            description: self.description.clone(),
            state: match self.state {
                RepositoryState::Live => 1,
                RepositoryState::Deleted => 2,
                RepositoryState::Purged => 3,
            },
            name_version: self.name_version.0,
            created_millis: self.created.0,
            version: self.version.0,
        }
    }

    fn from_message(message: RepositoryMessage) -> Result<Self, BadField> {
        Ok(Self {
            id: RepoId(message.id),
            path: RepoPath::parse(&message.path).map_err(|_| BadField("path"))?,
            partition: PartitionId(message.partition),
            format: match message.object_format {
                1 => ObjectFormat::Sha1,
                2 => ObjectFormat::Sha256,
                _ => return Err(BadField("object format")),
            },
            default_branch: message.default_branch,
            visibility: if message.public { Visibility::Public } else { Visibility::Private },
            description: message.description,
            state: match message.state {
                1 => RepositoryState::Live,
                2 => RepositoryState::Deleted,
                3 => RepositoryState::Purged,
                _ => return Err(BadField("state")),
            },
            name_version: GrantsVersion(message.name_version),
            created: UnixMillis(message.created_millis),
            version: GrantsVersion(message.version),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PathWaitMessage {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(uint64, tag = "2")]
    repository: u64,
    #[prost(uint32, tag = "3")]
    partition: u32,
    #[prost(uint64, tag = "4")]
    name_version: u64,
}

impl Stored for PathWait {
    type Message = PathWaitMessage;

    fn to_message(&self) -> PathWaitMessage {
        PathWaitMessage {
            path: self.path.as_str().to_owned(),
            repository: self.repository.0,
            partition: self.partition.0,
            name_version: self.name_version.0,
        }
    }

    fn from_message(message: PathWaitMessage) -> Result<Self, BadField> {
        Ok(Self {
            path: RepoPath::parse(&message.path).map_err(|_| BadField("path"))?,
            repository: RepoId(message.repository),
            partition: PartitionId(message.partition),
            name_version: GrantsVersion(message.name_version),
        })
    }
}
