use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::entry::{OFS_DELTA_TYPE, REF_DELTA_TYPE};
use crate::hash::{FINGERPRINT_LEN, Fingerprint};

/// No base, or none known yet.
pub(super) const NO_BASE: u32 = u32::MAX;

/// What the scan learned of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedEntry {
    /// Its position in offset order, counted from 0.
    pub ordinal: u32,
    /// Where it starts in the pack.
    pub offset: u64,
    /// Bytes of its header.
    pub header_len: u8,
    /// Bytes of its header and its deflated body.
    pub packed_len: u64,
    /// What it holds.
    pub kind: ScannedKind,
    /// Bytes of the object, or of the delta's instructions.
    pub size: u64,
}

/// What a scanned entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScannedKind {
    /// A whole object, hashed while it streamed by.
    Base {
        /// Its kind.
        kind: ObjectKind,
        /// Its id.
        id: ObjectId,
        /// The fingerprint of its content.
        blake3: Fingerprint,
    },
    /// A delta on an earlier entry.
    OfsDelta {
        /// That entry's ordinal.
        base: u32,
        /// Where that entry starts.
        base_offset: u64,
    },
    /// A delta on an object named by id.
    RefDelta {
        /// The base.
        base: ObjectId,
    },
}

/// All entries of a pack in offset order, one column per field: 58 bytes an
/// entry with SHA-1 ids, 70 with SHA-256 ids.
#[derive(Clone, Debug)]
pub struct EntryList {
    pub(super) format: ObjectFormat,
    offsets: Vec<u64>,
    /// Bytes of the object once it is resolved, of the delta before.
    sizes: Vec<u64>,
    header_lens: Vec<u8>,
    /// Type numbers: below 5 the entry's object is known.
    types: Vec<u8>,
    /// Own id once resolved; before that the base's id of a delta by id.
    ids: Vec<u8>,
    blake3: Vec<Fingerprint>,
    bases: Vec<u32>,
    end: u64,
}

/// An entry as the scanner hands it over.
pub(super) struct NewEntry {
    pub(super) offset: u64,
    pub(super) header_len: u8,
    pub(super) packed_len: u64,
    pub(super) kind: ScannedKind,
    pub(super) size: u64,
}

/// An object as the resolver hands it over.
pub(super) struct NewObject {
    pub(super) kind: ObjectKind,
    pub(super) size: u64,
    pub(super) id: ObjectId,
    pub(super) blake3: Fingerprint,
    pub(super) base: u32,
}

