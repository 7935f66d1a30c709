//! The rows of a partition, as prost messages without maps (S49): the same state has
//! the same bytes on every replica. `docs/formats/partition.md` describes them.

use bytes::Bytes;
use gitstratum_core::{LogTime, ObjectFormat, Version};
use gitstratum_proto::common::v1::Pack;

/// What the group keeps of itself. One row.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GroupRow {
    /// Log time, milliseconds (S14).
    #[prost(uint64, tag = "1")]
    pub log_time: u64,
    /// Highest grants version that an entry was decided by (S44).
    #[prost(uint64, tag = "2")]
    pub grants_version: u64,
    /// Lowest feature level of the voters (S49); 0 stands for 1.
    #[prost(uint32, tag = "3")]
    pub feature_level: u32,
    /// Refs of all repositories (GS-MX-08).
    #[prost(uint64, tag = "4")]
    pub refs_count: u64,
    /// Repositories in any state but purged.
    #[prost(uint64, tag = "5")]
    pub repositories_count: u64,
    /// Sessions that are open.
    #[prost(uint64, tag = "6")]
    pub sessions_open: u64,
    /// Sessions that are closed and still remembered.
    #[prost(uint64, tag = "7")]
    pub sessions_closed: u64,
    /// Audit lines at or below it are gone (S41).
    #[prost(uint64, tag = "8")]
    pub audit_floor: u64,
    /// Bytes of the audit lines that are left.
    #[prost(uint64, tag = "9")]
    pub audit_bytes: u64,
    /// Segments on the repair list (S18).
    #[prost(uint64, tag = "10")]
    pub repairs_count: u64,
    /// Packs that are kept though no manifest lists them: replaced ones and cruft (S30, S37).
    #[prost(uint64, tag = "11")]
    pub unlisted_count: u64,
    /// Of them those of dropped objects, whose windows run.
    #[prost(uint64, tag = "12")]
    pub cruft_count: u64,
}

/// One repository (GS-MD-02, GS-MD-16).
#[derive(Clone, PartialEq, prost::Message)]
pub struct RepositoryRow {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// `OWNER/NAME`, for people.
    #[prost(string, tag = "2")]
    pub path: String,
    /// 1 sha1, 2 sha256; never changes.
    #[prost(uint32, tag = "3")]
    pub object_format: u32,
    /// Branch that HEAD names, without `refs/heads/`.
    #[prost(string, tag = "4")]
    pub default_branch: String,
    /// Whether everyone may read it.
    #[prost(bool, tag = "5")]
    pub public: bool,
    /// 1 live, 2 deleted, 3 purged (S42).
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// Version of the last change of name or state (S42).
    #[prost(uint64, tag = "7")]
    pub name_version: u64,
    /// Version of the directory record that this row was made from (S43).
    #[prost(uint64, tag = "8")]
    pub directory_version: u64,
    /// Index of the last entry that changed refs.
    #[prost(uint64, tag = "9")]
    pub refs_version: u64,
    /// Index of the last entry that changed the manifest.
    #[prost(uint64, tag = "10")]
    pub manifest_version: u64,
    /// Raised when a drop run starts (S15).
    #[prost(uint64, tag = "11")]
    pub drop_counter: u64,
    /// Number of the last push that changed something (S13).
    #[prost(uint64, tag = "12")]
    pub push_sequence: u64,
    /// Refs.
    #[prost(uint64, tag = "13")]
    pub refs_count: u64,
    /// Live packs.
    #[prost(uint64, tag = "14")]
    pub packs_count: u64,
    /// Bytes of the live packs.
    #[prost(uint64, tag = "15")]
    pub size_bytes: u64,
    /// The refs log is whole after this version (S31).
    #[prost(uint64, tag = "16")]
    pub ref_log_from: u64,
    /// Changes in the refs log.
    #[prost(uint64, tag = "17")]
    pub ref_log_changes: u64,
    /// Readers who hold an older manifest than this read it whole: something other than a new pack
    /// has changed since.
    #[prost(uint64, tag = "18")]
    pub manifest_from: u64,
}

