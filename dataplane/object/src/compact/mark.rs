//! What tips reach, by reading every commit, tree and tag on the way (S37).

use std::collections::VecDeque;
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Location, Object, Reader};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind};
use gitstratum_git::object::{CommitRef, TagRef, TreeEntries};
use roaring::RoaringBitmap;

use super::Error;
use super::choice::{Chosen, find};
use super::runs::Told;

/// Objects read at once, and their bytes, unless one alone has more.
const BATCH_OBJECTS: usize = 2_048;
const BATCH_BYTES: u64 = 16 * 1024 * 1024;

/// Where the mark reads.
pub(super) struct Marking<'a> {
    pub(super) reader: &'a Arc<Reader>,
    pub(super) packs: &'a [Arc<Pack>],
    pub(super) chosen: &'a [Chosen],
    pub(super) format: ObjectFormat,
}

impl Marking<'_> {
    /// The objects that `tips` reach.
    ///
    /// # Errors
    /// [`Error::Missing`] when one of them is not stored: then nothing may be dropped.
    pub(super) async fn run(&self, tips: &[ObjectId], told: &Told) -> Result<RoaringBitmap, Error> {
        let (mut marked, mut waiting) = (RoaringBitmap::new(), VecDeque::new());
        for tip in tips {
            self.reach(tip, &mut marked, &mut waiting)?;
        }
        while !waiting.is_empty() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while let Some(object) = waiting.front().copied() {
                let Chosen { pack, record, .. } = &self.chosen[object as usize];
                bytes += record.size;
                if !batch.is_empty() && (bytes > BATCH_BYTES || batch.len() == BATCH_OBJECTS) {
                    break;
                }
                waiting.pop_front();
                let pack = self.packs.get(*pack as usize);
                let pack = Arc::clone(pack.ok_or(Error::Bug("an object lies in no pack"))?);
                batch.push(Location { pack, record: *record });
            }
            for (id, object) in self.reader.read_located(self.packs, batch).await? {
                for named in self.named(&id, &object)? {
                    self.reach(&named, &mut marked, &mut waiting)?;
                }
            }
            told.marked(marked.len(), self.chosen.len());
        }
        Ok(marked)
    }

    /// Marks an object; what names others is read later.
    fn reach(
        &self,
        id: &ObjectId,
        marked: &mut RoaringBitmap,
        waiting: &mut VecDeque<u32>,
    ) -> Result<(), Error> {
        let object = find(self.chosen, id).ok_or(Error::Missing { id: *id })?;
        if marked.insert(object) && self.chosen[object as usize].record.kind != ObjectKind::Blob {
            waiting.push_back(object);
        }
        Ok(())
    }

    /// What an object names. Commits of other repositories are not among them.
    fn named(&self, id: &ObjectId, object: &Object) -> Result<Vec<ObjectId>, Error> {
        let malformed = || Error::Malformed { id: *id };
        Ok(match object.kind {
            ObjectKind::Blob => Vec::new(),
            ObjectKind::Commit => {
                let commit = CommitRef::parse(self.format, &object.data);
                let commit = commit.map_err(|_| malformed())?;
                commit.parents().chain([commit.tree]).collect()
            }
            ObjectKind::Tag => {
                let tag = TagRef::parse(self.format, &object.data).map_err(|_| malformed())?;
                vec![tag.target]
            }
            ObjectKind::Tree => {
                let mut named = Vec::new();
                for entry in TreeEntries::new(self.format, &object.data) {
                    let entry = entry.map_err(|_| malformed())?;
                    if !entry.mode.is_gitlink() {
                        named.push(entry.id);
                    }
                }
                named
            }
        })
    }
}
