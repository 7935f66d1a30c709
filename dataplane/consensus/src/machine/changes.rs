use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use gitstratum_store::{KeyRange, KeyValue};

/// Rows written but not yet in the engine: the last value of each key, `None` for one
/// that was deleted.
#[derive(Default)]
pub(crate) struct Changes {
    rows: BTreeMap<Bytes, Option<Bytes>>,
}

impl Changes {
    pub(crate) fn set(&mut self, key: Bytes, value: Option<Bytes>) {
        self.rows.insert(key, value);
    }

    /// `None` if the key was not changed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.rows.get(key).cloned()
    }

    /// How many keys of `range` were deleted.
    pub(super) fn deletions(&self, range: &KeyRange) -> usize {
        self.within(range).filter(|(_, value)| value.is_none()).count()
    }

    /// The changed row of `range` with the greatest key that was not deleted.
    pub(super) fn last(&self, range: &KeyRange) -> Option<KeyValue> {
        self.within(range).rev().find_map(|(key, value)| Some((key.clone(), value.clone()?)))
    }

    /// `stored` rows of `range` as they are with the changes made; the first `limit`.
    pub(super) fn over(
        &self,
        stored: Vec<KeyValue>,
        range: &KeyRange,
        limit: usize,
    ) -> Vec<KeyValue> {
        let mut rows: BTreeMap<Bytes, Bytes> = stored.into_iter().collect();
        for (key, value) in self.within(range) {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        rows.into_iter().take(limit).collect()
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = (Bytes, Option<Bytes>)> {
        self.rows.into_iter()
    }

    fn within(
        &self,
        range: &KeyRange,
    ) -> impl DoubleEndedIterator<Item = (&Bytes, &Option<Bytes>)> {
        let start = Bytes::copy_from_slice(range.start());
        let end = match range.end() {
            _ if range.is_empty() => Bound::Excluded(start.clone()),
            Some(end) => Bound::Excluded(Bytes::copy_from_slice(end)),
            None => Bound::Unbounded,
        };
        self.rows.range((Bound::Included(start), end))
    }
}
