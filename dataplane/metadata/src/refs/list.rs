use std::collections::{BTreeMap, VecDeque, btree_map};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_core::{ObjectFormat, ObjectId, Version};

use super::RefListBuilder;
use super::base::Base;

/// Refs that may differ from the packed base before it is packed again.
const OVERLAY_MAX: usize = 4_096;
/// Changes that a list remembers, and steps that it remembers them in.
const HISTORY_CHANGES_MAX: usize = 10_000;
const HISTORY_STEPS_MAX: usize = 1_024;
/// Rough bytes of a ref in the overlay or the history, beside its name.
const CHANGE_BYTES: usize = 160;

/// What a ref points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefValue {
    /// Its target.
    pub target: ObjectId,
    /// For an annotated tag what it peels to.
    pub peeled: Option<ObjectId>,
}

/// One ref of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its target.
    pub target: ObjectId,
    /// For an annotated tag what it peels to.
    pub peeled: Option<ObjectId>,
}

/// A ref that moved, came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// Its name.
    pub name: Bytes,
    /// What it was.
    pub old: Option<RefValue>,
    /// What it is.
    pub new: Option<RefValue>,
}

/// All refs of a repository at one version, sorted by name. Immutable; a newer list
/// shares what did not change, so it costs the changes, not the refs.
#[derive(Debug)]
pub struct RefList {
    version: Version,
    base: Arc<Base>,
    /// Refs that differ from the base; `None` is gone.
    overlay: Overlay,
    history: VecDeque<Arc<Step>>,
    /// The version before the oldest step.
    history_from: Version,
    len: usize,
}

type Overlay = BTreeMap<Bytes, Option<RefValue>>;

/// What happened between two versions that were looked at.
#[derive(Debug)]
struct Step {
    version: Version,
    changes: Vec<RefChange>,
}

impl RefList {
    pub(super) fn from_base(version: Version, base: Base) -> Self {
        Self {
            version,
            len: base.len(),
            base: Arc::new(base),
            overlay: Overlay::new(),
            history: VecDeque::new(),
            history_from: version,
        }
    }

    /// The list of `refs`, in any order.
    pub fn from_refs(
        version: Version,
        format: ObjectFormat,
        refs: impl IntoIterator<Item = (Bytes, RefValue)>,
    ) -> Self {
        let sorted: BTreeMap<_, _> = refs.into_iter().collect();
        let mut builder = RefListBuilder::new(format);
        for (name, value) in &sorted {
            builder.push(name, value);
        }
        builder.finish(version)
    }

    /// The version of the refs.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How many refs there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Roughly the bytes of memory it takes, shared ones included.
    pub fn byte_count(&self) -> usize {
        let history: usize = self.history.iter().map(|step| step.changes.len()).sum();
        self.base.byte_count() + (self.overlay.len() + history) * CHANGE_BYTES
    }

    /// The ref called `name`.
    pub fn get(&self, name: &[u8]) -> Option<RefValue> {
        match self.overlay.get(name) {
            Some(value) => *value,
            None => {
                let place = self.base.search(name).ok()?;
                self.base
                    .entry(place)
                    .map(|entry| RefValue { target: entry.target, peeled: entry.peeled })
            }
        }
    }

    /// Every ref, by name.
    pub fn iter(&self) -> impl Iterator<Item = RefEntry<'_>> {
        self.from(&[])
    }

    /// Refs whose names begin with `prefix`, by name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = RefEntry<'a>> {
        self.from(prefix).take_while(move |entry| entry.name.starts_with(prefix))
    }

    /// Refs whose names are above `name`, by name; all of them above `None`.
    pub fn after<'a>(
        &'a self,
        name: Option<&[u8]>,
    ) -> impl Iterator<Item = RefEntry<'a>> + use<'a> {
        let held = name.map(<[u8]>::to_vec);
        let from = self.from(name.unwrap_or_default());
        from.skip_while(move |entry| held.as_deref() == Some(entry.name))
    }

    /// What changed after `since`, oldest first; a ref may come more than once. `None` when that is
    /// too long ago to be remembered: look at everything then.
    pub fn changes_since(&self, since: Version) -> Option<Vec<&RefChange>> {
        if since < self.history_from || since > self.version {
            return None;
        }
        let steps = self.history.iter().filter(|step| step.version > since);
        Some(steps.flat_map(|step| &step.changes).collect())
    }

    /// This list with `changes` made to it, at the later `version`.
    #[must_use]
    pub fn with_changes(
        &self,
        version: Version,
        changes: impl IntoIterator<Item = (Bytes, Option<RefValue>)>,
    ) -> Self {
        let mut overlay = self.overlay.clone();
        let mut step = Step { version, changes: Vec::new() };
        let mut len = self.len;
        for (name, new) in changes {
            let old = self.get(&name);
            len = len + usize::from(new.is_some()) - usize::from(old.is_some());
            overlay.insert(name.clone(), new);
            step.changes.push(RefChange { name, old, new });
        }
        let mut next = Self {
            version,
            base: Arc::clone(&self.base),
            overlay,
            history: self.history.clone(),
            history_from: self.history_from,
            len,
        };
        next.remember(step);
        if next.overlay.len() > OVERLAY_MAX.min(self.base.len() / 2 + 64) {
            next.pack();
        }
        next
    }

    /// The same list without memory of earlier versions.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.history.clear();
        self.history_from = self.version;
        self
    }

    fn remember(&mut self, step: Step) {
        self.history.push_back(Arc::new(step));
        let mut changes: usize = self.history.iter().map(|step| step.changes.len()).sum();
        while changes > HISTORY_CHANGES_MAX || self.history.len() > HISTORY_STEPS_MAX {
            let Some(oldest) = self.history.pop_front() else { break };
            changes -= oldest.changes.len();
            self.history_from = oldest.version;
        }
    }

    /// Packs the overlay into a new base.
    fn pack(&mut self) {
        let mut base = Base::new(self.base.format());
        for entry in self.iter() {
            let value = RefValue { target: entry.target, peeled: entry.peeled };
            base.push(entry.name, &value);
        }
        base.shrink();
        self.base = Arc::new(base);
        self.overlay.clear();
    }

    fn from(&self, start: &[u8]) -> Entries<'_> {
        let place = self.base.search(start).unwrap_or_else(|place| place);
        let bounds = (Bound::Included(start), Bound::Unbounded);
        Entries {
            base: &self.base,
            place,
            overlay: self.overlay.range::<[u8], _>(bounds).peekable(),
        }
    }
}

