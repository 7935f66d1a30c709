use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, PackId};
use proptest::prelude::*;

use super::*;
use crate::part::example::{bytes_of, flips};
use crate::part::{CommitRow, Error, Kind, Prefix};

const PACK: PackId = PackId([0x22; 16]);
const OTHER: PackId = PackId([0x44; 16]);

fn place(slot: Slot, ordinal: u32) -> Place {
    Place { slot, ordinal: Ordinal(ordinal) }
}

fn builder(rows: u32, entries: u32) -> Builder {
    Builder::new(PACK, ObjectFormat::Sha1, Size { rows, entries })
}

fn example_row(other: Slot) -> RowObjects {
    RowObjects {
        trees: vec![place(Slot::OWN, 1), place(Slot::OWN, 2), place(Slot::OWN, 300)],
        blobs: vec![place(Slot::OWN, 4), place(other, 70)],
    }
}

fn example() -> Bytes {
    let mut table = builder(3, 301);
    let other = table.slot(OTHER);
    table.add(CommitRow(2), &RowObjects::default()).unwrap();
    table.add(CommitRow(0), &example_row(other)).unwrap();
    table.finish()
}

#[test]
fn s49_the_pages_example_is_what_is_written_and_read() {
    let page = bytes_of(include_str!("../../../../docs/formats/table.md"));
    assert_eq!(page, example());
    let table = Reader::open(PACK, page.into()).unwrap();
    assert_eq!((table.len(), table.present()), (3, 2));
    assert_eq!(table.row(CommitRow(0)).unwrap(), Some(example_row(Slot(1))));
    assert_eq!(table.pack_of(Slot::OWN), Some(PACK));
    assert_eq!(table.pack_of(Slot(1)), Some(OTHER));
    assert_eq!(table.pack_of(Slot(2)), None);
    assert_eq!(table.first_row(Ordinal(4)), Some(CommitRow(0)));
    assert_eq!(table.first_row(Ordinal(3)), None);
    assert_eq!(table.first_row(Ordinal(301)), None);
}

#[test]
fn s7_an_absent_row_is_not_an_empty_one() {
    let table = Reader::open(PACK, example()).unwrap();
    assert_eq!(table.row(CommitRow(1)).unwrap(), None);
    assert_eq!(table.row(CommitRow(2)).unwrap(), Some(RowObjects::default()));
    assert!(!table.has(CommitRow(1)) && table.has(CommitRow(2)));
    assert_eq!(table.row(CommitRow(3)).unwrap_err().kind(), ErrorKind::Bug);
}

#[test]
fn s24_the_first_row_is_the_first_one_added() {
    let mut table = builder(2, 2);
    let row = RowObjects { trees: vec![place(Slot::OWN, 1)], blobs: vec![] };
    table.add(CommitRow(1), &row).unwrap();
    table.add(CommitRow(0), &row).unwrap();
    let table = Reader::open(PACK, table.finish()).unwrap();
    assert_eq!(table.first_row(Ordinal(1)), Some(CommitRow(1)));
    assert_eq!(table.first_row(Ordinal(0)), None);
}

#[test]
fn a_row_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut table = builder(2, 2);
    let row = |place| RowObjects { trees: vec![place], blobs: vec![] };
    table.add(CommitRow(0), &row(place(Slot::OWN, 0))).unwrap();
    for (at, place) in [
        (0, place(Slot::OWN, 1)),
        (2, place(Slot::OWN, 1)),
        (1, place(Slot::OWN, 2)),
        (1, place(Slot(1), 0)),
    ] {
        assert_eq!(table.add(CommitRow(at), &row(place)).unwrap_err().kind(), ErrorKind::Bug);
    }
    let table = Reader::open(PACK, table.finish()).unwrap();
    assert_eq!(table.present(), 1);
    assert_eq!(table.first_row(Ordinal(1)), None);
}

