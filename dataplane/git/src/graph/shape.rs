use crate::part::{Error, PREFIX_BYTES, Prefix, Words};

use super::ROWS_MAX;

/// Bytes of a tag besides its two ids: ordinal and kind of target.
const TAG_FIELD_BYTES: usize = 5;
/// Bytes of a commit's row besides its tree id: ordinal, two parents, generation, date.
const ROW_FIELD_BYTES: usize = 28;

/// The counts from which a graph's sections follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) commits: u32,
    pub(super) tags: u32,
    pub(super) outside: u32,
    pub(super) more_parents: u32,
    /// Bytes of the changed-path section, which nothing writes yet: readers step over it.
    pub(super) changed_paths: u32,
}

impl Shape {
    pub(super) const fn to_fields(self) -> [u32; 9] {
        let Self { commits, tags, outside, more_parents, changed_paths } = self;
        [commits, tags, outside, more_parents, changed_paths, 0, 0, 0, 0]
    }

    pub(super) fn of(prefix: &Prefix) -> Result<Self, Error> {
        let [commits, tags, outside, more_parents, changed_paths, ..] = prefix.fields;
        if [commits, tags, outside, more_parents].iter().any(|count| *count > ROWS_MAX) {
            return Err(prefix.damaged("a count is impossible"));
        }
        Ok(Self { commits, tags, outside, more_parents, changed_paths })
    }

    /// Bytes of the whole part.
    pub(super) fn part_len(&self, id_len: usize) -> u64 {
        let rows = id_len + Words::BYTES + row_len(id_len);
        let sum = [
            (self.commits, rows),
            (self.outside, id_len),
            (self.more_parents, Words::BYTES),
            (self.tags, tag_len(id_len)),
            (self.changed_paths, 1),
        ];
        let sections: u64 = sum.iter().map(|(count, len)| u64::from(*count) * *len as u64).sum();
        PREFIX_BYTES as u64 + sections + 4
    }
}

pub(super) const fn row_len(id_len: usize) -> usize {
    id_len + ROW_FIELD_BYTES
}

pub(super) const fn tag_len(id_len: usize) -> usize {
    2 * id_len + TAG_FIELD_BYTES
}
