use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_client::cluster::Snapshot;
use gitstratum_consensus::{self as consensus, Status};
use gitstratum_core::{ErrorKind, GrantsVersion, NodeId, PartitionId, RepoId};
use gitstratum_process::{Drain, DrainTrigger, TaskGroup};
use gitstratum_proto::control::v1::{PartitionPlacement, Repository};

use super::hosted::Hosted;
use super::leaving::{self, Leaving};
use super::{Service, keeper, placing, upkeep};
use crate::error::{Error, chain};
use crate::machine::Machine;
use crate::partition::entry::{PutRepositories, PutRepository};
use crate::partition::{self, Change, Rows, query};

/// Records in one entry.
const RECORDS_MAX: usize = 256;
/// Pause before another try when something was not ready.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait of the keepers for their current round when the process drains.
const KEEPER_GRACE: Duration = Duration::from_secs(2);

/// Versions of the directory records that the rows of each partition are known to have.
type Known = BTreeMap<PartitionId, BTreeMap<RepoId, u64>>;

/// The partitions that are open here, as far as whoever opened them has to know.
pub(super) struct Hosting {
    keepers: TaskGroup,
    /// Ends the keepers of a partition.
    closing: BTreeMap<PartitionId, DrainTrigger>,
    known: Known,
    pub(super) leaving: Leaving,
}

impl Hosting {
    /// Lets the keepers of a partition end.
    pub(super) fn close(&mut self, partition: PartitionId) {
        self.known.remove(&partition);
        if let Some(closing) = self.closing.remove(&partition) {
            closing.start();
        }
    }
}

/// What is to be seen to once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Soon,
    /// Something waits for another node: to say that it may leave, or to give it a vote.
    Later,
    Never,
}

/// Follows the feed: opens what the layout places here, gives up what it places elsewhere, then
/// makes the directory's rows.
pub(super) async fn follow(service: Arc<Service>, drain: Drain) {
    let mut feed = service.deps.feed.clone();
    let keepers = TaskGroup::new("partition keeper");
    let (closing, known, leaving) = (BTreeMap::new(), Known::new(), Leaving::default());
    let mut hosting = Hosting { keepers, closing, known, leaving };
    loop {
        let snapshot = feed.current();
        let again = bring_up_to_date(&service, &snapshot, &mut hosting, &drain).await;
        tokio::select! {
            biased;
            () = drain.started() => break,
            _ = feed.changed() => {}
            () = tokio::time::sleep(RETRY_PAUSE), if again == Again::Soon => {}
            () = tokio::time::sleep(leaving::ASK_EVERY), if again == Again::Later => {}
        }
    }
    hosting.keepers.drain(KEEPER_GRACE).await;
}

/// Does what `snapshot` says, as far as that is possible now.
async fn bring_up_to_date(
    service: &Arc<Service>,
    snapshot: &Snapshot,
    hosting: &mut Hosting,
    drain: &Drain,
) -> Again {
    let staying = leaving::give_up(service, snapshot, hosting).await;
    let mut all_open = true;
    for (placement, opened) in open_missing(service, snapshot, &staying).await {
        match opened {
            Ok(hosted) => keep(service, hosted, hosting, drain),
            Err(error) => all_open &= give_up(service, placement, &error),
        }
    }
    let voting = Voting::of(service, snapshot);
    let has_rows = has_rows(&voting, snapshot, &mut hosting.known).await;
    let is_done = all_open && has_rows && report(service, &voting, snapshot);
    match (is_done, staying.is_empty() && !voting.is_learning) {
        (false, _) => Again::Soon,
        (true, false) => Again::Later,
        (true, true) => Again::Never,
    }
}

/// The partitions here whose rows this node sees to. Where it learns, or leaves, the others do.
#[derive(Default)]
struct Voting {
    open: BTreeMap<PartitionId, Arc<Hosted>>,
    /// It has no vote yet in some.
    is_learning: bool,
}

impl Voting {
    fn of(service: &Service, snapshot: &Snapshot) -> Self {
        let mut voting = Self::default();
        for placement in placed_here(snapshot, service.deps.node) {
            let Ok(hosted) = service.hosted(PartitionId(placement.partition)) else { continue };
            match is_learning(placement, &hosted.group().status(), service.deps.node) {
                true => voting.is_learning = true,
                false => drop(voting.open.insert(hosted.partition, hosted)),
            }
        }
        voting
    }
}