#[test]
fn damage_and_parts_of_other_packs_are_found() {
    let bytes = example();
    for damaged in flips(&bytes) {
        assert_eq!(Reader::open(PACK, damaged.into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for len in 0..bytes.len() {
        assert!(Reader::open(PACK, bytes.slice(..len)).is_err());
    }
    let refused = Reader::open(OTHER, bytes).unwrap_err();
    assert_eq!(refused, Error::OtherPack { part: Kind::Table, pack: OTHER, found: PACK });
}

#[test]
fn a_part_that_contradicts_itself_is_damaged_whatever_its_checksum() {
    let contradiction = |at: usize, bytes: &[u8]| {
        let mut part = example().to_vec();
        part[at..at + bytes.len()].copy_from_slice(bytes);
        let prefix = Prefix::decode(Kind::Table, PACK, &part).unwrap();
        part.truncate(part.len() - 4);
        prefix.close(&mut part);
        Bytes::from(part)
    };
    // Rows that end before they begin or beyond the end, a first row that is not there.
    for (at, word) in [(84, 17u32), (92, 17), (80, 1), (96, 3)] {
        let refused = Reader::open(PACK, contradiction(at, &word.to_be_bytes())).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{word} at {at}");
    }
    // A slot and an ordinal that are not there, an empty group, a number without end.
    let row = 96 + 301 * 4;
    for (at, byte) in [(row + 1, 2), (row + 6, 0xff), (row + 2, 0), (row + 13, 0x80)] {
        let table = Reader::open(PACK, contradiction(at, &[byte])).unwrap();
        let refused = table.row(CommitRow(0)).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{byte} at {at}");
    }
}

fn places() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0u32..3, 0u32..1_000), 0..40)
}

proptest! {
    #[test]
    fn s7_any_rows_come_back_sorted_and_without_repetition(
        rows in prop::collection::vec(prop::option::of((places(), places())), 1..20),
    ) {
        let mut table = builder(rows.len() as u32, 1_000);
        let slots = [Slot::OWN, table.slot(OTHER), table.slot(PackId([5; 16]))];
        prop_assert_eq!(table.slot(OTHER), slots[1]);
        let list = |picks: &[(u32, u32)]| -> Vec<Place> {
            picks.iter().map(|(slot, at)| place(slots[*slot as usize], *at)).collect()
        };
        for (row, picks) in (0..).map(CommitRow).zip(&rows) {
            if let Some((trees, blobs)) = picks {
                let objects = RowObjects { trees: list(trees), blobs: list(blobs) };
                table.add(row, &objects).unwrap();
            }
        }
        let table = Reader::open(PACK, table.finish()).unwrap();
        let sorted = |picks: &[(u32, u32)]| {
            let mut places = list(picks);
            places.sort();
            places.dedup();
            places
        };
        for (row, picks) in (0..).map(CommitRow).zip(&rows) {
            let expected = picks.as_ref().map(|(trees, blobs)| RowObjects {
                trees: sorted(trees),
                blobs: sorted(blobs),
            });
            prop_assert_eq!(table.row(row).unwrap(), expected);
        }
    }

    #[test]
    fn ordinals_of_every_size_come_back(ordinals in prop::collection::vec(any::<u32>(), 0..50)) {
        let other = Slot(1);
        let mut row = RowObjects::default();
        row.blobs.extend(ordinals.iter().map(|ordinal| place(other, *ordinal)));
        let mut bytes = Vec::new();
        lists::put_row(&mut bytes, &row);
        row.blobs.sort();
        row.blobs.dedup();
        prop_assert_eq!(lists::get_row(&bytes), Some(row));
    }

    #[test]
    fn arbitrary_bytes_are_no_row_or_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        if let Some(row) = lists::get_row(&bytes) {
            prop_assert!(row.trees.len() + row.blobs.len() <= bytes.len());
        }
        prop_assert!(Reader::open(PACK, bytes.into()).is_err());
    }
}
