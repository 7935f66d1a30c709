//! Rows that no table has, rebuilt by tree difference and kept (S7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitstratum_core::{ErrorKind, ObjectId, ObjectKind};
use gitstratum_git::part::Kind;
use gitstratum_git::rows::{self, COMMITS_PER_BATCH, EntryBudget, RowBuilder, RowIds};

use super::introduced::{Search, damaged};
use super::{HistoryPlanner, Question, read};
use crate::planner::PlanError;

/// Trees read in one batch.
const TREES_AT_ONCE: usize = 4_096;

/// What a row is to be built for: a commit whose row no table has, or a tree that a ref
/// leads to, which brings all that is under it.
pub(super) struct Absent {
    /// The commit, or the tree.
    id: ObjectId,
    pub(super) root: ObjectId,
    /// Root trees of the parents.
    parents: Vec<ObjectId>,
}

impl HistoryPlanner {
    /// Takes out what the absent rows of reached commits would list, newest first, and what
    /// lies under trees that refs lead to.
    pub(super) async fn search_rebuilt(
        &self,
        question: &Question,
        mut search: Search,
    ) -> Result<Search, PlanError> {
        if search.left.is_empty() {
            return Ok(search);
        }
        let mut absent = self.absent(question).await?;
        absent.reverse();
        absent.extend(self.tip_trees(question).await?);
        while !search.left.is_empty() && !absent.is_empty() {
            let batch = absent.split_off(absent.len().saturating_sub(COMMITS_PER_BATCH));
            for row in self.rebuild(question, batch, &mut search.entries_left).await? {
                for id in row.trees.iter().chain(&row.blobs) {
                    search.left.remove(id);
                }
            }
        }
        Ok(search)
    }

    /// Reached commits whose rows no table has, newest first. A row that names a pack which has been
    /// compacted since counts as absent.
    async fn absent(&self, question: &Question) -> Result<Vec<Absent>, PlanError> {
        let mut tables = BTreeMap::new();
        for pack in question.view.packs.iter().filter(|pack| pack.part(Kind::Table).is_some()) {
            let table = self.reader.table(pack).await;
            tables.insert(pack.id, table.map_err(|e| read(&question.view, "a commit table", e))?);
        }
        let live: BTreeSet<_> = question.view.packs.iter().map(|pack| pack.id).collect();
        question
            .clone()
            .blocking(move |q, history| {
                let tips = q.tips(history);
                let commits = q.reach(history, &tips).all().map_err(|e| q.over_budget(e))?;
                let absent = commits.into_iter().filter_map(|commit| {
                    let (pack, row) = history.place(commit)?;
                    let present = tables
                        .get(&pack)
                        .is_some_and(|table| table.has_live(row, |id| live.contains(&id)));
                    let parents = history.parents(commit).iter().filter_map(|p| history.tree(*p));
                    let parents = parents.collect();
                    let (id, root) = (history.id(commit), history.tree(commit)?);
                    (!present).then_some(Absent { id, root, parents })
                });
                Ok(absent.collect())
            })
            .await
    }

    /// Trees that refs lead to without a commit.
    pub(super) async fn tip_trees(&self, question: &Question) -> Result<Vec<Absent>, PlanError> {
        let others = question.clone().blocking(|q, history| Ok(q.tips(history).others)).await?;
        let others: Vec<ObjectId> = others.into_iter().collect();
        let located = self.locate(question, &others).await?.into_iter().flatten();
        let trees = located.filter(|location| location.record.kind == ObjectKind::Tree);
        let absent = |id| Absent { id, root: id, parents: Vec::new() };
        Ok(trees.map(|location| absent(location.record.id)).collect())
    }

    /// The rows of `absent`, from the cache or by tree difference.
    async fn rebuild(
        &self,
        question: &Question,
        absent: Vec<Absent>,
        entries_left: &mut u64,
    ) -> Result<Vec<Arc<RowIds>>, PlanError> {
        let repo = question.view.repo;
        let mut rows = Vec::new();
        let mut missing = Vec::new();
        for absent in absent {
            match self.rows.get(&(repo, absent.id)) {
                Some(row) => rows.push(row),
                None => missing.push(absent),
            }
        }
        for (id, row) in self.build_rows(question, missing, entries_left).await? {
            let row = Arc::new(row);
            self.rows.insert((repo, id), Arc::clone(&row));
            rows.push(row);
        }
        Ok(rows)
    }

    async fn build_rows(
        &self,
        question: &Question,
        absent: Vec<Absent>,
        entries_left: &mut u64,
    ) -> Result<Vec<(ObjectId, RowIds)>, PlanError> {
        let jobs = absent.into_iter().map(|absent| rows::Commit {
            key: absent.id,
            root: absent.root,
            parent_roots: absent.parents,
        });
        let mut builder = RowBuilder::new(jobs.collect(), EntryBudget(*entries_left));
        while !builder.is_done() {
            for ids in builder.wanted().chunks(TREES_AT_ONCE) {
                let mut trees = self.trees(question, ids).await?;
                for id in ids {
                    let tree = trees.remove(id).ok_or_else(|| missing_tree(question, id))?;
                    builder.provide(*id, tree).map_err(|e| over(question, &e))?;
                }
            }
        }
        *entries_left = builder.budget_left().0;
        let finished = builder.finish().map_err(|e| over(question, &e))?;
        Ok(finished.into_iter().filter_map(|(id, row)| Some((id, row?))).collect())
    }

    /// The contents of trees, one batch.
    pub(super) async fn trees(
        &self,
        question: &Question,
        ids: &[ObjectId],
    ) -> Result<BTreeMap<ObjectId, bytes::Bytes>, PlanError> {
        let read_back = self.reader.read(&question.view.packs, ids).await;
        let objects = read_back.map_err(|e| read(&question.view, "trees", e))?;
        Ok(objects.into_iter().map(|(id, object)| (id, object.data)).collect())
    }
}

fn missing_tree(question: &Question, id: &ObjectId) -> PlanError {
    damaged(question, &format!("tree {id} is in no live pack"))
}

fn over(question: &Question, error: &rows::Error) -> PlanError {
    match error.kind() {
        ErrorKind::Busy => question.over_entries(),
        _ => damaged(question, error),
    }
}
