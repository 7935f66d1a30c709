//! Objects made by hand, and packs of them.

use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_git::testing::{self, PackBuilder, id_of};

/// Modes of tree entries.
pub(crate) const FILE: &str = "100644";
pub(crate) const FOLDER: &str = "40000";
pub(crate) const SYMLINK: &str = "120000";

/// Objects of one format, in the order made.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) format: ObjectFormat,
    list: Vec<(ObjectKind, Vec<u8>)>,
}

impl Objects {
    /// None yet.
    pub(crate) fn of(format: ObjectFormat) -> Self {
        Self { format, list: Vec::new() }
    }

    /// None yet, of sha1.
    pub(crate) fn new() -> Self {
        Self::of(ObjectFormat::Sha1)
    }

    /// Any object, well-formed or not.
    pub(crate) fn add(&mut self, kind: ObjectKind, content: &[u8]) -> ObjectId {
        self.list.push((kind, content.to_vec()));
        id_of(self.format, kind, content)
    }

    pub(crate) fn blob(&mut self, content: &[u8]) -> ObjectId {
        self.add(ObjectKind::Blob, content)
    }

    /// A tree with these entries, in the order given: mode, name, id.
    pub(crate) fn tree(&mut self, entries: &[(&str, &[u8], ObjectId)]) -> ObjectId {
        self.add(ObjectKind::Tree, &testing::tree(entries))
    }

    /// A tree with one file.
    pub(crate) fn folder_of(&mut self, name: &str, content: &[u8]) -> ObjectId {
        let blob = self.blob(content);
        self.tree(&[(FILE, name.as_bytes(), blob)])
    }

    pub(crate) fn commit(&mut self, tree: &ObjectId, parents: &[ObjectId], text: &str) -> ObjectId {
        self.add(ObjectKind::Commit, &testing::commit(tree, parents, text))
    }

    pub(crate) fn tag(&mut self, target: &ObjectId, kind: ObjectKind, name: &str) -> ObjectId {
        self.add(ObjectKind::Tag, &testing::tag(target, kind, name))
    }

    /// A commit whose tree has one file with this text, all made here.
    pub(crate) fn small_commit(&mut self, parents: &[ObjectId], text: &str) -> ObjectId {
        let tree = self.folder_of("file", text.as_bytes());
        self.commit(&tree, parents, text)
    }

    /// A pack of them, to be spoiled.
    pub(crate) fn builder(&self) -> PackBuilder {
        let pack = PackBuilder::new(self.format);
        self.list.iter().fold(pack, |pack, (kind, content)| pack.object(*kind, content))
    }

    /// A pack of them.
    pub(crate) fn pack(&self) -> Vec<u8> {
        self.builder().build()
    }

    /// What one of them holds.
    pub(crate) fn content(&self, id: &ObjectId) -> &[u8] {
        let held = self.list.iter().find(|(kind, text)| id_of(self.format, *kind, text) == *id);
        &held.expect("because it was made here").1
    }
}

/// The id of no object.
pub(crate) fn missing(last: u8) -> ObjectId {
    let mut bytes = [0xda; 20];
    bytes[19] = last;
    ObjectId::from_bytes(ObjectFormat::Sha1, &bytes).expect("because 20 bytes are an id")
}
