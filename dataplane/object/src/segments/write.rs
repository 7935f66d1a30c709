use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gitstratum_core::SegmentId;
use gitstratum_git::segment::{Header, Layout, Verifier};
use gitstratum_process::{Task, failpoint, sabotage, spawn};
use gitstratum_store::{Batch, Durability, File};
use tokio::sync::oneshot;

use super::fresh::Fresh;
use super::{Hold, INLINE, Opened, Place, RECORDS, Record, Segments};
use crate::error::Error;

/// Bytes gathered before a write to the file.
const WRITE_BYTES: usize = 1024 * 1024;

/// A segment that is being written. Dropped before it is sealed, nothing of it stays:
/// it was never acknowledged.
pub(crate) struct SegmentWrite {
    segments: Arc<Segments>,
    segment: SegmentId,
    /// The owner list by which it is pulled; 0 for a push's.
    pulled: u64,
    verifier: Verifier,
    gathered: BytesMut,
    file: Option<OpenFile>,
    sealed: bool,
    /// Until the file of a write that was given up is gone.
    hold: Hold,
}

struct OpenFile {
    file: Arc<dyn File>,
    path: PathBuf,
    /// The directory is synced while bytes stream in (S4).
    named: Option<Task<Result<(), Error>>>,
}

impl Segments {
    /// Begins to write `segment` of a push.
    pub(crate) async fn begin(self: &Arc<Self>, segment: SegmentId) -> Result<SegmentWrite, Error> {
        self.begin_of(segment, self.hold(segment)?, 0).await
    }

    /// Begins to write `segment`, which `hold` holds: a copy that the owner list with number
    /// `pulled` asks for; 0 when it comes with a push.
    pub(super) async fn begin_of(
        self: &Arc<Self>,
        segment: SegmentId,
        hold: Hold,
        pulled: u64,
    ) -> Result<SegmentWrite, Error> {
        if let Some(why) = self.refusing() {
            return Err(Error::RefusingWrites { why });
        }
        let write = SegmentWrite {
            segments: Arc::clone(self),
            segment,
            pulled,
            verifier: Verifier::new(segment),
            gathered: BytesMut::new(),
            file: None,
            sealed: false,
            hold,
        };
        let segments = Arc::clone(self);
        let looked = write.hold.blocking(move || {
            segments.deps.space.admit(gitstratum_git::segment::SEGMENT_BYTES_MAX as u64)?;
            match segments.open_segment(segment) {
                Ok(_) => Err(Error::Exists { segment }),
                Err(_) => Ok(()),
            }
        });
        looked.await?;
        Ok(write)
    }
}

impl Segments {
    /// See [`SegmentWrite::refuse_from_now`].
    pub(super) fn refuse_from_now(&self, error: Error) -> Error {
        if error.kind() != gitstratum_core::ErrorKind::Busy && !sabotage!("go-on-after-failed-sync")
        {
            tracing::error!(%error, "a sync failed: writes are refused from now on");
            *self.refusing.lock() = Some(error.to_string());
            self.unsound.send_replace(Some(super::Unsound::Sync(error.to_string())));
        }
        error
    }
}

impl SegmentWrite {
    /// Takes the next bytes; a small segment stays in memory until it is sealed.
    pub(crate) async fn update(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.verifier.update(&bytes).map_err(|source| self.unsound(source))?;
        if let Some(header) = self.verifier.header() {
            self.check_header(header)?;
        }
        self.gathered.extend_from_slice(&bytes);
        if self.file.is_none() && self.gathered.len() > self.segments.inline_bytes_max {
            self.create_file().await?;
        }
        if self.file.is_some() && self.gathered.len() >= WRITE_BYTES {
            self.append().await?;
        }
        Ok(())
    }

    /// What the segment says of itself, once that has come.
    pub(crate) const fn header(&self) -> Option<&Header> {
        self.verifier.header()
    }

    /// Makes the segment durable; only after this may it be acknowledged. Once begun it goes on to
    /// its end, also when nobody waits for it any more: what is durable has to be known and counted.
    pub(crate) async fn seal(self) -> Result<Layout, Error> {
        let (done, sealed) = oneshot::channel();
        let sealing = async move { drop(done.send(self.seal_to_end().await)) };
        spawn("segment seal", sealing).detach();
        sealed.await.map_err(|_| Error::Bug("sealing a segment did not end"))?
    }

    async fn seal_to_end(mut self) -> Result<Layout, Error> {
        let verifier = std::mem::replace(&mut self.verifier, Verifier::new(self.segment));
        let layout = match verifier.finish() {
            Ok(layout) => layout,
            Err(source) => {
                let error = self.unsound(source);
                self.give_up().await?;
                return Err(error);
            }
        };
        failpoint!("object.seal.before_sync");
        let place = match self.file.is_some() {
            true => self.seal_file(&layout).await?,
            false => self.seal_row(&layout).await?,
        };
        failpoint!("object.seal.after_sync");
        self.sealed = true;
        let opened = Arc::new(Opened { layout: layout.clone(), place });
        self.segments.opened.insert(self.segment, opened);
        self.segments.note_unlisted(self.segment, *layout.header());
        self.segments.forget_lost(self.segment);
        let metrics = &self.segments.deps.metrics;
        metrics.segments.inc();
        metrics.stored_bytes.add(i64::try_from(layout.total_len()).unwrap_or(0));
        Ok(layout)
    }

