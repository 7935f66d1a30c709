use std::collections::HashSet;

use gitstratum_core::{ErrorKind, ObjectId};
use gitstratum_git::graph;
use gitstratum_git::part::CommitRow;
use gitstratum_git::rows::{self, COMMITS_PER_BATCH, EntryBudget, RowBuilder, RowIds, TreeWalk};

use super::TreeJob;
use super::collect::Collector;
use crate::Error;

/// Trees read in one batch.
const TREES_AT_ONCE: usize = 4_096;
/// Tree entries that one request may look at.
const ENTRIES_MAX: u64 = 100_000_000;

/// The job that rebuilds an absent row: the commit's tree less those of its parents.
pub(super) async fn row_job(
    collector: &Collector<'_>,
    graph: &graph::Reader,
    row: CommitRow,
) -> Result<TreeJob, Error> {
    let mut less = Vec::new();
    for parent in graph.parents(row) {
        match parent {
            graph::Parent::Row(row) => less.push(graph.tree(row)),
            graph::Parent::Outside(id) => less.push(tree_of(collector, &id).await?),
        }
    }
    Ok(TreeJob { root: graph.tree(row), less })
}

/// The root tree of a commit in another pack.
async fn tree_of(collector: &Collector<'_>, id: &ObjectId) -> Result<ObjectId, Error> {
    for pack in collector.packs.iter().rev() {
        let graph = collector.reader.graph(pack).await?;
        if let Some(row) = graph.row_of(id) {
            return Ok(graph.tree(row));
        }
    }
    Err(super::damaged(format!("commit {id} is in no live pack")))
}

/// Adds what each job's tree has and the trees to subtract do not, level by level over all
/// jobs at once.
pub(super) async fn rebuild(
    collector: &mut Collector<'_>,
    jobs: Vec<TreeJob>,
) -> Result<(), Error> {
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let batch: Vec<_> = jobs
            .by_ref()
            .take(COMMITS_PER_BATCH)
            .map(|job| rows::Commit { key: (), root: job.root, parent_roots: job.less })
            .collect();
        let mut builder = RowBuilder::new(batch, EntryBudget(ENTRIES_MAX));
        while !builder.is_done() {
            for ids in builder.wanted().chunks(TREES_AT_ONCE) {
                for (id, tree) in read(collector, ids).await? {
                    builder.provide(id, tree).map_err(over)?;
                }
            }
        }
        for (_, row) in builder.finish().map_err(over)? {
            let row = row.ok_or_else(|| super::damaged("a row could not be rebuilt"))?;
            add(collector, &row).await?;
        }
    }
    Ok(())
}

/// Adds everything under trees that are wanted by themselves.
pub(super) async fn walk(collector: &mut Collector<'_>, roots: Vec<ObjectId>) -> Result<(), Error> {
    let mut walk = TreeWalk::new(roots.iter().copied(), HashSet::new(), EntryBudget(ENTRIES_MAX));
    while !walk.is_done() {
        for ids in walk.wanted().chunks(TREES_AT_ONCE) {
            for (id, tree) in read(collector, ids).await? {
                walk.provide(id, &tree).map_err(over)?;
            }
        }
    }
    collector.add_wanted(&roots).await?;
    let found = walk.finish().map_err(over)?;
    add(collector, &found).await
}

async fn add(collector: &mut Collector<'_>, row: &RowIds) -> Result<(), Error> {
    collector.add_ids(&row.trees).await?;
    if collector.wants_blobs() {
        collector.add_ids(&row.blobs).await?;
    }
    Ok(())
}

async fn read(
    collector: &Collector<'_>,
    ids: &[ObjectId],
) -> Result<Vec<(ObjectId, bytes::Bytes)>, Error> {
    let mut objects = collector.reader.read(collector.packs, ids).await?;
    let take = |id: &ObjectId| {
        let object = objects.remove(id);
        let object = object.ok_or_else(|| super::damaged(format!("tree {id} is missing")))?;
        Ok((*id, object.data))
    };
    ids.iter().map(take).collect()
}

fn over(error: rows::Error) -> Error {
    match error.kind() {
        ErrorKind::Busy => {
            Error::caused(ErrorKind::Busy, "the request needs too long a walk", error)
        }
        kind => Error::caused(kind, "stored data is damaged; the operators have been told", error),
    }
}
