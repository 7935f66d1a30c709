use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::Location;
use gitstratum_core::{ObjectId, PackId};
use gitstratum_git::part::{CommitRow, Kind, Ordinal};
use gitstratum_git::rows::{self, COMMITS_PER_BATCH, EntryBudget, RowBuilder, RowIds};

use super::{HistoryPlanner, Question, read};
use crate::graph::Commit;
use crate::planner::PlanError;

/// Trees read in one batch.
const TREES_AT_ONCE: usize = 4_096;

/// A pack and an entry of it.
type Place = (PackId, Ordinal);
/// Where asked objects lie.
type Places = HashMap<Place, ObjectId>;

/// A commit whose row no table has.
struct Absent {
    commit: Commit,
    id: ObjectId,
    root: ObjectId,
    parents: Vec<ObjectId>,
}

impl HistoryPlanner {
    /// The first of `ids`, which are trees, blobs or unknown, that no reached commit
    /// introduced (S24): by the table's first row, else by every row, rebuilt if absent.
    pub(super) async fn first_not_introduced(
        &self,
        question: &Question,
        ids: &[ObjectId],
    ) -> Result<Option<ObjectId>, PlanError> {
        if ids.is_empty() {
            return Ok(None);
        }
        let mut located = Vec::new();
        for (id, location) in ids.iter().zip(self.locate(question, ids).await?) {
            let Some(location) = location else { return Ok(Some(*id)) };
            located.push((*id, location));
        }
        let left = self.not_introduced(question, &located).await?;
        Ok(ids.iter().find(|id| left.contains(id)).copied())
    }

    /// The first of `ids` that some reached commit introduced: the other half of
    /// [`HistoryPlanner::first_not_introduced`].
    pub(super) async fn first_introduced(
        &self,
        question: &Question,
        ids: &[ObjectId],
    ) -> Result<Option<ObjectId>, PlanError> {
        let all = ids.iter().zip(self.locate(question, ids).await?);
        let located: Vec<_> = all.filter_map(|(id, location)| Some((*id, location?))).collect();
        let left = self.not_introduced(question, &located).await?;
        Ok(located.iter().map(|(id, _)| *id).find(|id| !left.contains(id)))
    }

    async fn locate(
        &self,
        question: &Question,
        ids: &[ObjectId],
    ) -> Result<Vec<Option<Location>>, PlanError> {
        let located = self.reader.locate(&question.view.packs, ids).await;
        located.map_err(|e| read(&question.view, "an index", e))
    }

    /// Which of these no reached commit introduced.
    async fn not_introduced(
        &self,
        question: &Question,
        located: &[(ObjectId, Location)],
    ) -> Result<HashSet<ObjectId>, PlanError> {
        let mut left = Places::new();
        let mut hints = Vec::new();
        for (id, location) in located {
            let place = (location.pack.id, location.record.ordinal);
            left.insert(place, *id);
            let hint = self.hint(question, location).await?;
            hints.extend(hint.map(|commit| (place, commit)));
        }
        if !hints.is_empty() {
            for place in question.clone().reached(hints).await? {
                left.remove(&place);
            }
        }
        self.search_rows(question, &mut left).await?;
        self.search_rebuilt(question, &mut left).await?;
        Ok(left.into_values().collect())
    }

    /// The commit that first brought the object, by its pack's table.
    async fn hint(
        &self,
        question: &Question,
        location: &Location,
    ) -> Result<Option<ObjectId>, PlanError> {
        let pack = &location.pack;
        if pack.part(Kind::Table).is_none() {
            return Ok(None);
        }
        let table = self.reader.table(pack).await;
        let table = table.map_err(|e| read(&question.view, "a commit table", e))?;
        let Some(row) = table.first_row(location.record.ordinal) else { return Ok(None) };
        let graph = self.reader.graph(pack).await;
        let graph = graph.map_err(|e| read(&question.view, "a commit graph", e))?;
        Ok(Some(graph.id(row)))
    }

