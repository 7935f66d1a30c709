//! Refs that are forced, deleted and made again, one by one and several in one push.

use std::time::Duration;

use gitstratum_core::ObjectId;

use super::Worker;
use crate::checks::{Operation, Step};
use crate::clock::elapsed;
use crate::events;
use crate::git::{Command, Pushed, commit};

/// How the names of refs begin that are moved one by one.
pub(crate) const SINGLE: &str = "refs/heads/single/";
const SINGLES: u64 = 4;
/// And of those that are moved together.
pub(crate) const ATOMIC: &str = "refs/heads/atomic/";
const ATOMICS: usize = 5;
/// One atomic push in so many has an old value that is wrong.
const WRONG_EVERY: u64 = 4;

impl Worker {
    /// Makes, forces or deletes one ref; whether it went well.
    pub(super) async fn change(&self, number: u64) -> bool {
        let Some(refs) = self.read(self.node()).await else { return false };
        let name = format!("{SINGLE}{}", self.draw.below(SINGLES));
        let old = refs.get(&name).copied();
        let made = commit(None, &format!("{} {number}", self.name));
        let is_deleted = old.is_some() && self.draw.below(2) == 0;
        let new = Some(made.id).filter(|_| !is_deleted);
        self.send(vec![(name, old, new)], &made.pack).await
    }

    /// Moves several refs to one marker; whether it went as it should.
    pub(super) async fn mark(&self, number: u64) -> bool {
        let Some(refs) = self.read(self.node()).await else { return false };
        let made = commit(None, &format!("{} {number}", self.name));
        let (first, count) = (self.draw.index(ATOMICS), 2 + self.draw.index(ATOMICS - 2));
        let names = (first..first + count).map(|at| format!("{ATOMIC}{}", at % ATOMICS));
        let of = |name: String| (name.clone(), refs.get(&name).copied(), Some(made.id));
        let mut commands: Vec<Command> = names.map(of).collect();
        let is_wrong = self.draw.below(WRONG_EVERY) == 0;
        if is_wrong && let Some((_, old, _)) = commands.last_mut() {
            *old = Some(made.id);
        }
        self.send(commands, &made.pack).await || is_wrong
    }

    pub(super) async fn send(&self, commands: Vec<Command>, pack: &[u8]) -> bool {
        let (began, to) = (elapsed(), self.node());
        let at = self.begin(began, commands.iter().cloned().map(step).collect());
        let outcomes = self.client.push(to, &commands, pack).await;
        let name = &self.name;
        events::story(|| format!("{name} moves {commands:?} through {to}: {outcomes:?}"));
        let acked = outcomes.iter().all(|outcome| *outcome == Pushed::Acked).then(elapsed);
        let is_refused = outcomes.iter().any(|outcome| matches!(outcome, Pushed::Refused(_)));
        let mut history = self.history.lock();
        history.acked += u64::from(acked.is_some());
        // What was refused must not show: as if nobody had ever asked for it.
        let steps = if is_refused { Vec::new() } else { commands.into_iter().map(step).collect() };
        history.operations[at] = Operation::Push { began, acked, steps };
        acked.is_some()
    }

    /// A push that nobody knows of yet, and its place in the history.
    fn begin(&self, began: Duration, steps: Vec<Step>) -> usize {
        let mut history = self.history.lock();
        history.begun += 1;
        history.operations.push(Operation::Push { began, acked: None, steps });
        history.operations.len() - 1
    }

    /// Has a ref that nobody else knows point at `new`, or be gone; whether that is known.
    pub(super) async fn set(
        &self,
        (name, old, new): (&str, Option<ObjectId>, Option<ObjectId>),
        pack: &[u8],
    ) -> bool {
        let command = (name.to_owned(), old, new);
        let outcome = self.client.push(self.node(), &[command], pack).await;
        events::story(|| format!("{} sets {name} to {new:?}: {outcome:?}", self.name));
        outcome.first() == Some(&Pushed::Acked)
    }
}

fn step((name, old, new): Command) -> Step {
    Step { name, old, new }
}
