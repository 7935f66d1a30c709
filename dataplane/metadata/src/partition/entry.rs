//! What a log entry says. An entry carries everything that `apply` may decide by
//! besides the group's state: no clock, grants, layout or commit graph is read there
//! (S14).

use bytes::Bytes;
use gitstratum_proto::common::v1::Pack;

use super::record::Who;
use super::rows;
use super::{Error, FEATURE_LEVEL};

mod claims;

pub use claims::{CloseClaim, OpenClaim, Purge, PurgedPack, Swap};

/// One entry of a partition's log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// The leader's log time, milliseconds. Applied as at least what it was before.
    #[prost(uint64, tag = "1")]
    pub log_time: u64,
    /// The leader's wall clock, milliseconds; for audit lines only.
    #[prost(uint64, tag = "2")]
    pub wall_millis: u64,
    /// Version of the grants that the leader decided by; 0 when it decided nothing.
    #[prost(uint64, tag = "3")]
    pub grants_version: u64,
    /// Least feature level of a voter that can apply it (S49).
    #[prost(uint32, tag = "4")]
    pub feature_level: u32,
    /// What changes.
    #[prost(
        oneof = "Change",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 30"
    )]
    pub change: Option<Change>,
}

/// What an entry changes.
#[expect(clippy::large_enum_variant, reason = "pushes are the common case, and none is kept")]
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Change {
    /// A frontend opens a session (S10).
    #[prost(message, tag = "10")]
    OpenSession(OpenSession),
    /// A session ends (S10).
    #[prost(message, tag = "11")]
    CloseSession(CloseSession),
    /// Floors that renewals brought (S10).
    #[prost(message, tag = "12")]
    RaiseFloors(RaiseFloors),
    /// A push (S13).
    #[prost(message, tag = "13")]
    UpdateRefs(UpdateRefs),
    /// The leader denies a push; closes its number (S11).
    #[prost(message, tag = "14")]
    Refuse(Refuse),
    /// Rows of repositories as the directory says (S43).
    #[prost(message, tag = "15")]
    PutRepositories(PutRepositories),
    /// An object node shows its incarnation (S23).
    #[prost(message, tag = "16")]
    ShowIncarnation(ShowIncarnation),
    /// Another owner list of a segment (S19).
    #[prost(message, tag = "17")]
    ChangeOwners(ChangeOwners),
    /// A node may not be newly named any more (S20).
    #[prost(message, tag = "18")]
    Fence(Fence),
    /// Time passes (S14).
    #[prost(message, tag = "19")]
    Tick(Tick),
    /// Audit lines up to a floor go (S41).
    #[prost(message, tag = "20")]
    PruneAudit(PruneAudit),
    /// All voters understand a higher level (S49).
    #[prost(message, tag = "21")]
    RaiseFeatureLevel(RaiseFeatureLevel),
    /// An operator gives a segment up whose owners are all lost (S20).
    #[prost(message, tag = "22")]
    AcceptLoss(AcceptLoss),
    /// A run begins on a repository, or goes on elsewhere (S35).
    #[prost(message, tag = "23")]
    OpenClaim(OpenClaim),
    /// A run ends without a result.
    #[prost(message, tag = "24")]
    CloseClaim(CloseClaim),
    /// A run's result takes the place of what it was made from (S35).
    #[prost(message, tag = "25")]
    Swap(Swap),
    /// What nobody can read any more goes (S30).
    #[prost(message, tag = "26")]
    Purge(Purge),
    /// An owner has lost copies (S21).
    #[prost(message, tag = "30")]
    LoseCopies(LoseCopies),
}

/// See [`Change::OpenSession`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenSession {
    /// The frontend.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// Its incarnation.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
}

/// See [`Change::CloseSession`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseSession {
    /// The session.
    #[prost(uint64, tag = "1")]
    pub session: u64,
}

/// See [`Change::RaiseFloors`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct RaiseFloors {
    /// The floors.
    #[prost(message, repeated, tag = "1")]
    pub floors: Vec<Floor>,
}

/// All push numbers of a session below `floor` are done.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Floor {
    /// The session.
    #[prost(uint64, tag = "1")]
    pub session: u64,
    /// The least number that may not be done.
    #[prost(uint64, tag = "2")]
    pub floor: u64,
}

/// Which push an entry belongs to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PushKey {
    /// The session.
    #[prost(uint64, tag = "1")]
    pub session: u64,
    /// The push's number in it.
    #[prost(uint64, tag = "2")]
    pub push_number: u64,
    /// Raised by every resend (S11).
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// All push numbers of the session below are done.
    #[prost(uint64, tag = "4")]
    pub floor: u64,
    /// The repository.
    #[prost(uint64, tag = "5")]
    pub repo_id: u64,
}

/// See [`Change::UpdateRefs`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateRefs {
    /// Which push it is.
    #[prost(message, required, tag = "1")]
    pub push: PushKey,
    /// Version of the repository's name that the frontend knew (S42).
    #[prost(uint64, tag = "2")]
    pub name_version: u64,
    /// What to do with refs.
    #[prost(message, repeated, tag = "3")]
    pub commands: Vec<Command>,
    /// Whether one failure is all.
    #[prost(bool, tag = "4")]
    pub atomic: bool,
    /// The pack that came along.
    #[prost(message, optional, tag = "5")]
    pub pack: Option<Pack>,
    /// Drop counter of the version that the checks used (S15).
    #[prost(uint64, tag = "6")]
    pub drop_counter: u64,
    /// Owners that a segment should have, from the leader's layout.
    #[prost(uint32, tag = "7")]
    pub replication_factor: u32,
    /// Live packs above which a pack is refused (S35).
    #[prost(uint32, tag = "8")]
    pub live_packs_max: u32,
    /// Who pushes.
    #[prost(message, required, tag = "9")]
    pub who: Who,
}

