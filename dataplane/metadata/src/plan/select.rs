use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};

use gitstratum_core::{ObjectId, PackId};
use gitstratum_git::graph::Generation;
use roaring::RoaringBitmap;

use super::negotiate::{Wants, empty_plan};
use super::shallow::Depth;
use super::{Question, standing};
use crate::graph::{Commit, History, OverBudget};
use crate::planner::{FetchPlan, PackSelection, PlanError, PlanRequest, Rows};

/// Most trees of common commits that a boundary commit's tree is compared with.
const HELD_TREES_MAX: usize = 16;

const WANTED: u8 = 1;
const HELD: u8 = 2;

impl Question {
    /// What to send: commits reached from the wants and not held by the client, each by its
    /// row, or by its whole tree where a parent is neither sent nor held (S7).
    pub(super) fn select(
        &self,
        history: &History,
        request: &PlanRequest,
        wants: &Wants,
        common: &[Commit],
    ) -> Result<FetchPlan, PlanError> {
        let mut plan = empty_plan(self, wants);
        let client_shallow: HashSet<Commit> =
            request.shape.shallow.iter().filter_map(|id| history.find(id)).collect();
        let depth = self.depth(history, &request.shape, wants, &client_shallow)?;
        let (sent, held) = match &depth {
            None => self.paint(history, &wants.commits, common, &client_shallow)?,
            Some(depth) => self.within(history, depth, common, &client_shallow)?,
        };
        let is_cut = |commit: &Commit| {
            client_shallow.contains(commit)
                || depth.as_ref().is_some_and(|depth| depth.border.contains(commit))
        };
        self.check_whole(history, sent.iter().filter(|commit| !is_cut(commit)))?;
        let border = border(history, &sent, &held);
        self.fill(history, &mut plan, &sent, &border)?;
        plan.common = maximal(history, common);
        plan.held_trees = held_trees(history, &plan.common);
        if let Some(depth) = &depth {
            tell_shallow(history, &mut plan, depth, &client_shallow);
        }
        if request.shape.include_tag {
            self.include_tags(history, &mut plan, &sent);
        }
        let known: HashSet<ObjectId> = request.haves.iter().copied().collect();
        plan.extra_objects.retain(|id| !known.contains(id));
        Ok(plan)
    }

    /// Walks from wants and commons together, newest generation first, until nothing that
    /// is only wanted is open: costs the difference, not the history. Neither side goes
    /// below the client's shallow border.
    fn paint(
        &self,
        history: &History,
        wants: &[Commit],
        common: &[Commit],
        client_shallow: &HashSet<Commit>,
    ) -> Result<(Vec<Commit>, HashSet<Commit>), PlanError> {
        let mut paint = Paint::new(history);
        wants.iter().for_each(|want| paint.add(*want, WANTED));
        common.iter().for_each(|commit| paint.add(*commit, HELD));
        let (mut sent, mut held) = (Vec::new(), HashSet::new());
        let mut steps = self.limits.steps_max;
        while paint.wanted_open > 0 {
            let Some((commit, marks)) = paint.next() else { break };
            steps = steps.checked_sub(1).ok_or_else(|| self.over_budget(OverBudget))?;
            match marks & HELD {
                0 => sent.push(commit),
                _ => {
                    held.insert(commit);
                }
            }
            if !client_shallow.contains(&commit) {
                history.parents(commit).iter().for_each(|parent| paint.add(*parent, marks));
            }
        }
        held.extend(paint.open_held());
        Ok((sent, held))
    }

    /// The included commits of a depth request that the client does not hold.
    fn within(
        &self,
        history: &History,
        depth: &Depth,
        common: &[Commit],
        client_shallow: &HashSet<Commit>,
    ) -> Result<(Vec<Commit>, HashSet<Commit>), PlanError> {
        let lowest = depth.included.iter().map(|commit| history.generation(*commit)).min();
        let lowest = lowest.unwrap_or(Generation::UNKNOWN);
        let mut paint = Paint::new(history);
        common.iter().for_each(|commit| paint.add(*commit, HELD));
        let mut held = HashSet::new();
        let mut steps = self.limits.steps_max;
        while let Some((commit, _)) = paint.next() {
            steps = steps.checked_sub(1).ok_or_else(|| self.over_budget(OverBudget))?;
            held.insert(commit);
            let below = history.generation(commit) < lowest;
            if !below && !client_shallow.contains(&commit) {
                history.parents(commit).iter().for_each(|parent| paint.add(*parent, HELD));
            }
        }
        let mut sent: Vec<Commit> =
            depth.included.iter().copied().filter(|commit| !held.contains(commit)).collect();
        sent.sort_unstable_by_key(|commit| std::cmp::Reverse(history.generation(*commit)));
        Ok((sent, held))
    }

    /// A parent that no pack has is damage, and no end of the history.
    fn check_whole<'a>(
        &self,
        history: &History,
        mut commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<(), PlanError> {
        let gap = commits.find_map(|commit| {
            let parent = history.parents(*commit).iter().find(|parent| !history.has(**parent))?;
            Some((history.id(*commit), history.id(*parent)))
        });
        let Some((child, parent)) = gap else { return Ok(()) };
        let problem = format!("commit {child} lacks its parent {parent}");
        Err(PlanError::Damaged { repo: self.view.repo, problem })
    }

