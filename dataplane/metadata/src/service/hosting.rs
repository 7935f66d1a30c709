use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_client::cluster::Snapshot;
use gitstratum_consensus as consensus;
use gitstratum_core::{ErrorKind, GrantsVersion, NodeId, PartitionId, RepoId};
use gitstratum_process::{Drain, TaskGroup};
use gitstratum_proto::control::v1::{PartitionPlacement, Repository};

use super::hosted::Hosted;
use super::{Service, keeper, upkeep};
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

/// Follows the feed: opens what the layout places here, then makes the directory's rows.
pub(super) async fn follow(service: Arc<Service>, drain: Drain) {
    let mut feed = service.deps.feed.clone();
    let mut keepers = TaskGroup::new("partition keeper");
    let mut known = Known::new();
    loop {
        let snapshot = feed.current();
        let done = bring_up_to_date(&service, &snapshot, &mut keepers, &mut known, &drain).await;
        tokio::select! {
            biased;
            () = drain.started() => break,
            _ = feed.changed() => {}
            () = tokio::time::sleep(RETRY_PAUSE), if !done => {}
        }
    }
    keepers.drain(KEEPER_GRACE).await;
}

/// Whether everything that `snapshot` says is done here.
async fn bring_up_to_date(
    service: &Arc<Service>,
    snapshot: &Snapshot,
    keepers: &mut TaskGroup,
    known: &mut Known,
    drain: &Drain,
) -> bool {
    let mut all_open = true;
    for (placement, opened) in open_missing(service, snapshot).await {
        match opened {
            Ok(hosted) => keep(service, hosted, keepers, drain),
            Err(error) => all_open &= give_up(service, placement, &error),
        }
    }
    match write_rows(service, snapshot, known).await {
        _ if !all_open => false,
        // Pushes work only where somebody leads.
        Ok(()) if !service.all_led() => false,
        // What is reported is in all partitions (S42, S43): with one damaged nothing new is.
        Ok(()) if !service.damaged.read().is_empty() => true,
        Ok(()) => {
            advance(service, snapshot.version());
            true
        }
        Err(error) => {
            tracing::debug!(error = %chain(&error), "directory not yet in every partition");
            false
        }
    }
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

/// Opens what is placed here and neither open nor damaged, all at once: each may have to
/// wait for other voters (S23).
async fn open_missing<'a>(
    service: &Service,
    snapshot: &'a Snapshot,
) -> Vec<(&'a PartitionPlacement, Result<Arc<Hosted>, Error>)> {
    let is_missing = |placement: &&PartitionPlacement| {
        matches!(service.hosted(PartitionId(placement.partition)), Err(Error::NotHere { .. }))
    };
    let missing = placed_here(snapshot, service.deps.node).filter(is_missing);
    let opening =
        missing.map(|placement| async move { (placement, open(service, placement).await) });
    join_all(opening).await
}

async fn open(service: &Service, placement: &PartitionPlacement) -> Result<Arc<Hosted>, Error> {
    let partition = PartitionId(placement.partition);
    let failed = |source| Error::Group { partition, source };
    let machine = Machine::new(service.metrics.refs_total.clone());
    let voters = placement.voters.iter().copied().map(NodeId).collect();
    let group = Hosted::group_id(partition);
    let group = service.deps.host.open_among(group, machine, &voters).await.map_err(failed)?;
    // One of the voters starts the group; on the others it arrives by the log. A group that
    // another voter knows was started before (S23).
    let starts = placement.preferred_leader == service.deps.node.0 || voters.len() == 1;
    if starts && group.is_new() {
        group.initialize(&voters).await.map_err(failed)?;
    }
    let damage = is_replicated(placement).then(|| service.damage.clone());
    Ok(Hosted::new(group, Arc::clone(&service.deps.clock), (partition, damage)))
}

fn keep(service: &Service, hosted: Arc<Hosted>, keepers: &mut TaskGroup, drain: &Drain) {
    service.partitions.write().insert(hosted.partition, Arc::clone(&hosted));
    let (config, deps) = (service.config.clone(), service.deps.clone());
    keepers.spawn(upkeep::keep(Arc::clone(&hosted), config.clone(), deps.clone(), drain.clone()));
    let context = (config, deps, service.moves.clone());
    keepers.spawn(keeper::keep(hosted, context, drain.clone()));
}

/// Makes the rows of every partition here say what the directory of `snapshot` says (S43).
async fn write_rows(
    service: &Service,
    snapshot: &Snapshot,
    known: &mut Known,
) -> Result<(), Error> {
    let mut stale: BTreeMap<PartitionId, Vec<PutRepository>> = BTreeMap::new();
    for record in snapshot.repositories() {
        let partition = PartitionId(record.partition);
        let held = known.get(&partition).and_then(|rows| rows.get(&RepoId(record.id)));
        if held.is_none_or(|version| *version < record.version) {
            stale.entry(partition).or_default().push(put(record));
        }
    }
    for (partition, records) in stale {
        let Ok(hosted) = service.hosted(partition) else { continue };
        let known = known.entry(partition).or_default();
        for records in records.chunks(RECORDS_MAX) {
            write_records(&hosted, records, snapshot.version()).await?;
            known.extend(records.iter().map(|put| (RepoId(put.repo_id), put.directory_version)));
        }
    }
    Ok(())
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
