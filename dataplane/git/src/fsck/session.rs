use std::collections::BTreeMap;
use std::fmt;

use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::dot_name::{DotName, dot_names};
use super::{Finding, MessageId, Options, Severity, check, check_special};
use crate::object::TreeEntries;
use crate::pack::Visited;

/// Objects with findings that are kept for the answer; all are counted.
const REPORTS_MAX: usize = 64;
/// Blobs named `.gitmodules` or `.gitattributes` in one push, for each name.
const SPECIAL_BLOBS_MAX: usize = 100_000;

/// A file with a meaning to git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialKind {
    /// `.gitmodules`
    Gitmodules,
    /// `.gitattributes`
    Gitattributes,
}

/// A blob whose content matters, because a tree gives it a special name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpecialBlob {
    /// Its id.
    pub id: ObjectId,
    /// What it is named.
    pub kind: SpecialKind,
}

/// What is wrong with one object of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub object: ObjectId,
    /// Its kind.
    pub kind: ObjectKind,
    /// What is wrong.
    pub finding: Finding,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.finding.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{word} in {} {}: {}", self.kind, self.object, self.finding)
    }
}

/// Judges all objects of a push.
///
/// Show it every object; then give it the content of each blob that
/// [`pending`](Self::pending) still names, from the pack or from the
/// repository; then ask for [`reports`](Self::reports).
#[derive(Debug)]
pub struct Session {
    format: ObjectFormat,
    options: Options,
    /// Special blobs, and whether their content was seen.
    special: BTreeMap<SpecialBlob, bool>,
    reports: Vec<Report>,
    errors: u64,
}

impl Session {
    /// Judges the objects of one push to a repository with these options.
    pub fn new(format: ObjectFormat, options: Options) -> Self {
        Self { format, options, special: BTreeMap::new(), reports: Vec::new(), errors: 0 }
    }

    /// Judges an object by itself, and takes note of the special blobs of a tree.
    /// The content must be whole unless it is a blob.
    pub fn visit(&mut self, object: &Visited<'_>) {
        let Some(content) = object.content.whole() else {
            return;
        };
        match object.kind {
            ObjectKind::Blob => self.visit_blob(object.id, content),
            ObjectKind::Tree => self.note_special_blobs(object.id, content),
            ObjectKind::Commit | ObjectKind::Tag => {}
        }
        for finding in check(object.kind, self.format, content, &self.options) {
            self.report(object.id, object.kind, finding);
        }
    }

    /// Special blobs whose content was not seen yet, sorted.
    pub fn pending(&self) -> Vec<SpecialBlob> {
        let open = self.special.iter().filter(|(_, is_seen)| !**is_seen);
        open.map(|(blob, _)| *blob).collect()
    }

    /// Judges a pending blob, given what its id names: kind and content, `None`
    /// if it does not exist.
    pub fn judge_special(&mut self, blob: &SpecialBlob, found: Option<(ObjectKind, &[u8])>) {
        let (missing, no_blob) = match blob.kind {
            SpecialKind::Gitmodules => (MessageId::GitmodulesMissing, MessageId::GitmodulesBlob),
            SpecialKind::Gitattributes => {
                (MessageId::GitattributesMissing, MessageId::GitattributesBlob)
            }
        };
        match found {
            Some((ObjectKind::Blob, content)) => self.judge_content(blob, content),
            Some((kind, _)) => self.report_rule(blob, kind, no_blob, "non-blob found"),
            None => self.report_rule(blob, ObjectKind::Blob, missing, "unable to read blob"),
        }
    }

    /// Judges a pending blob that is larger than the caller would read.
    pub fn judge_too_large(&mut self, blob: &SpecialBlob) {
        let rule = match blob.kind {
            SpecialKind::Gitmodules => MessageId::GitmodulesLarge,
            SpecialKind::Gitattributes => MessageId::GitattributesLarge,
        };
        self.report_rule(blob, ObjectKind::Blob, rule, "too large to parse");
    }

    /// Objects found to be refused.
    pub const fn errors(&self) -> u64 {
        self.errors
    }

    /// What was found, errors first, at most 64 lines.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    fn visit_blob(&mut self, id: &ObjectId, content: &[u8]) {
        for kind in [SpecialKind::Gitmodules, SpecialKind::Gitattributes] {
            let blob = SpecialBlob { id: *id, kind };
            if self.special.get(&blob) == Some(&false) {
                self.judge_content(&blob, content);
            }
        }
    }

    fn judge_content(&mut self, blob: &SpecialBlob, content: &[u8]) {
        self.special.insert(*blob, true);
        for finding in check_special(blob.kind, content, &self.options) {
            self.report(&blob.id, ObjectKind::Blob, finding);
        }
    }

    fn note_special_blobs(&mut self, tree: &ObjectId, content: &[u8]) {
        // What cannot be parsed is found by the tree's own check.
        for entry in TreeEntries::new(self.format, content).map_while(Result::ok) {
            if !entry.mode.is_file() {
                continue;
            }
            for meaning in dot_names(entry.name) {
                let kind = match meaning {
                    DotName::Gitmodules => SpecialKind::Gitmodules,
                    DotName::Gitattributes => SpecialKind::Gitattributes,
                    DotName::Git | DotName::Gitignore | DotName::Mailmap => continue,
                };
                self.note_special(tree, SpecialBlob { id: entry.id, kind });
            }
        }
    }

    fn note_special(&mut self, tree: &ObjectId, blob: SpecialBlob) {
        if self.special.len() < 2 * SPECIAL_BLOBS_MAX || self.special.contains_key(&blob) {
            self.special.entry(blob).or_insert(false);
            return;
        }
        let rule = match blob.kind {
            SpecialKind::Gitmodules => MessageId::GitmodulesLarge,
            SpecialKind::Gitattributes => MessageId::GitattributesLarge,
        };
        let text = format!("more than {SPECIAL_BLOBS_MAX} such files in one push");
        let severity = Severity::Error;
        self.report(tree, ObjectKind::Tree, Finding { id: rule, severity, text });
    }

    fn report_rule(&mut self, blob: &SpecialBlob, kind: ObjectKind, id: MessageId, text: &str) {
        self.special.insert(*blob, true);
        let severity = self.options.severity(id);
        if severity != Severity::Ignore {
            self.report(&blob.id, kind, Finding { id, severity, text: text.to_owned() });
        }
    }

    fn report(&mut self, object: &ObjectId, kind: ObjectKind, finding: Finding) {
        let is_error = finding.severity == Severity::Error;
        let report = Report { object: *object, kind, finding };
        let errors_kept = usize::try_from(self.errors).unwrap_or(REPORTS_MAX).min(REPORTS_MAX);
        self.errors += u64::from(is_error);
        if is_error {
            self.reports.insert(errors_kept.min(self.reports.len()), report);
        } else {
            self.reports.push(report);
        }
        self.reports.truncate(REPORTS_MAX);
    }
}