/// Base and overlay, merged by name.
struct Entries<'a> {
    base: &'a Base,
    place: usize,
    overlay: Peekable<btree_map::Range<'a, Bytes, Option<RefValue>>>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = RefEntry<'a>;

    fn next(&mut self) -> Option<RefEntry<'a>> {
        loop {
            let held = self.base.entry(self.place);
            let changed = self.overlay.peek().map(|(name, _)| &name[..]);
            match (held, changed) {
                (Some(held), None) => {
                    self.place += 1;
                    return Some(held);
                }
                (Some(held), Some(changed)) if held.name < changed => {
                    self.place += 1;
                    return Some(held);
                }
                (Some(held), Some(changed)) if held.name == changed => self.place += 1,
                (None, None) => return None,
                _ => {}
            }
            let (name, value) = self.overlay.next()?;
            if let Some(RefValue { target, peeled }) = *value {
                return Some(RefEntry { name, target, peeled });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(byte: u8) -> RefValue {
        let id = ObjectId::from_slice(&[byte; 20]).unwrap();
        RefValue { target: id, peeled: byte.is_multiple_of(2).then_some(id) }
    }

    fn all(list: &RefList) -> Vec<(Bytes, RefValue)> {
        let owned = |entry: RefEntry<'_>| {
            let value = RefValue { target: entry.target, peeled: entry.peeled };
            (Bytes::copy_from_slice(entry.name), value)
        };
        list.iter().map(owned).collect()
    }

    #[test]
    fn changes_are_remembered_from_the_version_that_was_loaded() {
        let name = Bytes::from_static(b"refs/heads/a");
        let first = RefList::from_refs(Version(5), ObjectFormat::Sha1, [(name.clone(), value(1))]);
        assert!(first.changes_since(Version(4)).is_none());
        let second = first.with_changes(Version(7), [(name.clone(), Some(value(2)))]);
        let third = second.with_changes(Version(9), [(name, None)]);
        assert_eq!(third.changes_since(Version(5)).map(|changes| changes.len()), Some(2));
        let last = third.changes_since(Version(7)).unwrap();
        assert_eq!((last[0].old, last[0].new), (Some(value(2)), None));
        assert!(third.is_empty() && third.changes_since(Version(10)).is_none());
    }

    #[test]
    fn gs_md_01_a_change_to_a_long_list_shares_what_did_not_change() {
        let refs = (0..100_000).map(|n| (Bytes::from(format!("refs/tags/{n:06}")), value(1)));
        let list = RefList::from_refs(Version(1), ObjectFormat::Sha1, refs);
        let next = list.with_changes(Version(2), [(Bytes::from_static(b"refs/x"), Some(value(3)))]);
        assert!(Arc::ptr_eq(&list.base, &next.base));
        assert_eq!((list.len(), next.len()), (100_000, 100_001));
        assert!(list.byte_count() < 100_000 * 64);
        assert_eq!(next.with_prefix(b"refs/tags/00012").count(), 10);
    }

    proptest! {
        #[test]
        fn a_list_with_changes_equals_one_made_whole(
            steps in proptest::collection::vec(
                proptest::collection::btree_map("[ab/]{1,3}", proptest::option::of(1u8..9), 0..40), 0..8),
            prefix in "[ab/]{0,2}",
        ) {
            let mut expected = BTreeMap::new();
            let mut list = RefList::from_refs(Version(0), ObjectFormat::Sha1, []);
            for (number, step) in steps.into_iter().enumerate() {
                for (name, byte) in &step {
                    match byte {
                        Some(byte) => drop(expected.insert(Bytes::from(name.clone()), value(*byte))),
                        None => drop(expected.remove(name.as_bytes())),
                    }
                }
                let changes = step.into_iter().map(|(name, byte)| (Bytes::from(name), byte.map(value)));
                list = list.with_changes(Version(number as u64 + 1), changes);
            }
            prop_assert_eq!(all(&list), expected.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(list.len(), expected.len());
            let some = expected.keys().filter(|name| name.starts_with(prefix.as_bytes())).count();
            prop_assert_eq!(list.with_prefix(prefix.as_bytes()).count(), some);
            for (name, value) in &expected {
                prop_assert_eq!(list.get(name), Some(*value));
            }
        }
    }
}
