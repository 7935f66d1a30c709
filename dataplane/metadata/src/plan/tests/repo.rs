//! A repository in memory: objects, the packs they came in, and what points at them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Options, Reader};
use gitstratum_core::{LogTime, ObjectId, ObjectKind, PackId, RepoId, Version};
use gitstratum_git::index::Flags;
use gitstratum_git::part::{CommitRow, Ordinal};
use gitstratum_git::table::{self, Place, RowObjects, Size};
use gitstratum_process::Metrics;

use super::draft::Draft;
use super::model::{Ids, Objects, SHA1};
use super::shelf::Shelf;
use crate::plan::{HistoryPlanner, Limits};
use crate::planner::{FetchPlan, PlanRequest, ReplacedTip, RepoView, Rows};
use crate::refs::{RefList, RefValue};

/// One pack as it is pushed.
#[derive(Clone, Debug, Default)]
pub(super) struct Push {
    /// Its objects in the order of their entries.
    pub(super) ids: Vec<ObjectId>,
    /// Those that no tip of the push reaches.
    pub(super) strays: Ids,
    /// Whether earlier copies go on answering.
    pub(super) is_shadowed: bool,
    /// Commits without a row in the table.
    pub(super) absent: Ids,
}

#[derive(Clone, Default)]
pub(super) struct Repo {
    pub(super) objects: Objects,
    pub(super) refs: BTreeMap<String, ObjectId>,
    pub(super) graced: Vec<ObjectId>,
    pub(super) packs: Vec<Arc<Pack>>,
    shelf: Arc<Shelf>,
    /// Commits of each pack's graph, by row.
    commits: HashMap<PackId, Vec<ObjectId>>,
    /// Where objects answer.
    answers: HashMap<ObjectId, Vec<(PackId, Ordinal)>>,
}

impl Repo {
    /// Everything that is a member.
    pub(super) fn members(&self) -> Ids {
        self.answers.keys().copied().collect()
    }

    pub(super) fn reachable(&self) -> Ids {
        self.objects.reach(self.refs.values())
    }

    pub(super) fn wantable(&self) -> Ids {
        self.objects.reach(self.refs.values().chain(&self.graced))
    }

    /// Stores a pack and lists it.
    pub(super) fn push(&mut self, push: &Push) {
        let pack = self.store(push);
        self.packs.push(pack);
    }

    /// Stores everything that `tips` reach and that is no member, newest first.
    pub(super) fn push_new(&mut self, tips: &[ObjectId]) {
        let new = &self.objects.reach(tips) - &self.members();
        let ids = self.objects.order().iter().rev().copied().filter(|id| new.contains(id));
        let ids = ids.collect();
        self.push(&Push { ids, ..Push::default() });
    }

    /// Stores a pack without listing it.
    pub(super) fn store(&mut self, push: &Push) -> Arc<Pack> {
        let number = u8::try_from(self.commits.len() + 1).unwrap();
        let mut draft = Draft::new(PackId([number; 16]), push.ids.len());
        for (ordinal, id) in (0..).zip(&push.ids) {
            self.add_entry(&mut draft, push, Ordinal(ordinal), *id);
        }
        let table = self.table(&draft, push);
        let pack = draft.finish(push.ids.len(), table, &self.shelf);
        self.commits.insert(pack.0.id, pack.1);
        Arc::new(pack.0)
    }

    fn add_entry(&mut self, draft: &mut Draft, push: &Push, ordinal: Ordinal, id: ObjectId) {
        let object = self.objects.get(&id);
        let held = self.answers.get(&id).is_some_and(|places| !places.is_empty());
        let stray = push.strays.contains(&id);
        let flags = Flags { stray, shadowed: !stray && push.is_shadowed && held };
        draft.entry(ordinal, (id, object), flags);
        if !stray {
            draft.link(ordinal, (id, object));
        }
        if flags.answers() {
            self.answers.entry(id).or_default().push((draft.id, ordinal));
        }
    }

