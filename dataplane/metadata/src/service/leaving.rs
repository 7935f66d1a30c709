//! Partitions that the layout places elsewhere (S39). What is here of one goes once its leader
//! says that this replica is a member no more; until then it takes part as before, for the
//! others may need its vote.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gitstratum_client::cluster::Snapshot;
use gitstratum_core::{NodeId, PartitionId};
use gitstratum_proto::control::v1::PartitionPlacement;
use tokio::time::Instant;

use super::Service;
use super::hosted::Hosted;
use super::hosting::Hosting;
use crate::error::Error;

/// How often the leaders of partitions that are to leave are asked.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is known of partitions that are placed elsewhere.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Nothing is here of these.
    absent: BTreeSet<PartitionId>,
    asked: Option<Instant>,
}

impl Leaving {
    fn is_due(&mut self) -> bool {
        let is_due = self.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY);
        if is_due {
            self.asked = Some(Instant::now());
        }
        is_due
    }
}

/// Gives up what may be given up of what `snapshot` places elsewhere; returns what stays for now.
pub(super) async fn give_up<'a>(
    service: &Service,
    snapshot: &'a Snapshot,
    hosting: &mut Hosting,
) -> Vec<&'a PartitionPlacement> {
    let own = service.deps.node.0;
    let (placed, elsewhere): (Vec<_>, Vec<_>) =
        snapshot.partitions().partition(|placement| placement.voters.contains(&own));
    for placement in placed {
        hosting.leaving.absent.remove(&PartitionId(placement.partition));
    }
    let mut staying = Vec::new();
    for placement in elsewhere {
        let partition = PartitionId(placement.partition);
        if hosting.leaving.absent.contains(&partition) {
            continue;
        }
        match is_here(service, partition).await {
            Ok(true) => staying.push(placement),
            Ok(false) => drop(hosting.leaving.absent.insert(partition)),
            Err(error) => {
                tracing::warn!(partition = partition.0, %error, "what is here of it is not known");
                staying.push(placement);
            }
        }
    }
    if staying.is_empty() || !hosting.leaving.is_due() {
        return staying;
    }
    // Each answer may take a while, and what is to be opened waits.
    let asking = staying
        .into_iter()
        .map(|placement| async move { (placement, is_left_out(service, placement).await) });
    let mut kept = Vec::new();
    for (placement, is_left_out) in join_all(asking).await {
        let left = match is_left_out {
            Ok(true) => leave(service, placement, hosting).await,
            other => other,
        };
        if !told(placement, left) {
            kept.push(placement);
        }
    }
    kept
}

/// Whether it is gone. What could not be seen to is tried again.
fn told(placement: &PartitionPlacement, left: Result<bool, Error>) -> bool {
    left.unwrap_or_else(|error| {
        tracing::warn!(partition = placement.partition, %error, "it was not given up");
        false
    })
}

async fn is_here(service: &Service, partition: PartitionId) -> Result<bool, Error> {
    if service.partitions.read().contains_key(&partition) {
        return Ok(true);
    }
    let held = service.deps.host.holds(Hosted::group_id(partition)).await;
    held.map_err(|source| Error::Group { partition, source })
}

/// Whether the partition's leader says that this node is a member no more.
async fn is_left_out(service: &Service, placement: &PartitionPlacement) -> Result<bool, Error> {
    let partition = PartitionId(placement.partition);
    let voters = placement.voters.iter().copied().map(NodeId).collect();
    let left_out = service.deps.host.is_left_out(Hosted::group_id(partition), &voters).await;
    left_out.map_err(|source| Error::Group { partition, source })
}

/// Whether nothing of the partition is here any more, once the leader has said that it may go.
async fn leave(
    service: &Service,
    placement: &PartitionPlacement,
    hosting: &mut Hosting,
) -> Result<bool, Error> {
    let partition = PartitionId(placement.partition);
    let open = service.partitions.write().remove(&partition);
    hosting.close(partition);
    if let Some(hosted) = open {
        hosted.group().shutdown().await;
    }
    // By a later layout it may have been taken in again meanwhile; from now on it cannot be.
    if !is_left_out(service, placement).await? {
        return Ok(false);
    }
    let forgotten = service.deps.host.forget(Hosted::group_id(partition)).await;
    forgotten.map_err(|source| Error::Group { partition, source })?;
    service.damaged.write().remove(&partition);
    hosting.leaving.absent.insert(partition);
    tracing::info!(partition = partition.0, "this node votes in it no more, its rows are gone");
    Ok(true)
}
