use std::collections::{BTreeSet, HashMap};

use gitstratum_core::{ObjectId, ObjectKind, PackId};
use gitstratum_git::graph::{self, CommitDate, Generation};
use gitstratum_git::part::CommitRow;

/// Number of a commit in a history; commits keep theirs while the history lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Commit(pub(crate) u32);

/// A tag object of a live pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) target: ObjectId,
    pub(crate) target_kind: ObjectKind,
}

/// Where a commit's row is, and what the row says.
#[derive(Clone, Debug)]
struct Row {
    pack: u32,
    row: CommitRow,
    tree: ObjectId,
    date: CommitDate,
    generation: Generation,
    /// Its parents, as a run of `History::parents`.
    parents: (u32, u32),
}

/// The commits and tags of some packs. Of a commit that lies in several packs the
/// oldest pack's copy answers (S8).
#[derive(Debug, Default)]
pub(crate) struct History {
    packs: Vec<PackId>,
    loaded: BTreeSet<PackId>,
    ids: Vec<ObjectId>,
    rows: Vec<Option<Row>>,
    parents: Vec<Commit>,
    by_id: HashMap<ObjectId, Commit>,
    tags: HashMap<ObjectId, Tag>,
}

impl History {
    /// Takes in the commits and tags of a pack; once is enough.
    pub(crate) fn absorb(&mut self, pack: PackId, graph: &graph::Reader) {
        if !self.loaded.insert(pack) {
            return;
        }
        let slot = u32::try_from(self.packs.len()).expect("because packs fit a manifest");
        self.packs.push(pack);
        let known = self.ids.len();
        let mut is_late = false;
        let mut fresh = Vec::new();
        for row in graph.rows() {
            let commit = self.intern(graph.id(row));
            if self.rows[commit.0 as usize].is_none() {
                is_late |= (commit.0 as usize) < known;
                self.fill(commit, slot, row, graph);
                fresh.push(commit);
            }
        }
        for tag in graph.tags() {
            let held = Tag { target: tag.target, target_kind: tag.target_kind };
            self.tags.entry(tag.id).or_insert(held);
        }
        if is_late {
            fresh = self.forget_generations();
        }
        for commit in fresh {
            self.settle_generation(commit);
        }
    }

    /// A parent came after its child: generations above it were settled without it. Gives
    /// every commit, to be settled anew.
    fn forget_generations(&mut self) -> Vec<Commit> {
        let mut all = Vec::new();
        for (number, row) in (0..).zip(&mut self.rows) {
            if let Some(row) = row {
                row.generation = Generation::UNKNOWN;
                all.push(Commit(number));
            }
        }
        all
    }

    fn intern(&mut self, id: ObjectId) -> Commit {
        if let Some(commit) = self.by_id.get(&id) {
            return *commit;
        }
        let number =
            u32::try_from(self.ids.len()).expect("because a repository has < 2^32 commits");
        let commit = Commit(number);
        self.ids.push(id);
        self.rows.push(None);
        self.by_id.insert(id, commit);
        commit
    }

    fn fill(&mut self, commit: Commit, pack: u32, row: CommitRow, graph: &graph::Reader) {
        let described = graph.commit(row);
        let start = u32::try_from(self.parents.len()).expect("because parents are few");
        let parents: Vec<Commit> = described.parents.iter().map(|id| self.intern(*id)).collect();
        let count = u32::try_from(parents.len()).expect("because parents are few");
        self.parents.extend(parents);
        self.rows[commit.0 as usize] = Some(Row {
            pack,
            row,
            tree: described.tree,
            date: described.date,
            generation: Generation::UNKNOWN,
            parents: (start, count),
        });
    }

    /// Generation v2 of `commit` and of what it needs below, without recursion. Parents that
    /// no pack has do not count: no walk goes through them, and without a number no order of
    /// walk would be right for what lies above them.
    fn settle_generation(&mut self, commit: Commit) {
        let mut stack = vec![commit];
        while let Some(top) = stack.last().copied() {
            let unknown =
                |commit: &Commit| self.row(*commit).is_some_and(|row| !row.generation.is_known());
            if !unknown(&top) {
                stack.pop();
                continue;
            }
            let open = self.parents(top).iter().copied().find(|parent| unknown(parent));
            if let Some(parent) = open {
                stack.push(parent);
                continue;
            }
            let parents = self.parents(top).iter().filter(|parent| self.has(**parent));
            let parents: Vec<_> = parents.map(|parent| self.generation(*parent)).collect();
            if let Some(row) = &mut self.rows[top.0 as usize] {
                row.generation = Generation::of(row.date, parents);
            }
            stack.pop();
        }
    }

    fn row(&self, commit: Commit) -> Option<&Row> {
        self.rows[commit.0 as usize].as_ref()
    }

    /// Packs taken in so far.
    pub(crate) fn packs(&self) -> &BTreeSet<PackId> {
        &self.loaded
    }

    /// The commit called `id`, if a pack taken in has it.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<Commit> {
        self.by_id.get(id).copied().filter(|commit| self.row(*commit).is_some())
    }

    /// The tag called `id`.
    pub(crate) fn tag(&self, id: &ObjectId) -> Option<Tag> {
        self.tags.get(id).copied()
    }

    /// The commit's id.
    pub(crate) fn id(&self, commit: Commit) -> ObjectId {
        self.ids[commit.0 as usize]
    }

    /// Its parents, also those that no pack has.
    pub(crate) fn parents(&self, commit: Commit) -> &[Commit] {
        let Some(row) = self.row(commit) else { return &[] };
        let (start, count) = row.parents;
        &self.parents[start as usize..(start + count) as usize]
    }

    /// Its root tree.
    pub(crate) fn tree(&self, commit: Commit) -> Option<ObjectId> {
        self.row(commit).map(|row| row.tree)
    }

    /// Its committer date.
    pub(crate) fn date(&self, commit: Commit) -> CommitDate {
        self.row(commit).map_or(CommitDate(0), |row| row.date)
    }

    /// Its generation; unknown only for a commit that no pack has.
    pub(crate) fn generation(&self, commit: Commit) -> Generation {
        self.row(commit).map_or(Generation::UNKNOWN, |row| row.generation)
    }

    /// The pack that answers for it, and its row there.
    pub(crate) fn place(&self, commit: Commit) -> Option<(PackId, CommitRow)> {
        self.row(commit).map(|row| (self.packs[row.pack as usize], row.row))
    }

    /// Whether a pack taken in has it.
    pub(crate) fn has(&self, commit: Commit) -> bool {
        self.row(commit).is_some()
    }

    /// Commits known, also those that no pack has: the bound of all numbers.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}
