use std::collections::HashSet;

use gitstratum_core::{ObjectFormat, ObjectId};

use super::super::line::object_id;
use super::super::{Error, Excerpt, Limits};
use super::deepen::DeepenDraft;
use super::{Fetch, Filter};

/// A [`Fetch`] while its lines arrive; the lines that v0 and v2 share are read here.
#[derive(Debug)]
pub(in super::super) struct Draft {
    format: ObjectFormat,
    limits: Limits,
    wanted: HashSet<ObjectId>,
    deepen: DeepenDraft,
    pub(in super::super) fetch: Fetch,
}

impl Draft {
    pub(in super::super) fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            format,
            limits,
            wanted: HashSet::new(),
            deepen: DeepenDraft::default(),
            fetch: Fetch { progress: true, ..Fetch::default() },
        }
    }

    /// A want; asking twice counts once (bad input 25).
    pub(in super::super) fn want(&mut self, id: &[u8]) -> Result<(), Error> {
        let id = object_id(self.format, id)?;
        if !self.wanted.insert(id) {
            return Ok(());
        }
        self.fetch.wants.push(id);
        at_most("wants", self.fetch.wants.len(), self.limits.wants_max)
    }

    /// A have. Those beyond the limit are counted and dropped: to know less of what is
    /// common is always safe (bad input 26).
    pub(in super::super) fn have(&mut self, id: &[u8]) -> Result<(), Error> {
        let id = object_id(self.format, id)?;
        if self.fetch.haves.len() < self.limits.haves_max {
            self.fetch.haves.push(id);
        } else {
            self.fetch.haves_ignored += 1;
        }
        Ok(())
    }

    /// A line `key value` about the pack's shape. `false` if it is none.
    pub(in super::super) fn shape(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Error> {
        match key {
            b"shallow" => self.shallow(value)?,
            b"deepen" => self.deepen.depth(value)?,
            b"deepen-since" => self.deepen.since(value)?,
            b"deepen-not" => self.deepen.not(value, &self.limits)?,
            b"filter" => self.filter(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The depth counts from where the client's history ends now.
    pub(in super::super) fn deepen_relative(&mut self) {
        self.deepen.relative = true;
    }

    /// Settles what needs all lines to be known.
    pub(in super::super) fn settle(&mut self) -> Result<(), Error> {
        self.fetch.shape.deepen = self.deepen.finish()?;
        self.wanted = HashSet::new();
        Ok(())
    }

    fn shallow(&mut self, id: &[u8]) -> Result<(), Error> {
        let shallow = &mut self.fetch.shape.shallow;
        shallow.push(object_id(self.format, id)?);
        at_most("shallow lines", shallow.len(), self.limits.shallows_max)
    }

    fn filter(&mut self, text: &[u8]) -> Result<(), Error> {
        let filter = Filter::parse(text)
            .map_err(|source| Error::Filter { text: Excerpt::new(text), source })?;
        match self.fetch.shape.filter.replace(filter) {
            None => Ok(()),
            Some(_) => Err(Error::SecondFilter),
        }
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Error> {
    if count > max { Err(Error::TooMany { what, max }) } else { Ok(()) }
}
