use bstr::BStr;
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};

use super::ParseError;
use super::lines::{find_header, message, parse_id_line, seconds};

/// A commit, borrowed from its content.
#[derive(Clone, Copy, Debug)]
pub struct CommitRef<'a> {
    format: ObjectFormat,
    /// Its root tree.
    pub tree: ObjectId,
    /// The lines that name its parents.
    parents: &'a [u8],
    /// What follows the parents.
    rest: &'a [u8],
}

impl<'a> CommitRef<'a> {
    /// The commit in `content`.
    ///
    /// # Errors
    /// Without a valid tree line, or with a malformed parent line.
    pub fn parse(format: ObjectFormat, content: &'a [u8]) -> Result<Self, ParseError> {
        let malformed = |line| ParseError::Line { kind: ObjectKind::Commit, line };
        let (tree, parents) =
            parse_id_line(format, "tree", content).ok_or_else(|| malformed("tree"))?;
        let mut rest = parents;
        while let Some((_, next)) = parse_id_line(format, "parent", rest) {
            rest = next;
        }
        if rest.starts_with(b"parent ") {
            return Err(malformed("parent"));
        }
        let parents = &parents[..parents.len() - rest.len()];
        Ok(Self { format, tree, parents, rest })
    }

    /// Its parents, in order.
    pub fn parents(&self) -> impl Iterator<Item = ObjectId> + 'a {
        let (format, mut rest) = (self.format, self.parents);
        std::iter::from_fn(move || {
            let (parent, next) = parse_id_line(format, "parent", rest)?;
            rest = next;
            Some(parent)
        })
    }

    /// Name, mail address and date of its author; empty if it has none.
    pub fn author(&self) -> &'a BStr {
        BStr::new(find_header("author", self.rest).map_or(&[][..], |(value, _)| value))
    }

    /// Name, mail address and date of its committer; empty if it has none.
    pub fn committer(&self) -> &'a BStr {
        BStr::new(find_header("committer", self.rest).map_or(&[][..], |(value, _)| value))
    }

    /// When it was committed, in seconds since 1970; 0 if that cannot be read.
    pub fn committed_at(&self) -> i64 {
        seconds(self.committer())
    }

    /// Its message.
    pub fn message(&self) -> &'a BStr {
        BStr::new(message(self.rest))
    }
}