impl EntryList {
    pub(super) fn new(format: ObjectFormat, end: u64) -> Self {
        Self {
            format,
            offsets: Vec::new(),
            sizes: Vec::new(),
            header_lens: Vec::new(),
            types: Vec::new(),
            ids: Vec::new(),
            blake3: Vec::new(),
            bases: Vec::new(),
            end,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Ordinals of all entries.
    pub fn ordinals(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.len()).expect("because a pack's count has 32 bits")
    }

    /// Where the entry starts.
    pub fn offset(&self, ordinal: u32) -> u64 {
        self.offsets[ordinal as usize]
    }

    /// Where the entry ends: the next one's start, or the trailer's.
    pub fn end(&self, ordinal: u32) -> u64 {
        self.offsets.get(ordinal as usize + 1).copied().unwrap_or(self.end)
    }

    /// The greatest entry border at or before `position`: where bytes up to
    /// `position` can be cut without cutting an entry (S1). The pack header's
    /// end counts as a border.
    pub fn border_before(&self, position: u64) -> u64 {
        if position >= self.end {
            return self.end;
        }
        let after = self.offsets.partition_point(|offset| *offset <= position);
        after
            .checked_sub(1)
            .map_or(position.min(super::PACK_HEADER_LEN as u64), |index| self.offsets[index])
    }

    /// The ordinal of the entry that starts at `offset`.
    pub fn find_offset(&self, offset: u64) -> Option<u32> {
        let index = self.offsets.binary_search(&offset).ok()?;
        u32::try_from(index).ok()
    }

    /// What the scan learned of the entry. Only before it was resolved.
    pub fn get(&self, ordinal: u32) -> ScannedEntry {
        let index = ordinal as usize;
        let offset = self.offsets[index];
        ScannedEntry {
            ordinal,
            offset,
            header_len: self.header_lens[index],
            packed_len: self.end(ordinal) - offset,
            kind: self.scanned_kind(ordinal),
            size: self.sizes[index],
        }
    }

    fn scanned_kind(&self, ordinal: u32) -> ScannedKind {
        let index = ordinal as usize;
        match ObjectKind::from_pack_type(self.types[index]) {
            Some(kind) => {
                ScannedKind::Base { kind, id: self.id(ordinal), blake3: self.blake3[index] }
            }
            None if self.types[index] == OFS_DELTA_TYPE => {
                let base = self.bases[index];
                ScannedKind::OfsDelta { base, base_offset: self.offset(base) }
            }
            None => ScannedKind::RefDelta { base: self.id(ordinal) },
        }
    }

    pub(super) fn push(&mut self, entry: NewEntry) {
        let (type_number, id, blake3, base) = match entry.kind {
            ScannedKind::Base { kind, id, blake3 } => (kind as u8, id, blake3, NO_BASE),
            ScannedKind::OfsDelta { base, .. } => {
                (OFS_DELTA_TYPE, ObjectId::null(self.format), [0; FINGERPRINT_LEN], base)
            }
            ScannedKind::RefDelta { base } => (REF_DELTA_TYPE, base, [0; FINGERPRINT_LEN], NO_BASE),
        };
        self.offsets.push(entry.offset);
        self.sizes.push(entry.size);
        self.header_lens.push(entry.header_len);
        self.types.push(type_number);
        self.ids.extend_from_slice(id.as_bytes());
        self.blake3.push(blake3);
        self.bases.push(base);
        self.end = entry.offset + entry.packed_len;
    }

    /// Replaces what is known of a delta by the object that it makes.
    pub(super) fn resolve(&mut self, ordinal: u32, object: &NewObject) {
        let index = ordinal as usize;
        self.types[index] = object.kind as u8;
        self.sizes[index] = object.size;
        self.id_slot(ordinal).copy_from_slice(object.id.as_bytes());
        self.blake3[index] = object.blake3;
        self.bases[index] = object.base;
    }

    fn id_slot(&mut self, ordinal: u32) -> &mut [u8] {
        let len = self.format.id_len();
        &mut self.ids[ordinal as usize * len..][..len]
    }

    /// The kind of the entry's object; `None` while it is an unresolved delta.
    pub(super) fn kind(&self, ordinal: u32) -> Option<ObjectKind> {
        ObjectKind::from_pack_type(self.types[ordinal as usize])
    }

    pub(super) fn is_ref_delta(&self, ordinal: u32) -> bool {
        self.types[ordinal as usize] == REF_DELTA_TYPE
    }

    pub(super) fn id_bytes(&self, ordinal: u32) -> &[u8] {
        let len = self.format.id_len();
        &self.ids[ordinal as usize * len..][..len]
    }

    pub(super) fn id(&self, ordinal: u32) -> ObjectId {
        ObjectId::from_bytes(self.format, self.id_bytes(ordinal))
            .expect("because the column's stride is the id's length")
    }

    pub(super) fn size(&self, ordinal: u32) -> u64 {
        self.sizes[ordinal as usize]
    }

    pub(super) fn blake3(&self, ordinal: u32) -> Fingerprint {
        self.blake3[ordinal as usize]
    }

    pub(super) fn base(&self, ordinal: u32) -> u32 {
        self.bases[ordinal as usize]
    }

    pub(super) fn set_base(&mut self, ordinal: u32, base: u32) {
        self.bases[ordinal as usize] = base;
    }
}
