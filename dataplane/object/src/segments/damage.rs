//! What becomes of a copy that is found damaged: looked at once more, put aside, told to its
//! partition, replaced by a copy of another owner (S21, S29).

use std::sync::Arc;

use gitstratum_core::{ErrorKind, PartitionId, SegmentId};

use super::{Segments, Unsound};
use crate::error::Error;

/// Most segments that may wait to be asked about because a reader found them missing: more are
/// found by the next comparison.
const GAPS_MAX: usize = 1_024;

impl Segments {
    /// A reader took this node for an owner of `segment`, which is not here: whoever lists it is
    /// asked, and if that is so has it repaired (RV-M3). Most often the reader's list is old.
    pub(super) fn note_gap(&self, segment: SegmentId) {
        if self.is_known_bad(segment) {
            return;
        }
        let mut lost = self.lost.lock();
        if lost.len() < GAPS_MAX {
            lost.insert(segment, None);
        }
    }

    /// `error` was met while `segment` was read. If a second look finds the same, the copy is
    /// put aside and told as lost. Blocking.
    pub(crate) fn note_damage(self: &Arc<Self>, segment: SegmentId, error: &Error) {
        if error.kind() != ErrorKind::Corrupt || self.is_known_bad(segment) {
            return;
        }
        self.metrics().damage.inc();
        tracing::error!(%segment, %error, "damaged segment bytes were not served");
        if error.is_about_rows() {
            return self.note_rows(error);
        }
        if !self.puts_damage_aside {
            return;
        }
        // Whoever copies or removes it meanwhile looks for himself.
        let Ok(_hold) = self.hold(segment) else { return };
        let partition = self.partition_of(segment);
        let again = self.look(segment);
        if !again.is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            tracing::warn!(%segment, "a second look did not find the damage again");
            return;
        }
        if let Err(error) = self.set_aside(segment) {
            tracing::error!(%segment, %error, "a damaged copy could not be put aside");
        }
        self.doubted.lock().remove(&segment);
        self.lost.lock().insert(segment, partition);
    }

    /// `error` was met while rows were read or written: if they are damaged, not one segment is, but
    /// the data base that holds many; and after a failed sync it takes nothing more (P-D5).
    pub(crate) fn note_rows(&self, error: &Error) {
        if let Error::Commit { source } = error
            && error.kind() == ErrorKind::Unavailable
        {
            self.refuse_from_now(source.clone().into());
        }
        if error.is_about_rows() && error.kind() == ErrorKind::Corrupt {
            self.unsound.send_replace(Some(Unsound::Rows(error.to_string())));
        }
    }

    /// Whether it is told already, or not sealed yet and so no damage.
    fn is_known_bad(&self, segment: SegmentId) -> bool {
        self.lost.lock().contains_key(&segment) || self.taken.lock().contains(&segment)
    }

    /// `segment` is listed for this node and not here: its partition is to know.
    pub(crate) fn note_lost(&self, segment: SegmentId, partition: PartitionId) {
        self.lost.lock().insert(segment, Some(partition));
    }

    /// What lies aside is told, also what was told before: a partition that has other owners for it
    /// by now, or none, has no use for the bytes. Blocking.
    pub(crate) fn recall_lost(&self) -> Result<(), Error> {
        for segment in self.put_aside()? {
            let partition = self.record(segment)?.and_then(|record| record.partition);
            self.lost.lock().entry(segment).or_insert(partition);
        }
        Ok(())
    }

    /// So is what has a record and no bytes: of a copy that is lost the partition is to know, and of
    /// one that was removed a power cut may have brought the record back, to stay for ever. Blocking.
    pub(crate) fn recall_bare(&self) -> Result<(), Error> {
        for segment in self.bare_ids()? {
            let partition = self.record(segment)?.and_then(|record| record.partition);
            if !self.taken.lock().contains(&segment) {
                self.lost.lock().entry(segment).or_insert(partition);
            }
        }
        Ok(())
    }

    /// What is lost and not yet told, with its partition where that is known.
    pub(crate) fn lost(&self) -> Vec<(SegmentId, Option<PartitionId>)> {
        self.lost.lock().iter().map(|(id, partition)| (*id, *partition)).collect()
    }

    /// Whether `segment` is lost and not yet told, and known to be of `partition`.
    pub(crate) fn is_lost_of(&self, segment: SegmentId, partition: PartitionId) -> bool {
        self.lost.lock().get(&segment) == Some(&Some(partition))
    }

    /// The partition knows, or the copy is back.
    pub(crate) fn forget_lost(&self, segment: SegmentId) {
        self.lost.lock().remove(&segment);
    }

    /// Whether a copy is here that can be opened. Blocking.
    pub(crate) fn has(&self, segment: SegmentId) -> bool {
        self.open_segment(segment).is_ok()
    }

    fn partition_of(&self, segment: SegmentId) -> Option<PartitionId> {
        let opened = self.open_segment(segment).ok();
        let stated = opened.map(|opened| opened.layout.header().partition);
        stated.or_else(|| self.record(segment).ok().flatten().and_then(|record| record.partition))
    }
}
