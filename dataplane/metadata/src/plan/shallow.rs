use std::collections::{BTreeSet, HashSet, VecDeque};

use gitstratum_core::ObjectId;
use gitstratum_git::graph::CommitDate;

use super::negotiate::Wants;
use super::{HistoryPlanner, Question, standing};
use crate::graph::{Commit, History, OverBudget, Reach};
use crate::planner::{PlanError, Shape};

/// The depth by which stock git means everything.
const DEPTH_INFINITE: u32 = 0x7fff_ffff;

/// The commits of a request for part of the history.
pub(super) struct Depth {
    /// Every commit within it.
    pub(super) included: BTreeSet<Commit>,
    /// Those of them that end it: the new shallow border. A root may be one of them, for stock
    /// git counts levels before it looks for parents.
    pub(super) border: BTreeSet<Commit>,
}

impl HistoryPlanner {
    /// Stock git's rule for the client's shallow border: an id that is not here is passed
    /// over, one of a tree, blob or tag is an error (bad input 31). What no ref reaches is
    /// not here (S24).
    ///
    /// # Errors
    /// [`PlanError::Request`] that names the id.
    pub(super) async fn check_borders(
        &self,
        question: &Question,
        shallow: &[ObjectId],
    ) -> Result<(), PlanError> {
        let shallow = shallow.to_vec();
        let borders = question.clone().blocking(move |q, h| Ok(q.judge_borders(h, shallow)));
        let borders = borders.await?;
        let wrong = match borders.wrong {
            None if borders.open.is_empty() => None,
            None => self.first_introduced(question, &borders.open).await?,
            wrong => wrong,
        };
        let Some(id) = wrong else { return Ok(()) };
        Err(PlanError::Request { problem: format!("invalid shallow object {id}") })
    }
}

/// What is known of a client's shallow border after a look at commits and tags.
#[derive(Default)]
struct Borders {
    /// One that is here and no commit.
    wrong: Option<ObjectId>,
    /// Neither commits nor tags.
    open: Vec<ObjectId>,
}

impl Question {
    fn judge_borders(&self, history: &History, shallow: Vec<ObjectId>) -> Borders {
        let mut borders = Borders::default();
        let others = shallow.into_iter().filter(|id| history.find(id).is_none());
        let others: Vec<ObjectId> = others.collect();
        if others.is_empty() {
            return borders;
        }
        let tips = self.tips(history);
        for id in others {
            if tips.tags.contains(&id) || tips.others.contains(&id) {
                borders.wrong.get_or_insert(id);
            } else if history.tag(&id).is_none() {
                borders.open.push(id);
            }
        }
        borders
    }

    /// The commits that a depth, date or exclusion leaves; `None` when the whole history
    /// is wanted.
    pub(super) fn depth(
        &self,
        history: &History,
        shape: &Shape,
        wants: &Wants,
        client_shallow: &HashSet<Commit>,
    ) -> Result<Option<Depth>, PlanError> {
        if shape.depth > 0 {
            return self.levels(history, shape, wants, client_shallow).map(Some);
        }
        if shape.deepen_since.is_none() && shape.deepen_not.is_empty() {
            return Ok(None);
        }
        let mut depth = self.newer(history, shape, wants)?;
        if depth.included.is_empty() && !wants.commits.is_empty() {
            let problem = "no commits selected for shallow requests".to_owned();
            return Err(PlanError::Request { problem });
        }
        // A want that is left out is sent all the same, with its history, as stock git does:
        // its ref would point at nothing.
        self.add_wants(history, wants, client_shallow, &mut depth)?;
        Ok(Some(depth))
    }

    /// Where levels are counted from, and how many there are, as stock git counts.
    fn starts(
        &self,
        history: &History,
        shape: &Shape,
        wants: &Wants,
        client_shallow: &HashSet<Commit>,
    ) -> Result<(Vec<Commit>, u32), PlanError> {
        let mut borders: Vec<Commit> = client_shallow.iter().copied().collect();
        borders.sort_unstable();
        if shape.depth >= DEPTH_INFINITE {
            // The client's whole border is given up, but for what it may not see (S24).
            let tips = self.tips(history);
            self.keep_reached(self.reach(history, &tips), &mut borders)?;
            borders.extend(&wants.commits);
            return Ok((borders, u32::MAX));
        }
        if shape.deepen_relative {
            let mut reach = Reach::new(history, self.limits.steps_max);
            wants.commits.iter().for_each(|want| reach.add(*want));
            self.keep_reached(reach, &mut borders)?;
            return Ok((borders, shape.depth.saturating_add(1)));
        }
        Ok((wants.commits.clone(), shape.depth))
    }

