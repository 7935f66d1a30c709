use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::entries::NO_BASE;
use super::{EntryList, Error};
use crate::hash::Fingerprint;

/// The base lies outside the pack.
pub(super) const EXTERNAL_BASE: u32 = u32::MAX - 1;

/// What an entry's delta rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseRef {
    /// It is whole.
    None,
    /// On the object at this ordinal, which is never a duplicate.
    InPack(u32),
    /// On an object outside the pack.
    External(ObjectId),
}

/// What is known of one object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolvedObject {
    /// Position of its entry in offset order.
    pub ordinal: u32,
    /// Its id.
    pub id: ObjectId,
    /// Its kind.
    pub kind: ObjectKind,
    /// Where its entry starts in the pack.
    pub offset: u64,
    /// Bytes of its entry, header included.
    pub packed_len: u64,
    /// Bytes of its content.
    pub size: u64,
    /// What its entry rests on.
    pub base: BaseRef,
    /// The fingerprint of its content.
    pub blake3: Fingerprint,
}

/// A pack of which every object is known.
///
/// Of several entries with one id, the one with the shortest delta chain
/// (the first of these) stands for the object; the others are *duplicates*
/// (S8), and no base refers to them. Chains stay without cycles thereby: each
/// base's chain is shorter than that of what rests on it.
#[derive(Clone, Debug)]
pub struct Resolved {
    entries: EntryList,
    /// Ordinals that are no duplicates, sorted by id.
    by_id: Vec<u32>,
    /// Sorted.
    duplicates: Vec<u32>,
    /// Sorted by ordinal.
    external: Vec<(u32, ObjectId)>,
    trailer: Vec<u8>,
    pack_len: u64,
    version: u32,
}

pub(super) struct ResolvedParts {
    pub(super) entries: EntryList,
    pub(super) depths: Vec<u16>,
    pub(super) external: Vec<(u32, ObjectId)>,
    pub(super) trailer: Vec<u8>,
    pub(super) pack_len: u64,
    pub(super) version: u32,
}

impl Resolved {
    pub(super) fn new(parts: ResolvedParts) -> Result<Self, Error> {
        let ResolvedParts { entries, depths, mut external, trailer, pack_len, version } = parts;
        external.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        let mut by_id: Vec<u32> = entries.ordinals().collect();
        by_id.sort_unstable_by(|one, other| {
            let ids = entries.id_bytes(*one).cmp(entries.id_bytes(*other));
            ids.then(depths[*one as usize].cmp(&depths[*other as usize])).then(one.cmp(other))
        });
        let duplicates = split_duplicates(&entries, &mut by_id)?;
        let mut resolved =
            Self { entries, by_id, duplicates, external, trailer, pack_len, version };
        resolved.lead_bases_past_duplicates();
        Ok(resolved)
    }

    fn lead_bases_past_duplicates(&mut self) {
        if self.duplicates.is_empty() {
            return;
        }
        for ordinal in self.entries.ordinals() {
            let base = self.entries.base(ordinal);
            if base < EXTERNAL_BASE
                && self.is_duplicate(base)
                && let Some(index) = self.position(self.entries.id_bytes(base))
            {
                self.entries.set_base(ordinal, self.by_id[index]);
            }
        }
    }

    /// Number of entries, duplicates included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the pack has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The format of its ids.
    pub const fn format(&self) -> ObjectFormat {
        self.entries.format
    }

    /// The entry at `ordinal`, which must be below [`len`](Self::len).
    pub fn get(&self, ordinal: u32) -> ResolvedObject {
        let offset = self.entries.offset(ordinal);
        ResolvedObject {
            ordinal,
            id: self.id(ordinal),
            kind: self.kind(ordinal),
            offset,
            packed_len: self.entries.end(ordinal) - offset,
            size: self.entries.size(ordinal),
            base: self.base(ordinal),
            blake3: self.entries.blake3(ordinal),
        }
    }

