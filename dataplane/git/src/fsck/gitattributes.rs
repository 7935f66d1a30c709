use super::report::Findings;
use super::{GITATTRIBUTES_LEN_MAX, GITATTRIBUTES_LINE_LEN_MAX, MessageId};

/// Checks the content of a `.gitattributes` file: what git will not read, no
/// other program should be asked to (bad input 72).
pub(super) fn check(content: &[u8], findings: &mut Findings<'_>) {
    if content.len() as u64 > GITATTRIBUTES_LEN_MAX {
        findings.note(MessageId::GitattributesLarge, ".gitattributes too large to parse");
        return;
    }
    // Git sees the file as a C string.
    let seen = content.split(|byte| *byte == 0).next().unwrap_or_default();
    if seen.split(|byte| *byte == b'\n').any(|line| line.len() >= GITATTRIBUTES_LINE_LEN_MAX) {
        let text = ".gitattributes has too long lines to parse";
        findings.note(MessageId::GitattributesLineLength, text);
    }
}
