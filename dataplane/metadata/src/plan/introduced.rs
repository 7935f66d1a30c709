use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::Location;
use gitstratum_core::{ObjectId, PackId};
use gitstratum_git::part::{CommitRow, Kind, Ordinal};
use gitstratum_git::table;

use super::{HistoryPlanner, Question, read};
use crate::planner::PlanError;

/// A pack and an entry of it.
type Place = (PackId, Ordinal);

/// Objects that are looked for among what reached commits bring.
pub(super) struct Search {
    /// Those not found yet.
    pub(super) left: HashSet<ObjectId>,
    /// Entries of rows and trees that may still be looked at, in all steps together.
    pub(super) entries_left: u64,
    /// Where copies of them lie: rows name the copy that answered when they were made.
    copies: HashMap<Place, ObjectId>,
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
        let mut nowhere = None;
        for (id, location) in ids.iter().zip(self.locate(question, ids).await?) {
            let Some(location) = location else {
                nowhere = Some(*id);
                break;
            };
            located.push((*id, location));
        }
        let left = self.not_introduced(question, &located).await?;
        Ok(located.into_iter().map(|(id, _)| id).find(|id| left.contains(id)).or(nowhere))
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

    pub(super) async fn locate(
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
        let mut left: HashSet<ObjectId> = located.iter().map(|(id, _)| *id).collect();
        let mut hints = Vec::new();
        for (id, location) in located {
            let hint = self.hint(question, location).await?;
            hints.extend(hint.map(|commit| (*id, commit)));
        }
        if !hints.is_empty() {
            for id in question.clone().reached(hints).await? {
                left.remove(&id);
            }
        }
        if left.is_empty() {
            return Ok(left);
        }
        let copies = self.copies(question, &left).await?;
        let search = Search { left, entries_left: self.limits.entries_max, copies };
        let search = self.search_rows(question, search).await?;
        Ok(self.search_rebuilt(question, search).await?.left)
    }

    /// Every place where one of `ids` lies: any of them may be what a row lists.
    async fn copies(
        &self,
        question: &Question,
        ids: &HashSet<ObjectId>,
    ) -> Result<HashMap<Place, ObjectId>, PlanError> {
        let mut copies = HashMap::new();
        for pack in question.view.packs.iter() {
            let index = self.reader.index(pack).await;
            let index = index.map_err(|e| read(&question.view, "an index", e))?;
            for id in ids.iter().filter(|id| index.maybe_contains(id)) {
                let record = index.find(id);
                copies.extend(record.map(|record| ((pack.id, record.ordinal), *id)));
            }
        }
        Ok(copies)
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
    async fn search_rows(
        &self,
        question: &Question,
        mut search: Search,
    ) -> Result<Search, PlanError> {
        for (id, rows) in question.clone().reached_rows().await? {
            let Some(pack) = with_table(question, id) else { continue };
            let table = self.reader.table(pack).await;
            let table = table.map_err(|e| read(&question.view, "a commit table", e))?;
            let searching = question.clone().blocking(move |q, _| {
                for row in rows {
                    search.look(q, &table, row)?;
                }
                Ok(search)
            });
            search = searching.await?;
            if search.left.is_empty() {
                break;
            }
        }
        Ok(search)
    }
}

impl Search {
    /// Takes out what one row lists.
    fn look(
        &mut self,
        question: &Question,
        table: &table::Reader,
        row: CommitRow,
    ) -> Result<(), PlanError> {
        if self.left.is_empty() {
            return Ok(());
        }
        let listed = table.row(row).map_err(|e| damaged(question, &e))?.unwrap_or_default();
        let count = (listed.trees.len() + listed.blobs.len()) as u64;
        let left = self.entries_left.checked_sub(count);
        self.entries_left = left.ok_or_else(|| question.over_entries())?;
        for place in listed.trees.iter().chain(&listed.blobs) {
            let Some(pack) = table.pack_of(place.slot) else { continue };
            if let Some(id) = self.copies.get(&(pack, place.ordinal)) {
                self.left.remove(id);
            }
        }
        Ok(())
    }
}

impl Question {
    /// Those of (object, commit) pairs whose commits are reached.
    async fn reached(self, hints: Vec<(ObjectId, ObjectId)>) -> Result<Vec<ObjectId>, PlanError> {
        self.blocking(move |q, history| {
            let tips = q.tips(history);
            let mut reach = q.reach(history, &tips);
            let mut reached = Vec::new();
            for (id, commit) in hints {
                let Some(commit) = history.find(&commit) else { continue };
                if reach.contains(commit).map_err(|e| q.over_budget(e))? {
                    reached.push(id);
                }
            }
            Ok(reached)
        })
        .await
    }

    /// The rows of every reached commit, by pack.
    async fn reached_rows(self) -> Result<BTreeMap<PackId, Vec<CommitRow>>, PlanError> {
        self.blocking(|q, history| {
            let tips = q.tips(history);
            let commits = q.reach(history, &tips).all().map_err(|e| q.over_budget(e))?;
            let mut by_pack: BTreeMap<PackId, Vec<CommitRow>> = BTreeMap::new();
            for (pack, row) in commits.into_iter().filter_map(|commit| history.place(commit)) {
                by_pack.entry(pack).or_default().push(row);
            }
            Ok(by_pack)
        })
        .await
    }

    pub(super) fn over_entries(&self) -> PlanError {
        PlanError::Budget { repo: self.view.repo, steps: self.limits.entries_max }
    }
}

fn with_table(question: &Question, id: PackId) -> Option<&Arc<Pack>> {
    let pack = question.view.packs.iter().find(|pack| pack.id == id)?;
    pack.part(Kind::Table).map(|_| pack)
}

pub(super) fn damaged(question: &Question, problem: &dyn std::fmt::Display) -> PlanError {
    PlanError::Damaged { repo: question.view.repo, problem: problem.to_string() }
}
