use bytes::Bytes;
use gitstratum_core::{ObjectFormat, PackId};

use super::lists::get_row;
use super::shape::{PACK_ID_BYTES, Shape};
use super::{Place, RowObjects, Slot};
use crate::part::{CommitRow, Error, Kind, Ordinal, Prefix, Words};

/// "First row" of an entry that no row lists.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A table in memory, its rows decoded when asked for.
#[derive(Clone, Debug)]
pub struct Reader {
    prefix: Prefix,
    shape: Shape,
    packs: Bytes,
    ends: Words,
    first_rows: Words,
    rows: Bytes,
}

impl Reader {
    /// The table of `pack` in `bytes`, which are the whole part.
    ///
    /// # Errors
    /// Damaged, another pack's, or of a newer release.
    pub fn open(pack: PackId, bytes: Bytes) -> Result<Self, Error> {
        let prefix = Prefix::decode(Kind::Table, pack, &bytes)?;
        let shape = Shape::of(&prefix)?;
        let mut rest = prefix.open_body(&bytes, shape.part_len())?;
        let packs = rest.split_to(shape.packs as usize * PACK_ID_BYTES);
        let ends = Words::split_off(&mut rest, shape.rows + 1);
        let first_rows = Words::split_off(&mut rest, shape.entries);
        let reader = Self { prefix, shape, packs, ends, first_rows, rows: rest };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<(), Error> {
        let ends_fit = self.ends.get(0) == Some(0)
            && self.ends.get(self.shape.rows) == Some(self.shape.rows_bytes);
        if !ends_fit || !self.ends.iter().is_sorted() {
            return Err(self.prefix.damaged("its rows are out of order"));
        }
        if !self.first_rows.iter().all(|row| row < self.shape.rows || row == NO_ROW) {
            return Err(self.prefix.damaged("a first row is impossible"));
        }
        Ok(())
    }

    /// The pack it is the table of.
    pub const fn pack(&self) -> PackId {
        self.prefix.pack
    }

    /// Object format of the pack.
    pub const fn format(&self) -> ObjectFormat {
        self.prefix.format
    }

    /// Commits of the pack: rows run below it.
    pub const fn len(&self) -> u32 {
        self.shape.rows
    }

    /// Whether the pack has no commit.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that are there.
    pub const fn present(&self) -> u32 {
        self.shape.present
    }

    /// The pack of a slot; `None` for a slot that the table does not have.
    pub fn pack_of(&self, slot: Slot) -> Option<PackId> {
        let Some(at) = slot.0.checked_sub(1) else { return Some(self.pack()) };
        self.packs.chunks(PACK_ID_BYTES).nth(at as usize).and_then(PackId::from_slice)
    }

    /// Whether `row` is there; an absent one has to be rebuilt.
    pub fn has(&self, row: CommitRow) -> bool {
        self.row_bytes(row).is_some_and(|bytes| !bytes.is_empty())
    }

    /// Whether `row` is there and names only packs that are among the live ones. A pack may have been
    /// compacted since the row was made: it is as good as absent then (S7).
    pub fn has_live(&self, row: CommitRow, is_live: impl Fn(PackId) -> bool) -> bool {
        let others = self.packs.chunks(PACK_ID_BYTES).filter_map(PackId::from_slice);
        if others.into_iter().all(&is_live) {
            return self.has(row);
        }
        let Ok(Some(objects)) = self.row(row) else { return false };
        let mut places = objects.trees.iter().chain(&objects.blobs);
        places.all(|place| self.pack_of(place.slot).is_some_and(&is_live))
    }

    /// What the commit of `row` brings with it; `None` when the row is absent, which
    /// is not "nothing".
    ///
    /// # Errors
    /// [`Error::Misused`] for a row that the pack does not have, [`Error::Damaged`]
    /// when its bytes contradict the table.
    pub fn row(&self, row: CommitRow) -> Result<Option<RowObjects>, Error> {
        let bytes = self.row_bytes(row).ok_or(self.prefix.misused("there is no such row"))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let objects = get_row(bytes).ok_or(self.prefix.damaged("a row does not read"))?;
        if !objects.trees.iter().chain(&objects.blobs).all(|place| self.exists(place)) {
            return Err(self.prefix.damaged("a row lists an entry or slot that is not there"));
        }
        Ok(Some(objects))
    }

    /// The oldest commit that brings entry `ordinal`, among the rows that are there;
    /// `None` when none does.
    pub fn first_row(&self, ordinal: Ordinal) -> Option<CommitRow> {
        let row = self.first_rows.get(ordinal.0)?;
        (row != NO_ROW).then_some(CommitRow(row))
    }

    fn exists(&self, place: &Place) -> bool {
        match place.slot {
            Slot::OWN => place.ordinal.0 < self.shape.entries,
            Slot(slot) => slot <= self.shape.packs,
        }
    }

    fn row_bytes(&self, row: CommitRow) -> Option<&[u8]> {
        let end = self.ends.get(row.0.checked_add(1)?)?;
        self.rows.get(self.ends.get(row.0)? as usize..end as usize)
    }
}
