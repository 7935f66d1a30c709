use gitstratum_core::RepoId;

use super::entry::{PutRepositories, PutRepository};
use super::record::{RepositoryRow, RepositoryState};
use super::{Error, Scope, keys, query, rows};

/// Makes and changes repository rows as the directory says (S43). A record that is not newer than
/// the row changes nothing, so that repeats and late ones are harmless.
pub(super) fn put(scope: &mut Scope<'_>, put: PutRepositories) -> Result<(), Error> {
    put.repositories.into_iter().try_for_each(|record| put_one(scope, record))
}

fn put_one(scope: &mut Scope<'_>, record: PutRepository) -> Result<(), Error> {
    let repo = RepoId(record.repo_id);
    let held = query::repository(scope.rows, repo)?;
    if held.as_ref().is_some_and(|row| row.directory_version >= record.directory_version) {
        return Ok(());
    }
    let purged = RepositoryState::Purged as u32;
    let counted = held.as_ref().is_some_and(|row| row.state != purged);
    // A purge is final: nothing brings the rows of a purged repository back (S42).
    let state =
        if held.as_ref().is_some_and(|row| row.state == purged) { purged } else { record.state };
    let row = follow(held.unwrap_or_else(|| fresh(scope, &record)), record, state);
    match (counted, row.state != purged) {
        (false, true) => scope.group.repositories_count += 1,
        (true, false) => {
            scope.group.repositories_count = scope.group.repositories_count.saturating_sub(1);
        }
        _ => {}
    }
    rows::store(scope.rows, keys::repository(repo), &row);
    Ok(())
}

/// A repository without refs or packs. Its versions begin at this entry, so that a reader who holds
/// nothing (version 0) is never told "no change".
fn fresh(scope: &Scope<'_>, record: &PutRepository) -> RepositoryRow {
    RepositoryRow {
        repo_id: record.repo_id,
        object_format: record.object_format,
        refs_version: scope.index.0,
        manifest_version: scope.index.0,
        ref_log_from: scope.index.0,
        manifest_from: scope.index.0,
        ..RepositoryRow::default()
    }
}

fn follow(row: RepositoryRow, record: PutRepository, state: u32) -> RepositoryRow {
    RepositoryRow {
        path: record.path,
        default_branch: record.default_branch,
        public: record.public,
        state,
        name_version: row.name_version.max(record.name_version),
        directory_version: record.directory_version,
        ..row
    }
}