    /// All entries in offset order, duplicates included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ResolvedObject> + '_ {
        self.entries.ordinals().map(|ordinal| self.get(ordinal))
    }

    /// Ordinals of all objects but duplicates, sorted by id.
    pub fn by_id(&self) -> &[u32] {
        &self.by_id
    }

    /// The entry that stands for the object `id`.
    pub fn find(&self, id: &ObjectId) -> Option<u32> {
        self.position(id.as_bytes()).map(|index| self.by_id[index])
    }

    fn position(&self, id: &[u8]) -> Option<usize> {
        self.by_id.binary_search_by(|ordinal| self.entries.id_bytes(*ordinal).cmp(id)).ok()
    }

    /// The id of the object at `ordinal`.
    pub fn id(&self, ordinal: u32) -> ObjectId {
        self.entries.id(ordinal)
    }

    /// The kind of the object at `ordinal`.
    pub fn kind(&self, ordinal: u32) -> ObjectKind {
        self.entries.kind(ordinal).expect("because every entry is resolved")
    }

    /// Bytes of the content of the object at `ordinal`.
    pub fn size(&self, ordinal: u32) -> u64 {
        self.entries.size(ordinal)
    }

    /// What the entry at `ordinal` rests on.
    pub fn base(&self, ordinal: u32) -> BaseRef {
        match self.entries.base(ordinal) {
            NO_BASE => BaseRef::None,
            EXTERNAL_BASE => BaseRef::External(self.external_base(ordinal)),
            base => BaseRef::InPack(base),
        }
    }

    fn external_base(&self, ordinal: u32) -> ObjectId {
        let found = self.external.binary_search_by_key(&ordinal, |(delta, _)| *delta);
        let index = found.expect("because every entry on an outside base is in the list");
        self.external[index].1
    }

    /// Entries whose object another entry stands for, sorted.
    pub fn duplicates(&self) -> &[u32] {
        &self.duplicates
    }

    /// Whether another entry stands for the object at `ordinal`.
    pub fn is_duplicate(&self, ordinal: u32) -> bool {
        self.duplicates.binary_search(&ordinal).is_ok()
    }

    /// The objects outside the pack that its deltas rest on, sorted: part of
    /// what the push rests on (S16).
    pub fn external_bases(&self) -> Vec<ObjectId> {
        let mut bases: Vec<ObjectId> = self.external.iter().map(|(_, base)| *base).collect();
        bases.sort_unstable();
        bases.dedup();
        bases
    }

    /// The pack's trailer.
    pub fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// Bytes of the pack, header and trailer included.
    pub const fn pack_len(&self) -> u64 {
        self.pack_len
    }

    /// The version in the pack's header, 2 or 3.
    pub const fn version(&self) -> u32 {
        self.version
    }

    pub(super) const fn entries(&self) -> &EntryList {
        &self.entries
    }
}

/// Takes the entries that stand for nothing out of `by_id`; returns them sorted.
fn split_duplicates(entries: &EntryList, by_id: &mut Vec<u32>) -> Result<Vec<u32>, Error> {
    let mut duplicates = Vec::new();
    let mut kept: Option<u32> = None;
    let mut differing = None;
    by_id.retain(|ordinal| {
        let first = kept.filter(|kept| entries.id_bytes(*kept) == entries.id_bytes(*ordinal));
        let Some(first) = first else {
            kept = Some(*ordinal);
            return true;
        };
        if !is_same(entries, first, *ordinal) {
            differing = Some(*ordinal);
        }
        duplicates.push(*ordinal);
        false
    });
    if let Some(ordinal) = differing {
        return Err(Error::DuplicateDiffers { id: entries.id(ordinal) });
    }
    duplicates.sort_unstable();
    Ok(duplicates)
}

fn is_same(entries: &EntryList, one: u32, other: u32) -> bool {
    entries.kind(one) == entries.kind(other)
        && entries.size(one) == entries.size(other)
        && entries.blake3(one) == entries.blake3(other)
}
