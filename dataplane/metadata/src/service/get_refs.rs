//! Refs and manifest of a repository, as changes where the caller holds something
//! (S31, S51).

use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{RepoId, Version};
use gitstratum_proto::common::v1::{Pack, Ref};
use gitstratum_proto::metadata::v1::{GetRefsRequest, GetRefsResponse};
use prost::Message;

use super::views::{Listed, current_refs};
use crate::partition::record::{RefRow, RepositoryRow};
use crate::partition::{self, Rows, query};
use crate::refs::{RefEntry, RefList};

/// Bytes of refs or packs in one message, a little over.
const CHUNK_BYTES: usize = 1 << 20;
/// Refs read for prefixes before it is cheaper to read them all and keep them.
const PREFIX_REFS_MAX: usize = 20_000;
/// Rough bytes of a ref or a name in a message beside the name.
const REF_BYTES: usize = 80;

/// What is wanted of a repository, and what the caller holds.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    repo: RepoId,
    held_refs: Version,
    held_manifest: Version,
    /// Disjoint and sorted; `None` is all refs.
    prefixes: Option<Vec<Bytes>>,
}

/// An answer, turned into messages one at a time: a million refs are never in one place
/// as messages.
pub struct RefsAnswer {
    head: GetRefsResponse,
    packs: std::vec::IntoIter<Pack>,
    refs: Refs,
    deleted: Vec<Bytes>,
    done: bool,
}

enum Refs {
    /// These, in order.
    Some(std::iter::Peekable<std::vec::IntoIter<Ref>>),
    /// All of the list above a name.
    All { list: Arc<RefList>, after: Option<Bytes> },
}

impl Wanted {
    pub(super) fn new(request: &GetRefsRequest, repo: RepoId) -> Self {
        Self {
            repo,
            held_refs: Version(request.held_refs_version),
            held_manifest: Version(request.held_manifest_version),
            prefixes: (!request.prefixes.is_empty()).then(|| disjoint(&request.prefixes)),
        }
    }
}

/// Prefixes sorted, without those that begin with another one: no ref matches two.
fn disjoint(prefixes: &[Bytes]) -> Vec<Bytes> {
    let mut sorted = prefixes.to_vec();
    sorted.sort();
    let mut kept: Vec<Bytes> = Vec::new();
    for prefix in sorted {
        if kept.last().is_none_or(|last| !prefix.starts_with(last)) {
            kept.push(prefix);
        }
    }
    kept
}

/// Answers from one state of the rows: with `None` when the repository has no row.
pub(super) fn answer(
    rows: &dyn Rows,
    wanted: &Wanted,
    held: Option<&Arc<RefList>>,
) -> Result<Listed<Option<(RepositoryRow, RefsAnswer)>>, partition::Error> {
    let Some(row) = query::repository(rows, wanted.repo)? else { return Ok(Listed::Answer(None)) };
    let Some(found) = find_refs(rows, &row, wanted, held)? else { return Ok(Listed::RefsWanted) };
    let packs_are_changes = row.has_manifest_changes_since(wanted.held_manifest);
    let since = if packs_are_changes { wanted.held_manifest } else { Version(0) };
    let packs = query::packs_after(rows, wanted.repo, since)?;
    let head = GetRefsResponse {
        refs_version: row.refs_version,
        manifest_version: row.manifest_version,
        drop_counter: row.drop_counter,
        head: row.head(),
        object_format: row.object_format,
        refs_are_changes: found.are_changes,
        packs_are_changes,
        ..GetRefsResponse::default()
    };
    let answer = RefsAnswer {
        head,
        packs: packs.into_iter(),
        refs: found.refs,
        deleted: found.deleted,
        done: false,
    };
    let answer = Some((row, answer));
    Ok(match found.list {
        Some(list) => Listed::From(list, answer),
        None => Listed::Answer(answer),
    })
}

struct Found {
    refs: Refs,
    deleted: Vec<Bytes>,
    are_changes: bool,
    /// The list that they come from, to be kept.
    list: Option<Arc<RefList>>,
}

impl Found {
    fn some(refs: Vec<Ref>, list: Option<Arc<RefList>>) -> Self {
        let refs = Refs::Some(refs.into_iter().peekable());
        Self { refs, deleted: Vec::new(), are_changes: false, list }
    }
}

fn find_refs(
    rows: &dyn Rows,
    row: &RepositoryRow,
    wanted: &Wanted,
    held: Option<&Arc<RefList>>,
) -> Result<Option<Found>, partition::Error> {
    if let Some(prefixes) = &wanted.prefixes {
        return find_prefixes(rows, row, prefixes, held);
    }
    if let Some(changes) = query::changed_refs(rows, row, wanted.held_refs)? {
        return Ok(Some(changed(changes)));
    }
    let whole = |list: Arc<RefList>| Found {
        refs: Refs::All { list: Arc::clone(&list), after: None },
        deleted: Vec::new(),
        are_changes: false,
        list: Some(list),
    };
    Ok(current_refs(rows, row, held)?.map(whole))
}

