use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Location, Reader};
use gitstratum_core::{ErrorKind, ObjectId, ObjectKind, PackId};
use gitstratum_git::index::{self, Record};
use gitstratum_git::part::Ordinal;
use gitstratum_git::protocol::Filter;
use gitstratum_git::table::{self, RowObjects};
use roaring::RoaringBitmap;

use super::{PackEntries, Selection};
use crate::Error;

/// Ids looked up at once.
const IDS_AT_ONCE: usize = 65_536;

/// Gathers what is sent: each object once, from the copy that answers.
pub(super) struct Collector<'a> {
    pub(super) reader: &'a Arc<Reader>,
    pub(super) packs: &'a [Arc<Pack>],
    by_id: BTreeMap<PackId, Arc<Pack>>,
    opened: BTreeMap<PackId, PackEntries>,
    filter: Option<Filter>,
    trees: bool,
    /// Named by a table at a place that does not answer: looked up by id at the end.
    elsewhere: Vec<ObjectId>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        reader: &'a Arc<Reader>,
        packs: &'a [Arc<Pack>],
        filter: Option<Filter>,
    ) -> Self {
        Self {
            reader,
            packs,
            by_id: super::by_id(packs),
            opened: BTreeMap::new(),
            filter,
            trees: !matches!(filter, Some(Filter::TreeDepth(_))),
            elsewhere: Vec::new(),
        }
    }

    pub(super) fn wants_trees(&self) -> bool {
        self.trees
    }

    pub(super) fn wants_blobs(&self) -> bool {
        self.trees && self.filter != Some(Filter::BlobNone)
    }

    /// The live pack called `id`.
    pub(super) fn pack(&self, id: PackId) -> Result<Arc<Pack>, Error> {
        self.by_id.get(&id).map(Arc::clone).ok_or_else(|| {
            let message = "the repository changed meanwhile; try again";
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// Whether all packs that a row names are live. One may have been compacted after the row was
    /// made: the row says nothing then (S7).
    pub(super) fn has_all(&self, table: &table::Reader, row: &RowObjects) -> bool {
        let mut places = row.trees.iter().chain(&row.blobs);
        places.all(|place| {
            let pack = table.pack_of(place.slot);
            pack.is_none_or(|pack| self.by_id.contains_key(&pack))
        })
    }

    /// Makes the pack's index ready.
    pub(super) async fn open(&mut self, pack: &Arc<Pack>) -> Result<Arc<index::Reader>, Error> {
        if let Some(opened) = self.opened.get(&pack.id) {
            return Ok(Arc::clone(&opened.index));
        }
        let index = self.reader.index(pack).await?;
        let (pack, ordinals) = (Arc::clone(pack), RoaringBitmap::new());
        let entries = PackEntries { pack, index: Arc::clone(&index), ordinals };
        self.opened.insert(entries.pack.id, entries);
        Ok(index)
    }

    /// An object by its place, unless the filter leaves it out.
    pub(super) async fn add_place(
        &mut self,
        pack: &Arc<Pack>,
        ordinal: Ordinal,
    ) -> Result<(), Error> {
        let index = self.open(pack).await?;
        if self.opened.get(&pack.id).is_some_and(|opened| opened.has(ordinal)) {
            return Ok(());
        }
        let record = index.by_ordinal(ordinal);
        let record = record.ok_or_else(|| super::damaged("a table names an entry that is none"))?;
        if !record.flags.answers() {
            self.elsewhere.push(record.id);
        } else if self.passes(&record) {
            self.take(pack, &record);
        }
        Ok(())
    }

    /// Objects by id, unless the filter leaves them out; each must be a member.
    pub(super) async fn add_ids(&mut self, ids: &[ObjectId]) -> Result<(), Error> {
        self.add_located(ids, Self::passes).await
    }

    /// Objects that were asked for by id: no filter leaves them out.
    pub(super) async fn add_wanted(&mut self, ids: &[ObjectId]) -> Result<(), Error> {
        self.add_located(ids, |_, _| true).await
    }

    async fn add_located(
        &mut self,
        ids: &[ObjectId],
        passes: impl Fn(&Self, &Record) -> bool,
    ) -> Result<(), Error> {
        for ids in ids.chunks(IDS_AT_ONCE) {
            let located = self.reader.locate(self.packs, ids).await?;
            for (id, location) in ids.iter().zip(located) {
                let Some(Location { pack, record }) = location else {
                    return Err(super::damaged(format!("object {id} is in no live pack")));
                };
                self.open(&pack).await?;
                if passes(self, &record) {
                    self.take(&pack, &record);
                }
            }
        }
        Ok(())
    }

    fn passes(&self, record: &Record) -> bool {
        match (record.kind, self.filter) {
            (ObjectKind::Commit | ObjectKind::Tag, _) | (_, None) => true,
            (ObjectKind::Blob, Some(Filter::BlobNone)) => false,
            (ObjectKind::Blob, Some(Filter::BlobLimit(limit))) => record.size < limit,
            (ObjectKind::Tree, Some(Filter::BlobNone | Filter::BlobLimit(_))) => true,
            (ObjectKind::Tree | ObjectKind::Blob, Some(Filter::TreeDepth(_))) => false,
        }
    }

    fn take(&mut self, pack: &Arc<Pack>, record: &Record) {
        if let Some(opened) = self.opened.get_mut(&pack.id) {
            opened.ordinals.insert(record.ordinal.0);
        }
    }

    /// Of an object that was taken from several packs, as when pushes brought it at once, one
    /// copy stays (S8). Ids of all packs but the largest are held meanwhile.
    fn drop_copies(&mut self) {
        let mut packs: Vec<&mut PackEntries> = self.opened.values_mut().collect();
        packs.sort_unstable_by_key(|entries| entries.ordinals.len());
        let Some((largest, others)) = packs.split_last_mut() else { return };
        let mut seen = HashSet::new();
        for entries in others.iter_mut() {
            drop_seen(entries, |id| !seen.insert(id));
        }
        if !seen.is_empty() {
            drop_seen(largest, |id| seen.contains(&id));
        }
    }

    /// What was gathered: packs as the manifest lists them, entries by offset.
    pub(super) async fn finish(mut self) -> Result<Selection, Error> {
        let elsewhere = std::mem::take(&mut self.elsewhere);
        self.add_ids(&elsewhere).await?;
        self.drop_copies();
        let mut selection = Selection::default();
        for pack in self.packs {
            let Some(entries) = self.opened.remove(&pack.id) else { continue };
            if entries.ordinals.is_empty() {
                continue;
            }
            let count = u32::try_from(entries.ordinals.len());
            let total = count.ok().and_then(|count| selection.count.checked_add(count));
            selection.count = total.ok_or_else(|| {
                Error::new(ErrorKind::Busy, "the answer has more objects than a pack can hold")
            })?;
            selection.packs.push(entries);
        }
        Ok(selection)
    }
}

fn drop_seen(entries: &mut PackEntries, mut is_seen: impl FnMut(ObjectId) -> bool) {
    let seen = entries.records().filter(|record| is_seen(record.id));
    let seen: RoaringBitmap = seen.map(|record| record.ordinal.0).collect();
    entries.ordinals -= seen;
}
