//! P-D1, S4, S19, S47: whoever is listed as an owner has the segment, and would have it after a
//! power cut; W owners at least are listed; no id is listed twice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gitstratum_core::{NodeId, RepoId, SegmentId, Version};
use gitstratum_metadata::partition::query;
use gitstratum_metadata::partition::record::{PlaceRow, UnlistedRow};
use gitstratum_proto::common::v1::{Pack, Segment};

use super::rows::{Change, One, Seen, number, row};
use super::{Broken, incarnations};

const DURABLE: &str = "owners-have-what-they-are-listed-with";
const QUORUM: &str = "segments-have-w-owners";
const IDS: &str = "ids-are-never-reused";
/// The write quorum of three copies.
const W: usize = 2;
/// How keys begin of packs that a manifest lists, of packs that are kept though none does, and
/// of the places of segments.
pub(super) const MANIFEST: u8 = b'm';
pub(super) const UNLISTED: u8 = b'n';
const SEGMENT: u8 = b's';

/// The id of a pack or a segment is listed, or its pack has been replaced.
pub(super) fn listed(
    seen: &mut Seen,
    change: &Change<'_>,
    (key, value): (&Bytes, &Bytes),
) -> Result<(), Broken> {
    let place: PlaceRow = row(value)?;
    let before = change.before_row(key).map(|value| row::<PlaceRow>(&value)).transpose()?;
    let replaced = before.map(|before| PlaceRow { unlisted: true, ..before });
    if replaced.is_some_and(|replaced| replaced != place) {
        return Err(Broken::new(IDS, format!("{} is listed again", key.escape_ascii())));
    }
    note(seen, key, (place.repo_id, place.listed, place.pack_id))
}

/// The same id is listed at one place on all replicas, for ever.
fn note(seen: &mut Seen, key: &Bytes, place: (u64, u64, Bytes)) -> Result<(), Broken> {
    match seen.listed.insert(key.clone(), place.clone()) {
        Some(before) if before != place => {
            Err(Broken::new(IDS, format!("{} is listed at two places", key.escape_ascii())))
        }
        _ => Ok(()),
    }
}

/// The manifest row of a pack is written: it is listed, or owners of its segments change.
pub(super) fn owners(
    seen: &mut Seen,
    change: &Change<'_>,
    (key, value): (&Bytes, &Bytes),
) -> Result<(), Broken> {
    let Some(after) = pack(key, value) else { return Ok(()) };
    // One write may be of several entries: what it replaced was listed before it.
    let listed = Bytes::from([&[MANIFEST], &key[1..]].concat());
    let before = [key, &listed].into_iter().find_map(|key| pack(key, &change.before_row(key)?));
    for segment in &after.segments {
        let Some(id) = SegmentId::from_slice(&segment.segment_id) else { continue };
        let held = before.iter().flat_map(|pack| &pack.segments);
        let held = held.into_iter().find(|held| held.segment_id == segment.segment_id);
        // Whoever applies it first is told; by then nothing that follows from it has happened.
        let last = seen.lists.entry(id).or_default();
        if *last >= segment.list_number {
            continue;
        }
        *last = segment.list_number;
        check(seen, change, (id, segment), held)?;
    }
    Ok(())
}

fn check(
    seen: &Seen,
    change: &Change<'_>,
    (id, segment): (SegmentId, &Segment),
    held: Option<&Segment>,
) -> Result<(), Broken> {
    if held.is_none() && segment.owners.len() < W {
        let what = format!("segment {id} is listed with owners {:?}", segment.owners);
        return Err(Broken::new(QUORUM, what));
    }
    for (owner, incarnation) in segment.owners.iter().zip(&segment.incarnations) {
        if held.is_some_and(|held| held.owners.contains(owner)) {
            continue;
        }
        let node = NodeId(*owner);
        incarnations::listed(change, node, *incarnation)?;
        let length = seen.durable(node, id).map(|bytes| bytes.len() as u64);
        let is_lost =
            seen.wiped.is_some_and(|(lost, starts)| lost == node && *incarnation <= starts);
        if length != Some(segment.total_length) && !seen.damaged.contains(&id) && !is_lost {
            let what = format!(
                "segment {id} is listed with node {node}, which has {length:?} bytes of {} durable",
                segment.total_length
            );
            return Err(Broken::new(DURABLE, what));
        }
    }
    Ok(())
}

