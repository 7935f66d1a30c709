//! What readers ask of a partition's rows. Each answer is of one state: the caller
//! passes rows as they were at one log index.

use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{
    LogTime, NodeId, ObjectId, PackId, PushNumber, RepoId, SegmentId, SessionId, Version,
};
use gitstratum_process::sabotage;
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::{SegmentQuery, SegmentState};

use super::record::{
    AuditRow, ClaimRow, FenceRow, GroupRow, NumberRow, OutcomeRow, PlaceRow, RefLogRow, RefRow,
    RepairRow, RepositoryRow, SessionRow, TipsRow, UnlistedRow,
};
use super::rows::{decode, find, walk};
use super::{Error, Rows, WANT_GRACE, keys};
use crate::planner::ReplacedTip;

/// The group's own row.
pub fn group(rows: &dyn Rows) -> Result<GroupRow, Error> {
    Ok(find(rows, "group", &keys::group())?.unwrap_or_default())
}

/// The record of a repository, in any state.
pub fn repository(rows: &dyn Rows, repo: RepoId) -> Result<Option<RepositoryRow>, Error> {
    find(rows, "repository", &keys::repository(repo))
}

/// Every repository record, by id.
pub fn repositories(rows: &dyn Rows, see: &mut dyn FnMut(RepositoryRow)) -> Result<(), Error> {
    walk(rows, keys::repositories(), &mut |_, value| {
        see(decode("repository", value)?);
        Ok(())
    })
}

/// One ref.
pub fn reference(rows: &dyn Rows, repo: RepoId, name: &[u8]) -> Result<Option<RefRow>, Error> {
    find(rows, "ref", &keys::reference(repo, name))
}

/// Refs whose names begin with `prefix`, by name.
pub fn references(
    rows: &dyn Rows,
    repo: RepoId,
    prefix: &[u8],
    see: &mut dyn FnMut(Bytes, RefRow),
) -> Result<(), Error> {
    walk(rows, keys::references(repo, prefix), &mut |key, value| {
        let name = key.slice_ref(keys::reference_name(key));
        see(name, decode("ref", value)?);
        Ok(())
    })
}

