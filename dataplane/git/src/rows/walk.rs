use std::collections::HashSet;

use gitstratum_core::ObjectId;

use super::tree::{Entries, EntryKind, Malformed};
use super::{DEPTH_MAX, EntryBudget, Error, RowIds};

/// Walks whole trees from their roots, level by level, less what is excluded: for
/// depth-1 and boundary commits, and for trees that are wanted by themselves.
#[derive(Debug)]
pub struct TreeWalk {
    excluded: HashSet<ObjectId>,
    seen_blobs: HashSet<ObjectId>,
    seen_trees: HashSet<ObjectId>,
    level: Vec<ObjectId>,
    wanted: HashSet<ObjectId>,
    next: Vec<ObjectId>,
    depth: usize,
    found: RowIds,
    budget: EntryBudget,
}

impl TreeWalk {
    /// Starts at `roots`. An excluded tree is neither listed nor entered, an excluded
    /// blob is not listed.
    pub fn new(
        roots: impl IntoIterator<Item = ObjectId>,
        excluded: HashSet<ObjectId>,
        budget: EntryBudget,
    ) -> Self {
        let mut walk = Self {
            excluded,
            seen_blobs: HashSet::new(),
            seen_trees: HashSet::new(),
            level: Vec::new(),
            wanted: HashSet::new(),
            next: Vec::new(),
            depth: 0,
            found: RowIds::default(),
            budget,
        };
        roots.into_iter().for_each(|root| walk.list_tree(root));
        walk.open_level();
        walk
    }

    /// The trees that this level still needs, each once. Costs as much as the level
    /// is wide: ask once a level.
    pub fn wanted(&self) -> Vec<ObjectId> {
        self.level.iter().filter(|tree| self.wanted.contains(*tree)).copied().collect()
    }

    /// Whether everything is walked.
    pub fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Takes the content of a wanted tree.
    ///
    /// # Errors
    /// Budget or depth exceeded, a malformed tree, or one not wanted. The walk is of
    /// no use afterwards.
    pub fn provide(&mut self, tree: ObjectId, content: &[u8]) -> Result<(), Error> {
        if !self.wanted.remove(&tree) {
            return Err(Error::NotWanted { tree });
        }
        let mut entries = Entries::new(content, tree.format());
        while let Some(entry) = entries.next().map_err(|Malformed| Error::Malformed { tree })? {
            match entry.kind {
                EntryKind::Tree => self.list_tree(entry.id()),
                EntryKind::Blob => self.list_blob(entry.id()),
                EntryKind::Gitlink => {}
            }
        }
        self.budget.spend(entries.taken)?;
        if self.wanted.is_empty() {
            self.depth += 1;
            if let (DEPTH_MAX, Some(tree)) = (self.depth, self.next.first()) {
                return Err(Error::Depth { tree: *tree, limit: DEPTH_MAX });
            }
            self.open_level();
        }
        Ok(())
    }

    /// The trees and blobs reached, roots included.
    ///
    /// # Errors
    /// [`Error::Unfinished`] while trees are wanted.
    pub fn finish(self) -> Result<RowIds, Error> {
        if self.is_done() {
            return Ok(self.found);
        }
        Err(Error::Unfinished { wanted: self.wanted.len() })
    }

    fn open_level(&mut self) {
        self.level = std::mem::take(&mut self.next);
        self.wanted = self.level.iter().copied().collect();
    }

    fn list_tree(&mut self, tree: ObjectId) {
        if !self.excluded.contains(&tree) && self.seen_trees.insert(tree) {
            self.found.trees.push(tree);
            self.next.push(tree);
        }
    }

    fn list_blob(&mut self, blob: ObjectId) {
        if !self.excluded.contains(&blob) && self.seen_blobs.insert(blob) {
            self.found.blobs.push(blob);
        }
    }
}
