use bytes::{Buf, Bytes};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind, PackId};

use super::link::{Link, MORE, NONE};
use super::shape::{Shape, row_len, tag_len};
use super::{Commit, CommitDate, Generation, Parent, Tag};
use crate::part::{CommitRow, Error, Ids, Kind, Ordinal, Prefix, Words, search};

/// A graph in memory. Everything was checked when it was opened, so its answers
/// cannot fail and nothing is copied.
///
/// # Panics
/// Methods that take a row panic on one that is not of this graph: a number from
/// elsewhere becomes a row by [`row`](Self::row).
#[derive(Clone, Debug)]
pub struct Reader {
    prefix: Prefix,
    ids: Ids,
    by_id: Words,
    rows: Bytes,
    outside: Ids,
    more: Words,
    tags: Bytes,
}

impl Reader {
    /// The graph of `pack` in `bytes`, which are the whole part.
    ///
    /// # Errors
    /// Damaged, another pack's, or of a newer release.
    pub fn open(pack: PackId, bytes: Bytes) -> Result<Self, Error> {
        let prefix = Prefix::decode(Kind::Graph, pack, &bytes)?;
        let shape = Shape::of(&prefix)?;
        let id_len = prefix.format.id_len();
        let mut rest = prefix.open_body(&bytes, shape.part_len(id_len))?;
        let reader = Self {
            prefix,
            ids: Ids::split_off(&mut rest, prefix.format, shape.commits),
            by_id: Words::split_off(&mut rest, shape.commits),
            rows: rest.split_to(shape.commits as usize * row_len(id_len)),
            outside: Ids::split_off(&mut rest, prefix.format, shape.outside),
            more: Words::split_off(&mut rest, shape.more_parents),
            tags: rest.split_to(shape.tags as usize * tag_len(id_len)),
        };
        reader.check(&shape)?;
        Ok(reader)
    }

    /// Looks at everything once, so that nobody has to again.
    fn check(&self, shape: &Shape) -> Result<(), Error> {
        let rows = || (0..shape.commits).map(CommitRow);
        if !self.by_id.iter().all(|row| row < shape.commits) {
            return Err(self.prefix.damaged("a row number is impossible"));
        }
        if !self.by_id.iter().is_sorted_by(|a, b| self.ids.raw(*a) < self.ids.raw(*b)) {
            return Err(self.prefix.damaged("its ids are out of order"));
        }
        if !rows().is_sorted_by(|a, b| self.ordinal(*a) < self.ordinal(*b)) {
            return Err(self.prefix.damaged("its rows are out of order"));
        }
        if !rows().all(|row| self.parents_exist(row, shape)) {
            return Err(self.prefix.damaged("a parent is impossible"));
        }
        let tags_fit = (0..shape.tags).all(|at| self.read_tag(at).is_some());
        let tags_sorted = (1..shape.tags).all(|at| self.tag_id(at - 1) < self.tag_id(at));
        if !tags_fit || !tags_sorted {
            return Err(self.prefix.damaged("a tag is impossible"));
        }
        Ok(())
    }

    fn parents_exist(&self, row: CommitRow, shape: &Shape) -> bool {
        let link_exists = |link| match link {
            Link::Row(row) => row < shape.commits,
            Link::Outside(number) => number < shape.outside,
        };
        let [first, second] = self.parent_words(row);
        let more_ends = second == NONE || second & MORE == 0 || {
            let from = second & !MORE;
            (from..shape.more_parents).any(|at| self.more.get(at).is_some_and(|w| w & MORE != 0))
        };
        let order = first != NONE || second == NONE;
        more_ends && order && self.links(row).all(link_exists)
    }

    /// The pack it is the graph of.
    pub const fn pack(&self) -> PackId {
        self.prefix.pack
    }

    /// Object format of the pack.
    pub const fn format(&self) -> ObjectFormat {
        self.prefix.format
    }

    /// Number of commits: rows run below it.
    pub fn len(&self) -> u32 {
        self.ids.len()
    }

    /// Whether the pack has no commit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of number `number`, if there is one.
    pub fn row(&self, number: u32) -> Option<CommitRow> {
        (number < self.len()).then_some(CommitRow(number))
    }