/// Whether `own` waits for its vote. In a group that nobody has begun those of the founding do not.
fn is_learning(placement: &PartitionPlacement, status: &Status, own: NodeId) -> bool {
    match status.voters.is_empty() {
        true => placement.epoch > 0,
        false => !status.voters.contains(&own),
    }
}

/// Whether the rows of all partitions in which this node votes say what `snapshot` says.
async fn has_rows(voting: &Voting, snapshot: &Snapshot, known: &mut Known) -> bool {
    let written = write_rows(voting, snapshot, known).await;
    if let Err(error) = &written {
        tracing::debug!(error = %chain(error), "directory not yet in every partition");
    }
    written.is_ok()
}

/// Whether it is said, or never will be, that the directory of `snapshot` is in all partitions
/// here (S42, S43).
fn report(service: &Service, voting: &Voting, snapshot: &Snapshot) -> bool {
    // Pushes work only where somebody leads.
    if !voting.open.values().all(|hosted| hosted.group().status().leader.is_some()) {
        return false;
    }
    // With one damaged nothing new is in all of them.
    if service.damaged.read().is_empty() {
        advance(service, snapshot.version());
    }
    true
}

/// Whether there is no use in trying again: damage stays. The other partitions go on.
fn give_up(service: &Service, placement: &PartitionPlacement, error: &Error) -> bool {
    let partition = placement.partition;
    let what = chain(error);
    if let Error::Group { source: consensus::Error::NotAdmitted { .. }, .. } = error {
        tracing::debug!(partition, error = %what, "partition not opened yet");
        return false;
    }
    if error.kind() != ErrorKind::Corrupt {
        tracing::warn!(partition, error = %what, "partition not opened, trying again");
        return false;
    }
    tracing::error!(partition, error = %what, "partition is damaged");
    if is_replicated(placement) {
        service.damage.send_replace(Some(what.clone()));
    }
    service.damaged.write().insert(PartitionId(partition), what);
    true
}

/// Whether other nodes have what this one may have lost.
fn is_replicated(placement: &PartitionPlacement) -> bool {
    placement.voters.len() > 1
}

fn advance(service: &Service, version: GrantsVersion) {
    service.applied.send_if_modified(|applied| {
        let newer = version > *applied;
        *applied = version.max(*applied);
        newer
    });
}

fn placed_here(snapshot: &Snapshot, node: NodeId) -> impl Iterator<Item = &PartitionPlacement> {
    snapshot.partitions().filter(move |placement| placement.voters.contains(&node.0))
}

/// Opens what is placed here, or has yet to leave, and is neither open nor damaged, all at once:
/// each may have to wait for other voters (S23).
async fn open_missing<'a>(
    service: &Service,
    snapshot: &'a Snapshot,
    staying: &[&'a PartitionPlacement],
) -> Vec<(&'a PartitionPlacement, Result<Arc<Hosted>, Error>)> {
    let is_missing = |placement: &&PartitionPlacement| {
        matches!(service.hosted(PartitionId(placement.partition)), Err(Error::NotHere { .. }))
    };
    let here = placed_here(snapshot, service.deps.node).chain(staying.iter().copied());
    let missing = here.filter(is_missing);
    let opening =
        missing.map(|placement| async move { (placement, open(service, placement).await) });
    join_all(opening).await
}

async fn open(service: &Service, placement: &PartitionPlacement) -> Result<Arc<Hosted>, Error> {
    let partition = PartitionId(placement.partition);
    let failed = |source| Error::Group { partition, source };
    let machine = Machine::new(service.metrics.refs_total.clone());
    let electorate = electorate(placement);
    let (host, id) = (&service.deps.host, Hosted::group_id(partition));
    let is_founding = placement.epoch == 0;
    let group = match is_founding {
        true => host.open_among(id, machine, &electorate.voters).await,
        false => host.open_later(id, machine, &electorate).await,
    };
    let group = group.map_err(failed)?;
    // One of the founding voters starts the group; on the others it arrives by the log. A group
    // that another voter knows was started before (S23).
    let is_alone = placement.voters == [service.deps.node.0];
    let starts = placement.preferred_leader == service.deps.node.0 || is_alone;
    if is_founding && starts && group.is_new() {
        group.initialize(&electorate.voters).await.map_err(failed)?;
    }
    let damage = is_replicated(placement).then(|| service.damage.clone());
    Ok(Hosted::new(group, Arc::clone(&service.deps.clock), (partition, damage)))
}

