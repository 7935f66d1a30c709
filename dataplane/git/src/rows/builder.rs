use std::collections::HashSet;

use bytes::Bytes;
use gitstratum_core::ObjectId;

use super::level::{Job, Level, Ready};
use super::tree::{Entries, EntryKind, Malformed, Side};
use super::{DEPTH_MAX, EntryBudget, Error, RowIds};

/// A commit whose row is to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit<K> {
    /// What the caller knows it by.
    pub key: K,
    /// Its root tree.
    pub root: ObjectId,
    /// The root trees of all its parents, or of whatever else is not to be listed
    /// again (the commits that a client holds).
    pub parent_roots: Vec<ObjectId>,
}

/// Computes the rows of many commits at once, level by level.
///
/// A row has every object of the commit's tree that is in no parent's tree; it may
/// have more: an object that a parent has under another path only. Gitlinks name
/// nothing of this repository and are left out.
#[derive(Debug)]
pub struct RowBuilder<K> {
    keys: Vec<K>,
    rows: Vec<Option<RowIds>>,
    level: Level,
    next: Vec<Job>,
    depth: usize,
    /// Trees that already have a job for a commit: once is enough, for what one job
    /// leaves out a parent has.
    seen: HashSet<(u32, ObjectId)>,
    budget: EntryBudget,
}

impl<K> RowBuilder<K> {
    /// Starts on `commits`; at most [`COMMITS_PER_BATCH`](super::COMMITS_PER_BATCH)
    /// of them at once, neighbours in history next to each other.
    pub fn new(commits: Vec<Commit<K>>, budget: EntryBudget) -> Self {
        let mut builder = Self {
            keys: Vec::with_capacity(commits.len()),
            rows: Vec::with_capacity(commits.len()),
            level: Level::default(),
            next: Vec::new(),
            depth: 0,
            seen: HashSet::new(),
            budget,
        };
        for commit in commits {
            builder.start(commit);
        }
        builder.level = Level::new(std::mem::take(&mut builder.next));
        builder
    }

    fn start(&mut self, commit: Commit<K>) {
        let number = self.keys.len() as u32;
        self.keys.push(commit.key);
        self.rows.push(Some(RowIds::default()));
        if !commit.parent_roots.contains(&commit.root) {
            self.descend(number, commit.root, commit.parent_roots);
        }
    }

    /// Lists a tree that no parent has at its path and puts it on the next level.
    fn descend(&mut self, commit: u32, tree: ObjectId, mut parents: Vec<ObjectId>) {
        if !self.seen.insert((commit, tree)) {
            return;
        }
        if let Some(Some(row)) = self.rows.get_mut(commit as usize) {
            row.trees.push(tree);
        }
        parents.sort_unstable();
        parents.dedup();
        self.next.push(Job { commit, tree, parents });
    }

    /// The trees that this level still needs, each once, in the order that frees
    /// memory soonest. Costs as much as the level is wide: ask once a level.
    pub fn wanted(&self) -> Vec<ObjectId> {
        self.level.wanted()
    }

    /// What may still be looked at.
    pub const fn budget_left(&self) -> EntryBudget {
        self.budget
    }

    /// Whether every row is computed.
    pub const fn is_done(&self) -> bool {
        self.level.wanted_count() == 0
    }

    /// Takes the content of a wanted tree.
    ///
    /// # Errors
    /// Budget, held bytes or depth exceeded, a malformed tree, or one not wanted. The
    /// builder is of no use afterwards.
    pub fn provide(&mut self, tree: ObjectId, content: Bytes) -> Result<(), Error> {
        let ready = self.level.take(tree, Some(content))?;
        self.run(ready)
    }

    /// Takes note that a wanted tree cannot be had: the rows that need it will be
    /// absent.
    ///
    /// # Errors
    /// As [`provide`](Self::provide).
    pub fn give_up(&mut self, tree: ObjectId) -> Result<(), Error> {
        let ready = self.level.take(tree, None)?;
        self.run(ready)
    }

    /// The rows by key, in the order given; `None` for those that need a tree that
    /// could not be had.
    ///
    /// # Errors
    /// [`Error::Unfinished`] while trees are wanted.
    pub fn finish(self) -> Result<Vec<(K, Option<RowIds>)>, Error> {
        if !self.is_done() {
            return Err(Error::Unfinished { wanted: self.level.wanted_count() });
        }
        let rows = self.rows.into_iter().map(|row| row.map(without_repetition));
        Ok(self.keys.into_iter().zip(rows).collect())
    }

    fn run(&mut self, ready: Vec<Ready>) -> Result<(), Error> {
        for job in ready {
            let row = &mut self.rows[job.commit as usize];
            match job.trees {
                None => *row = None,
                Some(_) if row.is_none() => {}
                Some((tree, parents)) => self.compare(job.commit, job.tree_id, &tree, &parents)?,
            }
        }
        if self.level.wanted_count() == 0 {
            self.next_level()?;
        }
        Ok(())
    }

    fn next_level(&mut self) -> Result<(), Error> {
        let rows = &self.rows;
        self.next.retain(|job| rows[job.commit as usize].is_some());
        self.depth += 1;
        if let (DEPTH_MAX, Some(job)) = (self.depth, self.next.first()) {
            return Err(Error::Depth { tree: job.tree, limit: DEPTH_MAX });
        }
        self.level = Level::new(std::mem::take(&mut self.next));
        Ok(())
    }

    /// Lists what `tree` has and none of `parents` has at the same place.
    fn compare(
        &mut self,
        commit: u32,
        tree_id: ObjectId,
        tree: &[u8],
        parents: &[(ObjectId, Bytes)],
    ) -> Result<(), Error> {
        let format = tree_id.format();
        let mut entries = Entries::new(tree, format);
        let mut sides: Vec<_> =
            parents.iter().map(|(id, bytes)| (*id, Side::new(bytes, format))).collect();
        let malformed = |tree| move |Malformed| Error::Malformed { tree };
        while let Some(entry) = entries.next().map_err(malformed(tree_id))? {
            let mut below = Vec::new();
            let mut is_known = false;
            for (id, side) in &mut sides {
                let Some(theirs) = side.at(&entry).map_err(malformed(*id))? else { continue };
                is_known |= theirs.is_same_object(&entry);
                if theirs.kind == EntryKind::Tree {
                    below.push(theirs.id());
                }
            }
            match entry.kind {
                _ if is_known => {}
                EntryKind::Gitlink => {}
                EntryKind::Tree => self.descend(commit, entry.id(), below),
                EntryKind::Blob => self.list_blob(commit, entry.id()),
            }
        }
        let read = entries.taken + sides.iter().map(|(_, side)| side.taken()).sum::<u64>();
        self.budget.spend(read)
    }

    fn list_blob(&mut self, commit: u32, blob: ObjectId) {
        if let Some(Some(row)) = self.rows.get_mut(commit as usize) {
            row.blobs.push(blob);
        }
    }
}

fn without_repetition(mut row: RowIds) -> RowIds {
    row.blobs.sort_unstable();
    row.blobs.dedup();
    row
}
