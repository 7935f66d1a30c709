use std::io::{self, Write};
use std::sync::Arc;

use super::LogFormat;

/// Puts the name of this process before each line, which comes as one write.
pub(super) struct Named<W> {
    process: Arc<str>,
    format: LogFormat,
    to: W,
}

impl<W: Write> Named<W> {
    pub(super) fn new(process: Arc<str>, format: LogFormat, to: W) -> Self {
        Self { process, format, to }
    }

    fn named(&self, line: &[u8]) -> Vec<u8> {
        let (name, rest) = match (self.format, line.strip_prefix(b"{")) {
            (LogFormat::Human, _) | (_, None) => (format!("{} ", self.process), line),
            (_, Some(rest)) => (format!("{{\"process\":\"{}\",", self.process), rest),
        };
        [name.as_bytes(), rest].concat()
    }
}

impl<W: Write> Write for Named<W> {
    /// One write to what is behind it: lines of processes that share a log do not mix.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.to.write_all(&self.named(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