/// Who may vote in the partition's group.
pub(super) fn electorate(placement: &PartitionPlacement) -> consensus::Electorate {
    let nodes = |of: &[u64]| of.iter().copied().map(NodeId).collect();
    consensus::Electorate { voters: nodes(&placement.voters), leaving: nodes(&placement.leaving) }
}

/// Serves a partition that was opened. Its keepers end with the service, or when it is closed.
fn keep(service: &Service, hosted: Arc<Hosted>, hosting: &mut Hosting, drain: &Drain) {
    let partition = hosted.partition;
    service.partitions.write().insert(partition, Arc::clone(&hosted));
    let (config, deps) = (service.config.clone(), service.deps.clone());
    let (closing, closed) = Drain::new();
    hosting.closing.insert(partition, closing);
    let copies = upkeep::keep(Arc::clone(&hosted), config.clone(), deps.clone(), drain.clone());
    let context = (config.clone(), deps.clone());
    let voters = placing::follow(Arc::clone(&hosted), context, drain.clone());
    let context = (config, deps, service.moves.clone(), service.metrics.votes.clone());
    let rows = keeper::keep(hosted, context, drain.clone());
    hosting.keepers.spawn(until(closed.clone(), copies));
    hosting.keepers.spawn(until(closed.clone(), voters));
    hosting.keepers.spawn(until(closed, rows));
}

/// Does `work`, unless the partition is closed before.
async fn until(closed: Drain, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = closed.started() => {}
        () = work => {}
    }
}

/// Makes the rows of every partition in which this node votes say what the directory of `snapshot`
/// says (S43). One that fails keeps none of the others; the first error is returned.
async fn write_rows(voting: &Voting, snapshot: &Snapshot, known: &mut Known) -> Result<(), Error> {
    let mut stale: BTreeMap<PartitionId, Vec<PutRepository>> = BTreeMap::new();
    for record in snapshot.repositories() {
        let partition = PartitionId(record.partition);
        let held = known.get(&partition).and_then(|rows| rows.get(&RepoId(record.id)));
        if held.is_none_or(|version| *version < record.version) {
            stale.entry(partition).or_default().push(put(record));
        }
    }
    let mut all = Ok(());
    for (partition, records) in stale {
        let Some(hosted) = voting.open.get(&partition) else { continue };
        let known = known.entry(partition).or_default();
        for records in records.chunks(RECORDS_MAX) {
            let written = write_records(hosted, records, snapshot.version()).await;
            if written.is_err() {
                all = all.and(written);
                break;
            }
            known.extend(records.iter().map(|put| (RepoId(put.repo_id), put.directory_version)));
        }
    }
    all
}

/// Writes those records that the rows do not have yet, or, where another node leads, waits for it.
async fn write_records(
    hosted: &Hosted,
    records: &[PutRepository],
    version: GrantsVersion,
) -> Result<(), Error> {
    let wanted = records.to_vec();
    let missing = hosted.read(move |rows| missing(rows, wanted)).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let change = Change::PutRepositories(PutRepositories { repositories: missing });
    hosted.propose(change, version).await.map(drop)
}

fn missing(
    rows: &dyn Rows,
    wanted: Vec<PutRepository>,
) -> Result<Vec<PutRepository>, partition::Error> {
    let mut missing = Vec::new();
    for record in wanted {
        let row = query::repository(rows, RepoId(record.repo_id))?;
        if row.is_none_or(|row| row.directory_version < record.directory_version) {
            missing.push(record);
        }
    }
    Ok(missing)
}

fn put(record: &Arc<Repository>) -> PutRepository {
    PutRepository {
        repo_id: record.id,
        path: record.path.clone(),
        object_format: record.object_format,
        default_branch: record.default_branch.clone(),
        public: record.public,
        state: record.state,
        name_version: record.name_version,
        directory_version: record.version,
    }
}