/// One ref command, with what the leader already knows of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Command {
    /// The ref.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// Where it must be; empty when it must not exist.
    #[prost(bytes = "bytes", tag = "2")]
    pub old: Bytes,
    /// Where it goes; empty to delete it.
    #[prost(bytes = "bytes", tag = "3")]
    pub new: Bytes,
    /// For a tag object at `new`, what it peels to; else empty.
    #[prost(bytes = "bytes", tag = "4")]
    pub peeled: Bytes,
    /// The leader's refusal; 0 when it has none.
    #[prost(int32, tag = "5")]
    pub refusal: i32,
    /// Its reason, for people.
    #[prost(string, tag = "6")]
    pub message: String,
    /// Deleting it when it is not there succeeds, as stock git does when it does not know `old`.
    #[prost(bool, tag = "7")]
    pub may_be_missing: bool,
}

impl Command {
    /// Whether it deletes its ref.
    pub fn is_delete(&self) -> bool {
        self.new.is_empty()
    }
}

/// See [`Change::Refuse`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refuse {
    /// Which push it is.
    #[prost(message, required, tag = "1")]
    pub push: PushKey,
    /// Why.
    #[prost(int32, tag = "2")]
    pub refusal: i32,
    /// The same for people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// Who pushes.
    #[prost(message, required, tag = "4")]
    pub who: Who,
}

/// See [`Change::PutRepositories`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutRepositories {
    /// The records.
    #[prost(message, repeated, tag = "1")]
    pub repositories: Vec<PutRepository>,
}

/// A repository as the directory says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutRepository {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// `OWNER/NAME`.
    #[prost(string, tag = "2")]
    pub path: String,
    /// 1 sha1, 2 sha256.
    #[prost(uint32, tag = "3")]
    pub object_format: u32,
    /// Branch that HEAD names.
    #[prost(string, tag = "4")]
    pub default_branch: String,
    /// Whether everyone may read it.
    #[prost(bool, tag = "5")]
    pub public: bool,
    /// 1 live, 2 deleted, 3 purged.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// Version of the last change of name or state.
    #[prost(uint64, tag = "7")]
    pub name_version: u64,
    /// Version of the record.
    #[prost(uint64, tag = "8")]
    pub directory_version: u64,
}

/// See [`Change::ShowIncarnation`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShowIncarnation {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// Its number.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
}

/// See [`Change::ChangeOwners`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChangeOwners {
    /// The segment.
    #[prost(bytes = "bytes", tag = "1")]
    pub segment_id: Bytes,
    /// Number of the list that it replaces.
    #[prost(uint64, tag = "2")]
    pub list_number: u64,
    /// The new owners.
    #[prost(uint64, repeated, tag = "3")]
    pub owners: Vec<u64>,
    /// The incarnation each holds it under.
    #[prost(uint64, repeated, tag = "4")]
    pub incarnations: Vec<u64>,
    /// Owners that it should have.
    #[prost(uint32, tag = "5")]
    pub replication_factor: u32,
}

/// See [`Change::LoseCopies`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoseCopies {
    /// The owner.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// What it lost.
    #[prost(message, repeated, tag = "2")]
    pub copies: Vec<CopyLost>,
    /// Owners that a segment should have.
    #[prost(uint32, tag = "3")]
    pub replication_factor: u32,
}

/// One copy of [`LoseCopies`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct CopyLost {
    /// The segment.
    #[prost(bytes = "bytes", tag = "1")]
    pub segment_id: Bytes,
    /// Number of the list that names the owner: another list is not changed (S19).
    #[prost(uint64, tag = "2")]
    pub list_number: u64,
}

/// See [`Change::Fence`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Fence {
    /// The node.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// The command's number: numbers of a node's fences never fall.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// Whether the fence is lifted, not set.
    #[prost(bool, tag = "3")]
    pub lifted: bool,
    /// Nodes in the ring of the leader's layout.
    #[prost(uint64, repeated, tag = "4")]
    pub ring: Vec<u64>,
    /// Owners that a segment should have, from the same layout.
    #[prost(uint32, tag = "5")]
    pub replication_factor: u32,
}

/// See [`Change::AcceptLoss`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct AcceptLoss {
    /// The segment.
    #[prost(bytes = "bytes", tag = "1")]
    pub segment_id: Bytes,
    /// Number of the list whose owners are lost.
    #[prost(uint64, tag = "2")]
    pub list_number: u64,
    /// Who accepts it.
    #[prost(message, required, tag = "3")]
    pub who: Who,
}

/// See [`Change::Tick`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tick {}

/// See [`Change::PruneAudit`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct PruneAudit {
    /// Lines below this index go.
    #[prost(uint64, tag = "1")]
    pub below: u64,
}

/// See [`Change::RaiseFeatureLevel`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct RaiseFeatureLevel {
    /// The level.
    #[prost(uint32, tag = "1")]
    pub level: u32,
}

impl Entry {
    /// The entry's bytes as the log keeps them.
    pub fn to_bytes(&self) -> Bytes {
        rows::encode(self).into()
    }

    /// The entry in `bytes`.
    ///
    /// # Errors
    /// [`Error::NewerEntry`] when only a newer version of this program can apply it: a replica must
    /// stop there, not skip it. Else when the bytes are no entry.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Change), Error> {
        let mut entry: Self = rows::decode("entry", bytes)?;
        if entry.feature_level > FEATURE_LEVEL {
            return Err(Error::NewerEntry { level: entry.feature_level });
        }
        let change = entry.change.take().ok_or(Error::Damaged { what: "entry" })?;
        Ok((entry, change))
    }
}
