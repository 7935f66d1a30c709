use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::bulk::Span;
use gitstratum_core::SegmentId;
use gitstratum_git::segment::{FOOTER_BYTES_MAX, HEADER_BYTES, Layout};
use gitstratum_process::sabotage;

use super::{INLINE, Opened, Place, Segments};
use crate::error::Error;

/// Most bytes verified in one step of a whole-segment check.
const VERIFY_STEP_BYTES: u64 = 4 * 1024 * 1024;

impl Segments {
    /// A sealed segment, from the cache or the disk. Blocking.
    pub(crate) fn open_segment(&self, segment: SegmentId) -> Result<Arc<Opened>, Error> {
        if let Some(opened) = self.opened.get(&segment) {
            return Ok(opened);
        }
        let opened = Arc::new(match self.deps.engine.get(INLINE, &segment.0)? {
            Some(bytes) => open_row(segment, bytes)?,
            None => self.open_file(segment)?,
        });
        self.opened.insert(segment, Arc::clone(&opened));
        Ok(opened)
    }

    /// Opens `segment` for a reader; damage is noted, and that it is not here. Blocking.
    pub(crate) fn open_to_read(self: &Arc<Self>, segment: SegmentId) -> Result<Arc<Opened>, Error> {
        let opened = self.open_known(segment);
        match &opened {
            Err(Error::NotHeld { .. }) => self.note_gap(segment),
            Err(error) => self.note_damage(segment, error),
            Ok(_) => {}
        }
        opened
    }

    fn open_file(&self, segment: SegmentId) -> Result<Opened, Error> {
        let path = self.path(segment);
        if self.deps.files.metadata(&path)?.is_none() {
            return Err(match self.record(segment)? {
                _ if self.is_aside(segment)? => Error::PutAside { segment },
                Some(_) => Error::FileMissing { segment, path: path.display().to_string() },
                None => Error::NotHeld { segment },
            });
        }
        let file = self.deps.files.open(&path)?;
        let total = file.length()?;
        let tail = total.min(FOOTER_BYTES_MAX as u64);
        let head = file.read_at(0, HEADER_BYTES.min(usize_of(total)))?;
        let tail = file.read_at(total - tail, usize_of(tail))?;
        let layout = Layout::open(segment, total, &head, &tail)
            .map_err(|source| Error::Segment { place: path.display().to_string(), source })?;
        Ok(Opened { layout, place: Place::File(file.into()) })
    }

    /// Verified bytes of a segment's body. Damage is noted. Blocking.
    pub(crate) fn read(self: &Arc<Self>, segment: SegmentId, span: Span) -> Result<Bytes, Error> {
        let read = self.open_known(segment);
        let read = read.and_then(|opened| self.read_opened(segment, &opened, span));
        match &read {
            Ok(bytes) => self.deps.metrics.read_bytes.add(bytes.len() as u64),
            Err(error) => self.note_damage(segment, error),
        }
        read
    }

    fn read_opened(&self, segment: SegmentId, opened: &Opened, span: Span) -> Result<Bytes, Error> {
        let place = || self.describe(segment, opened);
        let failed = |source| Error::Segment { place: place(), source };
        let range = span.offset..span.offset.saturating_add(span.length);
        let cover = opened.layout.cover(range.clone()).map_err(failed)?;
        let length = usize_of(cover.end - cover.start);
        let bytes = match &opened.place {
            Place::Row(row) => row.slice(usize_of(cover.start)..usize_of(cover.end)),
            Place::File(file) => file.read_at(cover.start, length)?,
        };
        if sabotage!("skip-hash-check") {
            let start = usize_of(HEADER_BYTES as u64 + range.start - cover.start);
            return Ok(bytes.slice(start..start + usize_of(range.end - range.start)));
        }
        opened.layout.verify_and_slice(range, bytes).map_err(failed)
    }

    /// Bytes of the whole segment as they lie here, header and footer included; nothing vouches
    /// for them, but that some are missing is noted. Blocking.
    pub(crate) fn read_raw(
        self: &Arc<Self>,
        opened: &Opened,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, Error> {
        self.deps.metrics.read_bytes.add(length);
        match &opened.place {
            Place::Row(row) => Ok(row.slice(usize_of(offset)..usize_of(offset + length))),
            Place::File(file) => {
                let bytes = file.read_at(offset, usize_of(length))?;
                if bytes.len() as u64 != length {
                    let segment = opened.layout.header().segment;
                    let error = Error::CutShort { segment };
                    self.note_damage(segment, &error);
                    return Err(error);
                }
                Ok(bytes)
            }
        }
    }

    /// Reads and verifies a whole segment from the disk, not from any cache. Damage is noted.
    /// Blocking.
    pub(crate) fn verify(self: &Arc<Self>, segment: SegmentId) -> Result<Layout, Error> {
        let looked = self.look(segment);
        if let Err(error) = &looked {
            self.note_damage(segment, error);
        }
        looked
    }

    /// The same, and damage is only told. Blocking.
    pub(super) fn look(&self, segment: SegmentId) -> Result<Layout, Error> {
        self.opened.invalidate(&segment);
        let opened = self.open_segment(segment)?;
        let mut offset = 0;
        while offset < opened.layout.body_len() {
            let length = VERIFY_STEP_BYTES.min(opened.layout.body_len() - offset);
            let bytes = self.read_opened(segment, &opened, Span { offset, length })?;
            self.deps.metrics.read_bytes.add(bytes.len() as u64);
            offset += length;
        }
        Ok(opened.layout.clone())
    }

    fn describe(&self, segment: SegmentId, opened: &Opened) -> String {
        match &opened.place {
            Place::Row(_) => format!("row {segment} in {}", self.deps.engine.place()),
            Place::File(_) => self.path(segment).display().to_string(),
        }
    }
}

fn open_row(segment: SegmentId, bytes: Bytes) -> Result<Opened, Error> {
    let layout = Layout::open_whole(segment, &bytes)
        .map_err(|source| Error::Segment { place: format!("row {segment}"), source })?;
    Ok(Opened { layout, place: Place::Row(bytes) })
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("because a segment fits in memory")
}
