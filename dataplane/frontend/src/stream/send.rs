use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use gitstratum_client::manifest::Pack;
use gitstratum_client::objects::{Location, PackSpan, Reader};
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId};
use gitstratum_git::index::Record;
use gitstratum_git::pack::{Deflate, EntryKind, Header, PACK_HEADER_LEN, Writer};
use gitstratum_git::part::Ordinal;

use super::Framed;
use super::arrange::{Arrangement, Slot};
use crate::Error;
use crate::plan::{PackEntries, Selection};

/// Inflated bytes of objects that are encoded at once.
const ENCODE_BYTES: u64 = 16 * 1024 * 1024;
/// Entries that one read asks for: bounds what is held of them, at two MiB or so.
const ENTRIES_AT_ONCE: usize = 16_384;
/// Most bytes in front of an entry's deflated body.
const ENTRY_HEADER_BYTES_MAX: usize = Header::LEN_MAX;

/// How the client takes deltas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deltas {
    /// By offset, or else by id.
    pub(crate) by_offset: bool,
}

/// Sends the selected objects as one pack; returns its bytes.
pub(crate) async fn send(
    reader: &Arc<Reader>,
    packs: &[Arc<Pack>],
    format: ObjectFormat,
    selection: &Selection,
    deltas: Deltas,
    out: &mut Framed<'_>,
) -> Result<(), Error> {
    if let [only] = selection.packs.as_slice()
        && only.pack.is_whole()
        && only.ordinals.len() == u64::from(only.pack.object_count)
    {
        return verbatim(reader, &only.pack, out).await;
    }
    let arrangement = Arrangement::of(selection);
    let (writer, header) = Writer::new(format, selection.count);
    out.write(&header).await.map_err(gone)?;
    let positions = Positions(vec![Vec::new(); selection.packs.len()]);
    let mut sending = Sending { writer, positions, arrangement, deltas, selection };
    sending.encode(reader, packs, out).await?;
    for number in 0..selection.packs.len() {
        sending.copy(reader, number, out).await?;
    }
    let trailer = sending.writer.finish().map_err(bug)?;
    out.write(&trailer).await.map_err(gone)
}

/// S25: the stored pack is the answer, byte for byte.
async fn verbatim(
    reader: &Arc<Reader>,
    pack: &Arc<Pack>,
    out: &mut Framed<'_>,
) -> Result<(), Error> {
    let mut header = Vec::with_capacity(PACK_HEADER_LEN);
    header.extend_from_slice(b"PACK");
    header.extend_from_slice(&pack.pack_version.to_be_bytes());
    header.extend_from_slice(&pack.object_count.to_be_bytes());
    out.write(&header).await.map_err(gone)?;
    let entries = pack.length - (PACK_HEADER_LEN + pack.trailer.len()) as u64;
    let span = PackSpan { offset: PACK_HEADER_LEN as u64, length: entries };
    let mut pieces = reader.stream_pack(Arc::clone(pack), vec![span]);
    while let Some(piece) = pieces.next().await {
        out.write(&piece?.1).await.map_err(gone)?;
    }
    out.write(&pack.trailer).await.map_err(gone)
}

struct Sending<'a> {
    writer: Writer,
    positions: Positions,
    arrangement: Arrangement,
    deltas: Deltas,
    selection: &'a Selection,
}

/// Where each entry sent so far begins: of each pack, by its rank among those sent. No entry
/// begins at 0, where the header is.
struct Positions(Vec<Vec<u64>>);

impl Positions {
    fn set(&mut self, selection: &Selection, (number, ordinal): Slot, position: u64) {
        let entries = &selection.packs[number];
        let of_pack = &mut self.0[number];
        if of_pack.is_empty() {
            of_pack.resize(size_of_count(entries.ordinals.len()), 0);
        }
        of_pack[size_of_count(entries.rank(ordinal))] = position;
    }

    fn get(&self, selection: &Selection, (number, ordinal): Slot) -> Option<u64> {
        let rank = selection.packs[number].rank(ordinal);
        self.0[number].get(size_of_count(rank)).copied().filter(|position| *position > 0)
    }
}

fn size_of_count(count: u64) -> usize {
    usize::try_from(count).expect("because a pack has at most 2^32 entries")
}

/// The entry that is being copied.
struct Copying<'a> {
    slot: Slot,
    entries: &'a PackEntries,
    record: &'a Record,
    /// Its first bytes, until its header is whole.
    head: BytesMut,
    started: bool,
}

