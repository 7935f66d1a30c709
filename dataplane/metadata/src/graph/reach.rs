use std::collections::BinaryHeap;

use gitstratum_git::graph::Generation;

use super::{Commit, History};

/// More commits than allowed would have to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

/// What some tips reach, walked only as far as questions need: newest generations
/// first, so that "not reached" is known without walking below the commit asked about.
pub(crate) struct Reach<'a> {
    history: &'a History,
    seen: Vec<bool>,
    open: BinaryHeap<(Generation, Commit)>,
    steps_left: u64,
}

impl<'a> Reach<'a> {
    /// Reach of no tips yet, at most `steps_max` commits walked.
    pub(crate) fn new(history: &'a History, steps_max: u64) -> Self {
        let seen = vec![false; history.len()];
        Self { history, seen, open: BinaryHeap::new(), steps_left: steps_max }
    }

    /// Adds a tip.
    pub(crate) fn add(&mut self, tip: Commit) {
        let place = tip.0 as usize;
        if !self.seen[place] && self.history.has(tip) {
            self.seen[place] = true;
            self.open.push((self.history.generation(tip), tip));
        }
    }

    /// Whether a tip is `commit` or reaches it.
    pub(crate) fn contains(&mut self, commit: Commit) -> Result<bool, OverBudget> {
        let generation = self.history.generation(commit);
        while let Some((_, next)) = self.pop_above(generation, commit) {
            self.steps_left = self.steps_left.checked_sub(1).ok_or(OverBudget)?;
            for parent in self.history.parents(next) {
                self.add(*parent);
            }
        }
        Ok(self.seen[commit.0 as usize])
    }

    /// Walks to the end: every commit reached, newest generation first.
    pub(crate) fn all(self) -> Result<Vec<Commit>, OverBudget> {
        self.down_to(Generation::UNKNOWN)
    }

    /// Every commit reached that is not older than `lowest`, newest generation first.
    pub(crate) fn down_to(mut self, lowest: Generation) -> Result<Vec<Commit>, OverBudget> {
        let mut reached = Vec::new();
        while self.open.peek().is_some_and(|(top, _)| *top >= lowest) {
            let Some((_, next)) = self.open.pop() else { break };
            self.steps_left = self.steps_left.checked_sub(1).ok_or(OverBudget)?;
            reached.push(next);
            for parent in self.history.parents(next) {
                self.add(*parent);
            }
        }
        Ok(reached)
    }

    /// The newest open commit, if it may still reach `commit`.
    fn pop_above(
        &mut self,
        generation: Generation,
        commit: Commit,
    ) -> Option<(Generation, Commit)> {
        if self.seen[commit.0 as usize] {
            return None;
        }
        self.open.peek().filter(|(top, _)| *top > generation)?;
        self.open.pop()
    }
}
