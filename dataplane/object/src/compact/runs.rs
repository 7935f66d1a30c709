use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::bulk;
use gitstratum_client::cluster::{Feed, Placement};
use gitstratum_client::manifest::Pack;
use gitstratum_client::metadata::Partitions;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_core::{
    ClusterId, Entropy, NodeId, ObjectFormat, ObjectId, PartitionId, RepoId, Version,
};
use gitstratum_git::index;
use gitstratum_git::pack::Limits;
use gitstratum_process::failpoint;
use gitstratum_proto::common::v1::{self as common, RepoKey};
use gitstratum_proto::metadata::v1::{
    ClaimKind, GetRepositoryRequest, RepositoryRecord, ShowClaimResponse, SwapRequest,
};
use gitstratum_proto::object::v1::{RunProgress, RunReport, RunStage};
use gitstratum_proto::{format_from_wire, object_id};
use roaring::RoaringBitmap;
use tokio::sync::Semaphore;

use super::Error;
use super::choice::{Chosen, choose, find};
use super::claim::Claim;
use super::mark::Marking;
use super::spool::blocking;
use super::survey::{OBJECTS_MAX, limits};
use crate::rate::{Bucket, Share};
use crate::segments::Segments;

mod making;

/// Parts kept in memory by a run: indexes are read again and again.
const PARTS_CACHE_BYTES: u64 = 128 * 1024 * 1024;
/// Copies of a segment where the layout says nothing.
const COPIES_DEFAULT: u8 = 3;
/// Free bytes that a run leaves on the disk.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Packs become one.
    Compaction,
    /// Objects that no ref reaches go.
    Drop,
}

/// What runs work with.
pub(crate) struct Deps {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) segments: Arc<Segments>,
    pub(crate) partitions: Partitions,
    pub(crate) peers: bulk::Client,
    pub(crate) feed: Feed,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Folder of the spools.
    pub(crate) spool: PathBuf,
    /// Bytes a second of the whole cluster, where its settings say nothing.
    pub(crate) copy_bytes_per_second: u64,
}

/// The runs of this node: one at a time.
pub(crate) struct Runs {
    deps: Deps,
    bucket: Bucket,
    share: Share,
    seat: Semaphore,
}

/// Tells how far a run is, to who asked for it.
pub(crate) struct Told(pub(crate) Box<dyn Fn(RunProgress) + Send + Sync>);

/// What a run works from: packs of one repository at one version.
struct Input {
    repo: RepoKey,
    format: ObjectFormat,
    /// Oldest first.
    packs: Vec<Arc<Pack>>,
    seen: Version,
    tips: Vec<ObjectId>,
}

/// What was found out about it.
struct Found {
    reader: Arc<Reader>,
    chosen: Arc<Vec<Chosen>>,
    /// Those that stay.
    kept: RoaringBitmap,
    limits: Limits,
}

impl Runs {
    pub(crate) fn new(deps: Deps) -> Self {
        let share = Share { feed: deps.feed.clone(), otherwise: deps.copy_bytes_per_second };
        Self { deps, bucket: Bucket::default(), share, seat: Semaphore::new(1) }
    }

    /// Runs. Dropped, the run ends, and its claim with it.
    pub(crate) async fn run(
        &self,
        repo: RepoKey,
        what: What,
        told: &Told,
    ) -> Result<RunReport, Error> {
        let _seat = self.seat.try_acquire().map_err(|_| Error::Busy)?;
        let kind = match what {
            What::Compaction => ClaimKind::Compaction,
            What::Drop => ClaimKind::Drop,
        };
        let Deps { partitions, feed, node, .. } = &self.deps;
        let claim = Claim::open((partitions, feed), *node, repo, kind).await?;
        tracing::info!(repo = repo.repo_id, claim = claim.number, ?what, "a run begins");
        failpoint!("object.run.after_claim");
        let done = self.under(&claim, repo, what, told).await;
        match &done {
            Ok(report) if report.version > 0 => claim.forget(),
            Ok(_) | Err(_) => claim.end().await,
        }
        match &done {
            Ok(report) => tracing::info!(repo = repo.repo_id, ?report, "a run is over"),
            Err(error) => tracing::warn!(repo = repo.repo_id, %error, "a run has failed"),
        }
        done
    }

