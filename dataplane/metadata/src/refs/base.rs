use gitstratum_core::{ObjectFormat, ObjectId};

use super::{RefEntry, RefList, RefValue};
use gitstratum_core::Version;

/// Refs sorted by name, packed: a million of them take tens of megabytes, not hundreds.
#[derive(Debug)]
pub(super) struct Base {
    format: ObjectFormat,
    /// All names, one after the other.
    names: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
    /// All targets, one after the other.
    targets: Vec<u8>,
    /// Peeled values of the few refs that have one, by place.
    peeled: Vec<(usize, ObjectId)>,
}

impl Base {
    pub(super) const fn new(format: ObjectFormat) -> Self {
        Self { format, names: vec![], ends: vec![], targets: vec![], peeled: vec![] }
    }

    pub(super) const fn format(&self) -> ObjectFormat {
        self.format
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn byte_count(&self) -> usize {
        let peeled = size_of::<(usize, ObjectId)>() * self.peeled.capacity();
        self.names.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.targets.capacity()
            + peeled
    }

    /// Adds a ref whose name is above all that are there.
    pub(super) fn push(&mut self, name: &[u8], value: &RefValue) {
        if let Some(peeled) = value.peeled {
            self.peeled.push((self.ends.len(), peeled));
        }
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len());
        self.targets.extend_from_slice(value.target.as_bytes());
    }

    pub(super) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.targets.shrink_to_fit();
        self.peeled.shrink_to_fit();
    }

    /// The place of `name`, or where it would be.
    pub(super) fn search(&self, name: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    pub(super) fn entry(&self, place: usize) -> Option<RefEntry<'_>> {
        if place >= self.len() {
            return None;
        }
        let width = self.format.id_len();
        let target = self.targets.get(place * width..(place + 1) * width)?;
        let peeled = self.peeled.binary_search_by_key(&place, |(at, _)| *at);
        Some(RefEntry {
            name: self.name(place),
            target: ObjectId::from_slice(target)?,
            peeled: peeled.ok().map(|found| self.peeled[found].1),
        })
    }

    fn name(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[place]]
    }
}

/// Builds a [`RefList`] from refs that come in order of their names.
#[derive(Debug)]
pub struct RefListBuilder {
    base: Base,
}

impl RefListBuilder {
    /// For a repository of `format`.
    pub const fn new(format: ObjectFormat) -> Self {
        Self { base: Base::new(format) }
    }

    /// Adds a ref. Its name must be above those added before, and its target of the format.
    pub fn push(&mut self, name: &[u8], value: &RefValue) {
        debug_assert!(self.base.search(name) == Err(self.base.len()), "refs come in order");
        debug_assert_eq!(value.target.format(), self.base.format());
        self.base.push(name, value);
    }

    /// The list, at `version`.
    pub fn finish(mut self, version: Version) -> RefList {
        self.base.shrink();
        RefList::from_base(version, self.base)
    }
}
