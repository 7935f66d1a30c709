use std::ops::ControlFlow;

use gitstratum_core::{ObjectFormat, ObjectKind};
use gitstratum_git::fsck;
use gitstratum_git::graph::{Commit, CommitDate, Tag};
use gitstratum_git::object::{CommitRef, TagRef};
use gitstratum_git::pack::{Limits, LinkError, Links, Visited, Visitor};
use gitstratum_git::part::Ordinal;

use super::Error;
use super::cancel::Cancel;

/// Sees every object of a pack once: judges it by git's rules, notes what it refers to, and
/// keeps what the graph part needs. Stops the resolving at the first fault.
pub(super) struct Inspector {
    format: ObjectFormat,
    cancel: Cancel,
    pub(super) fsck: fsck::Session,
    pub(super) links: Links,
    /// Copies of one commit inside the pack are all here, each under its ordinal.
    pub(super) commits: Vec<Commit>,
    pub(super) tags: Vec<Tag>,
    fault: Option<LinkError>,
}

impl Inspector {
    pub(super) fn new(format: ObjectFormat, limits: &Limits, cancel: Cancel) -> Self {
        Self {
            format,
            cancel,
            fsck: fsck::Session::new(format, fsck::Options::default()),
            links: Links::new(format, limits),
            commits: Vec::new(),
            tags: Vec::new(),
            fault: None,
        }
    }

    /// Why it stopped the resolving, if it did.
    pub(super) fn take_fault(&mut self) -> Option<Error> {
        if let Some(error) = fsck_error(&self.fsck) {
            return Some(error);
        }
        self.fault.take().map(|source| Error::Links { source })
    }

    fn note(&mut self, object: &Visited<'_>) {
        let Some(content) = object.content.whole() else { return };
        let ordinal = Ordinal(object.ordinal);
        // Both were parsed for their links a moment ago.
        if object.kind == ObjectKind::Commit
            && let Ok(commit) = CommitRef::parse(self.format, content)
        {
            let date = CommitDate(u64::try_from(commit.committed_at()).unwrap_or_default());
            let (tree, parents) = (commit.tree, commit.parents().collect());
            self.commits.push(Commit { id: *object.id, ordinal, tree, parents, date });
        }
        if object.kind == ObjectKind::Tag
            && let Ok(tag) = TagRef::parse(self.format, content)
        {
            let TagRef { target, target_kind, .. } = tag;
            self.tags.push(Tag { id: *object.id, ordinal, target, target_kind });
        }
    }
}

/// The gravest finding, if there is one that refuses the push.
pub(super) fn fsck_error(session: &fsck::Session) -> Option<Error> {
    if session.errors() == 0 {
        return None;
    }
    let report = session.reports().first().map(ToString::to_string);
    Some(Error::Fsck { report: report.unwrap_or_else(|| "fsck error".to_owned()) })
}

impl Visitor for Inspector {
    fn visit(&mut self, object: &Visited<'_>) -> ControlFlow<()> {
        if self.cancel.is_set() {
            return ControlFlow::Break(());
        }
        self.fsck.visit(object);
        if self.fsck.errors() > 0 {
            return ControlFlow::Break(());
        }
        if let Err(fault) = self.links.visit(object) {
            self.fault = Some(fault);
            return ControlFlow::Break(());
        }
        self.note(object);
        ControlFlow::Continue(())
    }
}
