//! From the resolved pack to what is known of it by itself: nothing here depends on the
//! state of the repository.

use std::collections::HashSet;
use std::sync::Arc;

use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::fsck::{
    self, GITATTRIBUTES_LEN_MAX, GITMODULES_LEN_MAX, SpecialBlob, SpecialKind,
};
use gitstratum_git::graph::{Commit, Notes, Tag};
use gitstratum_git::pack::{Limits, Linked, ReadFrom, Reader, Reference, Resolved, mark_strays};
use roaring::RoaringBitmap;

use super::annex::Annex;
use super::inspect::{Inspector, fsck_error};
use super::resolve::Resolution;
use super::{Error, Spool};

/// A pack that hangs together, and on what.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(super) resolved: Resolved,
    pub(super) spool: Arc<Spool>,
    pub(super) annex: Annex,
    pub(super) limits: Limits,
    /// Objects outside the pack that its objects refer to.
    pub(super) outside: Vec<Reference>,
    /// Objects that no tip of the push reaches (S8); never a duplicate.
    pub(super) strays: RoaringBitmap,
    /// Commits that are neither strays nor duplicates.
    pub(super) commits: Vec<Commit>,
    /// Tags that are neither strays nor duplicates, sorted by id.
    pub(super) tags: Vec<Tag>,
    /// What git's rules find and do not refuse, for people.
    pub(crate) warnings: Vec<String>,
}

/// A checked pack whose special blobs outside of it are still to be judged.
#[derive(Debug)]
pub(super) struct Unjudged {
    pub(super) checked: Checked,
    pub(super) fsck: fsck::Session,
    pub(super) pending: Vec<SpecialBlob>,
}

impl Checked {
    /// Whether nothing of it is worth storing: it has no object, or none that a tip reaches.
    pub(crate) fn is_worthless(&self) -> bool {
        self.strays.len() == self.resolved.by_id().len() as u64
    }
}

/// Follows the links, judges what is in the pack, finds the strays. Blocking.
///
/// # Errors
/// Whatever makes the pack unacceptable.
pub(super) fn check(resolution: Resolution, tips: &[ObjectId]) -> Result<Unjudged, Error> {
    let Resolution { resolved, inspector, spool, annex, limits } = resolution;
    let Inspector { mut fsck, links, notes: Notes { commits, tags, .. }, .. } = inspector;
    let linked = links.finish(&resolved).map_err(|source| Error::Links { source })?;
    let from = ReadFrom { pack: spool.as_ref(), bases: &annex };
    let pending = judge_inside(&mut fsck, &resolved, from, &limits)?;
    let strays = find_strays(&resolved, &linked, from, tips, &limits)?;
    let answers = |ordinal: u32| !strays.contains(ordinal) && !resolved.is_duplicate(ordinal);
    let commits = commits.into_iter().filter(|commit| answers(commit.ordinal.0)).collect();
    let mut tags: Vec<Tag> = tags.into_iter().filter(|tag| answers(tag.ordinal.0)).collect();
    tags.sort_unstable_by_key(|tag| tag.id);
    let outside = linked.external;
    let warnings = Vec::new();
    let checked =
        Checked { resolved, spool, annex, limits, outside, strays, commits, tags, warnings };
    Ok(Unjudged { checked, fsck, pending })
}

/// Judges special blobs that are in the pack and were not held when they passed; gives those
/// that are not in it.
fn judge_inside(
    fsck: &mut fsck::Session,
    resolved: &Resolved,
    from: ReadFrom<'_>,
    limits: &Limits,
) -> Result<Vec<SpecialBlob>, Error> {
    let mut reader = Reader::new(resolved, from, limits);
    let mut outside = Vec::new();
    for blob in fsck.pending() {
        let Some(ordinal) = resolved.find(&blob.id) else {
            outside.push(blob);
            continue;
        };
        if resolved.size(ordinal) > special_bytes_max(&blob) {
            fsck.judge_too_large(&blob);
            continue;
        }
        let content = reader.read(ordinal).map_err(Error::pack)?;
        fsck.judge_special(&blob, Some((resolved.kind(ordinal), &content)));
    }
    match fsck_error(fsck) {
        Some(error) => Err(error),
        None => Ok(outside),
    }
}

/// Bytes above which a special blob is refused unread.
pub(super) const fn special_bytes_max(blob: &SpecialBlob) -> u64 {
    match blob.kind {
        SpecialKind::Gitmodules => GITMODULES_LEN_MAX,
        SpecialKind::Gitattributes => GITATTRIBUTES_LEN_MAX,
    }
}

/// Without a walk when nothing but tips is referred to by nothing.
fn find_strays(
    resolved: &Resolved,
    linked: &Linked,
    from: ReadFrom<'_>,
    tips: &[ObjectId],
    limits: &Limits,
) -> Result<RoaringBitmap, Error> {
    let known: HashSet<&ObjectId> = tips.iter().collect();
    let is_tip = |ordinal: &u32| known.contains(&resolved.id(*ordinal));
    if linked.roots.iter().all(is_tip) {
        return Ok(RoaringBitmap::new());
    }
    mark_strays(resolved, from, tips, limits).map_err(Error::mark)
}

/// What is known of a tip, for the ref that will point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) kind: ObjectKind,
    /// What a tag leads to: its end, or a tag outside the pack.
    pub(crate) leads_to: Option<(ObjectId, ObjectKind)>,
}

impl Checked {
    /// What the object `id` is, if it is in the pack.
    pub(crate) fn tip(&self, id: &ObjectId) -> Option<Tip> {
        let kind = self.resolved.kind(self.resolved.find(id)?);
        Some(Tip { kind, leads_to: (kind == ObjectKind::Tag).then(|| self.peel(id)).flatten() })
    }

    /// Follows tags inside the pack; links between them were checked to be no deeper than
    /// the limit.
    fn peel(&self, id: &ObjectId) -> Option<(ObjectId, ObjectKind)> {
        let mut found = None;
        let mut next = *id;
        for _ in 0..=self.limits.tag_depth_max {
            let Ok(at) = self.tags.binary_search_by_key(&next, |tag| tag.id) else { break };
            let tag = self.tags[at];
            found = Some((tag.target, tag.target_kind));
            next = tag.target;
        }
        found
    }
}

#[cfg(test)]
mod tests;
