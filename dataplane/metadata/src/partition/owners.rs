use std::collections::BTreeSet;

use gitstratum_core::{NodeId, RepoId, SegmentId};
use gitstratum_hashring::write_quorum;
use gitstratum_proto::common::v1::{Pack, Segment};
use gitstratum_proto::metadata::v1::Refusal;

use super::entry::{ChangeOwners, Fence, ShowIncarnation};
use super::push::Refused;
use super::record::NumberRow;
use super::{Error, Rows, Scope, keys, listing, query, rows};

/// Answer to an owner-list change.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OwnersAnswer {
    /// Whether the list was changed.
    #[prost(bool, tag = "1")]
    pub changed: bool,
    /// Number of the list as it is now; 0 when the segment is not listed.
    #[prost(uint64, tag = "2")]
    pub list_number: u64,
}

/// A node shows its incarnation; an older one changes nothing (S23).
pub(super) fn show_incarnation(
    scope: &mut Scope<'_>,
    shown: &ShowIncarnation,
) -> Result<(), Error> {
    let node = NodeId(shown.node);
    if shown.incarnation > query::incarnation(scope.rows, node)? {
        let row = NumberRow { number: shown.incarnation };
        rows::store(scope.rows, keys::incarnation(node), &row);
    }
    Ok(())
}

/// A node is fenced, or its fence lifted (S20).
pub(super) fn fence(scope: &mut Scope<'_>, fence: &Fence) -> Result<(), Error> {
    let key = keys::fence(NodeId(fence.node));
    if fence.number == 0 {
        scope.rows.delete(key);
    } else {
        rows::store(scope.rows, key, &NumberRow { number: fence.number });
    }
    Ok(())
}

/// Strips fenced nodes off a new pack's owner lists, then refuses it when a segment keeps fewer
/// than W owners, or when a named node has restarted since it acknowledged. Either ends only the
/// attempt: the frontend copies or asks again (S20, S23).
pub(super) fn admit(
    rows: &dyn Rows,
    pack: &mut Pack,
    replication_factor: u32,
) -> Result<Option<Refused>, Error> {
    for segment in &mut pack.segments {
        strip_fenced(rows, segment)?;
        if let Some(why) = unfit(rows, segment, replication_factor)? {
            return Ok(Some(Refused::attempt(Refusal::UnderQuorum, why)));
        }
    }
    Ok(None)
}

/// Replaces the owner list of a segment if it is still the one with the number named (S19).
pub(super) fn change(scope: &mut Scope<'_>, change: &ChangeOwners) -> Result<OwnersAnswer, Error> {
    let Some(id) = SegmentId::from_slice(&change.segment_id) else {
        return Ok(OwnersAnswer::default());
    };
    let Some((place, mut pack)) = query::listed_segment(scope.rows, id)? else {
        return Ok(OwnersAnswer::default());
    };
    let found = pack.segments.iter_mut().find(|segment| segment.segment_id == change.segment_id);
    let segment = found.ok_or(Error::Contradiction { problem: "a segment is not in its pack" })?;
    let list_number = segment.list_number;
    let mut next = Segment {
        owners: change.owners.clone(),
        incarnations: change.incarnations.clone(),
        list_number: list_number + 1,
        ..segment.clone()
    };
    strip_fenced(scope.rows, &mut next)?;
    let refused = list_number != change.list_number
        || unfit(scope.rows, &next, change.replication_factor)?.is_some();
    if refused {
        return Ok(OwnersAnswer { changed: false, list_number });
    }
    *segment = next;
    let missing = missing_owners(segment, change.replication_factor);
    listing::note_repair(scope, RepoId(place.repo_id), id, missing);
    listing::rewrite(scope, &place, &pack)?;
    renew_manifest(scope, RepoId(place.repo_id))?;
    Ok(OwnersAnswer { changed: true, list_number: list_number + 1 })
}

/// A row has changed in place: whoever holds an older manifest reads it whole.
fn renew_manifest(scope: &mut Scope<'_>, repo: RepoId) -> Result<(), Error> {
    let row = query::repository(scope.rows, repo)?;
    let mut row = row.ok_or(Error::Contradiction { problem: "a pack has no repository" })?;
    row.manifest_version = scope.index.0;
    row.manifest_from = scope.index.0;
    rows::store(scope.rows, keys::repository(repo), &row);
    Ok(())
}

/// Owners that `segment` lacks to the replication factor.
pub(super) fn missing_owners(segment: &Segment, replication_factor: u32) -> u32 {
    let held = u32::try_from(segment.owners.len()).unwrap_or(u32::MAX);
    replication_factor.saturating_sub(held)
}

fn strip_fenced(rows: &dyn Rows, segment: &mut Segment) -> Result<(), Error> {
    let mut kept = Vec::with_capacity(segment.owners.len());
    for (place, node) in segment.owners.iter().enumerate() {
        if query::fence(rows, NodeId(*node))? == 0 {
            kept.push(place);
        }
    }
    segment.owners = kept.iter().map(|place| segment.owners[*place]).collect();
    segment.incarnations =
        kept.iter().filter_map(|place| segment.incarnations.get(*place).copied()).collect();
    Ok(())
}

/// Why the owner list cannot be taken, if so.
fn unfit(
    rows: &dyn Rows,
    segment: &Segment,
    replication_factor: u32,
) -> Result<Option<String>, Error> {
    let distinct: BTreeSet<_> = segment.owners.iter().collect();
    let quorum = usize::from(write_quorum(u8::try_from(replication_factor).unwrap_or(u8::MAX)));
    if distinct.len() != segment.owners.len() || segment.owners.len() != segment.incarnations.len()
    {
        return Ok(Some("an owner list names a node twice or lacks incarnations".to_owned()));
    }
    if distinct.len() < quorum {
        return Ok(Some(format!("a segment has {} durable owners of {quorum}", distinct.len())));
    }
    for (node, incarnation) in segment.owners.iter().zip(&segment.incarnations) {
        if *incarnation < query::incarnation(rows, NodeId(*node))? {
            return Ok(Some(format!("node {} has restarted since it stored", NodeId(*node))));
        }
    }
    Ok(None)
}
