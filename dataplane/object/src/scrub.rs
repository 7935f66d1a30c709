//! Reads everything that is held, block by block, at a stated rate, so that damage is found
//! while other owners can heal it (P-I2). Where it is survives a restart.

mod place;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gitstratum_core::SegmentId;
use gitstratum_process::Drain;
use gitstratum_store::{Batch, Durability};

use crate::error::Error;
use crate::rate::Bucket;
use crate::segments::{STATE, Segments, blocking};
use place::Place;

/// Segments verified between two notes of the place.
const NOTED_EVERY: usize = 64;
/// How often it is looked whether the next pass is due, at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// When and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    pub(crate) bytes_per_second: u64,
    /// Time from the begin of one pass to the next one's.
    pub(crate) every: Duration,
    /// Rest after a start, when others need the disk more.
    pub(crate) after_start: Duration,
}

/// One pass after the other.
pub(crate) struct Scrub {
    segments: Arc<Segments>,
    pace: Pace,
    bucket: Bucket,
    place: Place,
    /// The rest of the ids that share a first byte.
    shard: VecDeque<SegmentId>,
}

impl Scrub {
    /// Goes on where an earlier process stopped.
    pub(crate) async fn open(segments: Arc<Segments>, pace: Pace) -> Result<Self, Error> {
        let store = Arc::clone(&segments);
        let row = blocking(move || Ok(store.engine().get(STATE, place::KEY)?)).await?;
        // A place that cannot be read costs a pass from the beginning.
        let place = row.and_then(|row| Place::decode(&row)).unwrap_or_default();
        Ok(Self { segments, pace, bucket: Bucket::default(), place, shard: VecDeque::new() })
    }

    /// Scrubs until the drain starts.
    pub(crate) async fn run(mut self, drain: Drain) {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(self.pace.after_start) => {}
        }
        loop {
            let passed = tokio::select! {
                biased;
                () = drain.started() => break,
                passed = self.pass() => passed,
            };
            if let Err(error) = passed {
                tracing::warn!(%error, "scrubbing waits");
                self.segments.note_rows(&error);
            }
            tokio::select! {
                biased;
                () = drain.started() => break,
                () = tokio::time::sleep(self.pace.every.min(LOOK_EVERY)) => {}
            }
        }
        if let Err(error) = self.note().await {
            tracing::warn!(%error, "where scrubbing stopped is not noted");
        }
    }

    /// What is left of a pass, if one is under way or due.
    async fn pass(&mut self) -> Result<(), Error> {
        let now = self.segments.clock().wall().0;
        if self.place.last.is_none() {
            let every = u64::try_from(self.pace.every.as_millis()).unwrap_or(u64::MAX);
            if now < self.place.began.saturating_add(every) {
                return Ok(());
            }
            self.place.began = now;
        }
        let mut unnoted = 0;
        while let Some(segment) = self.next().await? {
            self.verify(segment).await;
            self.place.last = Some(segment);
            unnoted += 1;
            if unnoted == NOTED_EVERY {
                self.note().await?;
                unnoted = 0;
            }
        }
        self.place.last = None;
        self.place.passes += 1;
        self.segments.metrics().scrub_passes.inc();
        self.segments.metrics().scrub_percent.set(100);
        tracing::info!(passes = self.place.passes, "everything held here was scrubbed");
        self.note().await
    }

    /// The next segment by id.
    async fn next(&mut self) -> Result<Option<SegmentId>, Error> {
        let last = self.place.last;
        let mut shard = last.map_or(0, |id| u16::from(id.0[0]));
        loop {
            while let Some(segment) = self.shard.pop_front() {
                if last.is_none_or(|last| segment > last) {
                    return Ok(Some(segment));
                }
            }
            let Ok(byte) = u8::try_from(shard) else { return Ok(None) };
            self.segments.metrics().scrub_percent.set(i64::from(byte) * 100 / 256);
            let store = Arc::clone(&self.segments);
            let mut ids = blocking(move || store.held_of_shard(byte)).await?;
            ids.retain(|id| last.is_none_or(|last| *id > last));
            shard += 1;
            if !ids.is_empty() {
                self.shard = ids.into_iter().collect();
            }
        }
    }

    /// Verifies one; what is damaged is noted where it is found.
    async fn verify(&self, segment: SegmentId) {
        let store = Arc::clone(&self.segments);
        let verified = blocking(move || store.verify(segment)).await;
        let bytes = match verified {
            Ok(layout) => layout.total_len(),
            Err(error) => {
                tracing::warn!(%segment, %error, "scrubbing met a segment that does not verify");
                0
            }
        };
        self.segments.metrics().scrub_bytes.add(bytes);
        self.bucket.take(bytes, self.pace.bytes_per_second).await;
    }

    async fn note(&self) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.put(STATE, place::KEY.to_vec(), self.place.encode());
        self.segments.commit(batch, Durability::Buffered).await
    }
}
