//! From a partition's plan to the entries that are sent: rows of commit tables are
//! united, absent rows rebuilt by tree difference, border trees walked, filters applied
//! (S7, S24–S27). Reads are batched: never one call for each object.

mod collect;
mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::Reader;
use gitstratum_core::{ErrorKind, ObjectId, PackId};
use gitstratum_git::index::{self, Record};
use gitstratum_git::part::{CommitRow, Kind, Ordinal};
use gitstratum_git::protocol::Filter;
use gitstratum_git::table;
use gitstratum_proto::metadata::v1::{FetchPlan, PackSelection};
use gitstratum_proto::{object_id, pack_id};
use roaring::RoaringBitmap;

use crate::Error;
use collect::Collector;

/// The entries to send of one pack. Only their ordinals are held: the index knows the rest.
#[derive(Clone, Debug)]
pub(crate) struct PackEntries {
    pub(crate) pack: Arc<Pack>,
    pub(crate) index: Arc<index::Reader>,
    pub(crate) ordinals: RoaringBitmap,
}

impl PackEntries {
    /// Their records, in the order of the pack.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.ordinals.iter().filter_map(|ordinal| self.index.by_ordinal(Ordinal(ordinal)))
    }

    /// Whether entry `ordinal` is among them.
    pub(crate) fn has(&self, ordinal: Ordinal) -> bool {
        self.ordinals.contains(ordinal.0)
    }

    /// How many of them come before entry `ordinal`, which is one of them.
    pub(crate) fn rank(&self, ordinal: Ordinal) -> u64 {
        self.ordinals.rank(ordinal.0) - 1
    }
}

/// Everything that is sent, each object once (S8).
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) packs: Vec<PackEntries>,
    pub(crate) count: u32,
}

/// A commit whose row has to be rebuilt, or whose whole tree is sent.
struct TreeJob {
    root: ObjectId,
    /// Trees that the client holds or gets anyway.
    less: Vec<ObjectId>,
}

/// Chooses the entries that `plan` asks for.
pub(crate) async fn expand(
    reader: &Arc<Reader>,
    packs: &[Arc<Pack>],
    plan: &FetchPlan,
    filter: Option<Filter>,
) -> Result<Selection, Error> {
    check(filter)?;
    let mut collector = Collector::new(reader, packs, filter);
    let mut jobs = Vec::new();
    for selection in &plan.packs {
        add_rows(&mut collector, selection, &mut jobs).await?;
    }
    let extras = ids("extra_objects", &plan.extra_objects)?;
    collector.add_wanted(&extras).await?;
    collector.add_ids(&ids("boundary_commits", &plan.boundary_commits)?).await?;
    if collector.wants_trees() {
        let held = ids("held_trees", &plan.held_trees)?;
        let border = ids("boundary_trees", &plan.boundary_trees)?;
        jobs.extend(border.into_iter().map(|root| TreeJob { root, less: held.clone() }));
        trees::rebuild(&mut collector, jobs).await?;
        trees::walk(&mut collector, ids("tree_roots", &plan.tree_roots)?).await?;
    } else {
        collector.add_wanted(&ids("tree_roots", &plan.tree_roots)?).await?;
    }
    collector.finish().await
}

/// `tree:0` leaves all trees out; a deeper cut is not served.
fn check(filter: Option<Filter>) -> Result<(), Error> {
    match filter {
        Some(Filter::TreeDepth(1..)) => {
            let message = "filter tree:N is served for N = 0 only";
            Err(Error::new(ErrorKind::Invalid, message))
        }
        Some(Filter::TreeDepth(0) | Filter::BlobNone | Filter::BlobLimit(_)) | None => Ok(()),
    }
}

/// The commits of a selection, with what their rows list. Rows that are absent become jobs, as do
/// those that name packs which have been compacted since.
async fn add_rows(
    collector: &mut Collector<'_>,
    selection: &PackSelection,
    jobs: &mut Vec<TreeJob>,
) -> Result<(), Error> {
    let id = pack_id("pack_id", &selection.pack_id).map_err(bug)?;
    let pack = collector.pack(id)?;
    let graph = collector.reader.graph(&pack).await?;
    let table = match pack.part(Kind::Table).filter(|_| collector.wants_trees()) {
        Some(_) => Some(collector.reader.table(&pack).await?),
        None => None,
    };
    let rows = match selection.all {
        true => (0..graph.len()).collect(),
        false => RoaringBitmap::deserialize_from(selection.commit_rows.as_ref()).map_err(bug)?,
    };
    collector.open(&pack).await?;
    for row in rows.iter().filter(|row| *row < graph.len()).map(CommitRow) {
        collector.add_place(&pack, graph.ordinal(row)).await?;
        let listed = match &table {
            Some(table) => table.row(row).map_err(damaged)?,
            None => None,
        };
        match (listed, &table) {
            (Some(objects), Some(table)) if collector.has_all(table, &objects) => {
                add_listed(collector, table, &objects).await?;
            }
            _ if collector.wants_trees() => {
                jobs.push(trees::row_job(collector, &graph, row).await?);
            }
            _ => {}
        }
    }
    Ok(())
}

async fn add_listed(
    collector: &mut Collector<'_>,
    table: &table::Reader,
    objects: &table::RowObjects,
) -> Result<(), Error> {
    let blobs = objects.blobs.iter().filter(|_| collector.wants_blobs());
    let places: Vec<_> = objects.trees.iter().chain(blobs).copied().collect();
    for place in places {
        let id = table.pack_of(place.slot).ok_or_else(|| damaged("a table names no such pack"))?;
        let pack = collector.pack(id)?;
        collector.add_place(&pack, place.ordinal).await?;
    }
    Ok(())
}

fn ids(field: &'static str, wire: &[bytes::Bytes]) -> Result<Vec<ObjectId>, Error> {
    wire.iter().map(|id| object_id(field, id)).collect::<Result<_, _>>().map_err(bug)
}

fn bug(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::caused(ErrorKind::Bug, "internal error", source)
}

fn damaged(problem: impl std::fmt::Display) -> Error {
    tracing::error!(%problem, "a commit table is damaged");
    Error::new(ErrorKind::Corrupt, "stored data is damaged; the operators have been told")
}

/// Packs by id, for look-ups by tables.
pub(super) fn by_id(packs: &[Arc<Pack>]) -> BTreeMap<PackId, Arc<Pack>> {
    packs.iter().map(|pack| (pack.id, Arc::clone(pack))).collect()
}