    /// Takes out what the present rows of reached commits list.
    async fn search_rows(&self, question: &Question, left: &mut Places) -> Result<(), PlanError> {
        if left.is_empty() {
            return Ok(());
        }
        let reached = question.clone().blocking(|q, history| {
            let tips = q.tips(history, &[]);
            let commits = q.reach(history, &tips).all().map_err(|e| q.over_budget(e))?;
            let mut by_pack: BTreeMap<PackId, Vec<CommitRow>> = BTreeMap::new();
            for (pack, row) in commits.into_iter().filter_map(|commit| history.place(commit)) {
                by_pack.entry(pack).or_default().push(row);
            }
            Ok(by_pack)
        });
        for (id, rows) in reached.await? {
            let Some(pack) = with_table(question, id) else { continue };
            let table = self.reader.table(pack).await;
            let table = table.map_err(|e| read(&question.view, "a commit table", e))?;
            for row in rows {
                let listed = table.row(row).map_err(|e| damaged(question, &e))?.unwrap_or_default();
                for place in listed.trees.iter().chain(&listed.blobs) {
                    let pack = table.pack_of(place.slot);
                    pack.and_then(|pack| left.remove(&(pack, place.ordinal)));
                }
                if left.is_empty() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes out what the absent rows of reached commits would list, newest first.
    async fn search_rebuilt(
        &self,
        question: &Question,
        left: &mut Places,
    ) -> Result<(), PlanError> {
        if left.is_empty() {
            return Ok(());
        }
        let mut wanted: HashSet<ObjectId> = left.values().copied().collect();
        let mut absent = self.absent(question).await?;
        absent.reverse();
        while !wanted.is_empty() && !absent.is_empty() {
            let batch = absent.split_off(absent.len().saturating_sub(COMMITS_PER_BATCH));
            for row in self.rebuild(question, batch).await? {
                for id in row.trees.iter().chain(&row.blobs) {
                    wanted.remove(id);
                }
            }
        }
        left.retain(|_, id| wanted.contains(id));
        Ok(())
    }

    /// Reached commits whose rows no table has, newest first.
    async fn absent(&self, question: &Question) -> Result<Vec<Absent>, PlanError> {
        let mut tables = BTreeMap::new();
        for pack in question.view.packs.iter().filter(|pack| pack.part(Kind::Table).is_some()) {
            let table = self.reader.table(pack).await;
            tables.insert(pack.id, table.map_err(|e| read(&question.view, "a commit table", e))?);
        }
        question
            .clone()
            .blocking(move |q, history| {
                let tips = q.tips(history, &[]);
                let commits = q.reach(history, &tips).all().map_err(|e| q.over_budget(e))?;
                let absent = commits.into_iter().filter_map(|commit| {
                    let (pack, row) = history.place(commit)?;
                    let present = tables.get(&pack).is_some_and(|table| table.has(row));
                    let parents = history.parents(commit).iter().filter_map(|p| history.tree(*p));
                    let parents = parents.collect();
                    let (id, root) = (history.id(commit), history.tree(commit)?);
                    (!present).then_some(Absent { commit, id, root, parents })
                });
                Ok(absent.collect())
            })
            .await
    }

    /// The rows of `commits`, from the cache or by tree difference.
    async fn rebuild(
        &self,
        question: &Question,
        commits: Vec<Absent>,
    ) -> Result<Vec<Arc<RowIds>>, PlanError> {
        let repo = question.view.repo;
        let mut rows = Vec::new();
        let mut missing = Vec::new();
        for absent in commits {
            match self.rows.get(&(repo, absent.id)) {
                Some(row) => rows.push(row),
                None => missing.push(absent),
            }
        }
        let built = self.build_rows(question, missing).await?;
        for (id, row) in built {
            let row = Arc::new(row);
            self.rows.insert((repo, id), Arc::clone(&row));
            rows.push(row);
        }
        Ok(rows)
    }

    async fn build_rows(
        &self,
        question: &Question,
        commits: Vec<Absent>,
    ) -> Result<Vec<(ObjectId, RowIds)>, PlanError> {
        let jobs = commits.into_iter().map(|absent| rows::Commit {
            key: (absent.commit, absent.id),
            root: absent.root,
            parent_roots: absent.parents,
        });
        let budget = EntryBudget(self.limits.entries_max);
        let mut builder = RowBuilder::new(jobs.collect(), budget);
        while !builder.is_done() {
            for ids in builder.wanted().chunks(TREES_AT_ONCE) {
                let mut trees = self.trees(question, ids).await?;
                for id in ids {
                    let tree = trees.remove(id).ok_or_else(|| missing_tree(question, id))?;
                    builder.provide(*id, tree).map_err(|e| over(question, self, &e))?;
                }
            }
        }
        let finished = builder.finish().map_err(|e| over(question, self, &e))?;
        let row = |((_, id), row): ((Commit, ObjectId), Option<RowIds>)| Some((id, row?));
        Ok(finished.into_iter().filter_map(row).collect())
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

impl Question {
    /// The places whose commits are reached, of (place, commit) pairs.
    async fn reached(self, hints: Vec<(Place, ObjectId)>) -> Result<Vec<Place>, PlanError> {
        self.blocking(move |q, history| {
            let tips = q.tips(history, &[]);
            let mut reach = q.reach(history, &tips);
            let mut reached = Vec::new();
            for (place, id) in hints {
                let Some(commit) = history.find(&id) else { continue };
                if reach.contains(commit).map_err(|e| q.over_budget(e))? {
                    reached.push(place);
                }
            }
            Ok(reached)
        })
        .await
    }
}

fn with_table(question: &Question, id: PackId) -> Option<&Arc<Pack>> {
    let pack = question.view.packs.iter().find(|pack| pack.id == id)?;
    pack.part(Kind::Table).map(|_| pack)
}

fn damaged(question: &Question, problem: &dyn std::fmt::Display) -> PlanError {
    PlanError::Damaged { repo: question.view.repo, problem: problem.to_string() }
}

fn missing_tree(question: &Question, id: &ObjectId) -> PlanError {
    damaged(question, &format!("tree {id} is in no live pack"))
}

fn over(question: &Question, planner: &HistoryPlanner, error: &rows::Error) -> PlanError {
    match error.kind() {
        gitstratum_core::ErrorKind::Busy => {
            PlanError::Budget { repo: question.view.repo, steps: planner.limits.entries_max }
        }
        _ => damaged(question, error),
    }
}