/// The first `limit` refs whose names begin with `prefix`, by name.
pub fn references_up_to(
    rows: &dyn Rows,
    repo: RepoId,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(Bytes, RefRow)>, Error> {
    decode_references(&rows.scan(&keys::references(repo, prefix), limit)?)
}

/// The first `limit` refs above `name`, by name; above `None` are all.
pub fn references_after(
    rows: &dyn Rows,
    repo: RepoId,
    name: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Bytes, RefRow)>, Error> {
    let all = keys::references(repo, b"");
    let rest = name.map_or(all.clone(), |name| all.after(&keys::reference(repo, name)));
    decode_references(&rows.scan(&rest, limit)?)
}

fn decode_references(found: &[(Bytes, Bytes)]) -> Result<Vec<(Bytes, RefRow)>, Error> {
    let decoded = found
        .iter()
        .map(|(key, value)| Ok((key.slice_ref(keys::reference_name(key)), decode("ref", value)?)));
    decoded.collect()
}

/// A ref that changed, with its value now.
pub type ChangedRef = (Bytes, Option<RefRow>);

/// Refs that changed after `held`, by name, with what they are now; `None` when the refs log does
/// not reach back so far (S31).
pub fn changed_refs(
    rows: &dyn Rows,
    repository: &RepositoryRow,
    held: Version,
) -> Result<Option<Vec<ChangedRef>>, Error> {
    if held.0 < repository.ref_log_from || held.0 > repository.refs_version {
        return Ok(None);
    }
    let repo = RepoId(repository.repo_id);
    let mut names = BTreeMap::new();
    walk(rows, keys::ref_log_after(repo, held), &mut |_, value| {
        let row: RefLogRow = decode("refs log", value)?;
        names.extend(row.names.into_iter().map(|name| (name, ())));
        Ok(())
    })?;
    let current = |(name, ()): (Bytes, ())| {
        let row = reference(rows, repo, &name)?;
        Ok((name, row))
    };
    names.into_iter().map(current).collect::<Result<_, _>>().map(Some)
}

/// Packs listed after `version`, in the order they were listed; all of them after version 0.
pub fn packs_after(rows: &dyn Rows, repo: RepoId, version: Version) -> Result<Vec<Pack>, Error> {
    if sabotage!("look-up-across-repositories") {
        let page = packs_page(rows, None, usize::MAX)?;
        let newer = page.packs.into_iter().filter(|(_, pack)| pack.listed_version > version.0);
        return Ok(newer.map(|(_, pack)| pack).collect());
    }
    let mut packs = Vec::new();
    walk(rows, keys::manifest_after(repo, version), &mut |_, value| {
        packs.push(decode("manifest", value)?);
        Ok(())
    })?;
    Ok(packs)
}

/// Tips of the repository that were replaced within their grace (S24).
pub fn replaced_tips(rows: &dyn Rows, repo: RepoId) -> Result<Vec<ReplacedTip>, Error> {
    let now = LogTime(group(rows)?.log_time);
    let mut tips = Vec::new();
    walk(rows, keys::graces(repo), &mut |key, value| {
        let row: NumberRow = decode("grace", value)?;
        let replaced_at = LogTime(row.number);
        let id = keys::grace_id(key).and_then(ObjectId::from_slice);
        let id = id.ok_or(Error::Damaged { what: "grace key" })?;
        if replaced_at.after(WANT_GRACE) >= now {
            tips.push(ReplacedTip { id, replaced_at });
        }
        Ok(())
    })?;
    if sabotage!("look-up-across-repositories") {
        tips.extend(tips_of_all(rows, now)?);
    }
    Ok(tips)
}

/// What the refs of every repository point at. Whoever serves by it tells one repository of
/// another (P-S2).
fn tips_of_all(rows: &dyn Rows, now: LogTime) -> Result<Vec<ReplacedTip>, Error> {
    let (mut all, mut tips) = (Vec::new(), Vec::new());
    repositories(rows, &mut |row| all.push(RepoId(row.repo_id)))?;
    for repo in all {
        references(rows, repo, b"", &mut |_, row| {
            let id = ObjectId::from_slice(&row.target);
            tips.extend(id.map(|id| ReplacedTip { id, replaced_at: now }));
        })?;
    }
    Ok(tips)
}

/// Whether some replaced tip is within its grace, so that time must go on (S14).
pub fn has_graces(rows: &dyn Rows) -> Result<bool, Error> {
    Ok(!rows.scan(&keys::grace_queue_all(), 1)?.is_empty())
}

/// A session, open or closed.
pub fn session(rows: &dyn Rows, session: SessionId) -> Result<Option<SessionRow>, Error> {
    find(rows, "session", &keys::session(session))
}

/// Every session that is remembered.
pub fn sessions(rows: &dyn Rows) -> Result<Vec<(SessionId, SessionRow)>, Error> {
    let mut found = Vec::new();
    walk(rows, keys::sessions(), &mut |key, value| {
        found.push((keys::session_of(key)?, decode("session", value)?));
        Ok(())
    })?;
    Ok(found)
}

/// The recorded outcome of a push.
pub fn outcome(
    rows: &dyn Rows,
    session: SessionId,
    number: PushNumber,
) -> Result<Option<OutcomeRow>, Error> {
    find(rows, "outcome", &keys::outcome(session, number))
}

/// The incarnation that a node last showed; 0 when it has shown none.
pub fn incarnation(rows: &dyn Rows, node: NodeId) -> Result<u64, Error> {
    let row: Option<NumberRow> = find(rows, "incarnation", &keys::incarnation(node))?;
    Ok(row.map_or(0, |row| row.number))
}

/// The number of a node's fence; 0 when it is not fenced.
pub fn fence(rows: &dyn Rows, node: NodeId) -> Result<u64, Error> {
    Ok(fence_row(rows, node)?.standing())
}

/// The last command about a node's fence.
pub(super) fn fence_row(rows: &dyn Rows, node: NodeId) -> Result<FenceRow, Error> {
    Ok(find(rows, "fence", &keys::fence(node))?.unwrap_or_default())
}

/// Nodes whose fences stand, with their numbers.
pub fn fences(rows: &dyn Rows) -> Result<BTreeMap<NodeId, u64>, Error> {
    let mut found = BTreeMap::new();
    walk(rows, keys::fences(), &mut |key, value| {
        let row: FenceRow = decode("fence", value)?;
        if row.standing() > 0 {
            found.insert(keys::fenced_node(key)?, row.number);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The pack that lists a segment, and where it is listed.
pub fn listed_segment(rows: &dyn Rows, id: SegmentId) -> Result<Option<(PlaceRow, Pack)>, Error> {
    let Some(place) = find::<PlaceRow>(rows, "segment", &keys::segment(id))? else {
        return Ok(None);
    };
    let pack = listed_pack(rows, &place)?;
    Ok(Some((place, pack)))
}

pub(super) fn listed_pack(rows: &dyn Rows, place: &PlaceRow) -> Result<Pack, Error> {
    let pack = PackId::from_slice(&place.pack_id).ok_or(Error::Damaged { what: "segment" })?;
    let (repo, listed) = (RepoId(place.repo_id), Version(place.listed));
    let found = match place.unlisted {
        true => {
            let row: Option<UnlistedRow> =
                find(rows, "unlisted pack", &keys::unlisted(repo, listed, pack))?;
            row.map(|row| row.pack)
        }
        false => find(rows, "manifest", &keys::manifest(repo, listed, pack))?,
    };
    found.ok_or(Error::Contradiction { problem: "a listed segment has no manifest row" })
}

/// The last claim on a repository, open or closed (S35).
pub fn claim(rows: &dyn Rows, repo: RepoId) -> Result<Option<ClaimRow>, Error> {
    find(rows, "claim", &keys::claim(repo))
}

/// The open claim on a repository.
pub fn open_claim(rows: &dyn Rows, repo: RepoId) -> Result<Option<ClaimRow>, Error> {
    Ok(claim(rows, repo)?.filter(|row| !row.closed))
}

/// What the open drop run of a repository marks from (S15).
pub fn tips(rows: &dyn Rows, repo: RepoId) -> Result<Vec<Bytes>, Error> {
    let mut found = Vec::new();
    walk(rows, keys::tips_of(repo), &mut |_, value| {
        let row: TipsRow = decode("tips", value)?;
        found.extend(row.ids);
        Ok(())
    })?;
    Ok(found)
}

/// Packs of a repository that are kept though its manifest does not list them.
pub fn unlisted_of(rows: &dyn Rows, repo: RepoId) -> Result<Vec<UnlistedRow>, Error> {
    let mut found = Vec::new();
    walk(rows, keys::unlisted_of(repo), &mut |_, value| {
        found.push(decode("unlisted pack", value)?);
        Ok(())
    })?;
    Ok(found)
}

/// Packs that may be purged when no session uses a version below `horizon`, at most `limit`.
pub fn purgeable(
    rows: &dyn Rows,
    horizon: Version,
    limit: usize,
) -> Result<Vec<(RepoId, UnlistedRow)>, Error> {
    let now = LogTime(group(rows)?.log_time);
    let mut found = Vec::new();
    walk(rows, keys::unlisted_all(), &mut |key, value| {
        let row: UnlistedRow = decode("unlisted pack", value)?;
        if found.len() < limit && row.may_go(horizon, now) {
            found.push((keys::manifest_repo(key)?, row));
        }
        Ok(())
    })?;
    Ok(found)
}

/// What the partition says of segments: both facts of each from the same state (S12).
pub fn segment_states(
    rows: &dyn Rows,
    queries: &[SegmentQuery],
) -> Result<Vec<SegmentState>, Error> {
    // Segments of one pack are mostly asked for together; its row may be long.
    let mut last = None;
    queries.iter().map(|query| segment_state(rows, query, &mut last)).collect()
}

fn segment_state(
    rows: &dyn Rows,
    query: &SegmentQuery,
    last: &mut Option<Pack>,
) -> Result<SegmentState, Error> {
    let id =
        SegmentId::from_slice(&query.segment_id).ok_or(Error::Damaged { what: "segment id" })?;
    let writer_closed = match query.claim {
        0 => writer_closed(rows, SessionId(query.session), PushNumber(query.push_number))?,
        number => claim_closed(rows, RepoId(query.repo_id), number)?,
    };
    let state = SegmentState {
        segment_id: query.segment_id.clone(),
        writer_closed,
        ..SegmentState::default()
    };
    let Some(place) = find::<PlaceRow>(rows, "segment", &keys::segment(id))? else {
        return Ok(state);
    };
    if last.as_ref().is_none_or(|pack| pack.pack_id != place.pack_id) {
        *last = Some(listed_pack(rows, &place)?);
    }
    let segments = last.iter().flat_map(|pack| &pack.segments);
    let found = segments.into_iter().find(|segment| segment.segment_id == query.segment_id);
    let segment = found.ok_or(Error::Contradiction { problem: "a segment is not in its pack" })?;
    Ok(SegmentState {
        listed: true,
        owners: segment.owners.clone(),
        list_number: segment.list_number,
        ..state
    })
}

/// Whether nothing of this push can be listed any more: its session is closed or forgotten, its
/// number is below the committed floor, or its outcome is final (S12).
fn writer_closed(rows: &dyn Rows, id: SessionId, number: PushNumber) -> Result<bool, Error> {
    let Some(row) = session(rows, id)?.filter(|row| !row.closed) else { return Ok(true) };
    if number.0 < row.floor {
        return Ok(true);
    }
    Ok(outcome(rows, id, number)?.is_some_and(|row| row.closed))
}

/// Whether nothing of a run can be listed any more: its claim has ended (S12). Numbers are given
/// out by entries, so one that is not open any more never will be.
fn claim_closed(rows: &dyn Rows, repo: RepoId, number: u64) -> Result<bool, Error> {
    Ok(open_claim(rows, repo)?.is_none_or(|row| row.number != number))
}

/// Segments that lack owners, above `after` by id, at most `limit` of them (S18).
pub fn repairs_after(
    rows: &dyn Rows,
    after: Option<SegmentId>,
    limit: usize,
) -> Result<Vec<(SegmentId, RepairRow)>, Error> {
    let all = keys::repairs();
    let rest = after.map_or(all.clone(), |id| all.after(&keys::repair(id)));
    let found = rows.scan(&rest, limit)?;
    let decoded = found.iter().map(|(key, value)| {
        let id = key.get(1..).and_then(SegmentId::from_slice);
        let id = id.ok_or(Error::Damaged { what: "repair key" })?;
        Ok((id, decode("repair", value)?))
    });
    decoded.collect()
}

/// Whether a segment is on the repair list.
pub fn is_under_repair(rows: &dyn Rows, id: SegmentId) -> Result<bool, Error> {
    Ok(rows.get(&keys::repair(id))?.is_some())
}

/// A page of the kept packs of all repositories.
#[derive(Debug)]
pub struct PacksPage {
    /// The packs, with their repositories.
    pub packs: Vec<(RepoId, Pack)>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Bytes>,
}

/// The packs of all repositories that are kept, from `after` on, at most `limit` of them: live
/// ones first, then those that no manifest lists (S20). Rows keep their places or move on to the
/// second part, so that pages read one after the other leave nothing out that is kept throughout.
pub fn packs_page(
    rows: &dyn Rows,
    after: Option<&Bytes>,
    limit: usize,
) -> Result<PacksPage, Error> {
    let all = keys::kept_packs();
    let rest = after.map_or(all.clone(), |key| all.after(key));
    let found = rows.scan(&rest, limit)?;
    let packs: Result<_, Error> = found
        .iter()
        .map(|(key, value)| {
            let pack = match keys::is_unlisted(key) {
                true => decode::<UnlistedRow>("unlisted pack", value)?.pack,
                false => decode("manifest", value)?,
            };
            Ok((keys::manifest_repo(key)?, pack))
        })
        .collect();
    let next = found.last().map(|(key, _)| key.clone()).filter(|_| found.len() == limit);
    Ok(PacksPage { packs: packs?, next })
}

/// Audit lines after `index`, at most `limit` of them, oldest first.
pub fn audit_after(
    rows: &dyn Rows,
    index: Version,
    limit: usize,
) -> Result<Vec<(Version, AuditRow)>, Error> {
    let found = rows.scan(&keys::audit_after(index), limit)?;
    let decoded =
        found.iter().map(|(key, value)| Ok((keys::audit_index(key)?, decode("audit", value)?)));
    decoded.collect()
}