impl Sending<'_> {
    /// Encodes what cannot be copied, a bounded batch at a time.
    async fn encode(
        &mut self,
        reader: &Arc<Reader>,
        packs: &[Arc<Pack>],
        out: &mut Framed<'_>,
    ) -> Result<(), Error> {
        while !self.arrangement.encoded.is_empty() {
            let batch = self.take_batch();
            let located = batch.iter().map(|(_, location)| location.clone()).collect();
            let objects = reader.read_located(packs, located).await?;
            for (slot, location) in batch {
                let object = objects.get(&location.record.id);
                let object = object.ok_or_else(|| missing(&location.record.id))?;
                self.positions.set(self.selection, slot, self.writer.position());
                let (mut writer, object) = (self.writer.clone(), Arc::clone(object));
                let encoded = gitstratum_process::blocking(move || {
                    let bytes = writer.encode(object.kind, &object.data, Deflate::FAST);
                    (writer, bytes)
                });
                let (writer, bytes) = encoded.await.map_err(bug)?;
                self.writer = writer;
                out.write(&bytes.map_err(bug)?).await.map_err(gone)?;
            }
        }
        Ok(())
    }

    /// Objects that fit a batch; one that is larger goes alone.
    fn take_batch(&mut self) -> Vec<(Slot, Location)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(slot) = self.arrangement.encoded.front().copied() {
            let entries = &self.selection.packs[slot.0];
            let record = entries.index.by_ordinal(slot.1);
            let record = record.expect("because only entries with a record are selected");
            bytes += record.size + 1;
            if !batch.is_empty() && bytes > ENCODE_BYTES {
                break;
            }
            self.arrangement.encoded.pop_front();
            batch.push((slot, Location { pack: Arc::clone(&entries.pack), record }));
        }
        batch
    }

    /// Copies the entries of one pack, in the order they are stored.
    async fn copy(
        &mut self,
        reader: &Arc<Reader>,
        number: usize,
        out: &mut Framed<'_>,
    ) -> Result<(), Error> {
        let selection = self.selection;
        let entries = &selection.packs[number];
        let ordinals = self.arrangement.copied(number, entries);
        let records = ordinals.iter().filter_map(|o| entries.index.by_ordinal(Ordinal(o)));
        let mut records = records.peekable();
        while records.peek().is_some() {
            let some: Vec<Record> = records.by_ref().take(ENTRIES_AT_ONCE).collect();
            self.copy_some(reader, (number, &some), out).await?;
        }
        Ok(())
    }

    /// Copies these entries of pack `number` by one read.
    async fn copy_some(
        &mut self,
        reader: &Arc<Reader>,
        (number, copied): (usize, &[Record]),
        out: &mut Framed<'_>,
    ) -> Result<(), Error> {
        let selection = self.selection;
        let entries = &selection.packs[number];
        let spans = copied
            .iter()
            .map(|record| PackSpan { offset: record.offset, length: record.packed_len });
        let mut pieces = reader.stream_pack(Arc::clone(&entries.pack), spans.collect());
        let mut current: Option<(usize, Copying<'_>)> = None;
        while let Some(piece) = pieces.next().await {
            let (asked, bytes) = piece?;
            let mut copying = match current.take() {
                Some((held, copying)) if held == asked => copying,
                _ => {
                    let record = &copied[asked];
                    let slot = (number, record.ordinal);
                    Copying { slot, entries, record, head: BytesMut::new(), started: false }
                }
            };
            self.copy_piece(&mut copying, bytes, out).await?;
            current = Some((asked, copying));
        }
        Ok(())
    }

    async fn copy_piece(
        &mut self,
        copying: &mut Copying<'_>,
        bytes: Bytes,
        out: &mut Framed<'_>,
    ) -> Result<(), Error> {
        if copying.started {
            self.writer.copy(&bytes);
            return out.write(&bytes).await.map_err(gone);
        }
        copying.head.extend_from_slice(&bytes);
        let format = copying.record.id.format();
        let parsed = Header::parse(format, &copying.head).map_err(bug)?;
        let Some((header, length)) = parsed else {
            return match copying.head.len() < ENTRY_HEADER_BYTES_MAX {
                true => Ok(()),
                false => Err(missing(&copying.record.id)),
            };
        };
        let header = Header { kind: self.kind(copying, header.kind), size: header.size };
        self.positions.set(self.selection, copying.slot, self.writer.position());
        let written = self.writer.start_copy(header).map_err(bug)?;
        let body = copying.head.split().freeze().slice(length..);
        self.writer.copy(&body);
        copying.started = true;
        out.write(&written).await.map_err(gone)?;
        out.write(&body).await.map_err(gone)
    }

    /// How the entry names its base in this pack: by distance when the base is already out
    /// and the client takes that, else by id.
    fn kind(&self, copying: &Copying<'_>, stored: EntryKind) -> EntryKind {
        let base = self.arrangement.base(copying.slot, copying.entries, copying.record);
        let Some(base) = base else { return stored };
        let position = self.positions.get(self.selection, base);
        let position = position.filter(|_| self.deltas.by_offset);
        if let Some(kind) = position.and_then(|position| self.writer.delta_on(position)) {
            return kind;
        }
        match (stored, copying.entries.index.by_ordinal(base.1)) {
            (EntryKind::OfsDelta { .. }, Some(record)) => EntryKind::RefDelta { base: record.id },
            _ => stored,
        }
    }
}

fn missing(id: &ObjectId) -> Error {
    tracing::error!(%id, "an object that the index names could not be read");
    Error::new(ErrorKind::Corrupt, "stored data is damaged; the operators have been told")
}

fn gone(source: crate::conversation::OutputError) -> Error {
    Error::caused(source.kind(), "the client has gone", source)
}

fn bug(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::caused(ErrorKind::Bug, "internal error", source)
}