    /// All rows in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = CommitRow> + use<> {
        (0..self.len()).map(CommitRow)
    }

    /// The row of commit `id`, if it is in the pack.
    pub fn row_of(&self, id: &ObjectId) -> Option<CommitRow> {
        let row_at = |at| self.by_id.get(at).map(CommitRow);
        let is_before = |at| row_at(at).is_some_and(|row| self.ids.raw(row.0) < id.as_bytes());
        let row = row_at(search(0..self.len(), is_before))?;
        (self.id(row) == *id).then_some(row)
    }

    /// The commit's id.
    pub fn id(&self, row: CommitRow) -> ObjectId {
        self.ids.get(row.0)
    }

    /// The place of its entry in the pack.
    pub fn ordinal(&self, row: CommitRow) -> Ordinal {
        Ordinal(self.fields(row).get_u32())
    }

    /// Its root tree.
    pub fn tree(&self, row: CommitRow) -> ObjectId {
        let id_len = self.format().id_len();
        ObjectId::from_bytes(self.format(), &self.row_bytes(row)[..id_len])
            .expect("because the slice is as long as the format's ids")
    }

    /// Its generation, if every ancestor is in the pack, else unknown.
    pub fn generation(&self, row: CommitRow) -> Generation {
        Generation((&self.fields(row)[12..]).get_u64())
    }

    /// When it was committed.
    pub fn date(&self, row: CommitRow) -> CommitDate {
        CommitDate((&self.fields(row)[20..]).get_u64())
    }

    /// Its parents, in the commit's order.
    pub fn parents(&self, row: CommitRow) -> Parents<'_> {
        Parents { graph: self, links: self.links(row) }
    }

    /// The commit with everything known of it, for those who want it whole.
    pub fn commit(&self, row: CommitRow) -> Commit {
        let id_of = |parent| match parent {
            Parent::Row(row) => self.id(row),
            Parent::Outside(id) => id,
        };
        Commit {
            id: self.id(row),
            ordinal: self.ordinal(row),
            tree: self.tree(row),
            parents: self.parents(row).map(id_of).collect(),
            date: self.date(row),
        }
    }

    /// The annotated tags by id.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        (0..self.tag_count()).filter_map(|at| self.read_tag(at))
    }

    /// The annotated tag `id`, if it is in the pack.
    pub fn tag(&self, id: &ObjectId) -> Option<Tag> {
        let count = self.tag_count();
        let at = search(0..count, |at| self.tag_id(at) < id.as_bytes());
        (at < count && self.tag_id(at) == id.as_bytes()).then(|| self.read_tag(at)).flatten()
    }

    fn tag_count(&self) -> u32 {
        (self.tags.len() / tag_len(self.format().id_len())) as u32
    }

    fn tag_id(&self, at: u32) -> &[u8] {
        &self.tag_bytes(at)[..self.format().id_len()]
    }

    fn tag_bytes(&self, at: u32) -> &[u8] {
        let len = tag_len(self.format().id_len());
        &self.tags[at as usize * len..][..len]
    }

    fn read_tag(&self, at: u32) -> Option<Tag> {
        let (id, mut rest) = self.tag_bytes(at).split_at_checked(self.format().id_len())?;
        Some(Tag {
            id: ObjectId::from_slice(id)?,
            ordinal: Ordinal(rest.get_u32()),
            target_kind: ObjectKind::from_pack_type(rest.get_u8())?,
            target: ObjectId::from_slice(rest)?,
        })
    }

    fn row_bytes(&self, row: CommitRow) -> &[u8] {
        let len = row_len(self.format().id_len());
        &self.rows[row.0 as usize * len..][..len]
    }

    /// The fields of a row behind the tree id: ordinal, parents, generation, date.
    fn fields(&self, row: CommitRow) -> &[u8] {
        &self.row_bytes(row)[self.format().id_len()..]
    }

    fn parent_words(&self, row: CommitRow) -> [u32; 2] {
        let mut words = &self.fields(row)[4..12];
        [words.get_u32(), words.get_u32()]
    }

    fn links(&self, row: CommitRow) -> Links<'_> {
        let [first, second] = self.parent_words(row);
        let next = [first, second].map(|word| (word != NONE).then_some(word));
        Links { more: &self.more, next }
    }
}

/// The parents of a commit, in the commit's order.
#[derive(Debug)]
pub struct Parents<'a> {
    graph: &'a Reader,
    links: Links<'a>,
}

impl Iterator for Parents<'_> {
    type Item = Parent;

    fn next(&mut self) -> Option<Parent> {
        Some(match self.links.next()? {
            Link::Row(row) => Parent::Row(CommitRow(row)),
            Link::Outside(number) => Parent::Outside(self.graph.outside.get(number)),
        })
    }
}

/// The words of a commit's parents, followed into the list of further ones.
#[derive(Debug)]
struct Links<'a> {
    more: &'a Words,
    next: [Option<u32>; 2],
}

impl Iterator for Links<'_> {
    type Item = Link;

    fn next(&mut self) -> Option<Link> {
        let [first, second] = &mut self.next;
        if let Some(word) = first.take() {
            return Some(Link::from_word(word));
        }
        let word = second.take()?;
        if word & MORE == 0 {
            return Some(Link::from_word(word));
        }
        let at = word & !MORE;
        let found = self.more.get(at)?;
        if found & MORE == 0 {
            *second = Some(MORE | (at + 1));
        }
        Some(Link::from_word(found))
    }
}