    /// What a run would do now. Nothing is written, nothing claimed.
    pub(crate) async fn rehearse(
        &self,
        repo: RepoKey,
        what: What,
        told: &Told,
    ) -> Result<RunReport, Error> {
        let _seat = self.seat.try_acquire().map_err(|_| Error::Busy)?;
        let request = GetRepositoryRequest { repo: Some(repo) };
        let record = self.deps.partitions.repository(PartitionId(repo.partition), request).await?;
        let input = Input::of_record(repo, &record)?;
        let found = self.look(&input, what, told).await?;
        let mut report = self.report(&input, &found);
        report.changed = found.is_worth(&input, what);
        if report.changed {
            report.packs_after = 1;
        }
        Ok(report)
    }

    async fn under(
        &self,
        claim: &Claim,
        repo: RepoKey,
        what: What,
        told: &Told,
    ) -> Result<RunReport, Error> {
        let input = Input::of_claim(repo, &claim.show().await?)?;
        let found = self.look(&input, what, told).await?;
        let mut report = self.report(&input, &found);
        if !found.is_worth(&input, what) {
            return Ok(report);
        }
        self.check_space(&input).await?;
        let kept = self.make((&input, &found), &found.kept, claim.number, told).await?;
        let mut cruft = None;
        if what == What::Drop {
            let dropped = found.dropped();
            check_kept(kept.as_ref())?;
            cruft = self.make((&input, &found), &dropped, claim.number, told).await?;
            self.check_later(claim, &input, &found).await?;
        }
        report.bytes_after = kept.as_ref().map_or(0, |made| made.row.length);
        report.packs_after = u64::from(kept.is_some());
        failpoint!("object.run.before_swap");
        let request = SwapRequest {
            partition: repo.partition,
            repo_id: repo.repo_id,
            claim: claim.number,
            inputs: input.packs.iter().map(|pack| bytes_of(&pack.id.0)).collect(),
            outputs: kept.iter().map(|made| common::Pack::from(made.row.as_ref())).collect(),
            cruft: cruft.iter().map(|made| common::Pack::from(made.row.as_ref())).collect(),
        };
        let swapped = self.deps.partitions.swap(PartitionId(repo.partition), request).await?;
        failpoint!("object.run.after_swap");
        if !swapped.done {
            return Err(Error::Refused { why: swapped.refused });
        }
        report.changed = true;
        report.version = swapped.version;
        Ok(report)
    }

    /// Reads the indexes, and for a drop run marks.
    async fn look(&self, input: &Input, what: What, told: &Told) -> Result<Found, Error> {
        told.stage(RunStage::Reading);
        let objects: u64 = input.packs.iter().map(|pack| u64::from(pack.object_count)).sum();
        if objects > u64::from(OBJECTS_MAX) {
            return Err(Error::TooMany { count: objects, limit: OBJECTS_MAX.into() });
        }
        let Deps { peers, node, feed, partitions, .. } = &self.deps;
        let bytes = peers.clone().on(*node, feed.clone()).listed_by(partitions.clone());
        let options = Options { parts_cache_bytes: PARTS_CACHE_BYTES, ..Options::default() };
        let reader = Reader::new(Arc::new(bytes), options);
        let mut indexes: Vec<Arc<index::Reader>> = Vec::with_capacity(input.packs.len());
        for pack in &input.packs {
            indexes.push(reader.index(pack).await?);
        }
        let chosen = Arc::new(blocking(move || choose(&indexes)).await?);
        let limits = limits(&chosen);
        let count = u32::try_from(chosen.len()).map_err(|_| Error::Bug("too many objects"))?;
        let kept = match what {
            What::Compaction => (0..count).collect(),
            What::Drop => {
                let marking = Marking {
                    reader: &reader,
                    packs: &input.packs,
                    chosen: &chosen,
                    format: input.format,
                };
                marking.run(&input.tips, told).await?
            }
        };
        Ok(Found { reader, chosen, kept, limits })
    }

    fn report(&self, input: &Input, found: &Found) -> RunReport {
        let dropped = found.dropped();
        let bytes = dropped.iter().map(|object| found.chosen[object as usize].record.packed_len);
        RunReport {
            changed: false,
            packs_before: input.packs.len() as u64,
            packs_after: input.packs.len() as u64,
            bytes_before: input.bytes(),
            bytes_after: input.bytes(),
            objects_kept: found.kept.len(),
            objects_dropped: dropped.len(),
            bytes_dropped: bytes.sum(),
            version: 0,
            node: self.deps.node.0,
        }
    }

    /// The spool of the new pack and the one of what is read back lie here at once.
    async fn check_space(&self, input: &Input) -> Result<(), Error> {
        let segments = Arc::clone(&self.deps.segments);
        let free = crate::segments::blocking(move || segments.free_bytes()).await;
        let free = free.map_err(|_| Error::Bug("the disk's space cannot be read"))?;
        let needed = input.bytes().saturating_mul(2) + RESERVE_BYTES;
        if free < needed { Err(Error::NoSpace { needed, free }) } else { Ok(()) }
    }

