use std::hash::{BuildHasher as _, RandomState};

use gitstratum_core::{ObjectFormat, ObjectId};

/// Slots of the first table; a power of two.
const FIRST_SLOTS: usize = 1024;
/// Slots of the shortcut for ids seen lately, by their first two bytes.
const RECENT_SLOTS: usize = 1 << 16;

/// Distinct ids, numbered in the order of their first insertion. Denser than a
/// `HashMap`: the ids lie in one array and the table holds 4-byte numbers.
/// Ids come from the pusher, so the table's hash is keyed.
pub(super) struct IdTable {
    format: ObjectFormat,
    key: RandomState,
    ids: Vec<u8>,
    /// Number + 1, or 0; open addressing, at most 7/8 full.
    slots: Vec<u32>,
    /// Number + 1 of the last id with these first two bytes, or 0: versions of
    /// one tree repeat most of its entries.
    recent: Box<[u32]>,
}

impl IdTable {
    pub(super) fn new(format: ObjectFormat) -> Self {
        Self {
            format,
            key: RandomState::new(),
            ids: Vec::new(),
            slots: vec![0; FIRST_SLOTS],
            recent: vec![0; RECENT_SLOTS].into_boxed_slice(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len() / self.format.id_len()
    }

    /// The id with this number.
    pub(super) fn id(&self, index: usize) -> ObjectId {
        ObjectId::from_bytes(self.format, self.id_bytes(index))
            .expect("because the array's stride is the id's length")
    }

    /// The number of `id`, if it was inserted.
    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        self.slots[self.slot(id.as_bytes())].checked_sub(1)
    }

    /// The number of `id`, which is a new one if it was not inserted before.
    pub(super) fn insert(&mut self, id: &ObjectId) -> u32 {
        let bytes = id.as_bytes();
        let recent = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        if let Some(index) = self.recent[recent].checked_sub(1)
            && self.id_bytes(index as usize) == bytes
        {
            return index;
        }
        let slot = self.slot(bytes);
        let number = match self.slots[slot] {
            0 => self.add(slot, bytes),
            number => number,
        };
        self.recent[recent] = number;
        number - 1
    }

    fn add(&mut self, slot: usize, id: &[u8]) -> u32 {
        self.ids.extend_from_slice(id);
        let number = u32::try_from(self.len()).expect("because objects are counted in 32 bits");
        self.slots[slot] = number;
        if self.len() > self.slots.len() / 8 * 7 {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for index in 0..self.len() {
            let slot = self.slot(self.id_bytes(index));
            self.slots[slot] = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
    }

    /// The slot that holds the id, or the free one where it belongs.
    fn slot(&self, id: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.key.hash_one(id) as usize & mask;
        while let Some(index) = self.slots[slot].checked_sub(1) {
            if self.id_bytes(index as usize) == id {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn id_bytes(&self, index: usize) -> &[u8] {
        let len = self.format.id_len();
        &self.ids[index * len..][..len]
    }
}
