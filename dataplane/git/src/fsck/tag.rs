use std::ops::ControlFlow;

use bstr::BStr;
use gitstratum_core::{ObjectFormat, ObjectKind};

use super::headers::{self, IdLine, Lines};
use super::report::{Findings, quoted};
use super::{MessageId, ident};

/// Bytes besides the target's id of the shortest tag that git reads.
const LEN_BESIDES_ID_MIN: usize = 24;

/// Checks a tag: object, type, name, tagger, in this order.
pub(super) fn check(
    format: ObjectFormat,
    content: &[u8],
    findings: &mut Findings<'_>,
) -> ControlFlow<()> {
    headers::check(content, findings)?;
    let mut lines = Lines { rest: content };
    match lines.take_id(format, "object ") {
        IdLine::Valid => {}
        IdLine::Malformed => {
            findings.add(MessageId::BadObjectSha1, "invalid 'object' line format - bad sha1")?;
        }
        IdLine::Absent => {
            let text = "invalid format - expected 'object' line";
            return findings.add(MessageId::MissingObject, text);
        }
    }
    check_type(&mut lines, findings)?;
    check_name(&mut lines, findings)?;
    check_tagger(&mut lines, findings)?;
    if !lines.rest.is_empty() && !lines.rest.starts_with(b"\n") {
        let text = "invalid format - extra header(s) after 'tagger'";
        findings.add(MessageId::ExtraHeaderEntry, text)?;
    }
    if content.len() < format.id_len() * 2 + LEN_BESIDES_ID_MIN {
        findings.add(MessageId::MissingTag, "too short for git to read")?;
    }
    ControlFlow::Continue(())
}

fn check_type(lines: &mut Lines<'_>, findings: &mut Findings<'_>) -> ControlFlow<()> {
    if !lines.take("type ") {
        return end(
            findings.add(MessageId::MissingTypeEntry, "invalid format - expected 'type' line")
        );
    }
    let Some(word) = lines.take_line() else {
        let text = "invalid format - unexpected end after 'type' line";
        return end(findings.add(MessageId::MissingType, text));
    };
    if ObjectKind::parse(word).is_none() {
        findings.add(MessageId::BadType, "invalid 'type' value")?;
    }
    ControlFlow::Continue(())
}

fn check_name(lines: &mut Lines<'_>, findings: &mut Findings<'_>) -> ControlFlow<()> {
    if !lines.take("tag ") {
        return end(
            findings.add(MessageId::MissingTagEntry, "invalid format - expected 'tag' line")
        );
    }
    let Some(name) = lines.take_line() else {
        let text = "invalid format - unexpected end after 'tag' line";
        return end(findings.add(MessageId::MissingTag, text));
    };
    let ref_name = [b"refs/tags/", name].concat();
    if gix_validate::reference::name(BStr::new(&ref_name)).is_err() {
        findings.add(MessageId::BadTagName, format!("invalid 'tag' name: {}", quoted(name)))?;
    }
    ControlFlow::Continue(())
}

fn check_tagger(lines: &mut Lines<'_>, findings: &mut Findings<'_>) -> ControlFlow<()> {
    if lines.take("tagger ") {
        return ident::check(lines.take_line().unwrap_or_default(), findings);
    }
    findings.add(MessageId::MissingTaggerEntry, "invalid format - expected 'tagger' line")
}

/// A line without which nothing further can be read ends the check, however
/// mildly it is judged.
fn end(_judged: ControlFlow<()>) -> ControlFlow<()> {
    ControlFlow::Break(())
}