impl Change<'_> {
    pub(super) fn before_row(&self, key: &[u8]) -> Option<Bytes> {
        use gitstratum_metadata::partition::Rows as _;
        self.before.get(key).ok().flatten()
    }
}

/// The pack of a manifest row, or of one that no manifest lists any more.
fn pack(key: &Bytes, value: &Bytes) -> Option<Pack> {
    if key.first() == Some(&UNLISTED) {
        return Some(row::<UnlistedRow>(value).ok()?.pack);
    }
    let packs = query::packs_after(&One(key, value), RepoId(number(key, 1)), Version(0));
    packs.ok()?.into_iter().next()
}

/// Listed segments, from the rows of one replica, that do not have `copies` owners which all
/// hold them; at the end there are none.
pub(crate) fn lacking(
    rows: &[(Bytes, Bytes)],
    copies: usize,
    durable: impl Fn(NodeId, SegmentId) -> Option<u64>,
) -> BTreeMap<SegmentId, String> {
    let mut lacking = BTreeMap::new();
    let is_kept = |key: &Bytes| matches!(key.first(), Some(&(MANIFEST | UNLISTED)));
    for (key, value) in rows.iter().filter(|(key, _)| is_kept(key)) {
        for segment in pack(key, value).iter().flat_map(|pack| &pack.segments) {
            let Some(id) = SegmentId::from_slice(&segment.segment_id) else { continue };
            let holds = |owner: &&u64| durable(NodeId(**owner), id) == Some(segment.total_length);
            let holders: Vec<_> = segment.owners.iter().filter(holds).collect();
            if holders.len() < copies || holders.len() < segment.owners.len() {
                lacking.insert(id, format!("owners {:?}, held by {holders:?}", segment.owners));
            }
        }
    }
    lacking
}

/// A listed segment of which fewer than `copies` are held by whoever `durable` looks at.
pub(crate) fn resting(
    rows: &[(Bytes, Bytes)],
    copies: impl Fn(&SegmentId) -> usize,
    durable: impl Fn(NodeId, SegmentId) -> Option<u64>,
) -> Option<SegmentId> {
    let is_kept = |key: &Bytes| matches!(key.first(), Some(&(MANIFEST | UNLISTED)));
    let packs = rows.iter().filter(|(key, _)| is_kept(key));
    let segments = packs.filter_map(|(key, value)| pack(key, value)).flat_map(|pack| pack.segments);
    let few = |segment: &Segment| {
        let id = SegmentId::from_slice(&segment.segment_id)?;
        let holds = |owner: &&u64| durable(NodeId(**owner), id) == Some(segment.total_length);
        (segment.owners.iter().filter(holds).count() < copies(&id)).then_some(id)
    };
    segments.into_iter().find_map(|segment| few(&segment))
}

/// Segments, of those that a node `holds`, which no row of any partition names; in the end, when
/// all that was replaced has gone, there are none.
pub(crate) fn surplus(
    rows: &[(Bytes, Bytes)],
    holds: impl IntoIterator<Item = SegmentId>,
) -> BTreeSet<SegmentId> {
    let named = rows.iter().filter(|(key, _)| key.first() == Some(&SEGMENT));
    let named = named.filter_map(|(key, _)| SegmentId::from_slice(&key[1..]));
    let named: BTreeSet<SegmentId> = named.collect();
    holds.into_iter().filter(|id| !named.contains(id)).collect()
}
