use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use super::{MessageId, Severity};

/// How strictly a repository judges what enters it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    overrides: BTreeMap<MessageId, Severity>,
}

impl Options {
    /// Judges one rule otherwise than by default: for old history that cannot
    /// be written anew. Fatal rules stay errors.
    #[must_use]
    pub fn with(mut self, id: MessageId, severity: Severity) -> Self {
        self.overrides.insert(id, severity);
        self
    }

    /// The severity of a rule here.
    pub fn severity(&self, id: MessageId) -> Severity {
        match self.overrides.get(&id) {
            Some(severity) if !id.is_fatal() => *severity,
            _ => id.severity(),
        }
    }
}

/// Something wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub id: MessageId,
    /// How bad it is here; never `Ignore`.
    pub severity: Severity,
    /// What is wrong. Text from the object is escaped.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.text)
    }
}

/// Findings kept of one object; the first error is always among them.
const FINDINGS_MAX: usize = 50;

/// Gathers what is wrong with one object.
pub(super) struct Findings<'a> {
    options: &'a Options,
    found: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) const fn new(options: &'a Options) -> Self {
        Self { options, found: Vec::new() }
    }

    /// Takes a finding. `Break` if it is an error.
    pub(super) fn add(&mut self, id: MessageId, text: impl Into<String>) -> ControlFlow<()> {
        let severity = self.options.severity(id);
        let is_error = severity == Severity::Error;
        if self.found.len() == FINDINGS_MAX && is_error && !self.has_error() {
            self.found.pop();
        }
        if severity != Severity::Ignore && self.found.len() < FINDINGS_MAX {
            self.found.push(Finding { id, severity, text: text.into() });
        }
        if is_error { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn has_error(&self) -> bool {
        self.found.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Takes a finding of a check that goes on in any case.
    pub(super) fn note(&mut self, id: MessageId, text: impl Into<String>) {
        // Going on is what this method is for.
        let _is_error = self.add(id, text);
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.found
    }
}

/// Bytes of a hostile object made fit for a message: short, and printable.
pub(super) fn quoted(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 200;
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    let more = if shown.len() < bytes.len() { "..." } else { "" };
    format!("{}{more}", shown.escape_ascii())
}
