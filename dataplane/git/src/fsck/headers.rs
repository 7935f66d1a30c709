use std::ops::ControlFlow;

use bstr::ByteSlice as _;
use gitstratum_core::{ObjectFormat, ObjectId};

use super::report::Findings;
use super::{HEADERS_LEN_MAX, MessageId};

/// Checks what commits and tags have in common: their header lines end, hold no
/// NUL, and are of bounded length. A missing message is no fault.
pub(super) fn check(content: &[u8], findings: &mut Findings<'_>) -> ControlFlow<()> {
    let end = content.find(b"\n\n").map(|at| at + 1);
    let headers = &content[..end.unwrap_or(content.len())];
    if let Some(nul) = headers.find_byte(0) {
        findings.add(MessageId::NulInHeader, format!("NUL at offset {nul} of the headers"))?;
    }
    if end.is_none() && !content.ends_with(b"\n") {
        findings.add(MessageId::UnterminatedHeader, "unterminated header")?;
    }
    if headers.len() > HEADERS_LEN_MAX {
        let text = format!("headers of {} bytes, the limit is {HEADERS_LEN_MAX}", headers.len());
        findings.add(MessageId::HeaderTooLarge, text)?;
    }
    check_signatures(headers, findings)
}

/// A signature that begins must end within its own header.
fn check_signatures(headers: &[u8], findings: &mut Findings<'_>) -> ControlFlow<()> {
    let mut open = false;
    for line in headers.split(|byte| *byte == b'\n') {
        match line.strip_prefix(b" ") {
            Some(continued) => open &= !continued.starts_with(b"-----END "),
            None if open => break,
            None => {
                let value =
                    line.strip_prefix(b"gpgsig ").or_else(|| line.strip_prefix(b"gpgsig-sha256 "));
                open = value.is_some_and(|value| value.starts_with(b"-----BEGIN "));
            }
        }
    }
    if open {
        findings.add(MessageId::BadGpgsig, "signature without its end")?;
    }
    ControlFlow::Continue(())
}

/// Header lines, read one after the other. Works on content that may end anywhere.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) rest: &'a [u8],
}

/// What an id line holds.
pub(super) enum IdLine {
    /// The line starts with another word.
    Absent,
    /// An id and nothing else.
    Valid,
    /// Something else. The reader stands where git would go on.
    Malformed,
}

impl<'a> Lines<'a> {
    /// Takes `prefix` if the rest starts with it.
    pub(super) fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a line that is `prefix` and an id.
    pub(super) fn take_id(&mut self, format: ObjectFormat, prefix: &str) -> IdLine {
        if !self.take(prefix) {
            return IdLine::Absent;
        }
        let len = format.id_len() * 2;
        let id = self.rest.get(..len).and_then(|hex| ObjectId::from_hex(format, hex).ok());
        match (id, self.rest.get(len)) {
            (Some(_), Some(b'\n')) => {
                self.rest = &self.rest[len + 1..];
                IdLine::Valid
            }
            _ => {
                // An overridden fault: the next line is the best place to go on.
                self.take_line();
                IdLine::Malformed
            }
        }
    }

    /// Takes the rest of the line, without its line feed; `None` if it has none,
    /// and then nothing is left.
    pub(super) fn take_line(&mut self) -> Option<&'a [u8]> {
        let Some(end) = self.rest.find_byte(b'\n') else {
            self.rest = &[];
            return None;
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}
