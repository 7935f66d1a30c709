use std::ops::ControlFlow;

use bstr::ByteSlice as _;
use gitstratum_core::ObjectFormat;

use super::headers::{self, IdLine, Lines};
use super::report::Findings;
use super::{MessageId, PARENTS_MAX, ident};

/// Checks a commit: tree, parents, one author, committer, in this order.
pub(super) fn check(
    format: ObjectFormat,
    content: &[u8],
    findings: &mut Findings<'_>,
) -> ControlFlow<()> {
    headers::check(content, findings)?;
    let mut lines = Lines { rest: content };
    match lines.take_id(format, "tree ") {
        IdLine::Valid => {}
        IdLine::Malformed => {
            findings.add(MessageId::BadTreeSha1, "invalid 'tree' line format - bad sha1")?;
        }
        IdLine::Absent => {
            return findings.add(MessageId::MissingTree, "invalid format - expected 'tree' line");
        }
    }
    check_parents(format, &mut lines, findings)?;
    check_authors(&mut lines, findings)?;
    if !lines.take("committer ") {
        let text = "invalid format - expected 'committer' line";
        return findings.add(MessageId::MissingCommitter, text);
    }
    ident::check(lines.take_line().unwrap_or_default(), findings)?;
    if content.find_byte(0).is_some() {
        findings.add(MessageId::NulInCommit, "NUL byte in the commit object body")?;
    }
    ControlFlow::Continue(())
}

fn check_parents(
    format: ObjectFormat,
    lines: &mut Lines<'_>,
    findings: &mut Findings<'_>,
) -> ControlFlow<()> {
    let mut parents = 0_usize;
    loop {
        match lines.take_id(format, "parent ") {
            IdLine::Absent => break,
            IdLine::Valid => {}
            IdLine::Malformed => {
                let text = "invalid 'parent' line format - bad sha1";
                findings.add(MessageId::BadParentSha1, text)?;
            }
        }
        parents += 1;
    }
    if parents > PARENTS_MAX {
        let text = format!("{parents} parents, the limit is {PARENTS_MAX}");
        findings.add(MessageId::TooManyParents, text)?;
    }
    ControlFlow::Continue(())
}

fn check_authors(lines: &mut Lines<'_>, findings: &mut Findings<'_>) -> ControlFlow<()> {
    let mut authors = 0_usize;
    while lines.take("author ") {
        authors += 1;
        ident::check(lines.take_line().unwrap_or_default(), findings)?;
    }
    match authors {
        0 => findings.add(MessageId::MissingAuthor, "invalid format - expected 'author' line"),
        1 => ControlFlow::Continue(()),
        _ => findings.add(MessageId::MultipleAuthors, "invalid format - multiple 'author' lines"),
    }
}
