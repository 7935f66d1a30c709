//! What is held here, by id and by partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, PartitionId, SegmentId};
use gitstratum_store::{KeyRange, pages};

use super::{INLINE, RECORDS, Segments, Unlisted, copies, place};
use crate::error::Error;

/// Rows read at a time in a scan.
const PAGE: usize = 1_000;

impl Segments {
    /// Counts what is held and finds what may have to be swept: sealed segments that are not
    /// known to be listed. These may not have been durable when the last process ended, so they
    /// are served once they were verified (P-D5). A file without a sound footer was never
    /// acknowledged or is damaged: it stays until the partition says which.
    pub(super) fn take_stock(&self) -> Result<(), Error> {
        let mut bytes = 0;
        let mut count = 0;
        for segment in self.ids()? {
            let record = self.record(segment)?;
            if record.is_some_and(|record| record.listed) {
                bytes += record.map_or(0, |record| record.length);
                count += 1;
                continue;
            }
            match self.open_segment(segment) {
                Ok(opened) => {
                    let header = *opened.layout.header();
                    bytes += opened.layout.total_len();
                    count += 1;
                    self.note_unlisted(segment, header);
                    self.doubted.lock().insert(segment, header.partition);
                }
                Err(error) => {
                    tracing::warn!(%segment, %error, "a segment that cannot be opened stays");
                    // It was sealed here: it counts until it is put aside.
                    let Some(record) = record else { continue };
                    bytes += record.length;
                    count += 1;
                    let partition = record.partition.map(|partition| (segment, partition));
                    self.doubted.lock().extend(partition);
                }
            }
        }
        self.deps.metrics.stored_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.deps.metrics.segments.set(count);
        Ok(())
    }

    /// Every segment that has a row or a file, by id. Blocking.
    pub(crate) fn ids(&self) -> Result<BTreeSet<SegmentId>, Error> {
        let (mut ids, held) = (self.recorded_ids()?, self.held_ids()?);
        ids.extend(held);
        Ok(ids)
    }

    /// The segments that have a record and no bytes. Blocking.
    pub(super) fn bare_ids(&self) -> Result<BTreeSet<SegmentId>, Error> {
        let (mut bare, held) = (self.recorded_ids()?, self.held_ids()?);
        bare.retain(|segment| !held.contains(segment));
        Ok(bare)
    }

    /// The segments that have a record.
    fn recorded_ids(&self) -> Result<BTreeSet<SegmentId>, Error> {
        let mut ids = BTreeSet::new();
        for row in pages(self.deps.engine.as_ref(), RECORDS, KeyRange::all(), PAGE) {
            let (key, _) = row?;
            ids.extend(SegmentId::from_slice(&key));
        }
        Ok(ids)
    }

    /// The segments whose bytes are here.
    fn held_ids(&self) -> Result<BTreeSet<SegmentId>, Error> {
        let mut ids = BTreeSet::new();
        for shard in 0..=u8::MAX {
            ids.extend(self.held_of_shard(shard)?);
        }
        Ok(ids)
    }

    /// The segments whose bytes are here and whose ids begin with `shard`. Blocking.
    pub(crate) fn held_of_shard(&self, shard: u8) -> Result<BTreeSet<SegmentId>, Error> {
        let mut ids = BTreeSet::new();
        let range = KeyRange::prefix(vec![shard]);
        for row in pages(self.deps.engine.as_ref(), INLINE, range, PAGE) {
            let (key, _) = row?;
            ids.extend(SegmentId::from_slice(&key));
        }
        let folder = self.directory.join(place::shard_name(shard));
        let names = self.deps.files.list(&folder)?;
        ids.extend(names.iter().filter_map(|entry| place::segment_of(&entry.name)));
        Ok(ids)
    }

    /// The segments whose bytes are here, sealed, by partition and sorted. Blocking.
    pub(crate) fn held(&self) -> Result<BTreeMap<PartitionId, Vec<SegmentId>>, Error> {
        let mut held: BTreeMap<_, Vec<SegmentId>> = BTreeMap::new();
        for shard in 0..=u8::MAX {
            for segment in self.held_of_shard(shard)? {
                let record = self.record(segment)?;
                let partition = match record.and_then(|record| record.partition) {
                    Some(partition) => partition,
                    None => match self.open_segment(segment) {
                        Ok(opened) => opened.layout.header().partition,
                        // Not sealed yet, or damaged: as good as not here.
                        Err(error) if is_unreadable(&error) => continue,
                        Err(error) => return Err(error),
                    },
                };
                held.entry(partition).or_default().push(segment);
            }
        }
        Ok(held)
    }

    /// Segments that were put aside, damaged, by this process or one before it. Blocking.
    pub(super) fn put_aside(&self) -> Result<BTreeSet<SegmentId>, Error> {
        let mut ids = BTreeSet::new();
        for shard in 0..=u8::MAX {
            let folder = self.directory.join(place::shard_name(shard));
            let names = self.deps.files.list(&folder)?;
            ids.extend(names.iter().filter_map(|entry| copies::aside_of(&entry.name)));
        }
        Ok(ids)
    }

    /// Has the partition asked about `segment`, which it does not seem to list for this node. A
    /// copy that says no more who wrote it goes the way of damaged ones. Blocking.
    pub(crate) fn ask_about(self: &Arc<Self>, segment: SegmentId) {
        let opened = match self.open_segment(segment) {
            Ok(opened) => opened,
            Err(error) => return self.note_damage(segment, &error),
        };
        let header = *opened.layout.header();
        let unlisted = Unlisted { header, since: Duration::ZERO };
        self.unlisted.lock().entry(segment).or_insert(unlisted);
    }
}

fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) && !error.is_about_rows()
}
