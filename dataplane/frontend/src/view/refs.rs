use gitstratum_core::{ObjectId, RefName};

/// A ref and what it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    /// Its name.
    pub name: RefName,
    /// The object it points at.
    pub target: ObjectId,
    /// What an annotated tag leads to in the end.
    pub peeled: Option<ObjectId>,
}

/// Refs in order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refs {
    sorted: Vec<Ref>,
    bytes: usize,
}

impl Refs {
    /// From refs in any order; of two with one name the later wins.
    pub(crate) fn new(refs: impl IntoIterator<Item = Ref>) -> Self {
        let mut sorted: Vec<Ref> = refs.into_iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.reverse();
        sorted.dedup_by(|a, b| a.name == b.name);
        sorted.reverse();
        Self::of_sorted(sorted)
    }

    fn of_sorted(sorted: Vec<Ref>) -> Self {
        let bytes = sorted.iter().map(|each| each.name.as_bytes().len() + 128).sum();
        Self { sorted, bytes }
    }

    /// These refs with `changed` put in and `deleted` taken out.
    #[must_use]
    pub(crate) fn changed(&self, changed: Vec<Ref>, deleted: &[RefName]) -> Self {
        let gone = Self::new(changed.iter().cloned());
        let mut removed: Vec<&RefName> = deleted.iter().collect();
        removed.sort();
        let kept = self.sorted.iter().filter(|each| {
            gone.get(&each.name).is_none() && removed.binary_search(&&each.name).is_err()
        });
        Self::new(kept.cloned().chain(changed))
    }

    /// The ref called `name`.
    pub(crate) fn get(&self, name: &RefName) -> Option<&Ref> {
        let place = self.sorted.binary_search_by(|each| each.name.cmp(name)).ok()?;
        self.sorted.get(place)
    }

    /// Those whose names begin with `prefix`, by name.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> &[Ref] {
        let start = self.sorted.partition_point(|each| each.name.as_bytes() < prefix);
        let from = &self.sorted[start..];
        let length = from.partition_point(|each| each.name.as_bytes().starts_with(prefix));
        &from[..length]
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Ref> {
        self.sorted.iter()
    }

    /// About how much memory they take, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes
    }
}

impl<'a> IntoIterator for &'a Refs {
    type Item = &'a Ref;
    type IntoIter = std::slice::Iter<'a, Ref>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use gitstratum_core::ObjectFormat;

    use super::*;

    fn at(name: &str, byte: u8) -> Ref {
        let target = ObjectId::from_bytes(ObjectFormat::Sha1, &[byte; 20]).unwrap();
        Ref { name: RefName::branch(name).unwrap(), target, peeled: None }
    }

    #[test]
    fn s31_gs_fe_17_changes_give_the_same_refs_as_a_whole_listing() {
        let held = Refs::new([at("b", 1), at("a", 1), at("c", 1)]);
        let gone = [RefName::branch("c").unwrap()];
        let now = held.changed(vec![at("b", 2), at("d", 3)], &gone);
        let whole = Refs::new([at("a", 1), at("b", 2), at("d", 3)]);
        assert_eq!(now.sorted, whole.sorted);
        assert_eq!(now.get(&RefName::branch("b").unwrap()).unwrap().target, at("b", 2).target);
        assert!(now.get(&gone[0]).is_none());
    }

    #[test]
    fn gs_fe_06_a_prefix_selects_a_run_of_names() {
        let refs = Refs::new(["a", "ab", "abc", "b", "ba"].map(|name| at(name, 1)));
        let names = |prefix: &[u8]| -> Vec<String> {
            refs.with_prefix(prefix).iter().map(|each| each.name.to_string()).collect()
        };
        assert_eq!(names(b"refs/heads/ab"), ["refs/heads/ab", "refs/heads/abc"]);
        assert_eq!(names(b"refs/heads/"), names(b""));
        assert!(names(b"refs/tags/").is_empty());
        assert!(names(b"refs/heads/c").is_empty());
    }

    #[test]
    fn the_later_of_two_with_one_name_wins() {
        let refs = Refs::new([at("a", 1), at("a", 2)]);
        assert_eq!(refs.iter().count(), 1);
        assert_eq!(refs.iter().next().unwrap().target, at("a", 2).target);
    }
}
