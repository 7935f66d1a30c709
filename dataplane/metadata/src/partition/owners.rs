use std::collections::BTreeSet;

use gitstratum_core::{NodeId, RepoId, SegmentId};
use gitstratum_hashring::write_quorum;
use gitstratum_process::sabotage;
use gitstratum_proto::common::v1::{Pack, Segment};
use gitstratum_proto::metadata::v1::Refusal;

use super::entry::{AcceptLoss, ChangeOwners, ShowIncarnation};
use super::push::Refused;
use super::record::{NumberRow, PlaceRow};
use super::{Error, Rows, Scope, audit, keys, listing, query, rows};

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
    let held = query::incarnation(scope.rows, node)?;
    if shown.incarnation > held
        || (shown.incarnation != held && sabotage!("accept-lower-incarnation"))
    {
        let row = NumberRow { number: shown.incarnation };
        rows::store(scope.rows, keys::incarnation(node), &row);
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
        strip_fenced(rows, segment, &[])?;
        if let Some(why) = unfit(rows, segment, &Before::nothing(replication_factor))? {
            return Ok(Some(Refused::attempt(Refusal::UnderQuorum, why)));
        }
    }
    Ok(None)
}

/// Replaces the owner list of a segment if it is still the one with the number named (S19). Who
/// was an owner before and stays one keeps the incarnation it is listed with; a fence and a newer
/// incarnation stand against nodes that are newly named (S20, S23).
pub(super) fn change(scope: &mut Scope<'_>, change: &ChangeOwners) -> Result<OwnersAnswer, Error> {
    let Some(found) = Listed::find(scope, &change.segment_id)? else {
        return Ok(OwnersAnswer::default());
    };
    let list_number = found.segment().list_number;
    let refused = OwnersAnswer { changed: false, list_number };
    if list_number != change.list_number || change.owners.len() != change.incarnations.len() {
        return Ok(refused);
    }
    let next = renamed(scope.rows, found.segment(), change)?;
    let before =
        Before { owners: &found.segment().owners, replication_factor: change.replication_factor };
    if lets_go_too_many(&next, change, &before) || unfit(scope.rows, &next, &before)?.is_some() {
        return Ok(refused);
    }
    let missing = missing_owners(&next, change.replication_factor);
    found.replace(scope, next, missing)?;
    Ok(OwnersAnswer { changed: true, list_number: list_number + 1 })
}

/// Gives a segment up whose owners are all lost: an operator says so by its name (S20). Refused
/// while one of them is not fenced.
pub(super) fn accept_loss(
    scope: &mut Scope<'_>,
    accept: &AcceptLoss,
) -> Result<OwnersAnswer, Error> {
    let Some(found) = Listed::find(scope, &accept.segment_id)? else {
        return Ok(OwnersAnswer::default());
    };
    let list_number = found.segment().list_number;
    for node in &found.segment().owners {
        if query::fence(scope.rows, NodeId(*node))? == 0 {
            return Ok(OwnersAnswer { changed: false, list_number });
        }
    }
    if list_number != accept.list_number {
        return Ok(OwnersAnswer { changed: false, list_number });
    }
    let next = Segment {
        owners: Vec::new(),
        incarnations: Vec::new(),
        list_number: list_number + 1,
        ..found.segment().clone()
    };
    audit::record_loss(scope, found.place.repo_id, accept)?;
    found.replace(scope, next, 0)?;
    Ok(OwnersAnswer { changed: true, list_number: list_number + 1 })
}

/// A segment in the pack that lists it.
struct Listed {
    id: SegmentId,
    place: PlaceRow,
    pack: Pack,
    at: usize,
}

impl Listed {
    fn find(scope: &Scope<'_>, id: &[u8]) -> Result<Option<Self>, Error> {
        let Some(id) = SegmentId::from_slice(id) else { return Ok(None) };
        let Some((place, pack)) = query::listed_segment(scope.rows, id)? else { return Ok(None) };
        let at = pack.segments.iter().position(|segment| segment.segment_id[..] == id.0);
        let at = at.ok_or(Error::Contradiction { problem: "a segment is not in its pack" })?;
        Ok(Some(Self { id, place, pack, at }))
    }

