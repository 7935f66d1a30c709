use bytes::{BufMut, Bytes};
use gitstratum_core::{ObjectFormat, ObjectId, ObjectKind, PackId};
use std::collections::HashMap;

use super::block::{NO_RECORD, block_sum};
use super::filter::{self, filter_len};
use super::head::{FAN_OUT, Shape};
use super::record::record_len;
use super::section::{BlockNumber, SUM_BYTES, Section};
use super::{Base, Counts, ENTRIES_MAX, External, Record};
use crate::part::{Error, Kind, Prefix};

/// Makes an index from records in any order. Records are kept encoded and sorted in
/// place: it needs about 80 bytes an object.
#[derive(Debug)]
pub struct Builder {
    prefix: Prefix,
    counts: Counts,
    records: Vec<u8>,
    external_numbers: HashMap<ObjectId, External>,
    externals: Vec<ObjectId>,
}

impl Builder {
    /// A builder for the index of `pack`, which has `entries` entries, later copies
    /// included.
    pub fn new(pack: PackId, format: ObjectFormat, entries: u32) -> Self {
        Self {
            prefix: Prefix { part: Kind::Index, pack, format, fields: [0; 9] },
            counts: Counts { entries, ..Counts::default() },
            records: Vec::new(),
            external_numbers: HashMap::new(),
            externals: Vec::new(),
        }
    }

    /// The base of a delta against an object outside of the pack.
    pub fn external_base(&mut self, id: ObjectId) -> Base {
        let next = External(self.externals.len() as u32);
        let number = *self.external_numbers.entry(id).or_insert(next);
        if number == next {
            self.externals.push(id);
        }
        Base::External(number)
    }

    /// Adds an object. Later copies inside the pack are not added.
    ///
    /// # Errors
    /// [`Error::Misused`] for an id of another format or an ordinal or base that
    /// the pack does not have.
    pub fn add(&mut self, record: &Record) -> Result<(), Error> {
        let entries = self.counts.entries;
        let base_exists = match record.base {
            Base::None => true,
            Base::Entry(ordinal) => ordinal.0 < entries,
            Base::External(external) => (external.0 as usize) < self.externals.len(),
        };
        if record.id.format() != self.prefix.format || record.ordinal.0 >= entries || !base_exists {
            return Err(self.prefix.misused("a record does not fit the pack"));
        }
        record.put(&mut self.records);
        self.count(record);
        Ok(())
    }

    fn count(&mut self, record: &Record) {
        let counts = &mut self.counts;
        counts.objects = counts.objects.saturating_add(1);
        counts.stray += u32::from(record.flags.stray);
        counts.shadowed += u32::from(record.flags.shadowed);
        match record.kind {
            ObjectKind::Commit => counts.commits += 1,
            ObjectKind::Tree => counts.trees += 1,
            ObjectKind::Blob => counts.blobs += 1,
            ObjectKind::Tag => counts.tags += 1,
        }
    }

    /// The index's bytes.
    ///
    /// # Errors
    /// [`Error::Misused`] when an id or an ordinal was added twice,
    /// [`Error::TooLarge`] beyond [`ENTRIES_MAX`] entries.
    pub fn finish(mut self) -> Result<Bytes, Error> {
        if self.counts.entries > ENTRIES_MAX {
            return Err(self.prefix.too_large("entries", ENTRIES_MAX as usize));
        }
        self.counts.externals = self.externals.len() as u32;
        self.prefix.fields = self.counts.to_fields();
        self.sort()?;
        let ranks = self.ranks()?;
        let shape = Shape::of(&self.prefix).map_err(|_| {
            self.prefix.misused("there are more records or external bases than entries")
        })?;
        let head = self.head(&shape.records);
        let mut out = spread(self.records, &shape, &self.prefix);
        out[..head.len()].copy_from_slice(&head);
        put_section(&mut out, &self.prefix, &shape.ranks, &ranks);
        let mut ids = Vec::with_capacity(self.externals.len() * self.prefix.format.id_len());
        self.externals.iter().for_each(|id| ids.put_slice(id.as_bytes()));
        put_section(&mut out, &self.prefix, &shape.externals, &ids);
        Ok(out.into())
    }

