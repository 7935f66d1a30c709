use gitstratum_core::{ObjectId, ObjectKind};
use roaring::RoaringBitmap;

use super::{Error, Limits, LinkError, ReadFrom, Reader, Resolved};
use crate::object::{CommitRef, TagRef, TreeEntries};

/// Why a pack could not be marked.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// An object could not be read again.
    #[error("cannot read object {ordinal} of the pack")]
    Read {
        /// Its position.
        ordinal: u32,
        /// What went wrong.
        #[source]
        source: Error,
    },
    /// An object cannot be parsed.
    #[error("cannot follow object {ordinal} of the pack")]
    Follow {
        /// Its position.
        ordinal: u32,
        /// What is wrong.
        #[source]
        source: LinkError,
    },
}

impl MarkError {
    /// What kind of failure this is.
    pub const fn kind(&self) -> gitstratum_core::ErrorKind {
        match self {
            Self::Read { source, .. } => source.kind(),
            Self::Follow { source, .. } => source.kind(),
        }
    }
}

/// The ordinals of objects that `tips` do not reach inside the pack: its strays
/// (S8). Duplicates are never among them. Needed only when some root of
/// [`Linked`](super::Linked) is no tip.
///
/// Every object is taken once and without recursion; blobs are not read.
///
/// # Errors
/// When an object cannot be read or parsed.
pub fn mark_strays(
    resolved: &Resolved,
    from: ReadFrom<'_>,
    tips: &[ObjectId],
    limits: &Limits,
) -> Result<RoaringBitmap, MarkError> {
    let mut walk = Walk {
        resolved,
        reader: Reader::new(resolved, from, limits),
        reached: RoaringBitmap::new(),
        open: Vec::new(),
    };
    for tip in tips {
        walk.reach(tip);
    }
    while let Some(ordinal) = walk.open.pop() {
        walk.follow(ordinal)?;
    }
    let all: RoaringBitmap = resolved.by_id().iter().copied().collect();
    Ok(all - walk.reached)
}

struct Walk<'a> {
    resolved: &'a Resolved,
    reader: Reader<'a>,
    reached: RoaringBitmap,
    /// Reached and not followed: no object twice, no blob.
    open: Vec<u32>,
}

impl Walk<'_> {
    fn reach(&mut self, id: &ObjectId) {
        if let Some(ordinal) = self.resolved.find(id)
            && self.reached.insert(ordinal)
            && self.resolved.kind(ordinal) != ObjectKind::Blob
        {
            self.open.push(ordinal);
        }
    }

    fn follow(&mut self, ordinal: u32) -> Result<(), MarkError> {
        let content =
            self.reader.read(ordinal).map_err(|source| MarkError::Read { ordinal, source })?;
        let (kind, id) = (self.resolved.kind(ordinal), self.resolved.id(ordinal));
        self.follow_links(kind, &content).map_err(|source| MarkError::Follow {
            ordinal,
            source: LinkError::Malformed { kind, id, source },
        })
    }

    fn follow_links(
        &mut self,
        kind: ObjectKind,
        content: &[u8],
    ) -> Result<(), crate::object::ParseError> {
        let format = self.resolved.format();
        match kind {
            ObjectKind::Blob => {}
            ObjectKind::Commit => {
                let commit = CommitRef::parse(format, content)?;
                self.reach(&commit.tree);
                commit.parents().for_each(|parent| self.reach(&parent));
            }
            ObjectKind::Tag => self.reach(&TagRef::parse(format, content)?.target),
            ObjectKind::Tree => {
                for entry in TreeEntries::new(format, content) {
                    let entry = entry?;
                    if entry.mode.object_kind().is_some() {
                        self.reach(&entry.id);
                    }
                }
            }
        }
        Ok(())
    }
}