    fn segment(&self) -> &Segment {
        &self.pack.segments[self.at]
    }

    /// Writes `next` in its place, which lacks `missing` owners.
    fn replace(mut self, scope: &mut Scope<'_>, next: Segment, missing: u32) -> Result<(), Error> {
        self.pack.segments[self.at] = next;
        let repo = RepoId(self.place.repo_id);
        listing::note_repair(scope, repo, self.id, missing)?;
        listing::rewrite(scope, &self.place, &self.pack)
    }
}

/// `segment` with the owners that `change` names, less those that may not be newly named.
fn renamed(rows: &dyn Rows, segment: &Segment, change: &ChangeOwners) -> Result<Segment, Error> {
    let held = |node: &u64| {
        let place = segment.owners.iter().position(|owner| owner == node)?;
        segment.incarnations.get(place).copied()
    };
    let named = change.owners.iter().zip(&change.incarnations);
    let mut next = Segment {
        owners: change.owners.clone(),
        incarnations: named.map(|(node, shown)| held(node).unwrap_or(*shown)).collect(),
        list_number: segment.list_number + 1,
        ..segment.clone()
    };
    strip_fenced(rows, &mut next, &segment.owners)?;
    Ok(next)
}

/// A row has changed in place: whoever holds an older manifest reads it whole.
pub(super) fn renew_manifest(scope: &mut Scope<'_>, repo: RepoId) -> Result<(), Error> {
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

/// Takes fenced nodes off a list, but for those that were on it `before`.
fn strip_fenced(rows: &dyn Rows, segment: &mut Segment, before: &[u64]) -> Result<(), Error> {
    let mut kept = Vec::with_capacity(segment.owners.len());
    for (place, node) in segment.owners.iter().enumerate() {
        if before.contains(node) || query::fence(rows, NodeId(*node))? == 0 {
            kept.push(place);
        }
    }
    segment.incarnations =
        kept.iter().filter_map(|place| segment.incarnations.get(*place).copied()).collect();
    segment.owners = kept.iter().map(|place| segment.owners[*place]).collect();
    Ok(())
}

/// Whether owners go for nodes that a fence has kept out meanwhile: whoever proposed the change
/// counted on these, and copies that are there would be let go for none (S20).
fn lets_go_too_many(next: &Segment, change: &ChangeOwners, before: &Before<'_>) -> bool {
    let wanted = usize::try_from(before.replication_factor).unwrap_or(usize::MAX);
    let is_stripped = next.owners.len() < change.owners.len();
    is_stripped && next.owners.len() < before.owners.len().min(wanted)
}

/// What a list follows on, and how many owners there should be.
struct Before<'a> {
    owners: &'a [u64],
    replication_factor: u32,
}

impl Before<'static> {
    const fn nothing(replication_factor: u32) -> Self {
        Self { owners: &[], replication_factor }
    }
}

/// Why the owner list cannot be taken, if so.
fn unfit(rows: &dyn Rows, segment: &Segment, before: &Before<'_>) -> Result<Option<String>, Error> {
    let distinct: BTreeSet<_> = segment.owners.iter().collect();
    if distinct.len() != segment.owners.len() || segment.owners.len() != segment.incarnations.len()
    {
        return Ok(Some("an owner list names a node twice or lacks incarnations".to_owned()));
    }
    let copies = u8::try_from(before.replication_factor).unwrap_or(u8::MAX);
    let quorum = match sabotage!("ack-at-w1") {
        true => 1,
        false => usize::from(write_quorum(copies)),
    };
    // What has lost most of its owners comes back one by one.
    let grows = before.owners.len() < distinct.len()
        && !before.owners.is_empty()
        && before.owners.iter().all(|node| distinct.contains(node));
    if distinct.len() < quorum && !grows {
        return Ok(Some(format!("a segment has {} durable owners of {quorum}", distinct.len())));
    }
    for (node, incarnation) in segment.owners.iter().zip(&segment.incarnations) {
        let newly = !before.owners.contains(node) && !sabotage!("accept-lower-incarnation");
        if newly && *incarnation < query::incarnation(rows, NodeId(*node))? {
            return Ok(Some(format!("node {} has restarted since it stored", NodeId(*node))));
        }
    }
    Ok(None)
}