    /// Gives the write up; nothing of it is left when this returns.
    pub(crate) async fn give_up(mut self) -> Result<(), Error> {
        let Some(open) = self.file.take() else { return Ok(()) };
        let segments = Arc::clone(&self.segments);
        self.hold.blocking(move || Ok(segments.deps.files.remove(&open.path)?)).await
    }

    fn check_header(&self, header: &Header) -> Result<(), Error> {
        if header.cluster != self.segments.cluster {
            return Err(Error::ForeignCluster { segment: self.segment });
        }
        Ok(())
    }

    async fn seal_row(&mut self, layout: &Layout) -> Result<Place, Error> {
        let bytes = self.gathered.split().freeze();
        let mut batch = self.record(layout);
        batch.put(INLINE, self.segment.0.to_vec(), bytes.clone());
        let durability = match sabotage!("ack-before-fsync") {
            true => Durability::Buffered,
            false => Durability::Synced,
        };
        let committed = self.segments.deps.committer.commit(batch, durability).await;
        committed.map_err(|source| self.refuse_from_now(source.into()))?;
        Ok(Place::Row(bytes))
    }

    async fn seal_file(&mut self, layout: &Layout) -> Result<Place, Error> {
        self.append().await?;
        let open = self.file.as_mut().ok_or(Error::Bug("sealing a file that is not open"))?;
        if let Some(named) = open.named.take() {
            let synced = named.await.map_err(|_| Error::Bug("directory sync did not finish"))?;
            synced.map_err(|error| self.refuse_from_now(error))?;
        }
        let open = self.file.as_ref().ok_or(Error::Bug("sealing a file that is not open"))?;
        let file = Arc::clone(&open.file);
        let synced = match sabotage!("ack-before-fsync") {
            true => Ok(()),
            false => blocking(move || Ok(file.sync()?)).await,
        };
        synced.map_err(|error| self.refuse_from_now(error))?;
        let place = Place::File(Arc::clone(&open.file));
        let hint = self.record(layout);
        // Of a copy it is no mere hint: without the list's number it would look like garbage.
        let durability = match self.pulled {
            0 => Durability::Buffered,
            _ => Durability::Synced,
        };
        let committed = self.segments.deps.committer.commit(hint, durability).await;
        match self.pulled {
            0 => committed?,
            _ => committed.map_err(|source| self.refuse_from_now(source.into()))?,
        };
        Ok(place)
    }

    fn record(&self, layout: &Layout) -> Batch {
        let record = Record {
            length: layout.total_len(),
            listed: false,
            pulled: self.pulled,
            partition: Some(layout.header().partition),
        };
        let mut batch = Batch::new();
        batch.put(RECORDS, self.segment.0.to_vec(), record.encode());
        batch
    }

    async fn create_file(&mut self) -> Result<(), Error> {
        let path = self.segments.path(self.segment);
        let (segments, at, hold) = (Arc::clone(&self.segments), path.clone(), self.hold.clone());
        let fresh = self.hold.blocking(move || Fresh::create(segments, at, hold));
        let file = fresh.await?.claim()?;
        let (segments, at) = (Arc::clone(&self.segments), path.clone());
        let named = spawn("segment directory sync", async move {
            blocking(move || {
                let folder = at.parent().ok_or(Error::Bug("a segment file has a folder"))?;
                Ok(segments.deps.files.sync_directory(folder)?)
            })
            .await
        });
        self.file = Some(OpenFile { file: file.into(), path, named: Some(named) });
        Ok(())
    }

    async fn append(&mut self) -> Result<(), Error> {
        let Some(open) = &self.file else { return Ok(()) };
        let file = Arc::clone(&open.file);
        let bytes = self.gathered.split().freeze();
        blocking(move || Ok(file.append(&bytes)?)).await
    }

    fn unsound(&self, source: gitstratum_git::segment::Error) -> Error {
        Error::Segment { place: format!("incoming segment {}", self.segment), source }
    }

    /// After a failed sync nothing more is acknowledged until the node has started anew and
    /// verified itself (P-D5). A full disk is no such failure.
    fn refuse_from_now(&self, error: Error) -> Error {
        self.segments.refuse_from_now(error)
    }
}

impl Drop for SegmentWrite {
    fn drop(&mut self) {
        let Some(open) = self.file.take().filter(|_| !self.sealed) else { return };
        let (segments, segment) = (Arc::clone(&self.segments), self.segment);
        // Held until the file is gone, so that nobody takes it for a copy, or makes one there.
        let hold = self.hold.clone();
        spawn("unsealed segment removal", async move {
            let removed = hold.blocking(move || Ok(segments.deps.files.remove(&open.path)?)).await;
            if let Err(error) = removed {
                tracing::warn!(%segment, %error, "an unsealed segment's file stays");
            }
        })
        .detach();
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    gitstratum_process::blocking(work)
        .await
        .map_err(|_| Error::Bug("a blocking task did not finish"))?
}
