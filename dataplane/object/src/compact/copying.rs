//! The entries of the new pack, copied as they are stored; what has lost its base is encoded
//! (S36).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Location, Object, PackSpan, Reader};
use gitstratum_core::{ObjectFormat, ObjectId};
use gitstratum_git::pack::{Deflate, EntryKind, Header, Writer};

use super::Error;
use super::choice::Chosen;
use super::order::Entry;
use super::runs::Told;
use super::spool::{Spool, blocking};
use crate::rate::Bucket;

/// Bytes of entries, and of objects to be encoded, held at once, unless one alone has more.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Entries held at once.
const BATCH_ENTRIES: usize = 8_192;

/// What the entries are copied from, and how fast.
pub(super) struct Copying<'a> {
    pub(super) reader: &'a Arc<Reader>,
    pub(super) packs: &'a [Arc<Pack>],
    pub(super) chosen: &'a [Chosen],
    pub(super) format: ObjectFormat,
    pub(super) bucket: &'a Bucket,
    pub(super) per_second: u64,
}

/// A pack in a spool.
pub(super) struct Copied {
    pub(super) spool: Arc<Spool>,
    /// Header and trailer included.
    pub(super) len: u64,
}

/// Moves to the blocking thread and back.
struct Pen {
    spool: Arc<Spool>,
    writer: Writer,
    /// By place in the new pack: where the entry begins.
    positions: Vec<u64>,
}

/// An entry that is about to be written.
enum Piece {
    /// As it is stored, header included.
    Stored(Bytes),
    Encoded(Arc<Object>),
}

impl Copying<'_> {
    /// Writes a pack of `entries` into `spool`.
    pub(super) async fn run(
        &self,
        spool: Spool,
        entries: &[Entry],
        told: &Told,
    ) -> Result<Copied, Error> {
        let spool = Arc::new(spool);
        let count = u32::try_from(entries.len()).map_err(|_| Error::Bug("too many entries"))?;
        let (writer, header) = Writer::new(self.format, count);
        let mut pen = Pen { spool: Arc::clone(&spool), writer, positions: Vec::new() };
        pen.positions.reserve(entries.len());
        pen = blocking(move || pen.put(0, &header).map(|()| pen)).await?;
        for range in self.batches(entries) {
            let batch = &entries[range.clone()];
            let pieces = self.read(batch).await?;
            let bases: Vec<Option<u32>> = batch.iter().map(|entry| entry.base).collect();
            let format = self.format;
            pen = blocking(move || pen.write(format, &pieces, &bases).map(|()| pen)).await?;
            told.copied(range.end, entries.len());
        }
        let Pen { writer, .. } = pen;
        let end = writer.position();
        let trailer = writer.finish().map_err(|_| Error::Bug("entries were miscounted"))?;
        let (last, len) = (Arc::clone(&spool), end + trailer.len() as u64);
        blocking(move || last.write_at(end, &trailer)).await?;
        Ok(Copied { spool, len })
    }

    /// Runs of entries that are held at once.
    fn batches(&self, entries: &[Entry]) -> Vec<Range<usize>> {
        let mut batches: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        for (place, entry) in entries.iter().enumerate() {
            let cost = self.cost(entry);
            bytes += cost;
            match batches.last_mut() {
                Some(batch) if bytes <= BATCH_BYTES && batch.len() < BATCH_ENTRIES => {
                    batch.end = place + 1;
                }
                _ => {
                    bytes = cost;
                    batches.push(place..place + 1);
                }
            }
        }
        batches
    }

    fn cost(&self, entry: &Entry) -> u64 {
        let object = &self.chosen[entry.object as usize];
        match self.is_encoded(entry) {
            true => object.record.size,
            false => object.record.packed_len,
        }
    }

    /// A delta that is to be written whole.
    fn is_encoded(&self, entry: &Entry) -> bool {
        entry.base.is_none() && self.chosen[entry.object as usize].base.is_some()
    }

    /// The pieces of a batch, in its order: one read for each pack and segment (S28).
    async fn read(&self, batch: &[Entry]) -> Result<Vec<Piece>, Error> {
        let mut by_pack: BTreeMap<u32, Vec<(PackSpan, usize)>> = BTreeMap::new();
        let mut encoded = Vec::new();
        for (place, entry) in batch.iter().enumerate() {
            let Chosen { pack, record, .. } = &self.chosen[entry.object as usize];
            if self.is_encoded(entry) {
                let pack = Arc::clone(self.pack(*pack)?);
                encoded.push(Location { pack, record: *record });
                continue;
            }
            let span = PackSpan { offset: record.offset, length: record.packed_len };
            by_pack.entry(*pack).or_default().push((span, place));
        }
        let mut stored = BTreeMap::new();
        for (pack, mut asked) in by_pack {
            asked.sort_unstable();
            let spans: Vec<PackSpan> = asked.iter().map(|(span, _)| *span).collect();
            let bytes: u64 = spans.iter().map(|span| span.length).sum();
            self.bucket.take(bytes, self.per_second).await;
            let read = self.reader.read_pack(self.pack(pack)?, &spans).await?;
            stored.extend(asked.into_iter().map(|(_, place)| place).zip(read));
        }
        let encoded = self.reader.read_located(self.packs, encoded).await?;
        batch.iter().enumerate().map(|each| self.piece(each, &mut stored, &encoded)).collect()
    }

    fn piece(
        &self,
        (place, entry): (usize, &Entry),
        stored: &mut BTreeMap<usize, Bytes>,
        encoded: &BTreeMap<ObjectId, Arc<Object>>,
    ) -> Result<Piece, Error> {
        let id = self.chosen[entry.object as usize].id();
        let found = match self.is_encoded(entry) {
            true => encoded.get(id).map(|object| Piece::Encoded(Arc::clone(object))),
            false => stored.remove(&place).map(Piece::Stored),
        };
        found.ok_or(Error::Missing { id: *id })
    }

    fn pack(&self, number: u32) -> Result<&Arc<Pack>, Error> {
        self.packs.get(number as usize).ok_or(Error::Bug("an object lies in no pack"))
    }
}

