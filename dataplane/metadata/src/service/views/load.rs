use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{RepoId, Version};

use super::{current_refs, ref_value};
use crate::error::Error;
use crate::partition::record::{RefRow, RepositoryRow};
use crate::partition::{self, Rows, query};
use crate::refs::{RefList, RefListBuilder};
use crate::service::hosted::Hosted;

/// Refs read between two chances for entries to be applied.
const PAGE_REFS: usize = 16_384;

/// A run of refs as they were at one moment.
struct Page {
    row: RepositoryRow,
    refs: Vec<(Bytes, RefRow)>,
}

/// Reads all refs of a repository in pages, so that nobody waits long for their own entry. What
/// moved meanwhile is brought up to date at the end from the refs log (S31): the result is the list
/// of one version. `None` when the repository has no row, or more has moved than the log holds.
pub(super) async fn refs(hosted: &Hosted, repo: RepoId) -> Result<Option<Arc<RefList>>, Error> {
    let mut after = None;
    let mut mixed: Option<(RefListBuilder, Version)> = None;
    loop {
        let from = after.take();
        let Some(page) = hosted.read(move |rows| read_page(rows, repo, from)).await? else {
            return Ok(None);
        };
        let is_last = page.refs.len() < PAGE_REFS;
        after = page.refs.last().map(|(name, _)| name.clone());
        let (builder, _) = mixed.get_or_insert_with(|| {
            (RefListBuilder::new(page.row.format()), page.row.refs_version())
        });
        let pushed = push(builder, &page.refs);
        pushed.map_err(|source| Error::Rows { partition: hosted.partition, source })?;
        if is_last {
            break;
        }
    }
    match mixed {
        Some((builder, start)) => settle(hosted, repo, builder.finish(start)).await,
        None => Ok(None),
    }
}

fn read_page(
    rows: &dyn Rows,
    repo: RepoId,
    after: Option<Bytes>,
) -> Result<Option<Page>, partition::Error> {
    let Some(row) = query::repository(rows, repo)? else { return Ok(None) };
    let refs = query::references_after(rows, repo, after.as_deref(), PAGE_REFS)?;
    Ok(Some(Page { row, refs }))
}

fn push(builder: &mut RefListBuilder, refs: &[(Bytes, RefRow)]) -> Result<(), partition::Error> {
    for (name, row) in refs {
        builder.push(name, &ref_value(row)?);
    }
    Ok(())
}

/// `mixed` has of each ref a value that it had at or after the list's version.
async fn settle(
    hosted: &Hosted,
    repo: RepoId,
    mixed: RefList,
) -> Result<Option<Arc<RefList>>, Error> {
    let mixed = Arc::new(mixed);
    let settled = hosted.read(move |rows| {
        let Some(row) = query::repository(rows, repo)? else { return Ok(None) };
        current_refs(rows, &row, Some(&mixed))
    });
    let list = settled.await?.map(|list| Arc::try_unwrap(list).map(RefList::without_history));
    Ok(list.map(|list| list.map_or_else(|shared| shared, Arc::new)))
}
