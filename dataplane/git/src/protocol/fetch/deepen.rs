use std::num::NonZeroU32;

use bytes::Bytes;

use super::super::line::number;
use super::super::{Error, Excerpt, Limits};

/// Depth that stands for "all of it"; what `git fetch --unshallow` sends.
const INFINITE_DEPTH: u32 = 0x7fff_ffff;
/// Longest name in a `deepen-not` line: no ref is longer.
const NAME_BYTES_MAX: usize = 1_000;

/// Where a shallow history is to end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Deepen {
    /// At this many commits, counted from each want.
    Depth(NonZeroU32),
    /// This many commits beyond where the client's history ends now.
    Beyond(NonZeroU32),
    /// Nowhere.
    Everything,
    /// At commits that are too old, or reachable from refs left out.
    Excluding {
        /// Committer time of the oldest commits to send, in seconds since the epoch.
        since: Option<u64>,
        /// Ref names as the client wrote them; they need not be full, and nothing
        /// says that they exist.
        not: Vec<Bytes>,
    },
}

/// The deepen lines seen so far.
#[derive(Debug, Default)]
pub(super) struct DeepenDraft {
    depth: Option<NonZeroU32>,
    pub(super) relative: bool,
    since: Option<u64>,
    not: Vec<Bytes>,
}

impl DeepenDraft {
    pub(super) fn depth(&mut self, value: &[u8]) -> Result<(), Error> {
        let depth = number(value)
            .and_then(|depth| u32::try_from(depth).ok())
            .filter(|depth| *depth <= INFINITE_DEPTH)
            .and_then(NonZeroU32::new);
        self.depth = Some(depth.ok_or_else(|| invalid("deepen", value))?);
        Ok(())
    }

    pub(super) fn since(&mut self, value: &[u8]) -> Result<(), Error> {
        let since = number(value).filter(|since| (1..=i64::MAX.unsigned_abs()).contains(since));
        self.since = Some(since.ok_or_else(|| invalid("deepen-since", value))?);
        Ok(())
    }

    pub(super) fn not(&mut self, value: &[u8], limits: &Limits) -> Result<(), Error> {
        if value.is_empty() || value.len() > NAME_BYTES_MAX {
            return Err(invalid("deepen-not", value));
        }
        if self.not.len() >= limits.deepen_nots_max {
            return Err(Error::TooMany { what: "deepen-not lines", max: limits.deepen_nots_max });
        }
        self.not.push(Bytes::copy_from_slice(value));
        Ok(())
    }

    /// What the lines come to. `deepen-relative` alone means nothing, as to git.
    pub(super) fn finish(&mut self) -> Result<Option<Deepen>, Error> {
        let excludes = self.since.is_some() || !self.not.is_empty();
        match self.depth {
            Some(_) if excludes => Err(Error::DeepenBoth),
            Some(depth) if depth.get() == INFINITE_DEPTH => Ok(Some(Deepen::Everything)),
            Some(depth) if self.relative => Ok(Some(Deepen::Beyond(depth))),
            Some(depth) => Ok(Some(Deepen::Depth(depth))),
            None if excludes => {
                let not = std::mem::take(&mut self.not);
                Ok(Some(Deepen::Excluding { since: self.since, not }))
            }
            None => Ok(None),
        }
    }
}

fn invalid(what: &'static str, value: &[u8]) -> Error {
    Error::Deepen { what, text: Excerpt::new(value) }
}
