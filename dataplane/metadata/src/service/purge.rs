//! Packs that were replaced, or whose window has passed, go when nobody can read them any more
//! (S30, S37), and their owners are told to look.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gitstratum_core::{GrantsVersion, NodeId, Version};
use gitstratum_process::{sabotage, spawn};

use super::Deps;
use super::hosted::Hosted;
use crate::error::Error;
use crate::partition::entry::{Purge, PurgedPack};
use crate::partition::record::UnlistedRow;
use crate::partition::{Change, query};

/// Packs in one entry; the next round goes on.
const PACKS_MAX: usize = 256;
/// Longest time given to telling the owners: a hint, which the inventory makes good (S21).
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Purges what may go while this node leads, as far as sessions have told.
pub(super) async fn purge(hosted: &Hosted, deps: &Deps) -> Result<(), Error> {
    hosted.leading_term()?;
    let told = match sabotage!("purge-under-session") {
        true => Some(Version(u64::MAX)),
        false => hosted.renewals.lock().least_version(),
    };
    let Some(horizon) = told else { return Ok(()) };
    let found = hosted.read(move |rows| query::purgeable(rows, horizon, PACKS_MAX)).await?;
    if found.is_empty() {
        return Ok(());
    }
    let packs = found.iter().map(|(repo, row)| PurgedPack {
        repo_id: repo.0,
        listed: row.pack.listed_version,
        pack_id: row.pack.pack_id.clone(),
    });
    let entry = Purge { horizon: horizon.0, packs: packs.collect() };
    hosted.propose(Change::Purge(entry), GrantsVersion(0)).await?;
    tracing::info!(
        partition = hosted.partition.0,
        packs = found.len(),
        horizon = horizon.0,
        "replaced packs were purged"
    );
    tell(deps, found.iter().map(|(_, row)| row));
    Ok(())
}

/// Has the owners ask about their copies.
fn tell<'a>(deps: &Deps, rows: impl Iterator<Item = &'a UnlistedRow>) {
    let mut by_node: BTreeMap<NodeId, Vec<Bytes>> = BTreeMap::new();
    for segment in rows.flat_map(|row| &row.pack.segments) {
        for owner in &segment.owners {
            by_node.entry(NodeId(*owner)).or_default().push(segment.segment_id.clone());
        }
    }
    for (node, segments) in by_node {
        let telling = tokio::time::timeout(TOLD_WITHIN, deps.copies.recheck(node, segments));
        // Whoever misses it finds out when it compares what it holds.
        spawn("purged segments", async move { drop(telling.await) }).detach();
    }
}
