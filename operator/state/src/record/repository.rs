use gitstratum_core::{
    GrantsVersion, ObjectFormat, PartitionId, RepoId, RepoPath, UnixMillis, Visibility,
};
use sha2::{Digest as _, Sha256};

/// What a partition is drawn by, so that no other use of the same hash agrees with it.
const PARTITION_DOMAIN: &[u8] = b"gs-partition-1";

/// A repository as the directory knows it (S42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Never reused, never changed.
    pub id: RepoId,
    /// Its path; the last one it had, once deleted.
    pub path: RepoPath,
    /// Where its refs and manifest are; chosen at creation (S9).
    pub partition: PartitionId,
    /// The hash its objects are named by; chosen at creation.
    pub format: ObjectFormat,
    /// Branch that HEAD names until the first push says otherwise, without `refs/heads/`.
    pub default_branch: String,
    /// Who reads it without a grant.
    pub visibility: Visibility,
    /// One line for people.
    pub description: String,
    /// Where it is in its life.
    pub state: RepositoryState,
    /// Version of the last change of its path or state; partitions refuse an older one (S42).
    pub name_version: GrantsVersion,
    /// When it was made.
    pub created: UnixMillis,
    /// Version of the last change of anything here.
    pub version: GrantsVersion,
}

/// Where a repository is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryState {
    /// Serves.
    Live,
    /// Serves nothing; can be undeleted.
    Deleted,
    /// Its bytes are gone for good.
    Purged,
}

impl RepositoryState {
    /// The word people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
        }
    }
}

/// A path that was given up and may not be taken before the partition of its last
/// holder has applied the holder's newer name version (S42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathWait {
    /// The path.
    pub path: RepoPath,
    /// Who had it.
    pub repository: RepoId,
    /// Who must have applied the change.
    pub partition: PartitionId,
    /// The change.
    pub name_version: GrantsVersion,
}

/// The partition of a new repository among `partitions`, chosen by hash of its id.
///
/// # Panics
/// When `partitions` is 0, which founding refuses.
pub fn partition_of(id: RepoId, partitions: u32) -> PartitionId {
    let mut hasher = Sha256::new();
    hasher.update(PARTITION_DOMAIN);
    hasher.update(id.0.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    let slot = u64::from_be_bytes(head) % u64::from(partitions);
    PartitionId(u32::try_from(slot).expect("because a remainder by a u32 fits one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_md_12_partitions_are_chosen_evenly_by_hash() {
        let mut counts = [0_u32; 4];
        for index in 0..4_000 {
            let slot = partition_of(RepoId::allocate(1, index), 4);
            counts[usize::try_from(slot.0).expect("because it is below 4")] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
