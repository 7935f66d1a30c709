use prost::Message;

/// Makes a repository.
#[derive(Clone, PartialEq, Message)]
pub struct CreateRepository {
    /// `OWNER/NAME`.
    #[prost(string, tag = "1")]
    pub path: String,
    /// 1 sha1, 2 sha256; 0 is sha1.
    #[prost(uint32, tag = "2")]
    pub object_format: u32,
    /// Empty is `main`.
    #[prost(string, tag = "3")]
    pub default_branch: String,
    /// Everyone may read.
    #[prost(bool, tag = "4")]
    pub public: bool,
    /// Be content with one that exists with the same object format.
    #[prost(bool, tag = "5")]
    pub if_not_exists: bool,
    /// One line for people.
    #[prost(string, tag = "6")]
    pub description: String,
}

/// Changes what can be changed of a repository; absent fields stay.
#[derive(Clone, PartialEq, Message)]
pub struct SetRepository {
    /// `OWNER/NAME`.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Without `refs/heads/`.
    #[prost(string, optional, tag = "2")]
    pub default_branch: Option<String>,
    /// Everyone may read.
    #[prost(bool, optional, tag = "3")]
    pub public: Option<bool>,
    /// One line for people.
    #[prost(string, optional, tag = "4")]
    pub description: Option<String>,
}

/// Gives a repository another path.
#[derive(Clone, PartialEq, Message)]
pub struct RenameRepository {
    /// Where it is.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Where it goes.
    #[prost(string, tag = "2")]
    pub new_path: String,
}

/// Takes a repository out of service; it can come back.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRepository {
    /// `OWNER/NAME`.
    #[prost(string, tag = "1")]
    pub path: String,
}

/// Brings a deleted repository back: the one with this id, or else the last one deleted
/// under this path.
#[derive(Clone, PartialEq, Message)]
pub struct UndeleteRepository {
    /// 0: by path.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Path to bring it back under; empty with an id: its last one.
    #[prost(string, tag = "2")]
    pub path: String,
}

/// What a partition has decided of a repository (S42).
#[derive(Clone, PartialEq, Message)]
pub struct SettleRepository {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The name version that the partition decided on; an older one than the directory's
    /// is refused.
    #[prost(uint64, tag = "2")]
    pub name_version: u64,
    /// Its bytes are gone; else it serves.
    #[prost(bool, tag = "3")]
    pub purged: bool,
}
