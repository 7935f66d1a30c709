//! The ground a push stands on: what the repository, at one version, already has of the
//! pack and of what it refers to (S8, S15, S16).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gitstratum_client::objects::Location;
use gitstratum_core::{ObjectFormat, ObjectId, PackId};
use gitstratum_git::fsck::{self, SpecialBlob};
use gitstratum_git::index::ContentHash;
use gitstratum_git::parts::Place;

use super::check::{Checked, special_bytes_max};
use super::inspect::fsck_error;
use super::resolve::batches;
use super::{Against, Error};

/// Ids looked up before others get their turn on the thread.
const IDS_AT_ONCE: usize = 4_096;
/// Objects of a pack that another pack answers for, at most: the leader proves each of them
/// reachable. With more of them the new pack answers itself.
const SHADOWED_MAX: usize = 16_384;
/// Bytes of ids in one request to the leader.
const RESTS_ON_BYTES_MAX: usize = 12 * 1024 * 1024;
/// Bytes of special blobs outside the pack that one push has read.
const SPECIAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What becomes of objects that are stored already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// The other pack goes on answering, if the leader finds the object reachable.
    Shadowed,
    /// The new pack answers too: nothing has to be reachable.
    Answering,
}

/// What one version of the repository means for a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    /// By ordinal: objects of the pack that another pack answers for.
    pub(super) shadowed: BTreeMap<u32, Place>,
    /// Packs that hold answering copies of what the new pack answers for.
    pub(super) overlaps: BTreeSet<PackId>,
    /// Objects outside the pack that it refers to.
    pub(super) outside: HashMap<ObjectId, Place>,
    /// Ids that must be reachable for the push to stand (S16), sorted.
    pub(crate) rests_on: Vec<ObjectId>,
}

/// Looks around the repository for `checked`.
///
/// # Errors
/// [`Error::Missing`] for what is not there, [`Error::Collision`] for what is there and
/// different.
pub(super) async fn survey(
    against: &Against<'_>,
    checked: &Checked,
    copies: Copies,
) -> Result<Ground, Error> {
    let mut ground = Ground::default();
    find_outside(against, checked, &mut ground).await?;
    let bases = checked.resolved.external_bases();
    locate_all(against, &bases, |_, location| location.map(drop).ok_or(Error::Missing)).await?;
    find_copies(against, checked, copies, &mut ground).await?;
    let shadowed = ground.shadowed.keys().map(|ordinal| checked.resolved.id(*ordinal));
    let outside = checked.outside.iter().map(|reference| reference.id);
    let rests_on: BTreeSet<ObjectId> = outside.chain(bases).chain(shadowed).collect();
    check_count(against.format, rests_on.len())?;
    ground.rests_on = rests_on.into_iter().collect();
    Ok(ground)
}

async fn find_outside(
    against: &Against<'_>,
    checked: &Checked,
    ground: &mut Ground,
) -> Result<(), Error> {
    check_count(against.format, checked.outside.len())?;
    let ids: Vec<ObjectId> = checked.outside.iter().map(|reference| reference.id).collect();
    locate_all(against, &ids, |number, location| {
        // What is there as another kind is not what is referred to (bad input 75).
        let expected = checked.outside[number].kind;
        let location = location.filter(|location| location.record.kind == expected);
        let location = location.ok_or(Error::Missing)?;
        ground.outside.insert(ids[number], place_of(&location));
        Ok(())
    })
    .await
}

async fn find_copies(
    against: &Against<'_>,
    checked: &Checked,
    copies: Copies,
    ground: &mut Ground,
) -> Result<(), Error> {
    if against.packs().is_empty() {
        return Ok(());
    }
    let resolved = &checked.resolved;
    let answering = |ordinal: &&u32| !checked.strays.contains(**ordinal);
    let ordinals: Vec<u32> = resolved.by_id().iter().filter(answering).copied().collect();
    for ordinals in ordinals.chunks(IDS_AT_ONCE) {
        let ids: Vec<ObjectId> = ordinals.iter().map(|ordinal| resolved.id(*ordinal)).collect();
        locate_all(against, &ids, |number, location| {
            let Some(location) = location else { return Ok(()) };
            check_same(checked, ordinals[number], &location)?;
            ground.overlaps.insert(location.pack.id);
            if ground.shadowed.len() <= SHADOWED_MAX {
                ground.shadowed.insert(ordinals[number], place_of(&location));
            }
            Ok(())
        })
        .await?;
    }
    if copies == Copies::Answering || ground.shadowed.len() > SHADOWED_MAX {
        ground.shadowed.clear();
    } else {
        ground.overlaps.clear();
    }
    Ok(())
}

/// One id has one content (S16, P-I3; bad input 57).
fn check_same(checked: &Checked, ordinal: u32, location: &Location) -> Result<(), Error> {
    let (ours, theirs) = (checked.resolved.get(ordinal), location.record);
    let is_same = ContentHash(ours.blake3) == theirs.content
        && ours.kind == theirs.kind
        && ours.size == theirs.size;
    if is_same { Ok(()) } else { Err(Error::Collision { id: ours.id }) }
}

/// Shows `each` where every id answers, by its number among `ids`.
async fn locate_all(
    against: &Against<'_>,
    ids: &[ObjectId],
    mut each: impl FnMut(usize, Option<Location>) -> Result<(), Error>,
) -> Result<(), Error> {
    for (turn, some) in ids.chunks(IDS_AT_ONCE).enumerate() {
        let located = against.context.reader.locate(against.packs(), some).await;
        let located = located.map_err(|source| Error::Objects { source })?;
        for (number, location) in located.into_iter().enumerate() {
            each(turn * IDS_AT_ONCE + number, location)?;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn check_count(format: ObjectFormat, count: usize) -> Result<(), Error> {
    // An id in a message has a tag and a length.
    if count * (format.id_len() + 2) > RESTS_ON_BYTES_MAX {
        return Err(Error::TooManyOutside { count });
    }
    Ok(())
}

fn place_of(location: &Location) -> Place {
    Place { pack: location.pack.id, ordinal: location.record.ordinal }
}

/// Judges special blobs that lie outside the pack: a tree may give a blob of an earlier push
/// a name that makes its content matter.
///
/// # Errors
/// [`Error::Fsck`] for what is refused.
pub(super) async fn judge_outside(
    against: &Against<'_>,
    fsck: &mut fsck::Session,
    pending: Vec<SpecialBlob>,
) -> Result<(), Error> {
    let ids: Vec<ObjectId> = pending.iter().map(|blob| blob.id).collect();
    let (mut to_read, mut bytes) = (Vec::new(), 0);
    locate_all(against, &ids, |number, location| {
        let location = location.ok_or(Error::Missing)?;
        if location.record.size > special_bytes_max(&pending[number]) {
            fsck.judge_too_large(&pending[number]);
        } else {
            bytes += location.record.size;
            to_read.push(location);
        }
        Ok(())
    })
    .await?;
    if bytes > SPECIAL_BYTES_MAX {
        return Err(Error::TooManyOutside { count: ids.len() });
    }
    for batch in batches(to_read.into_iter()) {
        let objects = against.context.reader.read_located(against.packs(), batch).await;
        let objects = objects.map_err(|source| Error::Objects { source })?;
        for blob in &pending {
            if let Some(object) = objects.get(&blob.id) {
                fsck.judge_special(blob, Some((object.kind, &object.data)));
            }
        }
    }
    fsck_error(fsck).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
