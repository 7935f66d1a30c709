use crate::part::{Error, PREFIX_BYTES, Prefix, Words};

use super::ROWS_BYTES_MAX;

/// The counts from which a table's sections follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: u32,
    pub(super) entries: u32,
    pub(super) packs: u32,
    pub(super) rows_bytes: u32,
    pub(super) present: u32,
}

/// Bytes of a pack id.
pub(super) const PACK_ID_BYTES: usize = 16;

impl Shape {
    pub(super) const fn to_fields(self) -> [u32; 9] {
        let Self { rows, entries, packs, rows_bytes, present } = self;
        [rows, entries, packs, rows_bytes, present, 0, 0, 0, 0]
    }

    pub(super) fn of(prefix: &Prefix) -> Result<Self, Error> {
        let [rows, entries, packs, rows_bytes, present, ..] = prefix.fields;
        if rows == u32::MAX || present > rows || rows_bytes as usize > ROWS_BYTES_MAX {
            return Err(prefix.damaged("a count is impossible"));
        }
        Ok(Self { rows, entries, packs, rows_bytes, present })
    }

    /// Bytes of the whole part.
    pub(super) fn part_len(&self) -> u64 {
        let words = u64::from(self.rows) + 1 + u64::from(self.entries);
        let packs = u64::from(self.packs) * PACK_ID_BYTES as u64;
        PREFIX_BYTES as u64 + packs + words * Words::BYTES as u64 + u64::from(self.rows_bytes) + 4
    }
}
