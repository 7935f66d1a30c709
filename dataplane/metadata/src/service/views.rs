use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_core::{LogTime, ObjectId, PartitionId, RepoId, Version};
use gitstratum_proto::common::v1 as wire;
use moka::sync::Cache;

use super::hosted::Hosted;
use crate::error::Error;
use crate::metric_names::MetadataMetrics;
use crate::partition::record::{RefRow, RepositoryRow};
use crate::partition::{self, Rows, query};
use crate::planner::RepoView;
use crate::refs::{RefList, RefListBuilder, RefValue};

mod load;

/// Times that all refs are loaded for one request; they change too fast for more.
const LOADS_MAX: u32 = 4;
/// Unit of the cache's weights, bytes; they are 32 bits wide.
const WEIGHT_UNIT: usize = 1_024;
/// Rough bytes of a manifest row in memory beside its inlined graph.
const PACK_BYTES: usize = 1_024;

/// Refs and manifests of repositories in use, held in memory and brought up to date by
/// version (GS-MD-08). Bounded in bytes; who reads a repository at the same time as
/// others shares the work.
pub(super) struct Views {
    slots: Cache<(PartitionId, RepoId), Arc<Slot>>,
    metrics: MetadataMetrics,
}

/// One repository's place in the cache.
struct Slot {
    held: tokio::sync::Mutex<Held>,
}

/// What was read last, at the versions that the parts carry.
#[derive(Clone, Default)]
pub(super) struct Held {
    refs: Option<Arc<RefList>>,
    packs: Option<Arc<Packs>>,
}

struct Packs {
    version: Version,
    all: Arc<Vec<Arc<Pack>>>,
}

/// A view and the row it was made from.
pub(super) struct Viewed {
    pub(super) row: RepositoryRow,
    pub(super) view: RepoView,
}

impl Views {
    /// A cache of `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64, metrics: MetadataMetrics) -> Self {
        let unit = u64::try_from(WEIGHT_UNIT).unwrap_or(u64::MAX);
        let slots = Cache::builder()
            .max_capacity(bytes_max / unit)
            .weigher(|_, slot: &Arc<Slot>| slot.weight())
            .build();
        Self { slots, metrics }
    }

    /// The repository as it is applied here now. `None` when it has no row.
    pub(super) async fn view(
        &self,
        hosted: &Hosted,
        repo: RepoId,
    ) -> Result<Option<Viewed>, Error> {
        let slot = self.slot(hosted.partition, repo);
        let mut held = slot.held.lock().await;
        let partition = hosted.partition;
        for _ in 0..LOADS_MAX {
            let before = held.clone();
            match hosted.read(move |rows| read_view(rows, (partition, repo), &before)).await? {
                Seen::NoRow => return Ok(None),
                Seen::RefsWanted => held.refs = load::refs(hosted, repo).await?,
                Seen::Viewed(viewed, after) => {
                    *held = after;
                    drop(held);
                    self.slots.insert((hosted.partition, repo), slot);
                    return Ok(Some(*viewed));
                }
            }
        }
        Err(Error::Behind { partition: hosted.partition })
    }

    /// Runs `read` with the refs held in memory, if any; when it wants all refs they are loaded and
    /// it runs again. What it used is kept.
    pub(super) async fn with_refs<R, F>(
        &self,
        hosted: &Hosted,
        repo: RepoId,
        read: F,
    ) -> Result<R, Error>
    where
        R: Send + 'static,
        F: Fn(&dyn Rows, Option<&Arc<RefList>>) -> Result<Listed<R>, partition::Error>,
        F: Clone + Send + 'static,
    {
        let slot = self.slot(hosted.partition, repo);
        let mut held = slot.held.lock().await;
        let mut is_hit = true;
        for _ in 0..LOADS_MAX {
            let (read, before) = (read.clone(), held.refs.clone());
            match hosted.read(move |rows| read(rows, before.as_ref())).await? {
                Listed::Answer(answer) => return Ok(answer),
                Listed::From(refs, answer) => {
                    match is_hit {
                        true => self.metrics.refs_hit(),
                        false => self.metrics.refs_miss(),
                    }
                    held.refs = Some(refs);
                    drop(held);
                    self.slots.insert((hosted.partition, repo), slot);
                    return Ok(answer);
                }
                Listed::RefsWanted => {
                    is_hit = false;
                    held.refs = load::refs(hosted, repo).await?;
                }
            }
        }
        Err(Error::Behind { partition: hosted.partition })
    }

    fn slot(&self, partition: PartitionId, repo: RepoId) -> Arc<Slot> {
        let empty = || Arc::new(Slot { held: tokio::sync::Mutex::default() });
        self.slots.get_with((partition, repo), empty)
    }
}