    fn keep_reached(
        &self,
        mut reach: Reach<'_>,
        commits: &mut Vec<Commit>,
    ) -> Result<(), PlanError> {
        let mut reached = Vec::new();
        for commit in commits.iter() {
            if reach.contains(*commit).map_err(|e| self.over_budget(e))? {
                reached.push(*commit);
            }
        }
        *commits = reached;
        Ok(())
    }

    /// Commits fewer than `depth` steps away: from the wants, or below the client's border.
    fn levels(
        &self,
        history: &History,
        shape: &Shape,
        wants: &Wants,
        client_shallow: &HashSet<Commit>,
    ) -> Result<Depth, PlanError> {
        let (starts, levels) = self.starts(history, shape, wants, client_shallow)?;
        let mut included = BTreeSet::new();
        let mut border = BTreeSet::new();
        let mut open: VecDeque<(Commit, u32)> = VecDeque::new();
        for start in starts {
            if included.insert(start) {
                open.push_back((start, 1));
            }
        }
        let mut steps = self.limits.steps_max;
        while let Some((commit, level)) = open.pop_front() {
            steps = steps.checked_sub(1).ok_or_else(|| self.over_budget(OverBudget))?;
            if level >= levels {
                border.insert(commit);
                continue;
            }
            for parent in history.parents(commit) {
                if history.has(*parent) && included.insert(*parent) {
                    open.push_back((*parent, level + 1));
                }
            }
        }
        let mut depth = Depth { included, border };
        if shape.deepen_relative {
            self.add_wants(history, wants, client_shallow, &mut depth)?;
        }
        Ok(depth)
    }

    /// Takes in the wants and what is between them and what is within already, or the
    /// client's border, which stays one where it is met.
    fn add_wants(
        &self,
        history: &History,
        wants: &Wants,
        client_shallow: &HashSet<Commit>,
        depth: &mut Depth,
    ) -> Result<(), PlanError> {
        let mut steps = self.limits.steps_max;
        let mut open = wants.commits.clone();
        while let Some(commit) = open.pop() {
            steps = steps.checked_sub(1).ok_or_else(|| self.over_budget(OverBudget))?;
            if !history.has(commit) || !depth.included.insert(commit) {
                continue;
            }
            match client_shallow.contains(&commit) {
                true => drop(depth.border.insert(commit)),
                false => open.extend(history.parents(commit)),
            }
        }
        Ok(())
    }

    /// Commits not older than a date and not reached from the excluded refs.
    fn newer(&self, history: &History, shape: &Shape, wants: &Wants) -> Result<Depth, PlanError> {
        let excluded = self.excluded(history, &shape.deepen_not)?;
        let since =
            shape.deepen_since.map(|seconds| CommitDate(u64::try_from(seconds).unwrap_or(0)));
        let within = |commit: &Commit| {
            let new = since.is_none_or(|since| history.date(*commit) >= since);
            new && history.has(*commit) && !excluded.contains(commit)
        };
        let mut included: BTreeSet<Commit> = wants.commits.iter().copied().filter(within).collect();
        let mut border = BTreeSet::new();
        let mut open: Vec<Commit> = included.iter().copied().collect();
        let mut steps = self.limits.steps_max;
        while let Some(commit) = open.pop() {
            steps = steps.checked_sub(1).ok_or_else(|| self.over_budget(OverBudget))?;
            for parent in history.parents(commit) {
                if !within(parent) {
                    border.insert(commit);
                } else if included.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        Ok(Depth { included, border })
    }

    fn excluded(&self, history: &History, names: &[Vec<u8>]) -> Result<HashSet<Commit>, PlanError> {
        let mut reach = Reach::new(history, self.limits.steps_max);
        for name in names {
            let target = self.named(name).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                PlanError::Request {
                    problem: format!("git upload-pack: ambiguous deepen-not: {name}"),
                }
            })?;
            let (end, _) = standing::peel(history, target);
            history.find(&end).into_iter().for_each(|commit| reach.add(commit));
        }
        let all = reach.all().map_err(|e| self.over_budget(e))?;
        Ok(all.into_iter().collect())
    }

    /// The ref that a client means by `name`, as git looks short names up.
    fn named(&self, name: &[u8]) -> Option<ObjectId> {
        const PREFIXES: [&[u8]; 4] = [b"", b"refs/", b"refs/tags/", b"refs/heads/"];
        PREFIXES.iter().find_map(|prefix| {
            let full = [prefix, name].concat();
            self.view.refs.get(&full).map(|value| value.target)
        })
    }
}
