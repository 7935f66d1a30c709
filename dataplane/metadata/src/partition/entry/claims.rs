//! Entries about claims on a repository, and what is done under them (S35, S37).

use bytes::Bytes;
use gitstratum_proto::common::v1::Pack;

/// An object node opens the one claim on a repository, or takes it over (S35). For a drop run it
/// raises the drop counter too, and keeps what is to be marked from (S15).
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenClaim {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// A [`ClaimKind`](gitstratum_proto::metadata::v1::ClaimKind).
    #[prost(int32, tag = "2")]
    pub kind: i32,
    /// The node.
    #[prost(uint64, tag = "3")]
    pub node: u64,
    /// Number of the open claim that it goes on with; 0 for a new one.
    #[prost(uint64, tag = "4")]
    pub takes_over: u64,
}

/// A claim ends without a swap.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseClaim {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// Its number.
    #[prost(uint64, tag = "2")]
    pub claim: u64,
}

/// Packs take the place of others (S35).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Swap {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// The claim that they were written under; it ends with this.
    #[prost(uint64, tag = "2")]
    pub claim: u64,
    /// Ids of the packs that go.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub inputs: Vec<Bytes>,
    /// Packs that come.
    #[prost(message, repeated, tag = "4")]
    pub outputs: Vec<Pack>,
    /// Packs of dropped objects: out of sight until their window has passed (S37).
    #[prost(message, repeated, tag = "5")]
    pub cruft: Vec<Pack>,
    /// How long that is, milliseconds of log time.
    #[prost(uint64, tag = "6")]
    pub cruft_window: u64,
    /// Owners that a segment should have, from the leader's layout.
    #[prost(uint32, tag = "7")]
    pub replication_factor: u32,
}

/// Packs that were replaced, or whose window has passed, go for good (S30, S37).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Purge {
    /// The least version that an open session may use: what went after it stays.
    #[prost(uint64, tag = "1")]
    pub horizon: u64,
    /// Which.
    #[prost(message, repeated, tag = "2")]
    pub packs: Vec<PurgedPack>,
}

/// One pack of [`Purge`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PurgedPack {
    /// Its repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// Entry that listed it.
    #[prost(uint64, tag = "2")]
    pub listed: u64,
    /// Its id.
    #[prost(bytes = "bytes", tag = "3")]
    pub pack_id: Bytes,
}
