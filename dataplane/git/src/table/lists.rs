//! The bytes of a row: two lists of places as groups of ascending ordinals, in
//! variable-length numbers.

use bytes::{Buf, BufMut};

use super::{Place, RowObjects, Slot};
use crate::part::Ordinal;

/// Most bytes of a number of 32 bits in base 128.
const NUMBER_BYTES_MAX: u32 = 5;

/// Appends the bytes of `row`, sorted and without repetition.
pub(super) fn put_row(out: &mut Vec<u8>, row: &RowObjects) {
    put_list(out, &row.trees);
    put_list(out, &row.blobs);
}

/// The row in `bytes`, all of them; `None` if they are not one.
pub(super) fn get_row(mut bytes: &[u8]) -> Option<RowObjects> {
    let row = RowObjects { trees: get_list(&mut bytes)?, blobs: get_list(&mut bytes)? };
    bytes.is_empty().then_some(row)
}

fn put_list(out: &mut Vec<u8>, places: &[Place]) {
    let mut places = places.to_vec();
    places.sort_unstable();
    places.dedup();
    let groups = || places.chunk_by(|a, b| a.slot == b.slot);
    put_number(out, groups().count() as u32);
    for group in groups() {
        put_number(out, group[0].slot.0);
        put_number(out, group.len() as u32);
        put_number(out, group[0].ordinal.0);
        group
            .windows(2)
            .for_each(|pair| put_number(out, pair[1].ordinal.0 - pair[0].ordinal.0 - 1));
    }
}

fn get_list(bytes: &mut &[u8]) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    for _ in 0..get_number(bytes)? {
        let slot = Slot(get_number(bytes)?);
        let further = get_number(bytes)?.checked_sub(1)?;
        let mut ordinal = get_number(bytes)?;
        places.push(Place { slot, ordinal: Ordinal(ordinal) });
        for _ in 0..further {
            ordinal = ordinal.checked_add(get_number(bytes)?)?.checked_add(1)?;
            places.push(Place { slot, ordinal: Ordinal(ordinal) });
        }
    }
    Some(places)
}

/// Seven bits a byte, least first; the high bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn get_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for place in 0..NUMBER_BYTES_MAX {
        let byte = bytes.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}
