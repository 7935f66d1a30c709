//! Segments that are served only once they were verified whole: those of a disk that was
//! rolled back (S23), and those that may not have been durable when the process ended
//! (P-D5).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::{ErrorKind, PartitionId, SegmentId};
use gitstratum_process::Drain;

use super::{Opened, Segments, blocking};
use crate::admission::Admissions;
use crate::error::Error;

/// How often it is looked whether something is in doubt.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Segments {
    /// From now on nothing of `partition` is served before it was verified whole; returns how many
    /// segments that are. Blocking.
    pub(crate) fn doubt(&self, partition: PartitionId) -> Result<usize, Error> {
        let held = self.held()?;
        let ids = held.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let mut doubted = self.doubted.lock();
        doubted.extend(ids.iter().map(|id| (*id, partition)));
        Ok(ids.len())
    }

    /// A sealed segment that may be served. Blocking.
    pub(crate) fn open_known(self: &Arc<Self>, segment: SegmentId) -> Result<Arc<Opened>, Error> {
        let doubted = self.doubted.lock().contains_key(&segment);
        if doubted {
            self.settle_doubt(segment)?;
        }
        self.open_segment(segment)
    }

    /// Verifies a segment in doubt. Blocking.
    fn settle_doubt(self: &Arc<Self>, segment: SegmentId) -> Result<(), Error> {
        let verified = self.verify(segment);
        match verified {
            Err(error) if !is_about_bytes(&error) => return Err(error),
            _ => drop(self.doubted.lock().remove(&segment)),
        }
        verified.map(drop)
    }

    fn first_doubted(&self, after: Option<SegmentId>) -> Option<(SegmentId, PartitionId)> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let doubted = self.doubted.lock();
        doubted.range((from, Bound::Unbounded)).next().map(|(id, partition)| (*id, *partition))
    }

    fn doubted_partitions(&self) -> BTreeSet<PartitionId> {
        self.doubted.lock().values().copied().collect()
    }
}

/// Whether the bytes are known now, to be good, bad or gone.
fn is_about_bytes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
}

/// Verifies what is in doubt, in the background, until the drain starts.
pub(crate) async fn settle(segments: Arc<Segments>, admissions: Arc<Admissions>, drain: Drain) {
    loop {
        let mut after = None;
        while let Some((segment, _)) = segments.first_doubted(after) {
            after = Some(segment);
            let store = Arc::clone(&segments);
            let settled = blocking(move || store.settle_doubt(segment)).await;
            if let Err(error) = settled {
                tracing::warn!(%segment, %error, "a segment in doubt did not verify");
            }
            if drain.is_started() {
                return;
            }
        }
        // In this order: what admission puts in doubt is there before it ends. A partition that has
        // not admitted this start has yet to say what is in doubt, and its row stays (S23).
        let admitted = admissions.in_doubt();
        let doubted = segments.doubted_partitions();
        for partition in admitted.into_iter().filter(|partition| !doubted.contains(partition)) {
            if let Err(error) = admissions.trust(partition).await {
                tracing::warn!(%partition, %error, "the partition's row still says doubt");
            }
        }
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