    /// S37: what was listed since the run began stays as it is, with the bases of its deltas.
    async fn check_later(&self, claim: &Claim, input: &Input, found: &Found) -> Result<(), Error> {
        let shown = claim.show().await?;
        let partition = PartitionId(input.repo.partition);
        let later = typed(&shown.later, partition)?;
        let mut indexes = Vec::with_capacity(later.len());
        for pack in &later {
            indexes.push(found.reader.index(pack).await?);
        }
        for index in &indexes {
            let numbers = 0..index.counts().externals;
            for id in numbers.filter_map(|number| index.external(index::External(number))) {
                let is_kept = find(&found.chosen, &id).is_some_and(|at| found.kept.contains(at));
                let answers = |other: &Arc<index::Reader>| {
                    other.find(&id).is_some_and(|record| record.flags.answers())
                };
                if !is_kept && !indexes.iter().any(answers) {
                    return Err(Error::NotKept { id });
                }
            }
        }
        Ok(())
    }

    fn placement(&self) -> Result<Placement, Error> {
        let snapshot = self.deps.feed.current();
        Ok(Placement::new(snapshot.layout(), COPIES_DEFAULT)?)
    }
}

/// S37: every object that a kept one names is kept.
fn check_kept(made: Option<&making::Made>) -> Result<(), Error> {
    let first = made.and_then(|made| made.outside.first().copied());
    first.map_or(Ok(()), |id| Err(Error::NotKept { id }))
}

impl Found {
    fn dropped(&self) -> RoaringBitmap {
        let count = u32::try_from(self.chosen.len()).expect("because ids have 32 bits");
        let mut dropped = RoaringBitmap::new();
        dropped.insert_range(0..count);
        dropped - &self.kept
    }

    /// Whether the packs would be others afterwards.
    fn is_worth(&self, input: &Input, what: What) -> bool {
        match what {
            What::Compaction => {
                input.packs.len() > 1 || input.packs.first().is_some_and(|pack| !pack.is_whole())
            }
            What::Drop => self.kept.len() < self.chosen.len() as u64,
        }
    }
}

impl Input {
    fn of_claim(repo: RepoKey, shown: &ShowClaimResponse) -> Result<Self, Error> {
        Ok(Self {
            repo,
            format: format_from_wire("object_format", shown.object_format)?,
            packs: typed(&shown.packs, PartitionId(repo.partition))?,
            seen: Version(shown.manifest_version),
            tips: ids(&shown.tips)?,
        })
    }

    fn of_record(repo: RepoKey, record: &RepositoryRecord) -> Result<Self, Error> {
        if record.refs.len() as u64 != record.refs_count {
            return Err(Error::Refused { why: "the repository has too many refs".to_owned() });
        }
        let mut tips: Vec<Bytes> = record.refs.iter().map(|each| each.target.clone()).collect();
        tips.extend(record.graced.iter().cloned());
        Ok(Self {
            repo,
            format: format_from_wire("object_format", record.object_format)?,
            packs: typed(&record.packs, PartitionId(repo.partition))?,
            seen: Version(record.manifest_version),
            tips: ids(&tips)?,
        })
    }

    fn bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.length).sum()
    }

    const fn repo_id(&self) -> RepoId {
        RepoId(self.repo.repo_id)
    }
}

fn typed(rows: &[common::Pack], partition: PartitionId) -> Result<Vec<Arc<Pack>>, Error> {
    let typed = rows.iter().map(|row| Ok(Arc::new(Pack::listed(row, partition)?)));
    typed.collect()
}

fn ids(found: &[Bytes]) -> Result<Vec<ObjectId>, Error> {
    found.iter().map(|id| Ok(object_id("tips", id)?)).collect()
}

fn bytes_of(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}

impl Told {
    fn tell(&self, stage: RunStage, done: u64, total: u64) {
        let progress = RunProgress { stage: stage.into(), done, total, ..RunProgress::default() };
        (self.0)(progress);
    }

    pub(super) fn stage(&self, stage: RunStage) {
        self.tell(stage, 0, 0);
    }

    pub(super) fn copied(&self, done: usize, total: usize) {
        self.tell(RunStage::Copying, done as u64, total as u64);
    }

    pub(super) fn marked(&self, done: u64, total: usize) {
        self.tell(RunStage::Reading, done, total as u64);
    }

    pub(super) fn stored(&self, done: usize, total: usize) {
        self.tell(RunStage::Storing, done as u64, total as u64);
    }
}
