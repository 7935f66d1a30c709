//! The parts of a new pack: index, commit graph, commit table (S5–S8). Blocking, and pure
//! but for reading trees from the spool.

mod index;
mod table;

use bytes::Bytes;
use gitstratum_core::PackId;
use gitstratum_git::graph;
use gitstratum_git::part::Kind;

use super::cancel::Cancel;
use super::check::Checked;
use super::ground::Ground;
use super::{Deadline, Error};

/// Most bytes of a graph part that ride in the manifest row (S6).
const INLINE_GRAPH_BYTES_MAX: usize = 64 * 1024;

/// The parts of a pack, and what its manifest row says of its objects.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(super) index: Bytes,
    pub(super) graph: Bytes,
    pub(super) table: Bytes,
    pub(super) stray_count: u32,
    pub(super) shadowed_count: u32,
    pub(super) duplicate_count: u32,
}

impl Parts {
    /// All of them, to be placed.
    pub(super) fn bytes(&self) -> Vec<(Kind, Bytes)> {
        vec![
            (Kind::Index, self.index.clone()),
            (Kind::Graph, self.graph.clone()),
            (Kind::Table, self.table.clone()),
        ]
    }

    /// The graph as it rides in the manifest row: nothing if it is too large.
    pub(super) fn inline_graph(&self) -> Bytes {
        if self.graph.len() <= INLINE_GRAPH_BYTES_MAX { self.graph.clone() } else { Bytes::new() }
    }
}

/// When to stop making rows of the commit table: absent rows are rebuilt when asked for.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) deadline: Deadline,
    pub(super) cancel: Cancel,
}

impl Patience {
    fn is_over(&self) -> bool {
        self.cancel.is_set() || self.deadline.has_passed()
    }
}

/// Makes the parts of `pack`.
///
/// # Errors
/// When the pack cannot be read back, or a part would be larger than its format can hold.
pub(super) fn build(
    pack: PackId,
    checked: &Checked,
    ground: &Ground,
    patience: &Patience,
) -> Result<Parts, Error> {
    let graph = build_graph(pack, checked)?;
    let rows = graph::Reader::open(pack, graph.clone()).map_err(broken(Kind::Graph))?;
    let table = table::build(checked, ground, &rows, patience)?;
    let index = index::build(pack, checked, ground)?;
    Ok(Parts {
        index,
        graph,
        table,
        stray_count: u32::try_from(checked.strays.len()).unwrap_or(u32::MAX),
        shadowed_count: u32::try_from(ground.shadowed.len()).unwrap_or(u32::MAX),
        duplicate_count: u32::try_from(checked.resolved.duplicates().len()).unwrap_or(u32::MAX),
    })
}

fn build_graph(pack: PackId, checked: &Checked) -> Result<Bytes, Error> {
    let mut builder = graph::Builder::new(pack, checked.resolved.format());
    for commit in &checked.commits {
        builder.add_commit(commit.clone()).map_err(broken(Kind::Graph))?;
    }
    for tag in &checked.tags {
        builder.add_tag(*tag).map_err(broken(Kind::Graph))?;
    }
    builder.finish().map_err(broken(Kind::Graph))
}

fn broken(kind: Kind) -> impl Fn(gitstratum_git::part::Error) -> Error {
    move |source| Error::Part { kind, source }
}

#[cfg(test)]
mod tests;
