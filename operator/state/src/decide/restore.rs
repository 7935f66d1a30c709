//! A control plane that was lost, brought back from what nodes were told of it (S45).

use std::collections::BTreeSet;

use gitstratum_core::{ClusterId, Epoch};
use gitstratum_hashring::Ring;

use super::{At, Desk, Plan, enrol};
use crate::command::Restore;
use crate::outcome::Reply;
use crate::placement::ring_of;
use crate::record::{GrantSubject, Layout, Node, PathWait, Repository, RepositoryState, stamp};
use crate::state::{Header, Mutation};
use crate::{Refusal, State};

/// Kinds of rows that nodes are told of.
const KINDS: &[u8] = b"lsnutgr";
/// Layouts that may have been made since the one that is brought back, unknown here. No
/// number is to be given out twice.
const EPOCHS_SKIPPED: u64 = 1_024;

pub(super) fn restore(desk: &Desk<'_>, restore: &Restore) -> Result<Plan, Refusal> {
    desk.require_system()?;
    if desk.state.header.cluster.is_some() {
        return Err(Refusal::Founding("founded already"));
    }
    let cluster = ClusterId::from_slice(&restore.cluster)
        .ok_or_else(|| Refusal::invalid("cluster id", "has not 16 bytes"))?;
    let generation = u16::try_from(restore.generation).ok();
    // Whatever was given out before is older than anything that will be.
    let generation = generation.filter(|next| restore.version < stamp(*next, 0).0);
    let generation =
        generation.ok_or_else(|| Refusal::invalid("generation", "is not above the records'"))?;
    let at = At { generation, ..desk.at };
    let header = Header {
        cluster: Some(cluster),
        generation,
        version: at.stamp(),
        change_floor: at.stamp(),
        join_token: enrol::parse_hash(&restore.join_token)?,
        ..desk.state.header.clone()
    };
    let found = load(restore, &header)?;
    check(&found)?;
    Ok(Plan::new(Reply::Done, mutations(found, header, at)))
}

/// The records, checked as those of a stored state are.
fn load(restore: &Restore, header: &Header) -> Result<State, Refusal> {
    let is_told = |key: &[u8]| key.first().is_some_and(|kind| KINDS.contains(kind));
    if restore.rows.iter().any(|row| !is_told(&row.key)) {
        return Err(Refusal::invalid("records", "are not all of kinds that nodes are told of"));
    }
    let head = State { header: header.clone(), ..State::default() };
    let head: Vec<_> = head.row(&crate::row::Key::Header).into_iter().collect();
    let head = head.iter().map(|value| (&b"h"[..], value.as_slice()));
    let rows = restore.rows.iter().map(|row| (row.key.as_slice(), row.value.as_slice()));
    State::load(head.chain(rows))
        .map_err(|error| Refusal::invalid("records", format!("do not fit: {error}")))
}

/// What a cluster cannot be without.
fn check(found: &State) -> Result<(), Refusal> {
    let nodes: Vec<&Node> = found.nodes().collect();
    Ring::new(&ring_of(&found.layout, &nodes))
        .map_err(|error| Refusal::invalid("layout", error.to_string()))?;
    let voters = found.layout.partitions.iter().flat_map(|place| &place.voters);
    if found.layout.partitions.is_empty() || voters.clone().any(|id| found.node(*id).is_none()) {
        return Err(Refusal::invalid("layout", "names no partitions, or unknown nodes"));
    }
    if !found.users.values().any(|user| user.cluster_admin && !user.suspended) {
        return Err(Refusal::invalid("records", "have no cluster admin"));
    }
    Ok(())
}

fn mutations(found: State, header: Header, at: At) -> Vec<Mutation> {
    let repositories = || found.repositories.values();
    let granted = found.grants.keys().filter_map(|key| match &key.subject {
        GrantSubject::Owner(owner) => Some(owner.as_str()),
        GrantSubject::Repository(_) => None,
    });
    let owners = repositories().map(|repository| repository.path.owner()).chain(granted);
    let owners: BTreeSet<String> = owners.map(str::to_owned).collect();
    let waits: Vec<_> = repositories().filter_map(wait).collect();
    let layout = Layout {
        epoch: Epoch(found.layout.epoch.0 + EPOCHS_SKIPPED),
        version: at.stamp(),
        ..found.layout
    };
    let mut mutations = vec![Mutation::PutHeader(header), Mutation::PutLayout(layout)];
    mutations.extend(owners.into_iter().map(Mutation::AddOwner));
    mutations.extend(waits.into_iter().map(Mutation::PutPathWait));
    mutations.extend(found.nodes.into_values().map(|node| Mutation::PutNode(fenced(node, at))));
    mutations.extend(found.users.into_values().map(Mutation::PutUser));
    mutations.extend(found.tokens.into_values().map(Mutation::PutToken));
    mutations.extend(found.grants.into_values().map(Mutation::PutGrant));
    mutations.extend(found.repositories.into_values().map(Mutation::PutRepository));
    mutations.extend(found.settings.into_values().map(Mutation::PutSetting));
    mutations
}

/// A node is fenced or freed under a number that no partition has seen yet (S20).
fn fenced(node: Node, at: At) -> Node {
    Node { fence: at.stamp().0, version: at.stamp(), ..node }
}

/// Whether its partition knows that it was deleted is not known any more (S42).
fn wait(repository: &Repository) -> Option<PathWait> {
    (repository.state == RepositoryState::Deleted).then(|| PathWait {
        path: repository.path.clone(),
        repository: repository.id,
        partition: repository.partition,
        name_version: repository.name_version,
    })
}
