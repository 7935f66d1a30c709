use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ObjectId, ObjectKind};
use parking_lot::Mutex;

use crate::planner::{
    CheckAnswer, Described, FetchPlan, Line, PlanAnswer, PlanFuture, PlanRequest, Planner, RepoView,
};

/// A planner without a history: what refs point at is a reachable commit, and so is
/// whatever it was told of.
#[derive(Debug, Default)]
pub struct ScriptedPlanner {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    reachable: BTreeMap<ObjectId, Described>,
    /// Stored, but reached by no ref.
    members: BTreeSet<ObjectId>,
    ancestry: BTreeSet<(ObjectId, ObjectId)>,
    questions: u64,
}

impl ScriptedPlanner {
    /// A planner that was told nothing.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// `id` is reachable and of `kind`.
    pub fn reachable(&self, id: ObjectId, kind: ObjectKind) {
        self.told.lock().reachable.insert(id, Described { kind, peeled: None });
    }

    /// `id` is a tag that peels to `target`.
    pub fn tag(&self, id: ObjectId, target: ObjectId) {
        let what = Described { kind: ObjectKind::Tag, peeled: Some(target) };
        self.told.lock().reachable.insert(id, what);
    }

    /// `id` is stored and no ref reaches it.
    pub fn member(&self, id: ObjectId) {
        self.told.lock().members.insert(id);
    }

    /// `old` is an ancestor of `new`.
    pub fn ancestor(&self, old: ObjectId, new: ObjectId) {
        self.told.lock().ancestry.insert((old, new));
    }

    /// Questions asked so far.
    pub fn questions(&self) -> u64 {
        self.told.lock().questions
    }

    fn ask<T>(&self, answer: impl FnOnce(&Told) -> T) -> T {
        let mut told = self.told.lock();
        told.questions += 1;
        answer(&told)
    }
}

fn is_tip(view: &RepoView, id: ObjectId) -> bool {
    view.refs.iter().any(|entry| entry.target == id)
}

impl Planner for ScriptedPlanner {
    fn plan(&self, view: RepoView, request: PlanRequest) -> PlanFuture<'_, PlanAnswer> {
        let replaced = |id: &ObjectId| view.replaced_tips.iter().any(|tip| tip.id == *id);
        let answer = self.ask(|told| {
            let visible = |id: &ObjectId| {
                told.reachable.contains_key(id) || is_tip(&view, *id) || replaced(id)
            };
            match request.wants.iter().find(|want| !visible(want)) {
                Some(want) => PlanAnswer::Refused(*want),
                None => PlanAnswer::Round {
                    acks: request.haves.iter().copied().filter(visible).collect(),
                    ready: true,
                    plan: Some(FetchPlan {
                        manifest_version: view.manifest_version,
                        extra_objects: request.wants.clone(),
                        ..FetchPlan::default()
                    }),
                },
            }
        });
        std::future::ready(Ok(answer)).boxed()
    }

    fn first_unreachable(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Option<ObjectId>> {
        let found = self.ask(|told| {
            ids.into_iter().find(|id| !told.reachable.contains_key(id) && !is_tip(&view, *id))
        });
        std::future::ready(Ok(found)).boxed()
    }

    fn is_ancestor(
        &self,
        _view: RepoView,
        line: Line,
        _pack: Option<Arc<Pack>>,
    ) -> PlanFuture<'_, bool> {
        let found = self.ask(|told| told.ancestry.contains(&(line.old, line.new)));
        std::future::ready(Ok(found)).boxed()
    }

    fn describe(
        &self,
        view: RepoView,
        ids: Vec<ObjectId>,
    ) -> PlanFuture<'_, Vec<Option<Described>>> {
        let commit = Described { kind: ObjectKind::Commit, peeled: None };
        let found = self.ask(|told| {
            let what = |id: ObjectId| {
                let held = told.members.contains(&id) || is_tip(&view, id);
                told.reachable.get(&id).copied().or_else(|| held.then_some(commit))
            };
            ids.into_iter().map(what).collect()
        });
        std::future::ready(Ok(found)).boxed()
    }

    fn check(&self, view: RepoView) -> PlanFuture<'_, CheckAnswer> {
        let objects_checked = self.ask(|_| view.refs.len() as u64);
        std::future::ready(Ok(CheckAnswer { objects_checked, ..CheckAnswer::default() })).boxed()
    }
}
