//! From the path a client names to the repository it may use: the only way a command
//! gets a repository.

use std::sync::Arc;

use gitstratum_client::cluster::{Feed, Snapshot, allowed};
use gitstratum_core::{ErrorKind, ObjectFormat, PartitionId, RepoId, RepoPath, Role};
use gitstratum_proto::common::v1::{Actor, RepoKey};
use gitstratum_proto::control::v1::Repository;
use gitstratum_proto::format_from_wire;

use crate::Error;

/// A repository that a caller may use as far as it asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its record in the directory.
    pub repository: Arc<Repository>,
    /// Hash its objects are named by.
    pub format: ObjectFormat,
}

impl Target {
    /// The repository at `path`, if `actor` may do `needed` there. A repository that the
    /// actor may not know of and one that does not exist give the same error; one that
    /// may be read but not written gives `Denied`.
    ///
    /// # Errors
    /// `NotFound` or `Denied`.
    pub(crate) fn resolve(
        snapshot: &Snapshot,
        actor: &Actor,
        path: &RepoPath,
        needed: Role,
    ) -> Result<Self, Error> {
        let repository = snapshot.repository(path).ok_or_else(Error::no_repository)?;
        let role = allowed(snapshot, actor, &repository).ok_or_else(Error::no_repository)?;
        if role < needed {
            let message = format!("you may {role} {path}, not {needed} it");
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let format =
            format_from_wire("object_format", repository.object_format).map_err(|source| {
                Error::caused(ErrorKind::Corrupt, "damaged repository record", source)
            })?;
        Ok(Self { repository, format })
    }

    /// Pends until `actor` may no longer do `needed` here: its credential was revoked, its
    /// grant withdrawn, the repository deleted (P-S3). Gives what to tell it.
    pub(crate) async fn revoked(&self, mut feed: Feed, actor: &Actor, needed: Role) -> Error {
        loop {
            let snapshot = feed.changed().await;
            let live = snapshot.repository_by_id(self.id()).filter(|found| is_live(found));
            let role = live.and_then(|repository| allowed(&snapshot, actor, &repository));
            if role.is_none_or(|role| role < needed) {
                return Error::new(ErrorKind::Denied, "your access was revoked");
            }
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> RepoId {
        RepoId(self.repository.id)
    }

    /// Its partition.
    pub(crate) fn partition(&self) -> PartitionId {
        PartitionId(self.repository.partition)
    }

    /// How the partition knows it.
    pub(crate) fn key(&self) -> RepoKey {
        RepoKey {
            repo_id: self.repository.id,
            partition: self.repository.partition,
            name_version: self.repository.name_version,
        }
    }
}

/// Neither deleted nor purged.
fn is_live(repository: &Repository) -> bool {
    const LIVE: u32 = 1;
    repository.state == LIVE
}
