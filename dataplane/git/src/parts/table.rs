use bytes::Bytes;
use gitstratum_core::ObjectId;

use super::{Error, Source};
use crate::graph::{self, Parent};
use crate::pack::Reader;
use crate::part::{CommitRow, Ordinal};
use crate::rows::{COMMITS_PER_BATCH, Commit, EntryBudget, RowBuilder, RowIds};
use crate::table::{self, Builder, RowObjects, Size, Slot};

/// Tree entries looked at for one batch of commits: a history of large trees that all
/// differ gets no rows beyond.
const ENTRIES_PER_BATCH_MAX: u64 = 1 << 28;
/// Objects that all rows together may list, for each object of the pack and besides: every
/// object is brought in once or a few times, unless somebody plays with us.
const PLACES_PER_OBJECT_MAX: usize = 4;
const PLACES_FREE: usize = 65_536;

/// The commit table: rows of the commits whose trees and whose parents' trees are all in
/// the pack. The others are absent, as are those for which there was no patience.
pub(super) fn build(
    source: &Source<'_>,
    graph: &graph::Reader,
    is_over: &dyn Fn() -> bool,
) -> Result<Bytes, Error> {
    let resolved = source.resolved;
    let entries = u32::try_from(resolved.len()).expect("because a pack's count has 32 bits");
    let size = Size { rows: graph.len(), entries };
    let mut rows = Rows {
        source,
        reader: Reader::new(resolved, source.from, source.limits),
        builder: Builder::new(graph.pack(), resolved.format(), size),
        places_left: PLACES_FREE + PLACES_PER_OBJECT_MAX * resolved.len(),
    };
    for batch in oldest_first(graph).chunks(COMMITS_PER_BATCH) {
        if is_over() {
            break;
        }
        rows.add_batch(graph, batch, is_over)?;
    }
    Ok(rows.builder.finish())
}

/// Commits whose parents are all in the pack, parents before children as far as their dates
/// say so: the oldest commit that brings an object is the one most refs reach.
fn oldest_first(graph: &graph::Reader) -> Vec<CommitRow> {
    let inside =
        |row: &CommitRow| graph.parents(*row).all(|parent| matches!(parent, Parent::Row(_)));
    let mut rows: Vec<CommitRow> = graph.rows().filter(inside).collect();
    rows.sort_by_key(|row| (graph.date(*row), std::cmp::Reverse(*row)));
    rows
}

struct Rows<'a> {
    source: &'a Source<'a>,
    reader: Reader<'a>,
    builder: Builder,
    places_left: usize,
}

impl Rows<'_> {
    /// Rows of some neighbours in history; none of them if that costs too much.
    fn add_batch(
        &mut self,
        graph: &graph::Reader,
        batch: &[CommitRow],
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let commits = batch.iter().map(|row| commit_of(graph, *row)).collect();
        let mut rows = RowBuilder::new(commits, EntryBudget(ENTRIES_PER_BATCH_MAX));
        while !rows.is_done() {
            for tree in rows.wanted() {
                if is_over() {
                    return Ok(());
                }
                let done = match self.reader.find(&tree).map_err(Error::Pack)? {
                    Some((_, content)) => rows.provide(tree, content),
                    None => rows.give_up(tree),
                };
                if done.is_err() {
                    return Ok(());
                }
            }
        }
        for (row, found) in rows.finish().unwrap_or_default() {
            if let Some(objects) = found.and_then(|found| self.place_all(&found)) {
                self.add_row(row, &objects);
            }
        }
        Ok(())
    }

    /// A row that does not fit any more is absent.
    fn add_row(&mut self, row: CommitRow, objects: &RowObjects) {
        let count = objects.trees.len() + objects.blobs.len();
        if count <= self.places_left && self.builder.add(row, objects).is_ok() {
            self.places_left -= count;
        }
    }

    fn place_all(&mut self, found: &RowIds) -> Option<RowObjects> {
        let mut places = |ids: &[ObjectId]| -> Option<Vec<table::Place>> {
            ids.iter().map(|id| self.place(id)).collect()
        };
        Some(RowObjects { trees: places(&found.trees)?, blobs: places(&found.blobs)? })
    }

    /// Where an object answers: in the pack, unless another one answers for it.
    fn place(&mut self, id: &ObjectId) -> Option<table::Place> {
        let other = match self.source.resolved.find(id) {
            None => *self.source.outside.get(id)?,
            Some(ordinal) => match self.source.shadowed.get(&ordinal) {
                None => return Some(table::Place { slot: Slot::OWN, ordinal: Ordinal(ordinal) }),
                Some(other) => *other,
            },
        };
        Some(table::Place { slot: self.builder.slot(other.pack), ordinal: other.ordinal })
    }
}

fn commit_of(graph: &graph::Reader, row: CommitRow) -> Commit<CommitRow> {
    let root_of = |parent| match parent {
        Parent::Row(row) => Some(graph.tree(row)),
        Parent::Outside(_) => None,
    };
    let parent_roots = graph.parents(row).filter_map(root_of).collect();
    Commit { key: row, root: graph.tree(row), parent_roots }
}
