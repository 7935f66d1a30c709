//! What the objects of a pack refer to.

mod depth;
mod table;

use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind};

use self::depth::Depths;
use self::table::IdTable;
use super::{Limits, Resolved, Visited};
use crate::object::{CommitRef, ParseError, TagRef, TreeEntries};

/// Why the references of a pack were refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An object cannot be parsed, so what it refers to is not known.
    #[error("{kind} {id} cannot be read")]
    Malformed {
        /// Its kind.
        kind: ObjectKind,
        /// Its id.
        id: ObjectId,
        /// What is wrong.
        #[source]
        source: ParseError,
    },
    /// An object is referred to as what it is not (bad input 75).
    #[error("object {id} is referred to as {expected} and is {found}")]
    KindDiffers {
        /// Its id.
        id: ObjectId,
        /// The kind that a reference states.
        expected: ObjectKind,
        /// The kind that it has, or that another reference states.
        found: ObjectKind,
    },
    /// Trees or tags are nested deeper than allowed (bad inputs 69, 77).
    #[error("{kind} {id} is nested deeper than {limit}")]
    TooDeep {
        /// Its kind.
        kind: ObjectKind,
        /// Its id.
        id: ObjectId,
        /// Levels allowed.
        limit: u16,
    },
    /// The pack's trees refer to each other more often than can be followed.
    #[error("pack has more than {limit} references between trees to follow")]
    TooMany {
        /// References allowed.
        limit: usize,
    },
}

impl LinkError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// An object that something refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its id.
    pub id: ObjectId,
    /// The kind that it must have.
    pub kind: ObjectKind,
}

/// How a pack hangs together, and on what.
#[derive(Clone, Debug)]
pub struct Linked {
    /// Objects referred to that are not in the pack, each once, sorted by id: part of
    /// what the push rests on (S16).
    pub external: Vec<Reference>,
    /// Ordinals of objects that nothing in the pack refers to, sorted by id. If
    /// all of them are tips of the push, nothing in the pack is stray.
    pub roots: Vec<u32>,
    /// Levels of the deepest tree, counted inside the pack.
    pub tree_depth: u16,
}

/// Gathers the references of a pack's objects while they are visited: each
/// distinct id once, about 32 bytes for a SHA-1 id. Links to other repositories'
/// commits (gitlinks) are none.
pub struct Links {
    format: ObjectFormat,
    ids: IdTable,
    /// By index in `ids`: the kind that references state, `None` while there
    /// is no reference.
    kinds: Vec<Option<ObjectKind>>,
    depths: Depths,
}

impl Links {
    /// No references yet.
    pub fn new(format: ObjectFormat, limits: &Limits) -> Self {
        Self { format, ids: IdTable::new(format), kinds: Vec::new(), depths: Depths::new(limits) }
    }

    /// Takes the references of one object, whose content must be whole unless
    /// it is a blob.
    ///
    /// # Errors
    /// When it cannot be parsed, or refers to an object as two kinds at once.
    pub fn visit(&mut self, object: &Visited<'_>) -> Result<(), LinkError> {
        let content = object.content.whole().unwrap_or_default();
        match object.kind {
            ObjectKind::Blob => Ok(()),
            ObjectKind::Commit => self.visit_commit(object, content),
            ObjectKind::Tag => self.visit_tag(object, content),
            ObjectKind::Tree => self.visit_tree(object, content),
        }
    }

    fn visit_commit(&mut self, object: &Visited<'_>, content: &[u8]) -> Result<(), LinkError> {
        let commit =
            CommitRef::parse(self.format, content).map_err(|error| malformed(object, error))?;
        self.refer(&commit.tree, ObjectKind::Tree)?;
        for parent in commit.parents() {
            self.refer(&parent, ObjectKind::Commit)?;
        }
        Ok(())
    }

    fn visit_tag(&mut self, object: &Visited<'_>, content: &[u8]) -> Result<(), LinkError> {
        let tag = TagRef::parse(self.format, content).map_err(|error| malformed(object, error))?;
        let target = self.refer(&tag.target, tag.target_kind)?;
        self.nest(object, (tag.target_kind == ObjectKind::Tag).then_some(target))
    }

    fn visit_tree(&mut self, object: &Visited<'_>, content: &[u8]) -> Result<(), LinkError> {
        let mut subtrees = Vec::new();
        for entry in TreeEntries::new(self.format, content) {
            let entry = entry.map_err(|error| malformed(object, error))?;
            let Some(kind) = entry.mode.object_kind() else {
                continue;
            };
            let index = self.refer(&entry.id, kind)?;
            if kind == ObjectKind::Tree {
                subtrees.push(index);
            }
        }
        self.nest(object, subtrees)
    }

    /// What was found out, once every object was visited.
    ///
    /// # Errors
    /// When an object of the pack is not of the kind that a reference states,
    /// or is nested too deep.
    pub fn finish(mut self, resolved: &Resolved) -> Result<Linked, LinkError> {
        let tree_depth = self.depths.settle(&self.ids)?;
        let mut external = Vec::new();
        for (index, expected) in self.kinds.iter().enumerate() {
            let (Some(expected), id) = (*expected, self.ids.id(index)) else {
                continue;
            };
            match resolved.find(&id).map(|ordinal| resolved.kind(ordinal)) {
                None => external.push(Reference { id, kind: expected }),
                Some(found) if found == expected => {}
                Some(found) => return Err(LinkError::KindDiffers { id, expected, found }),
            }
        }
        external.sort_unstable_by_key(|reference| reference.id);
        let is_root = |ordinal: &u32| {
            let index = self.ids.find(&resolved.id(*ordinal));
            index.is_none_or(|index| self.kinds[index as usize].is_none())
        };
        let roots = resolved.by_id().iter().copied().filter(is_root).collect();
        Ok(Linked { external, roots, tree_depth })
    }

    fn refer(&mut self, id: &ObjectId, kind: ObjectKind) -> Result<u32, LinkError> {
        let index = self.index(id);
        let stated = &mut self.kinds[index as usize];
        let expected = *stated.get_or_insert(kind);
        if expected == kind {
            return Ok(index);
        }
        Err(LinkError::KindDiffers { id: *id, expected, found: kind })
    }

    fn index(&mut self, id: &ObjectId) -> u32 {
        let index = self.ids.insert(id);
        if index as usize == self.kinds.len() {
            self.kinds.push(None);
            self.depths.grow();
        }
        index
    }

    fn nest(
        &mut self,
        object: &Visited<'_>,
        inner: impl IntoIterator<Item = u32>,
    ) -> Result<(), LinkError> {
        let index = self.index(object.id);
        self.depths.add(index, object, inner)
    }
}

fn malformed(object: &Visited<'_>, source: ParseError) -> LinkError {
    LinkError::Malformed { kind: object.kind, id: *object.id, source }
}

#[cfg(test)]
mod tests;
