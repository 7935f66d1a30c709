use bytes::Bytes;

use super::{Error, Family, KeyValue, Reader};

/// Keys from a start (included) to an end (excluded) or to the last key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// `start` and every key above it.
    pub fn from(start: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: None }
    }

    /// Keys from `start` up to, not including, `end`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = successor(&start);
        Self { start, end }
    }

    /// The same range without the keys up to and including `key`.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut start = Vec::with_capacity(key.len() + 1);
        start.extend_from_slice(key);
        start.push(0);
        Self { start: Bytes::from(start).max(self.start.clone()), end: self.end.clone() }
    }

    /// The first key that may be in it.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The first key above it; `None` means that it goes to the last key.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end().is_none_or(|end| key < end)
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end().is_some_and(|end| end <= &self.start[..])
    }
}

/// The least key above every key that begins with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=kept].to_vec();
    next[kept] += 1;
    Some(next.into())
}

/// All rows of `range`, read `page` at a time. Pages of an [`super::Engine`] may show
/// different states; those of a view show one.
pub fn pages(reader: &dyn Reader, family: Family, range: KeyRange, page: usize) -> Pages<'_> {
    Pages { reader, family, range, page: page.max(1), rows: Vec::new().into_iter(), done: false }
}

/// The iterator of [`pages`]. It ends after its first error.
pub struct Pages<'a> {
    reader: &'a dyn Reader,
    family: Family,
    range: KeyRange,
    page: usize,
    rows: std::vec::IntoIter<KeyValue>,
    done: bool,
}

impl Pages<'_> {
    fn turn(&mut self) -> Result<(), Error> {
        let rows = self.reader.scan(self.family, &self.range, self.page)?;
        self.done = rows.len() < self.page;
        if let Some((last, _)) = rows.last() {
            self.range = self.range.after(last);
        }
        self.rows = rows.into_iter();
        Ok(())
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<KeyValue, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.rows.next() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        if let Err(error) = self.turn() {
            self.done = true;
            return Some(Err(error));
        }
        self.rows.next().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_of_highest_bytes_has_no_end() {
        assert_eq!(KeyRange::prefix(&b"a\xff"[..]).end(), Some(&b"b"[..]));
        assert_eq!(KeyRange::prefix(&b"\xff\xff"[..]).end(), None);
        assert_eq!(KeyRange::prefix(Bytes::new()), KeyRange::all());
    }

    proptest! {
        #[test]
        fn a_prefix_range_holds_exactly_the_keys_with_that_prefix(
            prefix in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 0..4),
            key in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 0..6),
        ) {
            let range = KeyRange::prefix(prefix.clone());
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        }
    }
}
