use std::collections::HashMap;

use bytes::{BufMut, Bytes};
use gitstratum_core::{ObjectFormat, ObjectId, PackId};

use super::generation::generations;
use super::link::{Link, MORE, NONE};
use super::shape::Shape;
use super::{Commit, Generation, ROWS_MAX, Tag};
use crate::part::{Error, Kind, Prefix};

/// Makes a graph from commits and tags in any order.
#[derive(Debug)]
pub struct Builder {
    prefix: Prefix,
    commits: Vec<Commit>,
    tags: Vec<Tag>,
}

impl Builder {
    /// A builder for the graph of `pack`.
    pub const fn new(pack: PackId, format: ObjectFormat) -> Self {
        let prefix = Prefix { part: Kind::Graph, pack, format, fields: [0; 9] };
        Self { prefix, commits: Vec::new(), tags: Vec::new() }
    }

    /// Adds a commit of the pack. Strays are not added.
    ///
    /// # Errors
    /// [`Error::Misused`] for ids of another format.
    pub fn add_commit(&mut self, commit: Commit) -> Result<(), Error> {
        let ids = [&commit.id, &commit.tree];
        self.check_format(ids.into_iter().chain(&commit.parents))?;
        self.commits.push(commit);
        Ok(())
    }

    /// Adds an annotated tag of the pack.
    ///
    /// # Errors
    /// [`Error::Misused`] for ids of another format.
    pub fn add_tag(&mut self, tag: Tag) -> Result<(), Error> {
        self.check_format([&tag.id, &tag.target])?;
        self.tags.push(tag);
        Ok(())
    }

    fn check_format<'a>(&self, ids: impl IntoIterator<Item = &'a ObjectId>) -> Result<(), Error> {
        if ids.into_iter().all(|id| id.format() == self.prefix.format) {
            return Ok(());
        }
        Err(self.prefix.misused("an id is of another object format"))
    }

    /// The graph's bytes.
    ///
    /// # Errors
    /// [`Error::Misused`] when a commit or tag was added twice, [`Error::TooLarge`]
    /// beyond [`ROWS_MAX`].
    pub fn finish(mut self) -> Result<Bytes, Error> {
        self.commits.sort_unstable_by_key(|commit| commit.ordinal);
        self.tags.sort_unstable_by_key(|tag| tag.id);
        self.check_counts()?;
        let by_id = self.rows_by_id();
        self.check_twice(&by_id)?;
        let links = Links::of(&self.commits, &by_id);
        let dates: Vec<_> = self.commits.iter().map(|commit| commit.date).collect();
        let generations = generations(&dates, &links.parents);
        self.encode(&by_id, &links, &generations)
    }

    fn check_counts(&self) -> Result<(), Error> {
        let parents: usize = self.commits.iter().map(|commit| commit.parents.len()).sum();
        let most = self.commits.len().max(self.tags.len()).max(parents);
        if most > ROWS_MAX as usize {
            return Err(self.prefix.too_large("commits, tags or parents", ROWS_MAX as usize));
        }
        Ok(())
    }

    fn rows_by_id(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..self.commits.len() as u32).collect();
        rows.sort_unstable_by_key(|row| self.commits[*row as usize].id);
        rows
    }

    fn check_twice(&self, by_id: &[u32]) -> Result<(), Error> {
        let id = |row: u32| self.commits[row as usize].id;
        let commits_differ = by_id.is_sorted_by(|a, b| id(*a) < id(*b))
            && self.commits.is_sorted_by(|a, b| a.ordinal < b.ordinal);
        if commits_differ && self.tags.is_sorted_by(|a, b| a.id < b.id) {
            return Ok(());
        }
        Err(self.prefix.misused("a commit or tag was added twice"))
    }

    fn encode(
        mut self,
        by_id: &[u32],
        links: &Links,
        generations: &[Generation],
    ) -> Result<Bytes, Error> {
        let words = ParentWords::of(&links.parents);
        let shape = Shape {
            commits: self.commits.len() as u32,
            tags: self.tags.len() as u32,
            outside: links.outside.len() as u32,
            more_parents: words.more.len() as u32,
            changed_paths: 0,
        };
        self.prefix.fields = shape.to_fields();
        let mut out = Vec::with_capacity(shape.part_len(self.prefix.format.id_len()) as usize);
        out.put_slice(&self.prefix.encode());
        self.commits.iter().for_each(|commit| out.put_slice(commit.id.as_bytes()));
        by_id.iter().for_each(|row| out.put_u32(*row));
        for ((commit, pair), generation) in self.commits.iter().zip(&words.pairs).zip(generations) {
            put_row(&mut out, commit, *pair, *generation);
        }
        links.outside.iter().for_each(|id| out.put_slice(id.as_bytes()));
        words.more.iter().for_each(|word| out.put_u32(*word));
        self.tags.iter().for_each(|tag| put_tag(&mut out, tag));
        self.prefix.close(&mut out);
        Ok(out.into())
    }
}

fn put_row(out: &mut Vec<u8>, commit: &Commit, parents: [u32; 2], generation: Generation) {
    out.put_slice(commit.tree.as_bytes());
    out.put_u32(commit.ordinal.0);
    parents.iter().for_each(|word| out.put_u32(*word));
    out.put_u64(generation.0);
    out.put_u64(commit.date.0);
}

fn put_tag(out: &mut Vec<u8>, tag: &Tag) {
    out.put_slice(tag.id.as_bytes());
    out.put_u32(tag.ordinal.0);
    out.put_u8(tag.target_kind as u8);
    out.put_slice(tag.target.as_bytes());
}

/// The parents of every row, and the commits outside of the pack among them.
struct Links {
    parents: Vec<Vec<Link>>,
    outside: Vec<ObjectId>,
}

impl Links {
    fn of(commits: &[Commit], by_id: &[u32]) -> Self {
        let mut links = Self { parents: Vec::with_capacity(commits.len()), outside: Vec::new() };
        let mut numbers = HashMap::new();
        for commit in commits {
            let found = commit.parents.iter().map(|parent| {
                let at = by_id.binary_search_by_key(parent, |row| commits[*row as usize].id);
                if let Ok(at) = at {
                    return Link::Row(by_id[at]);
                }
                let next = links.outside.len() as u32;
                let number = *numbers.entry(*parent).or_insert(next);
                if number == next {
                    links.outside.push(*parent);
                }
                Link::Outside(number)
            });
            let found = found.collect();
            links.parents.push(found);
        }
        links
    }
}

/// Parents as the row holds them: two words, and a list for further ones.
struct ParentWords {
    pairs: Vec<[u32; 2]>,
    more: Vec<u32>,
}

impl ParentWords {
    fn of(parents: &[Vec<Link>]) -> Self {
        let mut words = Self { pairs: Vec::with_capacity(parents.len()), more: Vec::new() };
        for links in parents {
            let pair = words.pair(links);
            words.pairs.push(pair);
        }
        words
    }

    fn pair(&mut self, links: &[Link]) -> [u32; 2] {
        match links {
            [] => [NONE, NONE],
            [only] => [only.to_word(), NONE],
            [first, second] => [first.to_word(), second.to_word()],
            [first, middle @ .., last] => {
                let at = self.more.len() as u32;
                self.more.extend(middle.iter().map(|link| link.to_word()));
                self.more.push(MORE | last.to_word());
                [first.to_word(), MORE | at]
            }
        }
    }
}