fn changed(changes: Vec<query::ChangedRef>) -> Found {
    let mut refs = Vec::new();
    let mut deleted = Vec::new();
    for (name, row) in changes {
        match row {
            Some(row) => refs.push(from_row(name, row)),
            None => deleted.push(name),
        }
    }
    Found { deleted, are_changes: true, ..Found::some(refs, None) }
}

/// Few refs of a long list are read by themselves; else the whole list is read and kept.
fn find_prefixes(
    rows: &dyn Rows,
    row: &RepositoryRow,
    prefixes: &[Bytes],
    held: Option<&Arc<RefList>>,
) -> Result<Option<Found>, partition::Error> {
    if held.is_none()
        && let Some(refs) = scan_prefixes(rows, row, prefixes)?
    {
        return Ok(Some(Found::some(refs, None)));
    }
    let Some(list) = current_refs(rows, row, held)? else { return Ok(None) };
    let matching = |prefix| list.with_prefix(prefix).map(from_entry);
    let refs = prefixes.iter().flat_map(|prefix| matching(&prefix[..])).collect();
    Ok(Some(Found::some(refs, Some(Arc::clone(&list)))))
}

/// `None` when there are too many.
fn scan_prefixes(
    rows: &dyn Rows,
    row: &RepositoryRow,
    prefixes: &[Bytes],
) -> Result<Option<Vec<Ref>>, partition::Error> {
    let mut refs = Vec::new();
    for prefix in prefixes {
        let left = PREFIX_REFS_MAX - refs.len();
        let found = query::references_up_to(rows, RepoId(row.repo_id), prefix, left + 1)?;
        if found.len() > left {
            return Ok(None);
        }
        refs.extend(found.into_iter().map(|(name, row)| from_row(name, row)));
    }
    Ok(Some(refs))
}

fn from_row(name: Bytes, row: RefRow) -> Ref {
    Ref { name, target: row.target, peeled: row.peeled }
}

fn from_entry(entry: RefEntry<'_>) -> Ref {
    Ref {
        name: Bytes::copy_from_slice(entry.name),
        target: Bytes::copy_from_slice(entry.target.as_bytes()),
        peeled: entry.peeled.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
    }
}

impl Iterator for RefsAnswer {
    type Item = GetRefsResponse;

    fn next(&mut self) -> Option<GetRefsResponse> {
        if self.done {
            return None;
        }
        let mut message = self.head.clone();
        let mut room = CHUNK_BYTES;
        message.packs = take_while_room(&mut self.packs, &mut room, Message::encoded_len);
        message.deleted = std::mem::take(&mut self.deleted);
        message.refs = self.refs.take(&mut room);
        self.done = self.packs.len() == 0 && self.refs.is_at_end();
        message.last = self.done;
        Some(message)
    }
}

impl Refs {
    fn take(&mut self, room: &mut usize) -> Vec<Ref> {
        match self {
            Self::Some(refs) => {
                take_while_room(refs, room, |reference| reference.name.len() + REF_BYTES)
            }
            Self::All { list, after } => {
                let mut rest = list.after(after.as_deref()).map(from_entry);
                let size = |reference: &Ref| reference.name.len() + REF_BYTES;
                let taken = take_while_room(&mut rest, room, size);
                if let Some(last) = taken.last() {
                    *after = Some(last.name.clone());
                }
                taken
            }
        }
    }

    fn is_at_end(&mut self) -> bool {
        match self {
            Self::Some(refs) => refs.peek().is_none(),
            Self::All { list, after } => list.after(after.as_deref()).next().is_none(),
        }
    }
}

/// Items until `room` bytes are used up; the last one may go over.
fn take_while_room<T>(
    items: &mut impl Iterator<Item = T>,
    room: &mut usize,
    size: impl Fn(&T) -> usize,
) -> Vec<T> {
    let mut taken = Vec::new();
    while *room > 0
        && let Some(item) = items.next()
    {
        *room = room.saturating_sub(size(&item));
        taken.push(item);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_lie_in_one_another_are_read_once() {
        let prefixes: Vec<_> =
            ["refs/tags/", "refs/heads/a", "refs/heads/", "refs/heads/"].map(Bytes::from).into();
        assert_eq!(disjoint(&prefixes), ["refs/heads/", "refs/tags/"]);
        assert_eq!(disjoint(&[Bytes::new(), Bytes::from("refs/")]), [Bytes::new()]);
    }
}
