use gitstratum_core::{ObjectFormat, ObjectKind};

use super::{Commit, CommitDate, Tag};
use crate::object::{CommitRef, TagRef};
use crate::pack::Visited;
use crate::part::Ordinal;

/// Keeps what the graph part needs while the objects of a pack are visited. What does not parse
/// is left out: whoever must not accept it judges that by itself.
#[derive(Debug)]
pub struct Notes {
    format: ObjectFormat,
    /// Copies of one commit inside the pack are all here, each under its ordinal.
    pub commits: Vec<Commit>,
    /// The same for tags.
    pub tags: Vec<Tag>,
}

impl Notes {
    /// Nothing seen yet of a pack of `format`.
    pub const fn new(format: ObjectFormat) -> Self {
        Self { format, commits: Vec::new(), tags: Vec::new() }
    }

    /// Takes one object.
    pub fn visit(&mut self, object: &Visited<'_>) {
        let Some(content) = object.content.whole() else { return };
        let ordinal = Ordinal(object.ordinal);
        if object.kind == ObjectKind::Commit
            && let Ok(commit) = CommitRef::parse(self.format, content)
        {
            let date = CommitDate(u64::try_from(commit.committed_at()).unwrap_or_default());
            let (tree, parents) = (commit.tree, commit.parents().collect());
            self.commits.push(Commit { id: *object.id, ordinal, tree, parents, date });
        }
        if object.kind == ObjectKind::Tag
            && let Ok(tag) = TagRef::parse(self.format, content)
        {
            let TagRef { target, target_kind, .. } = tag;
            self.tags.push(Tag { id: *object.id, ordinal, target, target_kind });
        }
    }
}
