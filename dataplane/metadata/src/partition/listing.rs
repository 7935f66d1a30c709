use gitstratum_core::{PackId, RepoId, SegmentId, Version};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::Refusal;

use super::owners::missing_owners;
use super::push::Refused;
use super::record::{PlaceRow, RepairRow, RepositoryRow};
use super::{Error, Rows, Scope, keys, rows};

/// Number of a segment's first owner list.
const FIRST_LIST: u64 = 1;

/// Refuses a pack whose id or whose segments are malformed or listed already: ids are never reused
/// (S47), and a second listing would let the end of one take the bytes of the other.
pub(super) fn check_ids(rows: &dyn Rows, pack: &Pack) -> Result<Option<Refused>, Error> {
    let refused = |why: &str| Ok(Some(Refused::number(Refusal::Policy, why)));
    let Some(id) = PackId::from_slice(&pack.pack_id) else { return refused("malformed pack id") };
    if rows.get(&keys::pack(id))?.is_some() {
        return refused("the pack is listed already");
    }
    for segment in &pack.segments {
        let Some(id) = SegmentId::from_slice(&segment.segment_id) else {
            return refused("malformed segment id");
        };
        if rows.get(&keys::segment(id))?.is_some() {
            return refused("a segment is listed already");
        }
    }
    Ok(None)
}

/// Lists `pack` in its repository's manifest, with where its segments are and which of them lack
/// owners (S18).
pub(super) fn list(
    scope: &mut Scope<'_>,
    repository: &mut RepositoryRow,
    mut pack: Pack,
    replication_factor: u32,
) -> Result<(), Error> {
    let repo = RepoId(repository.repo_id);
    pack.listed_version = scope.index.0;
    let place = PlaceRow { repo_id: repo.0, listed: scope.index.0, pack_id: pack.pack_id.clone() };
    for segment in &mut pack.segments {
        segment.list_number = FIRST_LIST;
        let id = segment_id(&segment.segment_id)?;
        rows::store(scope.rows, keys::segment(id), &place);
        note_repair(scope, repo, id, missing_owners(segment, replication_factor))?;
    }
    rows::store(scope.rows, keys::pack(pack_id(&pack.pack_id)?), &place);
    rewrite(scope, &place, &pack)?;
    repository.manifest_version = scope.index.0;
    repository.packs_count += 1;
    repository.size_bytes += pack.length;
    Ok(())
}

/// Writes the manifest row of a pack that is listed at `place`.
pub(super) fn rewrite(scope: &mut Scope<'_>, place: &PlaceRow, pack: &Pack) -> Result<(), Error> {
    let key = keys::manifest(RepoId(place.repo_id), Version(place.listed), pack_id(&pack.pack_id)?);
    rows::store(scope.rows, key, pack);
    Ok(())
}

/// Puts a segment on the repair list, or takes it off when nothing is missing.
pub(super) fn note_repair(
    scope: &mut Scope<'_>,
    repo: RepoId,
    id: SegmentId,
    missing: u32,
) -> Result<(), Error> {
    let key = keys::repair(id);
    let held: Option<RepairRow> = rows::find(scope.rows, "repair", &key)?;
    if missing == 0 && held.is_none() {
        return Ok(());
    }
    let count = &mut scope.group.repairs_count;
    match (&held, missing) {
        (Some(_), 0) => *count = count.saturating_sub(1),
        (None, 1..) => *count += 1,
        _ => {}
    }
    if missing == 0 {
        scope.rows.delete(key);
    } else {
        let since = held.map_or(scope.index.0, |row| row.since);
        rows::store(scope.rows, key, &RepairRow { repo_id: repo.0, missing, since });
    }
    Ok(())
}

fn pack_id(bytes: &[u8]) -> Result<PackId, Error> {
    PackId::from_slice(bytes).ok_or(Error::Damaged { what: "pack id" })
}

fn segment_id(bytes: &[u8]) -> Result<SegmentId, Error> {
    SegmentId::from_slice(bytes).ok_or(Error::Damaged { what: "segment id" })
}
