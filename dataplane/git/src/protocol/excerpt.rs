use std::fmt;

use crate::pktline::{strip_controls, truncate};

/// Most bytes of a client's text that a message repeats.
const EXCERPT_BYTES_MAX: usize = 80;

/// The beginning of something that a client sent, fit to be shown: no control
/// characters, at most 80 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// The beginning of `text`.
    pub fn new(text: &[u8]) -> Self {
        let front = &text[..text.len().min(EXCERPT_BYTES_MAX)];
        let plain = strip_controls(&String::from_utf8_lossy(front));
        Self(truncate(&plain, EXCERPT_BYTES_MAX).to_owned())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
