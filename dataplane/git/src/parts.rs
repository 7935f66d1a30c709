//! The parts of a new pack, made from its objects: index, commit graph, commit table (S5–S8).
//! Whoever brings a pack into being makes them here, a push as well as a compaction.

mod index;
mod table;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectId, PackId};
use roaring::RoaringBitmap;

use crate::graph::{self, Commit, Tag};
use crate::pack::{self, Limits, ReadFrom, Resolved};
use crate::part::{self, Kind, Ordinal};

/// Most bytes of a graph part that ride in the manifest row (S6).
const INLINE_GRAPH_BYTES_MAX: usize = 64 * 1024;

/// Where an object answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pack.
    pub pack: PackId,
    /// Its entry there.
    pub ordinal: Ordinal,
}

/// What is known of a pack whose parts are made.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its objects.
    pub resolved: &'a Resolved,
    /// Where their bytes, and those of bases outside, are read.
    pub from: ReadFrom<'a>,
    /// What reading them may cost.
    pub limits: &'a Limits,
    /// Ordinals of objects that answer nothing (S8); never a duplicate.
    pub strays: &'a RoaringBitmap,
    /// Commits that are neither strays nor duplicates.
    pub commits: &'a [Commit],
    /// Tags that are neither strays nor duplicates.
    pub tags: &'a [Tag],
    /// By ordinal: objects that another pack answers for.
    pub shadowed: &'a BTreeMap<u32, Place>,
    /// Objects outside the pack that it refers to.
    pub outside: &'a HashMap<ObjectId, Place>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("objects", &self.resolved.len()).finish_non_exhaustive()
    }
}

/// The parts of a pack, and what its manifest row says of its objects.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where every object lies.
    pub index: Bytes,
    /// Commits and tags.
    pub graph: Bytes,
    /// What each commit brings.
    pub table: Bytes,
    /// Objects that answer nothing.
    pub stray_count: u32,
    /// Objects that another pack answers for.
    pub shadowed_count: u32,
    /// Later copies inside the pack.
    pub duplicate_count: u32,
}

/// Why the parts were not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part would be larger than its format can hold, or contradicts itself.
    #[error("making the {kind} of a pack")]
    Part {
        /// Which.
        kind: Kind,
        /// Why.
        #[source]
        source: part::Error,
    },
    /// The pack cannot be read back.
    #[error("reading a pack back")]
    Pack(#[source] pack::Error),
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Part { source, .. } => source.kind(),
            Self::Pack(source) => source.kind(),
        }
    }
}

impl Parts {
    /// All of them, to be placed.
    pub fn bytes(&self) -> Vec<(Kind, Bytes)> {
        vec![
            (Kind::Index, self.index.clone()),
            (Kind::Graph, self.graph.clone()),
            (Kind::Table, self.table.clone()),
        ]
    }

    /// The graph as it rides in the manifest row: nothing if it is too large.
    pub fn inline_graph(&self) -> Bytes {
        if self.graph.len() <= INLINE_GRAPH_BYTES_MAX { self.graph.clone() } else { Bytes::new() }
    }
}

/// Makes the parts of `pack`. Rows of the table that are not made once `is_over` says so stay
/// absent: they are rebuilt when asked for.
///
/// # Errors
/// When the pack cannot be read back, or a part would be larger than its format can hold.
pub fn build(
    pack: PackId,
    source: &Source<'_>,
    is_over: &dyn Fn() -> bool,
) -> Result<Parts, Error> {
    let graph = build_graph(pack, source)?;
    let rows = graph::Reader::open(pack, graph.clone()).map_err(broken(Kind::Graph))?;
    let table = table::build(source, &rows, is_over)?;
    let index = index::build(pack, source)?;
    Ok(Parts {
        index,
        graph,
        table,
        stray_count: u32::try_from(source.strays.len()).unwrap_or(u32::MAX),
        shadowed_count: u32::try_from(source.shadowed.len()).unwrap_or(u32::MAX),
        duplicate_count: u32::try_from(source.resolved.duplicates().len()).unwrap_or(u32::MAX),
    })
}

fn build_graph(pack: PackId, source: &Source<'_>) -> Result<Bytes, Error> {
    let mut builder = graph::Builder::new(pack, source.resolved.format());
    for commit in source.commits {
        builder.add_commit(commit.clone()).map_err(broken(Kind::Graph))?;
    }
    for tag in source.tags {
        builder.add_tag(*tag).map_err(broken(Kind::Graph))?;
    }
    builder.finish().map_err(broken(Kind::Graph))
}

fn broken(kind: Kind) -> impl Fn(part::Error) -> Error {
    move |source| Error::Part { kind, source }
}
