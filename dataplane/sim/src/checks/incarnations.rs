//! S14, S15, S23: incarnations, log time, grants and the versions of a repository never fall.

use gitstratum_core::{NodeId, RepoId};
use gitstratum_metadata::partition::query;

use super::Broken;
use super::rows::{Change, number};

const INCARNATIONS: &str = "incarnations-never-fall";
const VERSIONS: &str = "versions-never-fall";

/// A node has shown itself.
pub(super) fn shown(change: &Change<'_>, key: &[u8]) -> Result<(), Broken> {
    let node = NodeId(number(key, 1));
    let before = query::incarnation(change.before, node).unwrap_or_default();
    let after = query::incarnation(&change.after, node).unwrap_or_default();
    if after < before {
        let what = format!("node {node} showed {before}, and then {after} counts");
        return Err(Broken::new(INCARNATIONS, what));
    }
    Ok(())
}

/// A segment is listed with `node` under `incarnation`.
pub(super) fn listed(change: &Change<'_>, node: NodeId, incarnation: u64) -> Result<(), Broken> {
    let shown = query::incarnation(change.before, node).unwrap_or_default();
    if incarnation < shown {
        let what =
            format!("node {node} is listed under incarnation {incarnation}, and it showed {shown}");
        return Err(Broken::new(INCARNATIONS, what));
    }
    Ok(())
}

/// The group's own row changes.
pub(super) fn time(change: &Change<'_>) -> Result<(), Broken> {
    let before = query::group(change.before).unwrap_or_default();
    let after = query::group(&change.after).unwrap_or_default();
    let times = (before.log_time, after.log_time);
    if times.1 < times.0 || after.grants_version < before.grants_version {
        return Err(Broken::new(VERSIONS, format!("log time or grants fall, {times:?}")));
    }
    Ok(())
}

/// The record of a repository changes.
pub(super) fn versions(change: &Change<'_>, key: &[u8]) -> Result<(), Broken> {
    let repo = RepoId(number(key, 1));
    let before = query::repository(change.before, repo).ok().flatten();
    let after = query::repository(&change.after, repo).ok().flatten();
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    let pairs = [
        (before.refs_version, after.refs_version),
        (before.manifest_version, after.manifest_version),
        (before.name_version, after.name_version),
        (before.drop_counter, after.drop_counter),
        (before.push_sequence, after.push_sequence),
    ];
    if pairs.iter().any(|(before, after)| after < before) {
        return Err(Broken::new(VERSIONS, format!("repository {repo}: {pairs:?}")));
    }
    Ok(())
}