    fn fill(
        &self,
        history: &History,
        plan: &mut FetchPlan,
        sent: &[Commit],
        border: &BTreeSet<Commit>,
    ) -> Result<(), PlanError> {
        let mut rows: BTreeMap<PackId, RoaringBitmap> = BTreeMap::new();
        for commit in sent {
            let Some((pack, row)) = history.place(*commit) else { continue };
            if border.contains(commit) {
                plan.boundary_commits.push(history.id(*commit));
                plan.boundary_trees.extend(history.tree(*commit));
            } else {
                rows.entry(pack).or_default().insert(row.0);
            }
        }
        let in_order = self.view.packs.iter().filter_map(|pack| {
            let rows = rows.remove(&pack.id)?;
            Some(PackSelection { pack: pack.id, rows: Rows::Some(rows) })
        });
        plan.packs = in_order.collect();
        plan.commit_count = sent.len() as u64;
        let Some(pack) = rows.keys().next() else { return Ok(()) };
        let problem = format!("its graph places a commit in pack {pack}, which is not live");
        Err(PlanError::Bug { repo: self.view.repo, problem })
    }

    /// Annotated tags that lead to a commit that is sent.
    fn include_tags(&self, history: &History, plan: &mut FetchPlan, sent: &[Commit]) {
        let sent: HashSet<Commit> = sent.iter().copied().collect();
        let mut extras: BTreeSet<ObjectId> = plan.extra_objects.iter().copied().collect();
        for entry in self.view.refs.iter() {
            let peeled = entry.peeled.and_then(|id| history.find(&id));
            if peeled.is_some_and(|commit| sent.contains(&commit)) {
                standing::follow(history, entry.target, |tag| {
                    extras.insert(tag);
                });
            }
        }
        plan.extra_objects = extras.into_iter().collect();
    }
}

/// Marks on commits, spread from children to parents.
struct Paint<'a> {
    history: &'a History,
    marks: Vec<u8>,
    open: BinaryHeap<(Generation, Commit)>,
    /// Open commits that are wanted and not held.
    wanted_open: usize,
}

impl<'a> Paint<'a> {
    fn new(history: &'a History) -> Self {
        let marks = vec![0; history.len()];
        Self { history, marks, open: BinaryHeap::new(), wanted_open: 0 }
    }

    fn add(&mut self, commit: Commit, marks: u8) {
        if !self.history.has(commit) {
            return;
        }
        let held = &mut self.marks[commit.0 as usize];
        let (before, after) = (*held, *held | marks);
        *held = after;
        if before == 0 {
            self.open.push((self.history.generation(commit), commit));
        }
        match (before == WANTED, after == WANTED) {
            (false, true) => self.wanted_open += 1,
            (true, false) => self.wanted_open -= 1,
            _ => {}
        }
    }

    fn next(&mut self) -> Option<(Commit, u8)> {
        let (_, commit) = self.open.pop()?;
        let marks = self.marks[commit.0 as usize];
        if marks == WANTED {
            self.wanted_open -= 1;
        }
        Some((commit, marks))
    }

    fn open_held(self) -> Vec<Commit> {
        let marks = self.marks;
        let held = self.open.into_iter().map(|(_, commit)| commit);
        held.filter(|commit| marks[commit.0 as usize] & HELD != 0).collect()
    }
}

/// Sent commits with a parent that is neither sent nor held.
fn border(history: &History, sent: &[Commit], held: &HashSet<Commit>) -> BTreeSet<Commit> {
    let all: HashSet<Commit> = sent.iter().copied().collect();
    let open = |commit: &Commit| {
        let mut parents = history.parents(*commit).iter();
        parents.any(|parent| !all.contains(parent) && !held.contains(parent))
    };
    sent.iter().copied().filter(open).collect()
}

/// Commons that are no parent of another, by id: enough to tell what the client holds.
fn maximal(history: &History, common: &[Commit]) -> Vec<ObjectId> {
    let parents: HashSet<Commit> =
        common.iter().flat_map(|commit| history.parents(*commit)).copied().collect();
    let tops = common.iter().filter(|commit| !parents.contains(commit));
    let mut ids: Vec<ObjectId> = tops.map(|commit| history.id(*commit)).collect();
    ids.sort_unstable();
    ids
}

fn held_trees(history: &History, common: &[ObjectId]) -> Vec<ObjectId> {
    let commits = common.iter().filter_map(|id| history.find(id));
    commits.filter_map(|commit| history.tree(commit)).take(HELD_TREES_MAX).collect()
}

fn tell_shallow(
    history: &History,
    plan: &mut FetchPlan,
    depth: &Depth,
    client_shallow: &HashSet<Commit>,
) {
    let ids = |commits: Vec<Commit>| {
        let mut ids: Vec<ObjectId> = commits.into_iter().map(|c| history.id(c)).collect();
        ids.sort_unstable();
        ids
    };
    let new = depth.border.iter().copied().filter(|c| !client_shallow.contains(c)).collect();
    let gone = client_shallow.iter().copied();
    let gone = gone.filter(|c| depth.included.contains(c) && !depth.border.contains(c)).collect();
    plan.shallow = ids(new);
    plan.unshallow = ids(gone);
}
