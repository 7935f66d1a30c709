use std::collections::HashSet;

use gitstratum_core::{ObjectId, ObjectKind};

use super::Question;
use crate::graph::{Commit, History, Reach};
use crate::planner::PlanError;

/// Most tags on tags that are followed (bad input 77).
const TAG_CHAIN_MAX: usize = 1_024;

/// What the refs give directly, before any walk.
#[derive(Default)]
pub(super) struct Tips {
    /// Commits that refs lead to.
    pub(super) commits: Vec<Commit>,
    /// Tag objects that refs lead through.
    pub(super) tags: HashSet<ObjectId>,
    /// Trees and blobs that refs lead to.
    pub(super) others: HashSet<ObjectId>,
}

/// What is known of asked ids after the walk over commits and tags.
#[derive(Default)]
pub(super) struct Judged {
    /// The first that is a commit or tag and not reached.
    pub(super) refused: Option<ObjectId>,
    /// Neither commits nor tags, before the first refused: their reachability is for the
    /// tables to tell.
    pub(super) open: Vec<ObjectId>,
}

impl Question {
    /// Everything the view's refs, and tips in their grace, lead to.
    pub(super) fn tips(&self, history: &History) -> Tips {
        let mut tips = Tips::default();
        for entry in self.view.refs.iter() {
            tips.add(history, entry.target);
        }
        self.grace.iter().for_each(|id| tips.add(history, *id));
        tips
    }

    /// S24 for commits and tags; other ids are left open.
    pub(super) fn judge(&self, history: &History, ids: &[ObjectId]) -> Result<Judged, PlanError> {
        let tips = self.tips(history);
        let mut reach = self.reach(history, &tips);
        let mut judged = Judged::default();
        for id in ids {
            let reached = if let Some(commit) = history.find(id) {
                reach.contains(commit).map_err(|e| self.over_budget(e))?
            } else if history.tag(id).is_some() {
                tips.tags.contains(id)
            } else {
                if !tips.others.contains(id) {
                    judged.open.push(*id);
                }
                true
            };
            if !reached {
                judged.refused = Some(*id);
                break;
            }
        }
        Ok(judged)
    }

    /// What `tips` reach.
    pub(super) fn reach<'a>(&self, history: &'a History, tips: &Tips) -> Reach<'a> {
        let mut reach = Reach::new(history, self.limits.steps_max);
        tips.commits.iter().for_each(|tip| reach.add(*tip));
        reach
    }
}

impl Tips {
    fn add(&mut self, history: &History, id: ObjectId) {
        let (end, _) = follow(history, id, |tag| {
            self.tags.insert(tag);
        });
        match history.find(&end) {
            Some(commit) => self.commits.push(commit),
            None if history.tag(&end).is_none() => {
                self.others.insert(end);
            }
            None => {}
        }
    }
}

/// What a tag leads to in the end, and of what kind; an id that is no tag is its own end.
pub(super) fn peel(history: &History, id: ObjectId) -> (ObjectId, Option<ObjectKind>) {
    follow(history, id, |_| {})
}

/// Follows tags from `id`, showing each.
pub(super) fn follow(
    history: &History,
    id: ObjectId,
    mut passed: impl FnMut(ObjectId),
) -> (ObjectId, Option<ObjectKind>) {
    let (mut end, mut kind) = (id, None);
    for _ in 0..TAG_CHAIN_MAX {
        let Some(tag) = history.tag(&end) else { break };
        passed(end);
        (end, kind) = (tag.target, Some(tag.target_kind));
    }
    (end, kind)
}
