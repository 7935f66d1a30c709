//! Where a group's rows are.

use bytes::Bytes;
use gitstratum_core::NodeId;
use gitstratum_store::{Family, KeyRange};

use crate::error::Error;
use crate::id::GroupId;
use crate::seal;

/// Log entries: group, index.
pub(crate) const LOG: Family = Family("raft_log");
/// Records beside the log: group, record.
pub(crate) const META: Family = Family("raft_meta");
/// Rows of state machines: group, generation, the machine's key.
pub(crate) const STATE: Family = Family("raft_state");

/// Bytes before the machine's own key: group and generation.
pub(crate) const STATE_PREFIX_BYTES: usize = 16;

/// A record beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Term and vote.
    Vote,
    /// The last entry that compaction removed.
    Purged,
    /// The last entry known to be committed.
    Committed,
    /// Which generation is the state, what was applied to it.
    Position,
    /// This node's replica: its id and its last start (S23).
    Replica,
}

impl Record {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Purged => "purge record",
            Self::Committed => "commit record",
            Self::Position => "state position",
            Self::Replica => "replica record",
        }
    }

    /// Its key.
    pub(crate) fn key(self, group: GroupId) -> Bytes {
        let tag = match self {
            Self::Vote => b'v',
            Self::Purged => b'p',
            Self::Committed => b'c',
            Self::Position => b's',
            Self::Replica => b'r',
        };
        let mut key = group.0.to_be_bytes().to_vec();
        key.push(tag);
        key.into()
    }

    /// Its bytes, opened.
    pub(crate) fn open<M: prost::Message + Default>(
        self,
        group: GroupId,
        sealed: &Bytes,
    ) -> Result<M, Error> {
        seal::open(&self.key(group), sealed).map_err(|broken| Error::Record {
            group,
            record: self.name(),
            what: broken.to_string(),
        })
    }
}

/// The key of the last start of a replica on `node` that was shown here (S23).
pub(crate) fn seen_key(group: GroupId, node: NodeId) -> Bytes {
    let mut key = group.0.to_be_bytes().to_vec();
    key.push(b'n');
    key.extend_from_slice(&node.0.to_be_bytes());
    key.into()
}

/// All keys of starts that peers have shown here of `group`.
pub(crate) fn seen_keys(group: GroupId) -> KeyRange {
    let mut prefix = group.0.to_be_bytes().to_vec();
    prefix.push(b'n');
    KeyRange::prefix(prefix)
}

/// The key of a log entry.
pub(crate) fn entry_key(group: GroupId, index: u64) -> Bytes {
    let mut key = Vec::with_capacity(16);
    key.extend_from_slice(&group.0.to_be_bytes());
    key.extend_from_slice(&index.to_be_bytes());
    key.into()
}

/// The index in the key of a log entry.
pub(crate) fn entry_index(key: &[u8]) -> Option<u64> {
    key.get(8..)?.try_into().ok().map(u64::from_be_bytes)
}

/// All entries of a group from `first` on.
pub(crate) fn entries_from(group: GroupId, first: u64) -> KeyRange {
    match KeyRange::prefix(group.0.to_be_bytes().to_vec()).end() {
        Some(end) => KeyRange::between(entry_key(group, first), Bytes::copy_from_slice(end)),
        None => KeyRange::from(entry_key(group, first)),
    }
}

/// The key prefix of one generation of a group's state.
pub(crate) fn state_prefix(group: GroupId, generation: u64) -> Bytes {
    entry_key(group, generation)
}

/// All rows of all generations of a group from `generation` on.
pub(crate) fn generations_from(group: GroupId, generation: u64) -> KeyRange {
    entries_from(group, generation)
}
