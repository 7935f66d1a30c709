use std::ops::ControlFlow;

use gitstratum_core::ObjectFormat;
use gitstratum_git::fsck;
use gitstratum_git::graph::Notes;
use gitstratum_git::pack::{Limits, LinkError, Links, Visited, Visitor};

use super::Error;
use super::cancel::Cancel;

/// Sees every object of a pack once: judges it by git's rules, notes what it refers to, and
/// keeps what the graph part needs. Stops the resolving at the first fault.
pub(super) struct Inspector {
    cancel: Cancel,
    pub(super) fsck: fsck::Session,
    pub(super) links: Links,
    pub(super) notes: Notes,
    fault: Option<LinkError>,
}

impl Inspector {
    pub(super) fn new(format: ObjectFormat, limits: &Limits, cancel: Cancel) -> Self {
        Self {
            cancel,
            fsck: fsck::Session::new(format, fsck::Options::default()),
            links: Links::new(format, limits),
            notes: Notes::new(format),
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
        // Both were parsed for their links a moment ago.
        self.notes.visit(object);
        ControlFlow::Continue(())
    }
}