/// What a reader made of the refs held in memory.
pub(super) enum Listed<R> {
    /// It did not need them.
    Answer(R),
    /// This list, brought up to date, and the answer made from it.
    From(Arc<RefList>, R),
    /// It needs all refs, and none are held that could be brought up to date.
    RefsWanted,
}

enum Seen {
    NoRow,
    RefsWanted,
    Viewed(Box<Viewed>, Held),
}

impl Slot {
    fn weight(&self) -> u32 {
        let Ok(held) = self.held.try_lock() else { return 1 };
        let refs = held.refs.as_ref().map_or(0, |refs| refs.byte_count());
        let packs = held.packs.as_ref().map_or(0, |packs| {
            packs.all.iter().map(|pack| PACK_BYTES + pack.inline_graph.len()).sum()
        });
        u32::try_from((refs + packs) / WEIGHT_UNIT + 1).unwrap_or(u32::MAX)
    }
}

fn read_view(
    rows: &dyn Rows,
    (partition, repo): (PartitionId, RepoId),
    held: &Held,
) -> Result<Seen, partition::Error> {
    let Some(row) = query::repository(rows, repo)? else { return Ok(Seen::NoRow) };
    let Some(refs) = current_refs(rows, &row, held.refs.as_ref())? else {
        return Ok(Seen::RefsWanted);
    };
    let packs = current_packs(rows, (partition, &row), held.packs.as_ref())?;
    let view = RepoView {
        repo,
        format: row.format(),
        refs: Arc::clone(&refs),
        packs: Arc::clone(&packs.all),
        refs_version: row.refs_version(),
        manifest_version: row.manifest_version(),
        replaced_tips: query::replaced_tips(rows, repo)?,
        log_time: LogTime(query::group(rows)?.log_time),
    };
    let after = Held { refs: Some(refs), packs: Some(packs) };
    Ok(Seen::Viewed(Box::new(Viewed { row, view }), after))
}

/// The refs as `row` says they are, from those held; `None` when those cannot be brought up to date.
pub(super) fn current_refs(
    rows: &dyn Rows,
    row: &RepositoryRow,
    held: Option<&Arc<RefList>>,
) -> Result<Option<Arc<RefList>>, partition::Error> {
    let version = row.refs_version();
    if row.refs_count == 0 {
        return Ok(Some(Arc::new(RefListBuilder::new(row.format()).finish(version))));
    }
    let Some(held) = held else { return Ok(None) };
    if held.version() == version {
        return Ok(Some(Arc::clone(held)));
    }
    let Some(changes) = query::changed_refs(rows, row, held.version())? else { return Ok(None) };
    let typed: Result<Vec<_>, _> = changes.into_iter().map(typed_change).collect();
    Ok(Some(Arc::new(held.with_changes(version, typed?))))
}

type Change<V> = (bytes::Bytes, Option<V>);

fn typed_change((name, row): Change<RefRow>) -> Result<Change<RefValue>, partition::Error> {
    Ok((name, row.as_ref().map(ref_value).transpose()?))
}

pub(super) fn ref_value(row: &RefRow) -> Result<RefValue, partition::Error> {
    let damaged = || partition::Error::Damaged { what: "ref" };
    let target = ObjectId::from_slice(&row.target).ok_or_else(damaged)?;
    let peeled = match row.peeled.is_empty() {
        true => None,
        false => Some(ObjectId::from_slice(&row.peeled).ok_or_else(damaged)?),
    };
    Ok(RefValue { target, peeled })
}

fn current_packs(
    rows: &dyn Rows,
    (partition, row): (PartitionId, &RepositoryRow),
    held: Option<&Arc<Packs>>,
) -> Result<Arc<Packs>, partition::Error> {
    let version = row.manifest_version();
    let repo = RepoId(row.repo_id);
    if let Some(held) = held.filter(|held| held.version == version) {
        return Ok(Arc::clone(held));
    }
    let (since, mut all) = match held {
        Some(held) if row.has_manifest_changes_since(held.version) => {
            (held.version, held.all.as_ref().clone())
        }
        _ => (Version(0), Vec::new()),
    };
    for pack in query::packs_after(rows, repo, since)? {
        all.push(Arc::new(typed_pack(&pack, partition)?));
    }
    Ok(Arc::new(Packs { version, all: Arc::new(all) }))
}

fn typed_pack(pack: &wire::Pack, partition: PartitionId) -> Result<Pack, partition::Error> {
    Pack::listed(pack, partition).map_err(|_| partition::Error::Damaged { what: "manifest" })
}