impl RepositoryRow {
    /// Whether it can be used.
    pub fn is_live(&self) -> bool {
        self.state == RepositoryState::Live as u32
    }

    /// The format of its ids.
    pub fn format(&self) -> ObjectFormat {
        if self.object_format == 2 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 }
    }

    /// The ref that HEAD names.
    pub fn head(&self) -> Bytes {
        format!("refs/heads/{}", self.default_branch).into()
    }

    /// Version of its refs.
    pub fn refs_version(&self) -> Version {
        Version(self.refs_version)
    }

    /// Whether a reader who holds the manifest of `held` needs only the packs listed since.
    pub fn has_manifest_changes_since(&self, held: Version) -> bool {
        (self.manifest_from..=self.manifest_version).contains(&held.0)
    }

    /// Version of its manifest.
    pub fn manifest_version(&self) -> Version {
        Version(self.manifest_version)
    }
}

/// State of a repository, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryState {
    /// In use.
    Live = 1,
    /// Can be undeleted.
    Deleted = 2,
    /// Gone for good.
    Purged = 3,
}

/// One ref. Its name is in the key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefRow {
    /// What it points at.
    #[prost(bytes = "bytes", tag = "1")]
    pub target: Bytes,
    /// For an annotated tag what it peels to, else empty.
    #[prost(bytes = "bytes", tag = "2")]
    pub peeled: Bytes,
}

/// Names of the refs that one entry changed (S31). Values are read from the refs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RefLogRow {
    /// The names.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub names: Vec<Bytes>,
}

/// One session of a frontend (S10).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionRow {
    /// The frontend.
    #[prost(uint64, tag = "1")]
    pub node: u64,
    /// Its incarnation.
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    /// All push numbers below are done.
    #[prost(uint64, tag = "3")]
    pub floor: u64,
    /// Whether it is closed.
    #[prost(bool, tag = "4")]
    pub closed: bool,
    /// Log time of the close.
    #[prost(uint64, tag = "5")]
    pub closed_at: u64,
}

/// The recorded answer to a push (S11).
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutcomeRow {
    /// The attempt that it answers.
    #[prost(uint32, tag = "1")]
    pub attempt: u32,
    /// Whether the number is closed; else a higher attempt may still be made.
    #[prost(bool, tag = "2")]
    pub closed: bool,
    /// The answer, an encoded `UpdateRefsResponse`.
    #[prost(bytes = "bytes", tag = "3")]
    pub answer: Bytes,
    /// Attempts that were refused because a drop run had started (S15).
    #[prost(uint32, tag = "4")]
    pub drop_refusals: u32,
}

/// Where a pack or a segment is listed (S9, S12).
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlaceRow {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// Entry that listed the pack.
    #[prost(uint64, tag = "2")]
    pub listed: u64,
    /// The pack.
    #[prost(bytes = "bytes", tag = "3")]
    pub pack_id: Bytes,
    /// Whether no manifest lists it any more: it is replaced, or cruft.
    #[prost(bool, tag = "4")]
    pub unlisted: bool,
}

/// The last claim on a repository (S35).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ClaimRow {
    /// Its number: the index of the entry that opened it.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// A [`ClaimKind`](gitstratum_proto::metadata::v1::ClaimKind).
    #[prost(int32, tag = "2")]
    pub kind: i32,
    /// The node that holds it.
    #[prost(uint64, tag = "3")]
    pub node: u64,
    /// Whether it has ended.
    #[prost(bool, tag = "4")]
    pub closed: bool,
    /// Entry of the swap that ended it; 0 when none did.
    #[prost(uint64, tag = "5")]
    pub swapped: u64,
    /// Packs that the swap brought, by which its repeat is known.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub brought: Vec<Bytes>,
}

