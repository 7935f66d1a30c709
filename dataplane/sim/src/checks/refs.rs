//! P-C1, P-C2, P-C5: refs that are forced, deleted and made again, by themselves or several in
//! one push, behave as if every push and every listing happened at one moment between its begin
//! and its end. After Wing and Gong, with Lowe's memory of what was tried.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use gitstratum_core::ObjectId;

use super::Broken;

const REFS: &str = "refs-are-linearizable";
/// States looked at until a history counts as too hard to judge.
const STATES_MAX: usize = 100_000;

/// A ref and its value; none is a ref that is not there.
pub(crate) type Values = BTreeMap<String, ObjectId>;

/// One ref command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) old: Option<ObjectId>,
    pub(crate) new: Option<ObjectId>,
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Moved refs, all or none; it was not refused.
    Push {
        /// When it began, and when it was acknowledged; never, when nobody knows.
        began: Duration,
        /// See `began`.
        acked: Option<Duration>,
        /// What it moves.
        steps: Vec<Step>,
    },
    /// Listed all refs.
    Read {
        /// Between.
        began: Duration,
        /// See `began`.
        ended: Duration,
        /// What was shown.
        shown: Values,
    },
}

/// Whether the refs whose names begin with `prefix` behave. `None` when that is too hard to say.
pub(crate) fn check(history: &[Operation], prefix: &str) -> Option<Result<(), Broken>> {
    let mut calls: Vec<Call> = history.iter().filter_map(|each| call(each, prefix)).collect();
    drop_unseen(&mut calls);
    calls.sort_by_key(|call| call.began);
    let furthest = (0, String::new());
    let mut search = Search { calls: &calls, tried: HashSet::new(), furthest };
    let mut done = vec![false; calls.len()];
    match search.go(&mut done, Values::new(), 0) {
        Found::Order => Some(Ok(())),
        Found::TooMany => None,
        Found::None => {
            let (explained, stuck) = search.furthest;
            let what = format!(
                "no order explains more than {explained} of {} calls: {stuck}",
                calls.len()
            );
            Some(Err(Broken::new(REFS, what)))
        }
    }
}

/// An operation on the refs that are looked at.
#[derive(Debug)]
struct Call {
    began: Duration,
    /// `None`: it may have happened, at any time after its begin.
    ended: Option<Duration>,
    does: Does,
}

#[derive(Debug)]
enum Does {
    Move(Vec<Step>),
    Show(Values),
}

fn call(operation: &Operation, prefix: &str) -> Option<Call> {
    match operation {
        Operation::Push { began, acked, steps } => {
            let here = |step: &&Step| step.name.starts_with(prefix);
            let steps: Vec<Step> = steps.iter().filter(here).cloned().collect();
            let does = Does::Move(steps.clone());
            (!steps.is_empty()).then_some(Call { began: *began, ended: *acked, does })
        }
        Operation::Read { began, ended, shown } => {
            let here = shown.iter().filter(|(name, _)| name.starts_with(prefix));
            let shown = here.map(|(name, id)| (name.clone(), *id)).collect();
            Some(Call { began: *began, ended: Some(*ended), does: Does::Show(shown) })
        }
    }
}

/// A push that nobody knows of and whose new values nobody saw may as well not have happened:
/// every value is pushed once.
fn drop_unseen(calls: &mut Vec<Call>) {
    let mut seen: BTreeSet<ObjectId> = BTreeSet::new();
    for call in calls.iter() {
        match &call.does {
            Does::Show(shown) => seen.extend(shown.values()),
            Does::Move(steps) => seen.extend(steps.iter().filter_map(|step| step.old)),
        }
    }
    calls.retain(|call| match &call.does {
        Does::Move(steps) if call.ended.is_none() => {
            steps.iter().any(|step| step.new.is_none_or(|new| seen.contains(&new)))
        }
        Does::Move(_) | Does::Show(_) => true,
    });
}

enum Found {
    Order,
    None,
    TooMany,
}

struct Search<'a> {
    /// By their begins.
    calls: &'a [Call],
    /// What was tried: calls done, and the values then.
    tried: HashSet<(Vec<usize>, usize, Values)>,
    /// Most calls that were explained, and what did not fit behind them.
    furthest: (usize, String),
}

impl Search<'_> {
    /// Whether the calls that are not `done` can follow on `values`; all before `first` are done.
    fn go(&mut self, done: &mut [bool], mut values: Values, mut first: usize) -> Found {
        let mut taken = Vec::new();
        // A listing that shows what is there changes nothing: it can as well come now.
        loop {
            let shown = self.open(done, first).into_iter().find(|at| self.shows(*at, &values));
            let Some(next) = shown else { break };
            done[next] = true;
            taken.push(next);
            while done.get(first) == Some(&true) {
                first += 1;
            }
        }
        let found = self.branch(done, &mut values, first);
        if !matches!(found, Found::Order) {
            taken.into_iter().for_each(|at| done[at] = false);
        }
        found
    }

    fn branch(&mut self, done: &mut [bool], values: &mut Values, first: usize) -> Found {
        self.note(done, values);
        let is_over = |at: usize| done[at] || self.calls[at].ended.is_none();
        if (first..self.calls.len()).all(is_over) {
            return Found::Order;
        }
        if self.tried.len() >= STATES_MAX {
            return Found::TooMany;
        }
        let ahead = (first..self.calls.len()).filter(|at| done[*at]).collect();
        if !self.tried.insert((ahead, first, values.clone())) {
            return Found::None;
        }
        let mut open = self.open(done, first);
        // Those that nobody knows of come last.
        open.sort_by_key(|at| (self.calls[*at].ended.is_none(), self.calls[*at].ended));
        for at in open {
            let Some(moved) = self.moved(at, values) else { continue };
            done[at] = true;
            let next = (first..self.calls.len()).find(|at| !done[*at]);
            match self.go(done, moved, next.unwrap_or(self.calls.len())) {
                Found::None => done[at] = false,
                other => return other,
            }
        }
        Found::None
    }

    /// Remembers how far this order goes.
    fn note(&mut self, done: &[bool], values: &Values) {
        let count = done.iter().filter(|done| **done).count();
        if count < self.furthest.0 {
            return;
        }
        let left =
            self.calls.iter().zip(done).filter(|(call, done)| !**done && call.ended.is_some());
        let next = left.map(|(call, _)| call).min_by_key(|call| call.ended);
        self.furthest = (count, format!("then {values:?}, and {next:?}"));
    }

    /// Calls that may come next: no other has to come before them.
    fn open(&self, done: &[bool], first: usize) -> Vec<usize> {
        let left: Vec<usize> = (first..self.calls.len()).filter(|at| !done[*at]).collect();
        let ends = left.iter().filter_map(|at| self.calls[*at].ended);
        let until = ends.min().unwrap_or(Duration::MAX);
        left.into_iter().take_while(|at| self.calls[*at].began <= until).collect()
    }

    fn shows(&self, at: usize, values: &Values) -> bool {
        matches!(&self.calls[at].does, Does::Show(shown) if shown == values)
    }

    fn moved(&self, at: usize, values: &Values) -> Option<Values> {
        let Does::Move(steps) = &self.calls[at].does else { return None };
        let mut values = values.clone();
        for step in steps {
            if values.get(&step.name).copied() != step.old {
                return None;
            }
            match step.new {
                Some(new) => values.insert(step.name.clone(), new),
                None => values.remove(&step.name),
            };
        }
        Some(values)
    }
}

#[cfg(test)]
mod tests;
