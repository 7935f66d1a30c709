use prost::Message;

/// The first command of a cluster: who it is, its nodes and partitions, its first admin.
#[derive(Clone, PartialEq, Message)]
pub struct Found {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub cluster: Vec<u8>,
    /// 1 for a new cluster; one more each time it is rebuilt (S45).
    #[prost(uint32, tag = "2")]
    pub generation: u32,
    /// Metadata partitions, fixed for ever.
    #[prost(uint32, tag = "3")]
    pub partitions: u32,
    /// Copies of a segment.
    #[prost(uint32, tag = "4")]
    pub replication_factor: u32,
    /// The nodes, at least one.
    #[prost(message, repeated, tag = "5")]
    pub nodes: Vec<FoundNode>,
    /// Name of the first cluster admin.
    #[prost(string, tag = "6")]
    pub admin: String,
    /// SHA-256 of that user's first token, scope admin, without end.
    #[prost(bytes = "vec", tag = "7")]
    pub admin_token: Vec<u8>,
    /// SHA-256 of the token by which nodes enrol; empty: none can.
    #[prost(bytes = "vec", tag = "8")]
    pub join_token: Vec<u8>,
}

/// Brings back what a control plane knew whose state was lost, under its next generation
/// (S45). Made by [`crate::Records`].
#[derive(Clone, PartialEq, Message)]
pub struct Restore {
    /// 16 bytes: the cluster that it was.
    #[prost(bytes = "vec", tag = "1")]
    pub cluster: Vec<u8>,
    /// Higher than any that this cluster had.
    #[prost(uint32, tag = "2")]
    pub generation: u32,
    /// SHA-256 of the token by which nodes enrol; empty: none can.
    #[prost(bytes = "vec", tag = "3")]
    pub join_token: Vec<u8>,
    /// Version of the records.
    #[prost(uint64, tag = "4")]
    pub version: u64,
    /// The records, as the rows that they are stored as.
    #[prost(message, repeated, tag = "5")]
    pub rows: Vec<RestoredRow>,
}

/// A record that was found somewhere else.
#[derive(Clone, PartialEq, Message)]
pub struct RestoredRow {
    /// Its name, see [`crate::row`].
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The record.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A node of a new cluster; it has every data role.
#[derive(Clone, PartialEq, Message)]
pub struct FoundNode {
    /// Its id, made from log indices before the founding command's own.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Failure domain; may be empty.
    #[prost(string, tag = "2")]
    pub zone: String,
}

/// A node asks for certificates by the join token.
#[derive(Clone, PartialEq, Message)]
pub struct EnrolNode {
    /// SHA-256 of the token shown.
    #[prost(bytes = "vec", tag = "1")]
    pub join_token: Vec<u8>,
    /// 0: a new node.
    #[prost(uint64, tag = "2")]
    pub id: u64,
    /// frontend, metadata, object: those it asks for besides its agent's.
    #[prost(string, repeated, tag = "3")]
    pub roles: Vec<String>,
}

/// Replaces the token by which nodes enrol.
#[derive(Clone, PartialEq, Message)]
pub struct SetJoinToken {
    /// SHA-256 of the new one; empty: none can enrol any more.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
}

/// A partition has applied the directory up to a version (S42).
#[derive(Clone, PartialEq, Message)]
pub struct PartitionApplied {
    /// The partition.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// The version.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// Sets a cluster-wide setting or, under `flag.`, a flag.
#[derive(Clone, PartialEq, Message)]
pub struct SetSetting {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value as people write it.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Drops the audit lines before a log index (S41).
#[derive(Clone, PartialEq, Message)]
pub struct PruneAudit {
    /// First line that stays.
    #[prost(uint64, tag = "1")]
    pub floor: u64,
    /// Bytes of the rows that go, as the proposer counted them.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

/// An audit line for a call that was refused before it became a command.
#[derive(Clone, PartialEq, Message)]
pub struct RecordRefusal {
    /// What was asked.
    #[prost(string, tag = "1")]
    pub action: String,
    /// Of what.
    #[prost(string, tag = "2")]
    pub subject: String,
    /// The kind of refusal, a colon, and why.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Refusals of the same source since its last line that have none of their own.
    #[prost(uint64, tag = "4")]
    pub suppressed: u64,
}