/// A pack that no manifest lists and that is still kept (S30, S37).
#[derive(Clone, PartialEq, prost::Message)]
pub struct UnlistedRow {
    /// Its manifest row.
    #[prost(message, required, tag = "1")]
    pub pack: Pack,
    /// The swap: who may hold an older manifest may read the pack.
    #[prost(uint64, tag = "2")]
    pub since: u64,
    /// Whether it holds dropped objects.
    #[prost(bool, tag = "3")]
    pub cruft: bool,
    /// Log time until which it is kept in any case.
    #[prost(uint64, tag = "4")]
    pub kept_until: u64,
}

impl UnlistedRow {
    /// Whether it may go at `now`, when no session uses a version below `horizon` (S30, S37).
    pub fn may_go(&self, horizon: Version, now: LogTime) -> bool {
        self.since <= horizon.0 && LogTime(self.kept_until) <= now
    }
}

/// Ids that a drop run marks from (S15).
#[derive(Clone, PartialEq, prost::Message)]
pub struct TipsRow {
    /// The ids.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub ids: Vec<Bytes>,
}

/// A segment with fewer owners than the replication factor (S18).
#[derive(Clone, PartialEq, prost::Message)]
pub struct RepairRow {
    /// The repository.
    #[prost(uint64, tag = "1")]
    pub repo_id: u64,
    /// Owners that it lacks.
    #[prost(uint32, tag = "2")]
    pub missing: u32,
    /// Entry that put it on the list.
    #[prost(uint64, tag = "3")]
    pub since: u64,
}

/// The last command about a node's fence (S20).
#[derive(Clone, PartialEq, prost::Message)]
pub struct FenceRow {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Whether it lifted the fence.
    #[prost(bool, tag = "2")]
    pub lifted: bool,
}

impl FenceRow {
    /// The number of the fence that stands; 0 when there is none.
    pub const fn standing(&self) -> u64 {
        if self.lifted { 0 } else { self.number }
    }
}

/// A number that a node has shown or was given.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NumberRow {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// One audit line: who did what in one entry (S41).
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuditRow {
    /// Wall clock of the leader, milliseconds; for people only.
    #[prost(uint64, tag = "1")]
    pub wall_millis: u64,
    /// Who.
    #[prost(message, optional, tag = "2")]
    pub who: Option<Who>,
    /// The repository.
    #[prost(uint64, tag = "3")]
    pub repo_id: u64,
    /// Its path at that moment.
    #[prost(string, tag = "4")]
    pub path: String,
    /// What each command did.
    #[prost(message, repeated, tag = "5")]
    pub changes: Vec<AuditChange>,
    /// Why the whole push was refused; 0 when it was not.
    #[prost(int32, tag = "6")]
    pub refusal: i32,
    /// Log time, by which it is pruned.
    #[prost(uint64, tag = "7")]
    pub log_time: u64,
    /// The segment whose loss was accepted (S20); empty when the line is of a push.
    #[prost(bytes = "bytes", tag = "8")]
    pub lost_segment: Bytes,
}

/// One ref command in an audit line.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AuditChange {
    /// The ref.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// Expected old target.
    #[prost(bytes = "bytes", tag = "2")]
    pub old: Bytes,
    /// New target.
    #[prost(bytes = "bytes", tag = "3")]
    pub new: Bytes,
    /// Why it was refused; 0 when it was not.
    #[prost(int32, tag = "4")]
    pub refusal: i32,
}

/// Who asked for a change, for audit lines.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Who {
    /// The user; 0 is nobody.
    #[prost(uint64, tag = "1")]
    pub user_id: u64,
    /// The user's name at that moment.
    #[prost(string, tag = "2")]
    pub user_name: String,
    /// The request, as in every role's log.
    #[prost(string, tag = "3")]
    pub request_id: String,
    /// The client's address.
    #[prost(string, tag = "4")]
    pub client_addr: String,
}