    fn sort(&mut self) -> Result<(), Error> {
        let sort = match self.prefix.format {
            ObjectFormat::Sha1 => sort_records::<20, { record_len(ObjectFormat::Sha1) }>,
            ObjectFormat::Sha256 => sort_records::<32, { record_len(ObjectFormat::Sha256) }>,
        };
        if sort(&mut self.records) {
            return Ok(());
        }
        Err(self.prefix.misused("an id was added twice"))
    }

    /// The rank of each ordinal's record, encoded.
    fn ranks(&self) -> Result<Vec<u8>, Error> {
        let mut ranks = vec![[0xff; 4]; self.counts.entries as usize];
        let format = self.prefix.format;
        for (rank, record) in (0u32..).zip(self.records.chunks(record_len(format))) {
            let place = &mut ranks[Record::ordinal_in(format, record) as usize];
            if *place != NO_RECORD.to_be_bytes() {
                return Err(self.prefix.misused("an ordinal was added twice"));
            }
            *place = rank.to_be_bytes();
        }
        Ok(ranks.into_flattened())
    }

    /// The head of the sorted records, checksum included.
    fn head(&self, section: &Section) -> Vec<u8> {
        let format = self.prefix.format;
        let mut out = self.prefix.encode().to_vec();
        let ids =
            || self.records.chunks(record_len(format)).map(|record| &record[..format.id_len()]);
        let mut fan_out = [0u32; FAN_OUT as usize];
        let mut filter = vec![0; filter_len(self.counts.objects)];
        for id in ids() {
            fan_out[usize::from(id[0])] += 1;
            filter::insert(&mut filter, id);
        }
        let mut below = 0;
        for count in fan_out {
            below += count;
            out.put_u32(below);
        }
        ids().step_by(section.per_block() as usize).for_each(|id| out.put_slice(id));
        out.put_slice(&filter);
        self.prefix.close(&mut out);
        out
    }
}

/// Sorts records of `RECORD` bytes by their first `ID`; whether no id is there twice.
fn sort_records<const ID: usize, const RECORD: usize>(records: &mut [u8]) -> bool {
    let (records, _) = records.as_chunks_mut::<RECORD>();
    records.sort_unstable_by(|a, b| a[..ID].cmp(&b[..ID]));
    records.is_sorted_by(|a, b| a[..ID] < b[..ID])
}

/// Moves the records to their blocks, last block first, in the buffer they are in,
/// and leaves room for the rest of the index.
fn spread(records: Vec<u8>, shape: &Shape, prefix: &Prefix) -> Vec<u8> {
    let mut out = records;
    let section = &shape.records;
    let total = (shape.externals.start() + shape.externals.byte_len()) as usize;
    out.reserve_exact(total.saturating_sub(out.len()));
    out.resize(total, 0);
    for block in (0..section.block_count()).rev().map(BlockNumber) {
        let items = section.items_of(block).expect("because the number is below the count");
        let from = items.start as usize * section.item_len..items.end as usize * section.item_len;
        let (to, len) = (section.item_at(items.start) as usize, from.len());
        out.copy_within(from, to);
        let sum = block_sum(prefix, block, &out[to..][..len]);
        out[to + len..][..SUM_BYTES].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

/// Writes `items` as the blocks of `section`.
fn put_section(out: &mut [u8], prefix: &Prefix, section: &Section, items: &[u8]) {
    let mut at = section.start() as usize;
    let block_len = section.per_block() as usize * section.item_len;
    let (first, _) = section.locate(0);
    for (number, items) in (first.0..).zip(items.chunks(block_len)) {
        let sum = block_sum(prefix, BlockNumber(number), items);
        out[at..][..items.len()].copy_from_slice(items);
        at += items.len();
        out[at..][..SUM_BYTES].copy_from_slice(&sum.to_be_bytes());
        at += SUM_BYTES;
    }
}
