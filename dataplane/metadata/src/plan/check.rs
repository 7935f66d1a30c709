use std::collections::{BTreeSet, HashSet};

use gitstratum_client::objects::{Error, Location};
use gitstratum_core::ObjectId;
use gitstratum_git::rows::{EntryBudget, TreeWalk};

use super::{HistoryPlanner, Question, standing};
use crate::graph::{Commit, History};
use crate::planner::{CheckAnswer, PlanError, RepoView};

/// Root trees walked at once, and ids looked up at once.
const ROOTS_AT_ONCE: usize = 4_096;
const IDS_AT_ONCE: usize = 65_536;
/// Bytes, inflated, that are read at once.
const READ_BYTES: u64 = 16 * 1024 * 1024;
/// The largest object that is inflated. Of a larger one only the blocks are verified, where
/// its segments lie.
const INFLATED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most problems told; the rest would be the same.
const PROBLEMS_MAX: usize = 1_000;

/// What the refs need, found by walking commits and tags.
struct Needed {
    problems: Vec<String>,
    objects: Vec<ObjectId>,
    roots: Vec<ObjectId>,
}

impl HistoryPlanner {
    /// Walks everything that the refs reach: commits and tags by the graph, trees by their
    /// content. Every object is inflated and hashed that is not too large for it; those are
    /// counted. A read that fails is a problem told, not an error. One at a time: the objects of
    /// one batch may need as many bytes as a reader may hold.
    pub(super) async fn check_repository(&self, view: RepoView) -> Result<CheckAnswer, PlanError> {
        let _turn = self.checking.lock().await;
        let mut answer = CheckAnswer::default();
        let question = match self.question(view).await {
            Ok(question) => question,
            Err(error) => {
                answer.problems.push(words(&error));
                return Ok(answer);
            }
        };
        let needed = question.clone().blocking(|q, history| q.needed(history)).await?;
        answer.problems.extend(needed.problems);
        let mut blobs: BTreeSet<ObjectId> = BTreeSet::new();
        let mut seen: HashSet<ObjectId> = HashSet::new();
        let mut roots = needed.roots;
        match self.tip_trees(&question).await {
            Ok(trees) => roots.extend(trees.into_iter().map(|tree| tree.root)),
            Err(error) => answer.problems.push(words(&error)),
        }
        for roots in roots.chunks(ROOTS_AT_ONCE) {
            match self.walk_trees(&question, roots, &seen).await {
                Ok((trees, found)) => {
                    answer.objects_checked += trees.len() as u64;
                    seen.extend(trees);
                    blobs.extend(found);
                }
                Err(error) => answer.problems.push(words(&error)),
            }
        }
        let objects = needed.objects.into_iter().filter(|id| !seen.contains(id));
        let all: BTreeSet<ObjectId> = objects.chain(blobs).collect();
        answer.objects_checked += all.len() as u64;
        let all: Vec<ObjectId> = all.into_iter().collect();
        self.check_members(&question, &all, &mut answer).await;
        answer.problems.truncate(PROBLEMS_MAX);
        Ok(answer)
    }

    async fn walk_trees(
        &self,
        question: &Question,
        roots: &[ObjectId],
        seen: &HashSet<ObjectId>,
    ) -> Result<(Vec<ObjectId>, Vec<ObjectId>), PlanError> {
        let budget = EntryBudget(u64::MAX);
        let mut walk = TreeWalk::new(roots.iter().copied(), seen.clone(), budget);
        let damaged = |problem: String| PlanError::Damaged { repo: question.view.repo, problem };
        while !walk.is_done() {
            for ids in walk.wanted().chunks(ROOTS_AT_ONCE) {
                let mut trees = self.trees(question, ids).await?;
                for id in ids {
                    let tree = trees.remove(id);
                    let tree = tree.ok_or_else(|| damaged(format!("tree {id} is missing")))?;
                    walk.provide(*id, &tree).map_err(|error| damaged(error.to_string()))?;
                }
            }
        }
        let found = walk.finish().map_err(|error| damaged(error.to_string()))?;
        Ok((found.trees, found.blobs))
    }

