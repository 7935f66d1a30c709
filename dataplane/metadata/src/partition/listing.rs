use gitstratum_core::{PackId, RepoId, SegmentId, Version};
use gitstratum_proto::common::v1::Pack;
use gitstratum_proto::metadata::v1::Refusal;

use super::owners::{missing_owners, renew_manifest};
use super::push::Refused;
use super::record::{PlaceRow, RepairRow, RepositoryRow, UnlistedRow};
use super::{Error, Rows, Scope, keys, query, rows};

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
    let place = PlaceRow {
        repo_id: repo.0,
        listed: scope.index.0,
        pack_id: pack.pack_id.clone(),
        unlisted: false,
    };
    put_places(scope, &place, &mut pack, replication_factor)?;
    write(scope, &place, &pack)?;
    repository.manifest_version = scope.index.0;
    repository.packs_count += 1;
    repository.size_bytes += pack.length;
    Ok(())
}

/// Keeps a pack that no manifest is to list: its segments have owners and repairs all the same.
pub(super) fn keep_unlisted(
    scope: &mut Scope<'_>,
    repo: RepoId,
    mut row: UnlistedRow,
    replication_factor: u32,
) -> Result<(), Error> {
    row.pack.listed_version = scope.index.0;
    let place = PlaceRow {
        repo_id: repo.0,
        listed: scope.index.0,
        pack_id: row.pack.pack_id.clone(),
        unlisted: true,
    };
    put_places(scope, &place, &mut row.pack, replication_factor)?;
    store_unlisted(scope, &place, &row)
}

/// Where a new pack and its segments are, and which of these lack owners.
fn put_places(
    scope: &mut Scope<'_>,
    place: &PlaceRow,
    pack: &mut Pack,
    replication_factor: u32,
) -> Result<(), Error> {
    for segment in &mut pack.segments {
        segment.list_number = FIRST_LIST;
        let id = segment_id(&segment.segment_id)?;
        rows::store(scope.rows, keys::segment(id), place);
        let missing = missing_owners(segment, replication_factor);
        note_repair(scope, RepoId(place.repo_id), id, missing)?;
    }
    rows::store(scope.rows, keys::pack(pack_id(&pack.pack_id)?), place);
    Ok(())
}

/// Takes a pack that is listed at `place` out of its manifest, and keeps it (S30).
pub(super) fn unlist(
    scope: &mut Scope<'_>,
    repository: &mut RepositoryRow,
    place: PlaceRow,
) -> Result<(), Error> {
    let pack = query::listed_pack(scope.rows, &place)?;
    let id = pack_id(&pack.pack_id)?;
    scope.rows.delete(keys::manifest(RepoId(place.repo_id), Version(place.listed), id));
    repository.packs_count = repository.packs_count.saturating_sub(1);
    repository.size_bytes = repository.size_bytes.saturating_sub(pack.length);
    let place = PlaceRow { unlisted: true, ..place };
    for segment in &pack.segments {
        rows::store(scope.rows, keys::segment(segment_id(&segment.segment_id)?), &place);
    }
    rows::store(scope.rows, keys::pack(id), &place);
    let row = UnlistedRow { pack, since: scope.index.0, ..UnlistedRow::default() };
    store_unlisted(scope, &place, &row)
}

fn store_unlisted(scope: &mut Scope<'_>, place: &PlaceRow, row: &UnlistedRow) -> Result<(), Error> {
    let id = pack_id(&row.pack.pack_id)?;
    let key = keys::unlisted(RepoId(place.repo_id), Version(place.listed), id);
    rows::store(scope.rows, key, row);
    scope.group.unlisted_count += 1;
    scope.group.cruft_count += u64::from(row.cruft);
    Ok(())
}

/// Forgets a pack that no manifest lists: from here on its segments are garbage (S12).
pub(super) fn forget(scope: &mut Scope<'_>, repo: RepoId, row: &UnlistedRow) -> Result<(), Error> {
    let id = pack_id(&row.pack.pack_id)?;
    for segment in &row.pack.segments {
        let segment = segment_id(&segment.segment_id)?;
        scope.rows.delete(keys::segment(segment));
        note_repair(scope, repo, segment, 0)?;
    }
    scope.rows.delete(keys::pack(id));
    scope.rows.delete(keys::unlisted(repo, Version(row.pack.listed_version), id));
    scope.group.unlisted_count = scope.group.unlisted_count.saturating_sub(1);
    scope.group.cruft_count = scope.group.cruft_count.saturating_sub(u64::from(row.cruft));
    Ok(())
}

/// Writes the row of a pack whose owner lists have changed; who holds an older manifest reads it
/// whole, if it is in there.
pub(super) fn rewrite(scope: &mut Scope<'_>, place: &PlaceRow, pack: &Pack) -> Result<(), Error> {
    let repo = RepoId(place.repo_id);
    if !place.unlisted {
        write(scope, place, pack)?;
        return renew_manifest(scope, repo);
    }
    let key = keys::unlisted(repo, Version(place.listed), pack_id(&pack.pack_id)?);
    let row: Option<UnlistedRow> = rows::find(scope.rows, "unlisted pack", &key)?;
    let row = row.ok_or(Error::Contradiction { problem: "a kept pack has no row" })?;
    rows::store(scope.rows, key, &UnlistedRow { pack: pack.clone(), ..row });
    Ok(())
}

fn write(scope: &mut Scope<'_>, place: &PlaceRow, pack: &Pack) -> Result<(), Error> {
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
