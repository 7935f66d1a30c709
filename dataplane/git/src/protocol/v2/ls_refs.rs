use bytes::Bytes;
use gitstratum_core::RefName;

use super::super::line::split_once;
use super::super::{Error, Excerpt};

/// Longest prefix that is kept, in bytes: no ref name is longer.
const PREFIX_BYTES_MAX: usize = 1_000;

/// A request for a list of refs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LsRefs {
    /// Says what symbolic refs stand for.
    pub symrefs: bool,
    /// Says what annotated tags finally point at.
    pub peel: bool,
    /// Lists `HEAD` even when its branch does not exist; only together with `symrefs`.
    pub unborn: bool,
    /// Lists only names that begin with one of these; all names if `None`. An empty
    /// list matches nothing.
    pub prefixes: Option<Vec<Bytes>>,
}

impl LsRefs {
    /// Whether `name` is asked for.
    pub fn matches(&self, name: &RefName) -> bool {
        let begins = |prefix: &Bytes| name.as_bytes().starts_with(prefix);
        self.prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(begins))
    }

    /// Whether an unborn `HEAD` is to be listed.
    pub fn lists_unborn_head(&self) -> bool {
        self.unborn && self.symrefs && self.matches(&RefName::head())
    }
}

/// An [`LsRefs`] while its lines arrive.
#[derive(Debug, Default)]
pub(super) struct LsRefsDraft {
    request: LsRefs,
    prefix_lines: usize,
}

impl LsRefsDraft {
    pub(super) fn line(&mut self, line: &[u8], prefixes_max: usize) -> Result<(), Error> {
        match line {
            b"symrefs" => self.request.symrefs = true,
            b"peel" => self.request.peel = true,
            b"unborn" => self.request.unborn = true,
            _ => match split_once(line, b' ') {
                Some((b"ref-prefix", prefix)) => self.prefix(prefix, prefixes_max),
                _ => return Err(Error::UnknownLine(Excerpt::new(line))),
            },
        }
        Ok(())
    }

    pub(super) fn finish(self) -> LsRefs {
        self.request
    }

    /// Past the limit all prefixes are forgotten and everything is listed, as git
    /// does: the client sorts out what it needs (bad input 18).
    fn prefix(&mut self, prefix: &[u8], prefixes_max: usize) {
        self.prefix_lines += 1;
        if self.prefix_lines > prefixes_max {
            self.request.prefixes = None;
            return;
        }
        let kept = self.request.prefixes.get_or_insert_default();
        if prefix.len() <= PREFIX_BYTES_MAX {
            kept.push(Bytes::copy_from_slice(prefix));
        }
    }
}
