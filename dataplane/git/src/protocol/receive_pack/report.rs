use bytes::{BufMut, BytesMut};

use super::Capabilities;
use crate::pktline::{
    Band, KEEP_ALIVE, PAYLOAD_BYTES_MAX, SideBand, error, flush, frame, side_band, strip_controls,
    truncate,
};

/// Most bytes of a reason in a report.
const REASON_BYTES_MAX: usize = 1_000;

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The ref's name as the client sent it, so that with two ids it fitted a packet.
    pub raw_name: &'a [u8],
    /// The reason, if it was refused.
    pub outcome: Result<(), &'a str>,
}

/// Writes what a client hears about its push, framed as it asked. Control characters
/// are taken out of every text.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    report_status: bool,
    side_band: SideBand,
    quiet: bool,
}

impl Reporter {
    /// A reporter for a client that asked for `capabilities`.
    pub const fn new(capabilities: &Capabilities) -> Self {
        Self {
            report_status: capabilities.report_status,
            side_band: capabilities.side_band,
            quiet: capabilities.quiet,
        }
    }

    /// Appends the report, which ends the conversation: what became of the pack, then of
    /// each command in the order sent. Nothing but the end if the client asked for none.
    ///
    /// # Panics
    /// When a verdict's name is longer than a command can be.
    pub fn report<'a>(
        &self,
        unpack: Result<(), &str>,
        verdicts: impl IntoIterator<Item = Verdict<'a>>,
        out: &mut BytesMut,
    ) {
        if self.report_status {
            let mut lines = BytesMut::new();
            put_status(&mut lines, b"unpack ", unpack.err().unwrap_or("ok"));
            verdicts.into_iter().for_each(|verdict| put_verdict(&mut lines, &verdict));
            flush(&mut lines);
            side_band(out, self.side_band, Band::Payload, &lines);
        }
        if self.side_band != SideBand::None {
            flush(out);
        }
    }

    /// Appends a line of progress, unless the client wants none or could not tell it
    /// from the report.
    pub fn progress(&self, text: &str, out: &mut BytesMut) {
        if !self.quiet {
            self.say(Band::Progress, text, out);
        }
    }

    /// Appends a line that the user is to read even when quiet, such as a warning.
    pub fn notice(&self, text: &str, out: &mut BytesMut) {
        self.say(Band::Progress, text, out);
    }

    /// Appends last words: the push ends without a report.
    pub fn fatal(&self, text: &str, out: &mut BytesMut) {
        if self.side_band == SideBand::None {
            error(out, text);
        } else {
            self.say(Band::Fatal, text, out);
        }
    }

    /// Appends a sign of life, where there is a way to give one.
    pub fn keep_alive(&self, out: &mut BytesMut) {
        if self.side_band != SideBand::None {
            out.put_slice(KEEP_ALIVE);
        }
    }

    fn say(&self, band: Band, text: &str, out: &mut BytesMut) {
        let mut line = strip_controls(text);
        line.push('\n');
        side_band(out, self.side_band, band, line.as_bytes());
    }
}

fn put_verdict(out: &mut BytesMut, verdict: &Verdict<'_>) {
    match verdict.outcome {
        Ok(()) => frame(out, |out| {
            out.put_slice(b"ok ");
            out.put_slice(verdict.raw_name);
            out.put_u8(b'\n');
        }),
        Err(reason) => {
            let start = [b"ng ", verdict.raw_name, b" "].concat();
            put_status(out, &start, reason);
        }
    }
}

/// A name that a client sent leaves room for some text: its own line held two ids more.
fn put_status(out: &mut BytesMut, start: &[u8], text: &str) {
    let room = (PAYLOAD_BYTES_MAX - 1).saturating_sub(start.len()).min(REASON_BYTES_MAX);
    let plain = strip_controls(text);
    frame(out, |out| {
        out.put_slice(start);
        out.put_slice(truncate(&plain, room).as_bytes());
        out.put_u8(b'\n');
    });
}
