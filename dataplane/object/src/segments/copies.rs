//! Copies that a partition asks for or does not want any more (S21).

use std::path::PathBuf;
use std::sync::Arc;

use gitstratum_core::{ErrorKind, SegmentId};
use gitstratum_git::segment::Layout;
use gitstratum_store::files::write_atomically;
use gitstratum_store::{Batch, Durability, Permissions};

use super::write::SegmentWrite;
use super::{INLINE, RECORDS, Record, Segments, blocking};
use crate::error::Error;

/// Ending of what was damaged, kept until a sound copy is here.
const ASIDE_ENDING: &str = "damaged";

/// A segment that one alone writes, copies here, looks at anew or removes. What is being written
/// is nobody else's to confirm: until it is sealed its bytes may be in no more than memory, and
/// go when the writer gives up.
#[derive(Clone)]
pub(crate) struct Hold(Arc<Held>);

struct Held {
    segments: Arc<Segments>,
    segment: SegmentId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.segments.taken.lock().remove(&self.segment);
    }
}

impl Hold {
    /// Runs `work` on a thread that may block. Held until that has ended, also when nobody waits
    /// for it any more: a disk that hangs is not asked for the same again and again, and what it
    /// does when it wakes does not meet what a later holder put in the same place (P-D1).
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let held = self.clone();
        blocking(move || {
            let _held = held;
            work()
        })
        .await
    }
}

impl Segments {
    /// Keeps others from `segment` until the answer and all its clones are dropped.
    pub(crate) fn hold(self: &Arc<Self>, segment: SegmentId) -> Result<Hold, Error> {
        match self.taken.lock().insert(segment) {
            true => Ok(Hold(Arc::new(Held { segments: Arc::clone(self), segment }))),
            false => Err(Error::Exists { segment }),
        }
    }

    /// Whether `segment` is here and all of it is sound, now that the owner list with number
    /// `list` asks for it: from then on only a newer list makes the copy garbage. What is damaged
    /// is put aside, so that a copy can take its place.
    pub(crate) async fn confirm(
        self: &Arc<Self>,
        hold: &Hold,
        list: u64,
    ) -> Result<Option<Layout>, Error> {
        let (segments, segment) = (Arc::clone(self), hold.0.segment);
        let verified = hold.blocking(move || segments.verify(segment));
        let layout = match verified.await {
            Ok(layout) => layout,
            Err(Error::NotHeld { .. } | Error::PutAside { .. }) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%segment, %error, "a damaged copy is put aside for a sound one");
                let segments = Arc::clone(self);
                hold.blocking(move || segments.set_aside(segment)).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let held = self.record(segment)?.unwrap_or_default();
        let record = Record {
            length: layout.total_len(),
            pulled: held.pulled.max(list),
            partition: Some(layout.header().partition),
            ..held
        };
        let mut batch = Batch::new();
        batch.put(RECORDS, segment.0.to_vec(), record.encode());
        let committed = self.deps.committer.commit(batch, Durability::Synced).await;
        committed.map_err(|source| self.refuse_from_now(source.into()))?;
        Ok(Some(layout))
    }

    /// Begins to write a copy that the owner list with number `list` asks for.
    pub(crate) async fn begin_copy(
        self: &Arc<Self>,
        hold: &Hold,
        list: u64,
    ) -> Result<SegmentWrite, Error> {
        // A list's number is never 0; if it were, the copy would still be no push's.
        self.begin_of(hold.0.segment, hold.clone(), list.max(1)).await
    }

    /// Whether the copy came, or was asked for, by an owner list: no push gives it up (S12).
    pub(crate) fn is_pulled(&self, segment: SegmentId) -> Result<bool, Error> {
        Ok(self.record(segment)?.is_some_and(|record| record.pulled > 0))
    }

    /// Removes what was put aside for `segment`, now that there is a sound copy. Blocking.
    pub(crate) fn drop_aside(&self, segment: SegmentId) -> Result<(), Error> {
        let aside = self.aside(segment);
        if self.deps.files.metadata(&aside)?.is_some() {
            self.deps.files.remove(&aside)?;
        }
        Ok(())
    }

    /// Removes what was put aside for `segment`, of which nobody wants a copy here, and what is known
    /// of it, unless there is a copy all the same. The record goes first: without it the file
    /// is found at the next start, a record alone not before the next
    /// comparison. Blocking.
    pub(crate) fn forget_aside(&self, segment: SegmentId) -> Result<(), Error> {
        let has_row = self.deps.engine.get(INLINE, &segment.0)?.is_some();
        if !has_row && self.deps.files.metadata(&self.path(segment))?.is_none() {
            let mut batch = Batch::new();
            batch.delete(RECORDS, segment.0.to_vec());
            self.deps.engine.write(batch, Durability::Synced)?;
        }
        self.drop_aside(segment)
    }

    /// Takes a damaged copy out of what is served, and keeps its bytes. Blocking.
    pub(super) fn set_aside(&self, segment: SegmentId) -> Result<(), Error> {
        // What a crash cut short was never counted as held.
        let counted = match self.open_segment(segment) {
            Ok(opened) => Some(opened.layout.total_len()),
            Err(_) => self.record(segment)?.map(|record| record.length),
        };
        let (path, aside) = (self.path(segment), self.aside(segment));
        let has_file = self.deps.files.metadata(&path)?.is_some();
        if has_file {
            self.deps.files.rename(&path, &aside)?;
        }
        let row = self.deps.engine.get(INLINE, &segment.0)?;
        if let Some(row) = &row {
            write_atomically(self.deps.files.as_ref(), &aside, row, Permissions::Private)?;
        }
        let is_kept = self.is_aside(segment)?;
        let mut batch = Batch::new();
        batch.delete(INLINE, segment.0.to_vec());
        if !is_kept {
            // Nothing was there but the record.
            batch.delete(RECORDS, segment.0.to_vec());
        }
        self.deps.engine.write(batch, Durability::Buffered)?;
        self.opened.invalidate(&segment);
        self.unlisted.lock().remove(&segment);
        // What lies aside already was counted off when it was put there.
        let is_first = has_file || row.is_some() || !is_kept;
        if let Some(length) = counted.filter(|_| is_first) {
            self.deps.metrics.segments.dec();
            self.deps.metrics.stored_bytes.add(-i64::try_from(length).unwrap_or(0));
        }
        Ok(())
    }

    /// Whether a damaged copy of `segment` is kept here. Blocking.
    pub(super) fn is_aside(&self, segment: SegmentId) -> Result<bool, Error> {
        Ok(self.deps.files.metadata(&self.aside(segment))?.is_some())
    }

    fn aside(&self, segment: SegmentId) -> PathBuf {
        self.path(segment).with_extension(ASIDE_ENDING)
    }
}

/// The segment that a file put aside was of.
pub(super) fn aside_of(name: &str) -> Option<SegmentId> {
    SegmentId::parse(name.strip_suffix(ASIDE_ENDING)?.strip_suffix('.')?)
}
