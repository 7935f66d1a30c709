use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId};

/// Big-endian `u32`s, looked at in place.
#[derive(Clone, Debug)]
pub(crate) struct Words(Bytes);

impl Words {
    pub(crate) const BYTES: usize = 4;

    /// Takes `count` words off the front of `rest`, which has them.
    pub(crate) fn split_off(rest: &mut Bytes, count: u32) -> Self {
        Self(rest.split_to(count as usize * Self::BYTES))
    }

    pub(crate) fn get(&self, at: u32) -> Option<u32> {
        let start = at as usize * Self::BYTES;
        let word = self.0.get(start..)?.first_chunk()?;
        Some(u32::from_be_bytes(*word))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.as_chunks::<{ Self::BYTES }>().0.iter().map(|word| u32::from_be_bytes(*word))
    }
}

/// Object ids one after the other, looked at in place.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    format: ObjectFormat,
    bytes: Bytes,
}

impl Ids {
    /// Takes `count` ids off the front of `rest`, which has them.
    pub(crate) fn split_off(rest: &mut Bytes, format: ObjectFormat, count: u32) -> Self {
        Self { format, bytes: rest.split_to(count as usize * format.id_len()) }
    }

    pub(crate) fn len(&self) -> u32 {
        (self.bytes.len() / self.format.id_len()) as u32
    }

    /// The bytes of id number `at`, which exists.
    pub(crate) fn raw(&self, at: u32) -> &[u8] {
        let len = self.format.id_len();
        &self.bytes[at as usize * len..][..len]
    }

    /// Id number `at`, which exists.
    pub(crate) fn get(&self, at: u32) -> ObjectId {
        ObjectId::from_bytes(self.format, self.raw(at))
            .expect("because the slice is as long as the format's ids")
    }

    /// Whether every id is greater than the one before.
    pub(crate) fn is_sorted(&self) -> bool {
        (1..self.len()).all(|at| self.raw(at - 1) < self.raw(at))
    }
}

/// First number in `range` for which `is_before` is false, as `partition_point`.
pub(crate) fn search(range: std::ops::Range<u32>, is_before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
