//! Objects and what they name: all that a plain walk needs.

use std::collections::{BTreeMap, BTreeSet};

use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_git::testing::{id_of, tag, tree};

pub(super) const SHA1: ObjectFormat = ObjectFormat::Sha1;

pub(super) type Ids = BTreeSet<ObjectId>;

/// One object and what it names.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: ObjectKind,
    pub(super) content: Vec<u8>,
    /// A commit's tree, a tree's entries, a tag's target.
    pub(super) links: Vec<ObjectId>,
    pub(super) parents: Vec<ObjectId>,
    pub(super) date: u64,
}

/// Objects in the order they were made: what an object names is older.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    all: BTreeMap<ObjectId, Object>,
    order: Vec<ObjectId>,
}

impl Objects {
    pub(super) fn blob(&mut self, text: &str) -> ObjectId {
        self.add(ObjectKind::Blob, text.as_bytes().to_vec(), Vec::new())
    }

    /// A tree of blobs and trees by name.
    pub(super) fn tree(&mut self, entries: &[(String, ObjectId)]) -> ObjectId {
        let mode = |id: &ObjectId| match self.kind(id) {
            ObjectKind::Tree => "40000",
            _ => "100644",
        };
        let listed: Vec<_> = entries.iter().map(|(n, id)| (mode(id), n.as_bytes(), *id)).collect();
        let content = tree(&listed);
        self.add(ObjectKind::Tree, content, entries.iter().map(|(_, id)| *id).collect())
    }

    pub(super) fn commit(&mut self, root: ObjectId, parents: &[ObjectId], date: u64) -> ObjectId {
        let number = self.order.len();
        let named: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let who = "C <c@example.org>";
        let content = format!(
            "tree {root}\n{named}author {who} {date} +0000\ncommitter {who} {date} +0000\n\n{number}\n"
        );
        let id = self.add(ObjectKind::Commit, content.into_bytes(), vec![root]);
        let object = self.all.get_mut(&id).unwrap();
        (object.parents, object.date) = (parents.to_vec(), date);
        id
    }

    pub(super) fn tag(&mut self, target: ObjectId) -> ObjectId {
        let name = format!("tag-{}", self.order.len());
        let content = tag(&target, self.kind(&target), &name);
        self.add(ObjectKind::Tag, content, vec![target])
    }

    fn add(&mut self, kind: ObjectKind, content: Vec<u8>, links: Vec<ObjectId>) -> ObjectId {
        let id = id_of(SHA1, kind, &content);
        if !self.all.contains_key(&id) {
            self.order.push(id);
            self.all.insert(id, Object { kind, content, links, parents: Vec::new(), date: 0 });
        }
        id
    }

    /// Gives it other content under its old id.
    pub(super) fn spoil(&mut self, id: &ObjectId) {
        let object = self.all.get_mut(id).unwrap();
        match object.content.last_mut() {
            Some(last) => *last ^= 1,
            None => object.content.push(0),
        }
    }

    pub(super) fn get(&self, id: &ObjectId) -> &Object {
        &self.all[id]
    }

    pub(super) fn kind(&self, id: &ObjectId) -> ObjectKind {
        self.all[id].kind
    }

    /// Every object, older ones first.
    pub(super) fn order(&self) -> &[ObjectId] {
        &self.order
    }

    pub(super) fn of_kind(&self, kind: ObjectKind) -> Vec<ObjectId> {
        self.order.iter().copied().filter(|id| self.kind(id) == kind).collect()
    }

    /// Everything that `starts` reach.
    pub(super) fn reach<'a>(&self, starts: impl IntoIterator<Item = &'a ObjectId>) -> Ids {
        self.reach_above(starts, &Ids::new())
    }

    /// Everything that `starts` reach when the commits of `border` have no parents.
    pub(super) fn reach_above<'a>(
        &self,
        starts: impl IntoIterator<Item = &'a ObjectId>,
        border: &Ids,
    ) -> Ids {
        let mut reached = Ids::new();
        let mut open: Vec<ObjectId> = starts.into_iter().copied().collect();
        while let Some(id) = open.pop() {
            let Some(object) = self.all.get(&id) else { continue };
            if reached.insert(id) {
                open.extend(&object.links);
                if !border.contains(&id) {
                    open.extend(&object.parents);
                }
            }
        }
        reached
    }

    /// What a tag comes to in the end.
    pub(super) fn peel(&self, id: ObjectId) -> ObjectId {
        match self.kind(&id) {
            ObjectKind::Tag => self.peel(self.get(&id).links[0]),
            _ => id,
        }
    }

    /// What `commit` brings with it, itself included: the objects of its tree that are in no
    /// parent's (S7).
    pub(super) fn brought(&self, commit: &ObjectId) -> Ids {
        let object = self.get(commit);
        let held = self.reach(object.parents.iter().flat_map(|parent| &self.get(parent).links));
        let mut brought = &self.reach(&object.links) - &held;
        brought.insert(*commit);
        brought
    }
}