impl Pen {
    fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.spool.write_at(offset, bytes)
    }

    /// Writes a batch, in one piece.
    fn write(
        &mut self,
        format: ObjectFormat,
        pieces: &[Piece],
        bases: &[Option<u32>],
    ) -> Result<(), Error> {
        let start = self.writer.position();
        let mut out = Vec::new();
        for (piece, base) in pieces.iter().zip(bases) {
            self.positions.push(self.writer.position());
            match piece {
                Piece::Stored(bytes) => self.copy(format, bytes, *base, &mut out)?,
                Piece::Encoded(object) => {
                    let deflate = Deflate::level(6);
                    let encoded = self.writer.encode(object.kind, &object.data, deflate);
                    out.extend_from_slice(&encoded.map_err(|_| MISCOUNTED)?);
                }
            }
        }
        self.put(start, &out)
    }

    /// Copies an entry under a header that names its base where that lies now.
    fn copy(
        &mut self,
        format: ObjectFormat,
        bytes: &[u8],
        base: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let parsed = Header::parse(format, bytes).ok().flatten();
        let (header, len) = parsed.ok_or(Error::Differs { what: "an entry's header" })?;
        let kind = match (header.kind, base) {
            (EntryKind::Base(kind), None) => EntryKind::Base(kind),
            (EntryKind::OfsDelta { .. } | EntryKind::RefDelta { .. }, Some(base)) => {
                let at = self.positions.get(base as usize).copied();
                let kind = at.and_then(|at| self.writer.delta_on(at));
                kind.ok_or(Error::Bug("a base comes after its delta"))?
            }
            _ => return Err(Error::Differs { what: "an entry's kind" }),
        };
        let header = self.writer.start_copy(Header { kind, size: header.size });
        out.extend_from_slice(&header.map_err(|_| MISCOUNTED)?);
        self.writer.copy(&bytes[len..]);
        out.extend_from_slice(&bytes[len..]);
        Ok(())
    }
}

const MISCOUNTED: Error = Error::Bug("entries were miscounted");
