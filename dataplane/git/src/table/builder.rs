use std::collections::HashMap;
use std::ops::Range;

use bytes::{BufMut, Bytes};
use gitstratum_core::{ObjectFormat, PackId};

use super::lists::put_row;
use super::reader::NO_ROW;
use super::shape::Shape;
use super::{Place, ROWS_BYTES_MAX, RowObjects, Slot};
use crate::part::{CommitRow, Error, Kind, Prefix};

/// How many rows and entries the table's pack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Commits of its graph part.
    pub rows: u32,
    /// Entries of the pack.
    pub entries: u32,
}

/// Makes a table from rows in any order; rows that are not added are absent.
#[derive(Debug)]
pub struct Builder {
    prefix: Prefix,
    packs: Vec<PackId>,
    slots: HashMap<PackId, Slot>,
    /// Rows as they were added.
    bytes: Vec<u8>,
    /// Where each row is in them; empty means absent.
    spans: Vec<Range<usize>>,
    first_rows: Vec<u32>,
}

impl Builder {
    /// A builder for the table of `pack`.
    pub fn new(pack: PackId, format: ObjectFormat, size: Size) -> Self {
        Self {
            prefix: Prefix { part: Kind::Table, pack, format, fields: [0; 9] },
            packs: Vec::new(),
            slots: HashMap::from([(pack, Slot::OWN)]),
            bytes: Vec::new(),
            spans: vec![0..0; size.rows as usize],
            first_rows: vec![NO_ROW; size.entries as usize],
        }
    }

    /// The slot of `pack`, which is put into the table's list if it is not there.
    pub fn slot(&mut self, pack: PackId) -> Slot {
        *self.slots.entry(pack).or_insert_with(|| {
            self.packs.push(pack);
            Slot(self.packs.len() as u32)
        })
    }

    /// Adds a row. The first row added with an entry is the one that
    /// [`first_row`](super::Reader::first_row) tells, so add parents before their
    /// children: the oldest commit is the one that most refs reach.
    ///
    /// # Errors
    /// [`Error::Misused`] for a row that is there already or that does not fit the
    /// pack; [`Error::TooLarge`] beyond [`ROWS_BYTES_MAX`]. Either way the row stays
    /// as it was and the builder goes on.
    pub fn add(&mut self, row: CommitRow, objects: &RowObjects) -> Result<(), Error> {
        let span = self.spans.get(row.0 as usize);
        if span.is_none_or(|span| !span.is_empty()) {
            return Err(self.prefix.misused("a row is not of the pack or there already"));
        }
        if !self.places(objects).all(|place| self.exists(place)) {
            return Err(self.prefix.misused("a row lists an entry or slot that is not there"));
        }
        let start = self.bytes.len();
        put_row(&mut self.bytes, objects);
        if self.bytes.len() > ROWS_BYTES_MAX {
            self.bytes.truncate(start);
            return Err(self.prefix.too_large("bytes of rows", ROWS_BYTES_MAX));
        }
        self.spans[row.0 as usize] = start..self.bytes.len();
        self.note_first(row, objects);
        Ok(())
    }

    fn places<'a>(&self, objects: &'a RowObjects) -> impl Iterator<Item = &'a Place> + use<'a> {
        objects.trees.iter().chain(&objects.blobs)
    }

    fn exists(&self, place: &Place) -> bool {
        match place.slot {
            Slot::OWN => (place.ordinal.0 as usize) < self.first_rows.len(),
            Slot(slot) => slot as usize <= self.packs.len(),
        }
    }

    fn note_first(&mut self, row: CommitRow, objects: &RowObjects) {
        for place in self.places(objects).filter(|place| place.slot == Slot::OWN) {
            let first = &mut self.first_rows[place.ordinal.0 as usize];
            if *first == NO_ROW {
                *first = row.0;
            }
        }
    }

    /// The table's bytes.
    pub fn finish(mut self) -> Bytes {
        let shape = Shape {
            rows: self.spans.len() as u32,
            entries: self.first_rows.len() as u32,
            packs: self.packs.len() as u32,
            rows_bytes: self.bytes.len() as u32,
            present: self.spans.iter().filter(|span| !span.is_empty()).count() as u32,
        };
        self.prefix.fields = shape.to_fields();
        let mut out = Vec::with_capacity(shape.part_len() as usize);
        out.put_slice(&self.prefix.encode());
        self.packs.iter().for_each(|pack| out.put_slice(&pack.0));
        let mut end = 0;
        out.put_u32(end);
        for span in &self.spans {
            end += span.len() as u32;
            out.put_u32(end);
        }
        self.first_rows.iter().for_each(|row| out.put_u32(*row));
        self.spans.iter().for_each(|span| out.put_slice(&self.bytes[span.clone()]));
        self.prefix.close(&mut out);
        out.into()
    }
}
