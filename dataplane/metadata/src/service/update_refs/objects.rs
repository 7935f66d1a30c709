//! What a push leans on, and what it makes refs point at, judged by the repository's
//! history (S16).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_core::{ObjectId, ObjectKind, RefName, RepoId, Role};
use gitstratum_proto::metadata::v1::Refusal;

use super::super::Service;
use super::super::hosted::Hosted;
use super::request::{Judged, stored};
use super::{Checked, Denial};
use crate::error::Error;
use crate::partition::{self, Rows, query};
use crate::planner::{Described, Line, RepoView};

/// What is said of an object that is stored nowhere, or not for this repository: one text, so that
/// an id tells nothing (bad inputs 53, 54, 79, 89).
const MISSING: &str = "missing necessary objects";
const NOT_A_COMMIT: &str = "a branch must point at a commit";
const FORCED: &str = "non-fast-forward update of the default branch needs the role maintain";
/// Unreachable new ids that are told apart in one push; with more the whole push is refused.
const UNREACHABLE_MAX: usize = 16;

/// The repository's history as it is applied here, loaded when first asked for.
pub(super) struct History<'a> {
    service: &'a Service,
    hosted: &'a Hosted,
    repo: RepoId,
    /// The ref of the default branch.
    head: Bytes,
    view: Option<RepoView>,
}

impl<'a> History<'a> {
    pub(super) const fn new(
        service: &'a Service,
        hosted: &'a Hosted,
        repo: RepoId,
        head: Bytes,
    ) -> Self {
        Self { service, hosted, repo, head, view: None }
    }

    /// Judges what the push rests on, then every command that is still open.
    pub(super) async fn judge(
        &mut self,
        rests_on: Vec<ObjectId>,
        commands: &mut [Judged],
        by: (Role, Option<Arc<Pack>>),
    ) -> Checked<()> {
        let (role, pack) = by;
        if !rests_on.is_empty() && self.first_unreachable(rests_on).await?.is_some() {
            return Ok(Err(Denial::new(Refusal::MissingObject, MISSING)));
        }
        if let Err(denial) = self.judge_new(commands).await? {
            return Ok(Err(denial));
        }
        if role < Role::Maintain {
            self.judge_forced(commands, pack).await?;
        }
        self.find_unknown_old(commands).await?;
        Ok(Ok(()))
    }

    /// Ids that refs are set to: in the pack, or reachable; a branch to a commit.
    async fn judge_new(&mut self, commands: &mut [Judged]) -> Checked<()> {
        let outside = commands.iter().filter(|command| command.is_outside());
        let ids: BTreeSet<_> = outside.filter_map(|command| command.new).collect();
        if !ids.is_empty() {
            let Some(missing) = self.unreachable(&ids).await? else {
                return Ok(Err(Denial::new(Refusal::MissingObject, MISSING)));
            };
            let reachable: Vec<_> = ids.difference(&missing).copied().collect();
            let found = self.describe(&reachable).await?;
            for command in commands.iter_mut().filter(|command| command.is_outside()) {
                take_over(command, &found);
            }
        }
        commands.iter_mut().for_each(judge_kind);
        Ok(Ok(()))
    }

    /// Those of `ids` that cannot be reached; `None` when they are too many to tell.
    async fn unreachable(
        &mut self,
        ids: &BTreeSet<ObjectId>,
    ) -> Result<Option<BTreeSet<ObjectId>>, Error> {
        let mut missing = BTreeSet::new();
        while missing.len() <= UNREACHABLE_MAX {
            let rest: Vec<_> = ids.difference(&missing).copied().collect();
            match self.first_unreachable(rest).await? {
                Some(id) => drop(missing.insert(id)),
                None => return Ok(Some(missing)),
            }
        }
        Ok(None)
    }

    /// Refuses a forced update of the default branch.
    async fn judge_forced(
        &mut self,
        commands: &mut [Judged],
        pack: Option<Arc<Pack>>,
    ) -> Result<(), Error> {
        for command in commands.iter_mut().filter(|command| command.is_open()) {
            let (Some(old), Some(new)) = (command.old, command.new) else { continue };
            if old == new || command.entry.name != self.head {
                continue;
            }
            let view = self.view().await?;
            let line = Line { old, new };
            let asked = self.service.deps.planner.is_ancestor(view, line, pack.clone());
            if !asked.await? {
                command.refuse(Refusal::Denied, FORCED);
            }
        }
        Ok(())
    }

    /// Stock git deletes a ref that is not there, with a warning, when it does not know the old id
    /// either (bad input 92).
    async fn find_unknown_old(&mut self, commands: &mut [Judged]) -> Result<(), Error> {
        let names: Vec<_> = commands
            .iter()
            .filter(|command| command.is_open() && command.new.is_none() && command.old.is_some())
            .map(|command| command.entry.name.clone())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let repo = self.repo;
        let absent = self.hosted.read(move |rows| absent(rows, repo, names)).await?;
        for command in commands.iter_mut().filter(|c| absent.contains(&c.entry.name)) {
            let Some(old) = command.old else { continue };
            command.entry.may_be_missing = !self.describe(&[old]).await?.contains_key(&old);
        }
        Ok(())
    }

    async fn first_unreachable(&mut self, ids: Vec<ObjectId>) -> Result<Option<ObjectId>, Error> {
        let view = self.view().await?;
        Ok(self.service.deps.planner.first_unreachable(view, ids).await?)
    }

    /// What those of `ids` are that the repository has.
    async fn describe(&mut self, ids: &[ObjectId]) -> Result<BTreeMap<ObjectId, Described>, Error> {
        let view = self.view().await?;
        let found = self.service.deps.planner.describe(view, ids.to_vec()).await?;
        Ok(ids.iter().zip(found).filter_map(|(id, what)| Some((*id, what?))).collect())
    }

    async fn view(&mut self) -> Result<RepoView, Error> {
        if let Some(view) = &self.view {
            return Ok(view.clone());
        }
        let viewed = self.service.viewed(self.hosted, self.repo).await?;
        Ok(self.view.insert(viewed.view).clone())
    }
}

/// Those of `names` that are no ref.
fn absent(
    rows: &dyn Rows,
    repo: RepoId,
    names: Vec<Bytes>,
) -> Result<BTreeSet<Bytes>, partition::Error> {
    let mut absent = BTreeSet::new();
    for name in names {
        if query::reference(rows, repo, &name)?.is_none() {
            absent.insert(name);
        }
    }
    Ok(absent)
}

/// Takes over what the history says of a command's new id; what it does not say is missing.
fn take_over(command: &mut Judged, found: &BTreeMap<ObjectId, Described>) {
    match command.new.and_then(|new| found.get(&new)) {
        Some(what) => {
            command.kind = Some(what.kind);
            command.entry.peeled = stored(what.peeled);
        }
        None => command.refuse(Refusal::MissingObject, MISSING),
    }
}

/// A branch points at a commit (bad input 90).
fn judge_kind(command: &mut Judged) {
    let is_branch = command.name.as_ref().is_some_and(RefName::is_branch);
    if is_branch && command.kind.is_some_and(|kind| kind != ObjectKind::Commit) {
        command.refuse(Refusal::Kind, NOT_A_COMMIT);
    }
}
