use gitstratum_core::ObjectId;

use super::FILTER_BITS_PER_OBJECT;

/// Bits looked at for each id; with 10 bits an object this is the best number.
const PROBES: u64 = 7;
/// Least bits of a filter: even an empty one answers without a special case.
const BITS_MIN: u64 = 64;

/// Bytes of the filter for `objects` objects.
pub(super) const fn filter_len(objects: u32) -> usize {
    let bits = objects as u64 * FILTER_BITS_PER_OBJECT;
    let bits = if bits < BITS_MIN { BITS_MIN } else { bits };
    bits.div_ceil(8) as usize
}

/// Puts the id of `id_bytes` into `filter`.
pub(super) fn insert(filter: &mut [u8], id_bytes: &[u8]) {
    let bits = filter.len() as u64 * 8;
    for bit in probes(id_bytes, bits) {
        filter[(bit / 8) as usize] |= 0x80 >> (bit % 8);
    }
}

/// Whether `id` may be in `filter`; `false` is certain.
pub(super) fn maybe_contains(filter: &[u8], id: &ObjectId) -> bool {
    let bits = filter.len() as u64 * 8;
    probes(id.as_bytes(), bits).all(|bit| filter[(bit / 8) as usize] & (0x80 >> (bit % 8)) != 0)
}

/// Git ids are hashes, so their first 16 bytes serve as the two hashes of double hashing.
fn probes(id_bytes: &[u8], bits: u64) -> impl Iterator<Item = u64> {
    let word = |at: usize| {
        let bytes = id_bytes[at..].first_chunk().expect("because ids have 20 bytes or more");
        u64::from_be_bytes(*bytes)
    };
    let (first, step) = (word(0), word(8) | 1);
    (0..PROBES).map(move |probe| first.wrapping_add(probe.wrapping_mul(step)) % bits)
}
