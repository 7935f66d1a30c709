use std::collections::{BTreeSet, HashSet};

use gitstratum_core::{ObjectId, ObjectKind};
use gitstratum_git::graph::Generation;
use gitstratum_process::sabotage;

use super::{HistoryPlanner, Question, standing};
use crate::graph::{Commit, History, Reach};
use crate::planner::{FetchPlan, PlanAnswer, PlanError, PlanRequest, RepoView};

/// The wants, after tags were followed.
#[derive(Default)]
pub(super) struct Wants {
    pub(super) commits: Vec<Commit>,
    /// Tags, and blobs that are wanted by themselves.
    pub(super) extras: BTreeSet<ObjectId>,
    pub(super) trees: Vec<ObjectId>,
}

/// What a round over commits decided.
struct Round {
    acks: Vec<ObjectId>,
    common: Vec<Commit>,
    ready: bool,
}

impl HistoryPlanner {
    /// One round: wants first, for nothing is told of a repository to who wants what it may
    /// not have.
    pub(super) async fn negotiate(
        &self,
        view: RepoView,
        request: PlanRequest,
    ) -> Result<PlanAnswer, PlanError> {
        let mut question = self.question(view).await?;
        question.grace = question.view.replaced_tips.iter().map(|tip| tip.id).collect();
        if let Some(refused) = self.first_refused(&question, request.wants.clone()).await?
            && !(sabotage!("serve-unreached-member") && self.is_member(&question, refused).await?)
        {
            return Ok(PlanAnswer::Refused(refused));
        }
        self.check_borders(&question, &request.shape.shallow).await?;
        let kinds = self.kinds_of_others(&question, &request.wants).await?;
        question.blocking(move |q, history| q.round(history, &request, &kinds)).await
    }

    /// Whether a copy of `id` answers. That is no leave to serve it (S24).
    async fn is_member(&self, question: &Question, id: ObjectId) -> Result<bool, PlanError> {
        Ok(self.locate(question, &[id]).await?.into_iter().any(|location| location.is_some()))
    }

    /// Which of the wants, or of what their tags lead to, are trees.
    async fn kinds_of_others(
        &self,
        question: &Question,
        wants: &[ObjectId],
    ) -> Result<BTreeSet<ObjectId>, PlanError> {
        let wants = wants.to_vec();
        let others: Vec<ObjectId> = question
            .clone()
            .blocking(move |_, history| {
                let ends = wants.iter().map(|id| standing::peel(history, *id).0);
                Ok(ends.filter(|end| history.find(end).is_none()).collect())
            })
            .await?;
        let located = self.reader.locate(&question.view.packs, &others).await;
        let located = located.map_err(|e| super::read(&question.view, "an index", e))?;
        let is_tree = |location: &gitstratum_client::objects::Location| {
            location.record.kind == ObjectKind::Tree
        };
        let trees = others.into_iter().zip(located);
        Ok(trees.filter(|(_, at)| at.as_ref().is_some_and(is_tree)).map(|(id, _)| id).collect())
    }
}

impl Question {
    fn round(
        &self,
        history: &History,
        request: &PlanRequest,
        trees: &BTreeSet<ObjectId>,
    ) -> Result<PlanAnswer, PlanError> {
        let wants = wants(history, &request.wants, trees);
        let round = self.common(history, request, &wants)?;
        let planned = request.done || (round.ready && request.plan_when_ready);
        let plan = match planned {
            true => Some(self.select(history, request, &wants, &round.common)?),
            false => None,
        };
        Ok(PlanAnswer::Round { acks: round.acks, ready: round.ready, plan })
    }

    /// The haves that the caller may see, and whether they cover every want.
    fn common(
        &self,
        history: &History,
        request: &PlanRequest,
        wants: &Wants,
    ) -> Result<Round, PlanError> {
        let tips = self.tips(history);
        let mut reach = self.reach(history, &tips);
        let mut acks = Vec::new();
        let mut common = Vec::new();
        for have in &request.haves {
            let (end, _) = standing::peel(history, *have);
            let visible_tag = end == *have || tips.tags.contains(have);
            let Some(commit) = history.find(&end).filter(|_| visible_tag) else { continue };
            if reach.contains(commit).map_err(|e| self.over_budget(e))? {
                acks.push(*have);
                common.push(commit);
            }
        }
        common.sort_unstable();
        common.dedup();
        let ready = !common.is_empty() && self.covers(history, &wants.commits, &common)?;
        Ok(Round { acks, common, ready })
    }

    /// Whether every want is or reaches one of `common`: what lies between is then all there
    /// is to send. One walk for all wants, no deeper than the oldest of `common`.
    fn covers(
        &self,
        history: &History,
        wants: &[Commit],
        common: &[Commit],
    ) -> Result<bool, PlanError> {
        let oldest = common.iter().map(|commit| history.generation(*commit)).min();
        let mut reach = Reach::new(history, self.limits.steps_max);
        wants.iter().for_each(|want| reach.add(*want));
        let walked = reach.down_to(oldest.unwrap_or(Generation::UNKNOWN));
        let walked = walked.map_err(|e| self.over_budget(e))?;
        let mut covered: HashSet<Commit> = common.iter().copied().collect();
        for commit in walked.into_iter().rev() {
            if history.parents(commit).iter().any(|parent| covered.contains(parent)) {
                covered.insert(commit);
            }
        }
        Ok(wants.iter().all(|want| covered.contains(want)))
    }
}

fn wants(history: &History, ids: &[ObjectId], trees: &BTreeSet<ObjectId>) -> Wants {
    let mut wants = Wants::default();
    for id in ids {
        let (end, _) = standing::follow(history, *id, |tag| {
            wants.extras.insert(tag);
        });
        match history.find(&end) {
            Some(commit) => wants.commits.push(commit),
            None if trees.contains(&end) => wants.trees.push(end),
            None => {
                wants.extras.insert(end);
            }
        }
    }
    wants.commits.sort_unstable();
    wants.commits.dedup();
    wants
}

/// A plan that sends nothing yet.
pub(super) fn empty_plan(question: &Question, wants: &Wants) -> FetchPlan {
    FetchPlan {
        manifest_version: question.view.manifest_version,
        extra_objects: wants.extras.iter().copied().collect(),
        tree_roots: wants.trees.clone(),
        ..FetchPlan::default()
    }
}
