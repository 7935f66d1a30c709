use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gitstratum_core::RepoId;
use gitstratum_process::sabotage;
use gitstratum_proto::metadata::v1::{CommandResult, Refusal};

use super::entry::{Command, UpdateRefs};
use super::record::RefRow;
use super::{Error, Rows, keys, query};

/// What stock git says of every command of an atomic push when one fails.
const ATOMIC: &str = "atomic push failure";
const STALE: &str = "the ref has moved: fetch first";
const CONFLICT: &str = "a ref with a name above or below it exists";
const DELETED_NOTHING: &str = "warning: deleting a non-existent ref";

/// What becomes of each command, and what that changes.
pub(super) struct Verdicts {
    /// In command order.
    pub(super) results: Vec<CommandResult>,
    /// By ref name: refs that differ afterwards.
    pub(super) changes: Changes,
}

/// Refs that change, by name.
pub(super) type Changes = BTreeMap<Bytes, RefChange>;

/// A ref before and after; not the same.
pub(super) struct RefChange {
    /// Before.
    pub(super) old: Option<RefRow>,
    /// After.
    pub(super) new: Option<RefRow>,
}

impl Verdicts {
    /// Whether at least one command succeeded.
    pub(super) fn any_succeeded(&self) -> bool {
        self.results.iter().any(|result| result.refusal == i32::from(Refusal::None))
    }
}

/// The first ref that two commands name (bad input 91).
pub(super) fn first_twice(commands: &[Command]) -> Option<&Bytes> {
    let mut seen = BTreeSet::new();
    commands.iter().map(|command| &command.name).find(|name| !seen.insert(*name))
}

/// Judges each command against the refs and the commands that succeeded before it.
/// Deletions come first, so that `a` can make room for `a/b` whatever the order sent.
pub(super) fn judge(rows: &dyn Rows, repo: RepoId, update: &UpdateRefs) -> Result<Verdicts, Error> {
    let mut judge = Judge { rows, repo, changes: BTreeMap::new() };
    let mut results = vec![CommandResult::default(); update.commands.len()];
    let deletions = |delete: bool| {
        update.commands.iter().enumerate().filter(move |(_, c)| c.is_delete() == delete)
    };
    for (place, command) in deletions(true).chain(deletions(false)) {
        results[place] = judge.command(command)?;
    }
    let mut verdicts = Verdicts { results, changes: judge.changes };
    if update.atomic && !sabotage!("partial-atomic") {
        fail_together(&mut verdicts);
    }
    Ok(verdicts)
}

/// One failure of an atomic push is all.
fn fail_together(verdicts: &mut Verdicts) {
    let none = i32::from(Refusal::None);
    if verdicts.results.iter().all(|result| result.refusal == none) {
        return;
    }
    verdicts.changes.clear();
    for result in verdicts.results.iter_mut().filter(|result| result.refusal == none) {
        result.refusal = Refusal::Atomic.into();
        ATOMIC.clone_into(&mut result.message);
    }
}

struct Judge<'a> {
    rows: &'a dyn Rows,
    repo: RepoId,
    changes: Changes,
}

impl Judge<'_> {
    fn command(&mut self, command: &Command) -> Result<CommandResult, Error> {
        let (refusal, message) = self.verdict(command)?;
        let message = message.to_owned();
        Ok(CommandResult { name: command.name.clone(), refusal: refusal.into(), message })
    }

    fn verdict<'c>(&mut self, command: &'c Command) -> Result<(Refusal, &'c str), Error> {
        if command.refusal != 0 {
            let refusal = Refusal::try_from(command.refusal).unwrap_or(Refusal::Denied);
            return Ok((refusal, &command.message));
        }
        let held = query::reference(self.rows, self.repo, &command.name)?;
        if held.is_none()
            && command.is_delete()
            && (command.old.is_empty() || command.may_be_missing)
        {
            return Ok((Refusal::None, DELETED_NOTHING));
        }
        if held.as_ref().map_or(&[][..], |row| &row.target) != &command.old[..] {
            return Ok((Refusal::Stale, STALE));
        }
        if held.is_none() && self.conflicts(&command.name)? {
            return Ok((Refusal::NameConflict, CONFLICT));
        }
        self.plan(command, held);
        Ok((Refusal::None, ""))
    }

    fn plan(&mut self, command: &Command, old: Option<RefRow>) {
        let new = (!command.is_delete())
            .then(|| RefRow { target: command.new.clone(), peeled: command.peeled.clone() });
        if old != new {
            self.changes.insert(command.name.clone(), RefChange { old, new });
        }
    }

    /// Whether a ref exists, or is made by this push, whose name is a directory of `name` or below
    /// it (bad input 87).
    fn conflicts(&self, name: &Bytes) -> Result<bool, Error> {
        let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (slash, _) in slashes {
            if self.exists(&name.slice(..slash))? {
                return Ok(true);
            }
        }
        self.exists_below(name)
    }

    fn exists(&self, name: &Bytes) -> Result<bool, Error> {
        match self.changes.get(name) {
            Some(change) => Ok(change.new.is_some()),
            None => Ok(query::reference(self.rows, self.repo, name)?.is_some()),
        }
    }

    fn exists_below(&self, name: &Bytes) -> Result<bool, Error> {
        let directory = [name, &b"/"[..]].concat();
        let planned = || {
            let from = Bytes::copy_from_slice(&directory);
            self.changes.range(from..).take_while(|(name, _)| name.starts_with(&directory))
        };
        if planned().any(|(_, change)| change.new.is_some()) {
            return Ok(true);
        }
        // All planned changes below are deletions: one row more than those is enough to see.
        let enough = planned().count() + 1;
        let held = self.rows.scan(&keys::references(self.repo, &directory), enough)?;
        Ok(held.iter().any(|(key, _)| !self.changes.contains_key(keys::reference_name(key))))
    }
}
