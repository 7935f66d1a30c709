use std::sync::Arc;
use std::time::Duration;

use gitstratum_client::cluster::{Feed, Snapshot, allowed};
use gitstratum_core::{GrantsVersion, RepoId, Role};
use gitstratum_proto::common::v1::{Actor, RepoKey};

use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::query;
use crate::partition::record::{RepositoryRow, RepositoryState};

/// What a request may do, decided by this node's own snapshot (S44).
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// The snapshot that decided.
    pub(super) snapshot: Arc<Snapshot>,
    /// The most that the actor may do.
    pub(super) role: Role,
}

/// What this node knows of a request's actor and repository.
pub(super) struct Admitted {
    /// What the actor may do.
    pub(super) access: Access,
    /// The repository's row, as new as the name that the caller knows.
    pub(super) row: RepositoryRow,
}

/// Decides about a request for a repository: grants first, then the repository's state, so that
/// nothing is told to someone who may not know that it exists.
///
/// # Errors
/// As the three steps below.
pub(super) async fn admit(
    hosted: &Hosted,
    feed: &Feed,
    request: (&RepoKey, &Actor),
    wait: Duration,
) -> Result<Admitted, Error> {
    let (key, actor) = request;
    let group = hosted.read(query::group).await?;
    let needed = GrantsVersion(actor.grants_version.max(group.grants_version));
    let snapshot = snapshot_since(feed, needed, wait).await?;
    let access = authorise(snapshot, actor, RepoId(key.repo_id))?;
    let row = row_since(hosted, key, wait).await?;
    check_name(&row, key)?;
    Ok(Admitted { access, row })
}

/// Waits, at most `wait`, for a snapshot that is as new as `needed`.
pub(super) async fn snapshot_since(
    feed: &Feed,
    needed: GrantsVersion,
    wait: Duration,
) -> Result<Arc<Snapshot>, Error> {
    let current = feed.current();
    if current.version() >= needed {
        return Ok(current);
    }
    let held = current.version();
    let reached = tokio::time::timeout(wait, feed.wait_for(needed)).await;
    reached.map_err(|_| Error::GrantsBehind { held, needed })
}

/// Decides what `actor` may do in the repository. One that does not exist, is not live, or that
/// the actor may not see are the same to the caller.
///
/// # Errors
/// [`Error::NoRepository`].
pub(super) fn authorise(
    snapshot: Arc<Snapshot>,
    actor: &Actor,
    repo: RepoId,
) -> Result<Access, Error> {
    let hidden = Error::NoRepository { repo };
    let record = snapshot
        .repository_by_id(repo)
        .filter(|record| record.state == RepositoryState::Live as u32);
    let role = record.and_then(|record| allowed(&snapshot, actor, &record));
    match role {
        Some(role) => Ok(Access { snapshot, role }),
        None => Err(hidden),
    }
}

/// Waits, at most `wait`, until this replica's row of the repository is as new as the name that the
/// caller knows. The row may be newer.
///
/// # Errors
/// [`Error::Behind`] when it is not in time; [`Error::NoRepository`] when there is no row.
pub(super) async fn row_since(
    hosted: &Hosted,
    key: &RepoKey,
    wait: Duration,
) -> Result<RepositoryRow, Error> {
    /// Between two looks.
    const PAUSE: Duration = Duration::from_millis(20);
    let repo = RepoId(key.repo_id);
    let known = key.name_version;
    let settled = async {
        loop {
            let row = hosted.read(move |rows| query::repository(rows, repo)).await?;
            if let Some(row) = row.filter(|row| row.name_version >= known) {
                return Ok(row);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let waited = tokio::time::timeout(wait, settled).await;
    waited.unwrap_or(Err(Error::Behind { partition: hosted.partition }))
}

/// Refuses a request that was begun with an older name (S42), or for a repository that is not live.
///
/// # Errors
/// [`Error::Renamed`], [`Error::NoRepository`].
pub(super) fn check_name(row: &RepositoryRow, key: &RepoKey) -> Result<(), Error> {
    let repo = RepoId(key.repo_id);
    if !row.is_live() {
        return Err(Error::NoRepository { repo });
    }
    if key.name_version < row.name_version {
        return Err(Error::Renamed { repo });
    }
    Ok(())
}