    async fn check_members(&self, question: &Question, ids: &[ObjectId], answer: &mut CheckAnswer) {
        for ids in ids.chunks(IDS_AT_ONCE) {
            match self.reader.locate(&question.view.packs, ids).await {
                Ok(located) => {
                    let missing = ids.iter().zip(&located).filter(|(_, at)| at.is_none());
                    let missing = missing.map(|(id, _)| format!("object {id} is missing"));
                    answer.problems.extend(missing);
                    self.check_content(question, located.into_iter().flatten(), answer).await;
                }
                Err(error) => {
                    answer.problems.push(words(&super::read(&question.view, "an index", error)));
                }
            }
        }
    }

    /// Has each read, and hashed by that (S29): neighbours together, and one by one those of
    /// which one cannot be read.
    async fn check_content(
        &self,
        question: &Question,
        located: impl Iterator<Item = Location>,
        answer: &mut CheckAnswer,
    ) {
        let packs = &question.view.packs;
        let (located, large): (Vec<_>, Vec<_>) =
            located.partition(|at| at.record.size <= INFLATED_BYTES_MAX);
        answer.objects_too_large += large.len() as u64;
        for together in batches(located) {
            if self.reader.read_located(packs, together.clone()).await.is_ok() {
                continue;
            }
            for one in together {
                if answer.problems.len() >= PROBLEMS_MAX {
                    return;
                }
                match self.reader.read_located(packs, vec![one]).await {
                    Ok(_) => {}
                    // With its delta chain it is more than a reader may hold: no damage.
                    Err(Error::TooLarge { .. }) => answer.objects_too_large += 1,
                    Err(error) => {
                        let problem = words(&super::read(&question.view, "an object", error));
                        answer.problems.push(problem);
                    }
                }
            }
        }
    }
}

/// What is to be read at once, in the order in which it lies in the packs.
fn batches(mut located: Vec<Location>) -> Vec<Vec<Location>> {
    located.sort_by_key(|at| (at.pack.id, at.record.offset));
    let (mut batches, mut bytes) = (Vec::<Vec<Location>>::new(), READ_BYTES);
    for at in located {
        bytes = bytes.saturating_add(at.record.size);
        match batches.last_mut().filter(|_| bytes <= READ_BYTES) {
            Some(batch) => batch.push(at),
            None => {
                bytes = at.record.size;
                batches.push(vec![at]);
            }
        }
    }
    batches
}

impl Question {
    fn needed(&self, history: &History) -> Result<Needed, PlanError> {
        let tips = self.tips(history);
        let commits = self.reach(history, &tips).all().map_err(|e| self.over_budget(e))?;
        let mut needed = Needed { problems: Vec::new(), objects: Vec::new(), roots: Vec::new() };
        for commit in &commits {
            needed.add_commit(history, *commit);
        }
        needed.objects.extend(tips.tags);
        needed.objects.extend(tips.others);
        for entry in self.view.refs.iter() {
            let peeled = standing::peel(history, entry.target).0;
            if entry.peeled.is_some_and(|stored| stored != peeled) {
                let name = entry.name.escape_ascii();
                needed.problems.push(format!("ref {name} has a wrong peeled value"));
            }
        }
        Ok(needed)
    }
}

impl Needed {
    fn add_commit(&mut self, history: &History, commit: Commit) {
        self.objects.push(history.id(commit));
        self.roots.extend(history.tree(commit));
        for parent in history.parents(commit).iter().filter(|parent| !history.has(**parent)) {
            let (child, parent) = (history.id(commit), history.id(*parent));
            self.problems.push(format!("commit {child} lacks its parent {parent}"));
        }
    }
}

/// An error and what caused it, in one line.
fn words(error: &PlanError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        words = format!("{words}: {source}");
        cause = source.source();
    }
    words
}
