use std::cmp::Ordering;

use bstr::ByteSlice;
use gitstratum_core::{ObjectFormat, ObjectId};

/// Type bits of an entry's mode, and the two types that are no blob.
const TYPE_MASK: u32 = 0o170_000;
const TREE_TYPE: u32 = 0o040_000;
const GITLINK_TYPE: u32 = 0o160_000;
/// Most digits of a mode.
const MODE_DIGITS_MAX: usize = 7;

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Tree,
    Blob,
    /// A commit of another repository: nothing of this one.
    Gitlink,
}

/// One entry of a tree, looked at in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: EntryKind,
    name: &'a [u8],
    id: &'a [u8],
    /// All of its bytes: mode, name, id.
    raw: &'a [u8],
}

impl Entry<'_> {
    pub(super) fn id(&self) -> ObjectId {
        ObjectId::from_slice(self.id).expect("because entries are cut by the format's id length")
    }

    /// Whether it names the same object; a gitlink of the same id does not.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }

    /// Git's order of tree entries: names, a tree's as if a slash followed it. So a
    /// file and a directory of one name are two different places.
    fn place_cmp(&self, other: &Self) -> Ordering {
        let shared = self.name.len().min(other.name.len());
        let order = self.name[..shared].cmp(&other.name[..shared]);
        order.then_with(|| self.byte_at(shared).cmp(&other.byte_at(shared)))
    }

    fn byte_at(&self, at: usize) -> u8 {
        let end = if self.kind == EntryKind::Tree { b'/' } else { 0 };
        self.name.get(at).copied().unwrap_or(end)
    }
}

/// Bytes that are no tree.
#[derive(Debug)]
pub(super) struct Malformed;

/// The entries of a tree, in its order.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    id_len: usize,
    /// Entries taken so far.
    pub(super) taken: u64,
}

impl<'a> Entries<'a> {
    pub(super) const fn new(tree: &'a [u8], format: ObjectFormat) -> Self {
        Self { rest: tree, id_len: format.id_len(), taken: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let space = self.rest.iter().take(MODE_DIGITS_MAX + 1).position(|byte| *byte == b' ');
        let space = space.ok_or(Malformed)?;
        let end_of_name = self.rest.find_byte(0).ok_or(Malformed)?;
        let (raw, rest) =
            self.rest.split_at_checked(end_of_name + 1 + self.id_len).ok_or(Malformed)?;
        let name = raw.get(space + 1..end_of_name).ok_or(Malformed)?;
        let kind = kind_of(&raw[..space]).ok_or(Malformed)?;
        self.rest = rest;
        self.taken += 1;
        Ok(Some(Entry { kind, name, id: &raw[end_of_name + 1..], raw }))
    }

    /// Steps over the next entry if it is byte for byte `entry`: neighbouring
    /// versions of a tree are nearly the same, so this is the common case.
    fn step_over(&mut self, entry: &Entry<'_>) -> bool {
        let Some(rest) = self.rest.strip_prefix(entry.raw) else { return false };
        self.rest = rest;
        self.taken += 1;
        true
    }
}

fn kind_of(mode: &[u8]) -> Option<EntryKind> {
    if mode == b"100644" {
        return Some(EntryKind::Blob);
    }
    if mode.is_empty() {
        return None;
    }
    let mut bits = 0;
    for digit in mode {
        bits = bits << 3 | char::from(*digit).to_digit(8)?;
    }
    Some(match bits & TYPE_MASK {
        TREE_TYPE => EntryKind::Tree,
        GITLINK_TYPE => EntryKind::Gitlink,
        _ => EntryKind::Blob,
    })
}

/// A parent's tree, read along with the commit's.
#[derive(Debug)]
pub(super) struct Side<'a> {
    entries: Entries<'a>,
    ahead: Option<Entry<'a>>,
}

impl<'a> Side<'a> {
    pub(super) const fn new(tree: &'a [u8], format: ObjectFormat) -> Self {
        Self { entries: Entries::new(tree, format), ahead: None }
    }

    /// Entries read so far.
    pub(super) const fn taken(&self) -> u64 {
        self.entries.taken
    }

    /// The parent's entry at the place of `entry`. Places asked for must rise; in a
    /// tree out of order some are missed, which only makes rows longer.
    pub(super) fn at(&mut self, entry: &Entry<'a>) -> Result<Option<Entry<'a>>, Malformed> {
        loop {
            if self.ahead.is_none() {
                if self.entries.step_over(entry) {
                    return Ok(Some(*entry));
                }
                self.ahead = self.entries.next()?;
            }
            let Some(ahead) = self.ahead else { return Ok(None) };
            match ahead.place_cmp(entry) {
                Ordering::Less => self.ahead = None,
                Ordering::Equal => return Ok(self.ahead.take()),
                Ordering::Greater => return Ok(None),
            }
        }
    }
}
