use bytes::Bytes;
use gitstratum_core::{LogTime, RepoId, Version};
use gitstratum_store::KeyRange;

use super::record::{NumberRow, RefLogRow, RefRow, RepositoryRow};
use super::verdict::{Changes, RefChange};
use super::{Error, REF_LOG_CHANGES_MAX, SWEEP_ROWS_MAX, Scope, WANT_GRACE, keys, rows};

/// Rows of the refs log that are read at once while it is shortened.
const LOG_PAGE_ROWS: usize = 64;

/// Moves the refs of `repository` as `changes` say, and notes it in the refs log (S31).
pub(super) fn write(
    scope: &mut Scope<'_>,
    repository: &mut RepositoryRow,
    changes: &Changes,
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    for (name, change) in changes {
        write_one(scope, repository, name, change)?;
    }
    repository.refs_version = scope.index.0;
    append_log(scope, repository, changes.keys().cloned().collect());
    shorten_log(scope, repository)
}

fn write_one(
    scope: &mut Scope<'_>,
    repository: &mut RepositoryRow,
    name: &Bytes,
    change: &RefChange,
) -> Result<(), Error> {
    let repo = RepoId(repository.repo_id);
    let key = keys::reference(repo, name);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            rows::store(scope.rows, key, new);
            begin_grace(scope, repo, name, old)?;
        }
        (None, Some(new)) => {
            rows::store(scope.rows, key, new);
            repository.refs_count += 1;
            scope.group.refs_count += 1;
        }
        (_, None) => {
            scope.rows.delete(key);
            repository.refs_count = repository.refs_count.saturating_sub(1);
            scope.group.refs_count = scope.group.refs_count.saturating_sub(1);
            cancel_graces(scope, repo, name)?;
        }
    }
    Ok(())
}

fn append_log(scope: &mut Scope<'_>, repository: &mut RepositoryRow, names: Vec<Bytes>) {
    repository.ref_log_changes += names.len() as u64;
    let key = keys::ref_log(RepoId(repository.repo_id), scope.index);
    rows::store(scope.rows, key, &RefLogRow { names });
}

/// Drops the oldest entries until the log has at most [`REF_LOG_CHANGES_MAX`] changes.
fn shorten_log(scope: &mut Scope<'_>, repository: &mut RepositoryRow) -> Result<(), Error> {
    let repo = RepoId(repository.repo_id);
    while repository.ref_log_changes > REF_LOG_CHANGES_MAX {
        let rest = keys::ref_log_after(repo, Version(repository.ref_log_from));
        let page = scope.rows.scan(&rest, LOG_PAGE_ROWS)?;
        if page.is_empty() {
            return Err(Error::Contradiction {
                problem: "the refs log has fewer rows than counted",
            });
        }
        for (key, value) in page {
            if repository.ref_log_changes <= REF_LOG_CHANGES_MAX {
                break;
            }
            let row: RefLogRow = rows::decode("refs log", &value)?;
            repository.ref_log_from = keys::ref_log_version(&key)?.0;
            repository.ref_log_changes =
                repository.ref_log_changes.saturating_sub(row.names.len() as u64);
            scope.rows.delete(key.to_vec());
        }
    }
    Ok(())
}

/// A replaced tip stays wantable for a while (S24).
fn begin_grace(
    scope: &mut Scope<'_>,
    repo: RepoId,
    name: &[u8],
    old: &RefRow,
) -> Result<(), Error> {
    let key = keys::grace(repo, name, &old.target);
    cancel_grace(scope, &key)?;
    let queue = keys::grace_queue(scope.log_time(), &key);
    let row = NumberRow { number: scope.group.log_time };
    rows::store(scope.rows, key, &row);
    rows::store(scope.rows, queue, &row);
    Ok(())
}

/// Deleting a ref ends the grace of all it ever pointed at.
fn cancel_graces(scope: &mut Scope<'_>, repo: RepoId, name: &[u8]) -> Result<(), Error> {
    let all: KeyRange = keys::graces_of(repo, name);
    loop {
        let page = scope.rows.scan(&all, LOG_PAGE_ROWS)?;
        if page.is_empty() {
            return Ok(());
        }
        for (key, _) in page {
            cancel_grace(scope, &key)?;
        }
    }
}

fn cancel_grace(scope: &mut Scope<'_>, key: &[u8]) -> Result<(), Error> {
    if let Some(row) = rows::find::<NumberRow>(scope.rows, "grace", key)? {
        scope.rows.delete(keys::grace_queue(LogTime(row.number), key));
        scope.rows.delete(key.to_vec());
    }
    Ok(())
}

/// Forgets replaced tips whose grace is over.
pub(super) fn end_graces(scope: &mut Scope<'_>) -> Result<(), Error> {
    let grace = u64::try_from(WANT_GRACE.as_millis()).unwrap_or(u64::MAX);
    let Some(ended) = scope.group.log_time.checked_sub(grace) else { return Ok(()) };
    let queue = keys::grace_queue_before(LogTime(ended));
    for (key, _) in scope.rows.scan(&queue, SWEEP_ROWS_MAX)? {
        scope.rows.delete(keys::grace_of_queue(&key).to_vec());
        scope.rows.delete(key.to_vec());
    }
    Ok(())
}