    fn table(&self, draft: &Draft, push: &Push) -> Bytes {
        let size = Size { rows: draft.commits.len() as u32, entries: push.ids.len() as u32 };
        let mut builder = table::Builder::new(draft.id, SHA1, size);
        let mut rows: Vec<_> = (0..).map(CommitRow).zip(&draft.commits).collect();
        rows.sort_by_key(|(_, id)| self.objects.order().iter().position(|made| made == *id));
        for (row, id) in rows.into_iter().filter(|(_, id)| !push.absent.contains(id)) {
            if let Some(objects) = self.row(&mut builder, draft.id, id) {
                builder.add(row, &objects).unwrap();
            }
        }
        builder.finish()
    }

    fn row(
        &self,
        builder: &mut table::Builder,
        own: PackId,
        commit: &ObjectId,
    ) -> Option<RowObjects> {
        let mut row = RowObjects::default();
        for id in self.objects.brought(commit).iter().filter(|id| *id != commit) {
            let places = self.answers.get(id)?;
            let (pack, ordinal) =
                *places.iter().find(|(pack, _)| *pack == own).unwrap_or(&places[0]);
            let place = Place { slot: builder.slot(pack), ordinal };
            match self.objects.kind(id) {
                ObjectKind::Tree => row.trees.push(place),
                _ => row.blobs.push(place),
            }
        }
        row.trees.sort_unstable();
        row.blobs.sort_unstable();
        Some(row)
    }

    pub(super) fn planner(&self, limits: Limits) -> HistoryPlanner {
        self.planner_that_reads(Options::default(), limits)
    }

    pub(super) fn planner_that_reads(&self, options: Options, limits: Limits) -> HistoryPlanner {
        let bulk = Arc::clone(&self.shelf);
        let gauge = Metrics::new().gauge("gitstratum_test_commits", "commits held");
        HistoryPlanner::new(Reader::new(bulk, options), limits, gauge)
    }

    pub(super) fn view(&self) -> RepoView {
        let value = |id: &ObjectId| {
            let peeled = self.objects.peel(*id);
            RefValue { target: *id, peeled: (peeled != *id).then_some(peeled) }
        };
        let refs = self.refs.iter().map(|(name, id)| (Bytes::from(name.clone()), value(id)));
        let version = Version(self.packs.len() as u64);
        let graced = self.graced.iter().map(|id| ReplacedTip { id: *id, replaced_at: LogTime(1) });
        RepoView {
            repo: RepoId(5),
            format: SHA1,
            refs: Arc::new(RefList::from_refs(version, SHA1, refs)),
            packs: Arc::new(self.packs.clone()),
            refs_version: version,
            manifest_version: version,
            replaced_tips: graced.collect(),
            log_time: LogTime(2),
        }
    }

    /// What a frontend sends for `plan`.
    pub(super) fn sent(&self, plan: &FetchPlan) -> Ids {
        let mut sent: Ids = plan.extra_objects.iter().copied().collect();
        sent.extend(self.objects.reach(&plan.tree_roots));
        for selection in &plan.packs {
            assert!(self.packs.iter().any(|pack| pack.id == selection.pack));
            let commits = &self.commits[&selection.pack];
            match &selection.rows {
                Rows::All => commits.iter().for_each(|id| sent.extend(self.objects.brought(id))),
                Rows::Some(rows) => rows.iter().for_each(|row| {
                    sent.extend(self.objects.brought(&commits[row as usize]));
                }),
            }
        }
        sent.extend(&plan.boundary_commits);
        let held = self.objects.reach(&plan.held_trees);
        sent.extend(&self.objects.reach(&plan.boundary_trees) - &held);
        sent
    }
}

/// Runs `work` on a runtime of its own.
pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

/// A whole request: nothing more will be said.
pub(super) fn fetch(wants: &[ObjectId], haves: &[ObjectId]) -> PlanRequest {
    PlanRequest {
        wants: wants.to_vec(),
        haves: haves.to_vec(),
        done: true,
        ..PlanRequest::default()
    }
}
