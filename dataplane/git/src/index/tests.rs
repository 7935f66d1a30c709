use std::collections::BTreeMap;

use bytes::Bytes;
use gitstratum_core::{ErrorKind, ObjectFormat, ObjectId, ObjectKind, PackId};
use proptest::prelude::*;

use super::*;
use crate::part::example::{bytes_of, flips};
use crate::part::{Error, Kind, Ordinal};

const PACK: PackId = PackId([0x22; 16]);

/// An id as good as a hash's, of any format.
fn id(format: ObjectFormat, seed: u64) -> ObjectId {
    let hash = blake3::hash(&seed.to_be_bytes());
    ObjectId::from_bytes(format, &hash.as_bytes()[..format.id_len()]).unwrap()
}

fn plain_id(byte: u8) -> ObjectId {
    ObjectId::from_bytes(ObjectFormat::Sha1, &[byte; 20]).unwrap()
}

fn record(id: ObjectId, ordinal: u32) -> Record {
    Record {
        id,
        ordinal: Ordinal(ordinal),
        offset: 12 + u64::from(ordinal) * 100,
        packed_len: 100,
        kind: ObjectKind::Blob,
        flags: Flags::default(),
        size: 1_000 + u64::from(ordinal),
        base: Base::None,
        content: ContentHash([ordinal as u8; 16]),
    }
}

/// An index of `count` objects; every fifth entry is a later copy without a record.
fn large(format: ObjectFormat, count: u32) -> (BTreeMap<ObjectId, Record>, Builder) {
    let entries = count + count / 4 + 1;
    let mut builder = Builder::new(PACK, format, entries);
    let mut records = BTreeMap::new();
    let ordinals = (0..entries).filter(|ordinal| ordinal % 5 != 4).take(count as usize);
    for ordinal in ordinals {
        let mut record = record(id(format, ordinal.into()), ordinal);
        record.kind = ObjectKind::from_pack_type(1 + (ordinal % 4) as u8).unwrap();
        record.flags = Flags { stray: ordinal % 7 == 0, shadowed: ordinal % 11 == 0 };
        record.base = match ordinal % 3 {
            0 => Base::None,
            1 => Base::Entry(Ordinal(ordinal - 1)),
            _ => builder.external_base(id(format, 1_000_000 + u64::from(ordinal / 6))),
        };
        builder.add(&record).unwrap();
        records.insert(record.id, record);
    }
    (records, builder)
}

fn example() -> Bytes {
    let mut builder = Builder::new(PACK, ObjectFormat::Sha1, 4);
    let outside = builder.external_base(plain_id(0xee));
    let commit = Record { kind: ObjectKind::Commit, ..record(plain_id(0xa0), 0) };
    let tree = Record { kind: ObjectKind::Tree, base: outside, ..record(plain_id(0x20), 1) };
    let flags = Flags { stray: true, shadowed: false };
    let blob = Record { flags, base: Base::Entry(Ordinal(1)), ..record(plain_id(0x30), 3) };
    for record in [commit, tree, blob] {
        builder.add(&record).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn s49_the_pages_example_is_what_is_written_and_read() {
    let page = bytes_of(include_str!("../../../../docs/formats/index.md"));
    assert_eq!(page, example());
    let index = Reader::open(PACK, page.into()).unwrap();
    let counts = index.counts();
    assert_eq!((counts.entries, counts.objects, counts.duplicates()), (4, 3, 1));
    assert_eq!((counts.commits, counts.trees, counts.blobs, counts.stray), (1, 1, 1, 1));
    let tree = index.find(&plain_id(0x20)).unwrap();
    let Base::External(outside) = tree.base else { panic!("the tree rests on an outer base") };
    assert_eq!(index.external(outside), Some(plain_id(0xee)));
    assert_eq!(index.by_ordinal(Ordinal(2)), None, "a later copy has no record");
    assert!(!index.by_ordinal(Ordinal(3)).unwrap().flags.answers());
}

#[test]
fn s5_s8_lookups_agree_with_a_model_in_both_formats() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        for count in [0, 1, 233, 234, 235, 468, 5_000] {
            let (records, builder) = large(format, count);
            let bytes = builder.finish().unwrap();
            let index = Reader::open(PACK, bytes.clone()).unwrap();
            assert!(index.by_id().eq(records.values().copied()));
            let mut in_pack_order: Vec<_> = records.values().copied().collect();
            in_pack_order.sort_by_key(|record| record.ordinal);
            assert!(index.in_pack_order().eq(in_pack_order));
            for record in records.values() {
                assert!(index.maybe_contains(&record.id));
                assert_eq!(index.find(&record.id).as_ref(), Some(record));
                assert_eq!(index.by_ordinal(record.ordinal).as_ref(), Some(record));
            }
            for seed in 2_000_000..2_000_200 {
                assert_eq!(index.find(&id(format, seed)), None);
            }
            assert_eq!(index.by_ordinal(Ordinal(index.counts().entries)), None);
            let stray = records.values().filter(|record| record.flags.stray).count();
            assert_eq!(index.counts().stray as usize, stray);
        }
    }
}

/// Answers from the head and single blocks, as a reader does that holds no part.
struct Blockwise<'a> {
    head: Head,
    part: &'a Bytes,
}

impl Blockwise<'_> {
    fn block(&self, number: BlockNumber) -> Block {
        let range = self.head.block_range(number).unwrap();
        assert!(range.end - range.start <= BLOCK_BYTES as u64);
        let bytes = self.part.slice(range.start as usize..range.end as usize);
        self.head.open_block(number, bytes).unwrap()
    }

    fn find(&self, id: &ObjectId) -> Option<Record> {
        let block = self.block(self.head.block_for(id)?);
        self.head.find_in(&block, id).unwrap()
    }

    fn by_ordinal(&self, ordinal: Ordinal) -> Option<Record> {
        let block = self.block(self.head.rank_block(ordinal)?);
        let rank = self.head.rank_in(&block, ordinal).unwrap()?;
        let block = self.block(self.head.record_block(rank)?);
        Some(self.head.record_in(&block, rank).unwrap())
    }

    fn external(&self, external: External) -> Option<ObjectId> {
        let block = self.block(self.head.external_block(external)?);
        Some(self.head.external_in(&block, external).unwrap())
    }
}

#[test]
fn s5_head_and_single_blocks_answer_as_the_whole_part_does() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (records, builder) = large(format, 6_000);
        let part = builder.finish().unwrap();
        let index = Reader::open(PACK, part.clone()).unwrap();
        let head_len = Head::len(PACK, &part[..HEAD_PREFIX_BYTES]).unwrap();
        let head = Head::open(PACK, &part.slice(..head_len)).unwrap();
        assert_eq!(head.part_len(), part.len() as u64);
        let blockwise = Blockwise { head, part: &part };
        for record in records.values() {
            assert_eq!(blockwise.find(&record.id).as_ref(), Some(record));
        }
        for seed in 2_000_000..2_000_200 {
            assert_eq!(blockwise.find(&id(format, seed)), None);
        }
        for ordinal in (0..index.counts().entries + 1).map(Ordinal) {
            assert_eq!(blockwise.by_ordinal(ordinal), index.by_ordinal(ordinal));
        }
        assert!(index.counts().externals > 800, "more than one block of them");
        for external in (0..index.counts().externals + 1).map(External) {
            assert_eq!(blockwise.external(external), index.external(external));
        }
    }
}

#[test]
fn a_block_that_is_not_the_one_asked_for_is_no_answer() {
    let (records, builder) = large(ObjectFormat::Sha1, 1_000);
    let part = builder.finish().unwrap();
    let blockwise = Blockwise { head: Head::open(PACK, &part).unwrap(), part: &part };
    let first = blockwise.block(BlockNumber(0));
    let last_id = records.keys().last().unwrap();
    let refused = blockwise.head.find_in(&first, last_id).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Bug);
    assert!(blockwise.head.record_in(&first, Rank(999)).is_err());
    assert!(blockwise.head.rank_in(&first, Ordinal(0)).is_err());

    let (second, third) = (BlockNumber(1), BlockNumber(2));
    let range = blockwise.head.block_range(third).unwrap();
    let bytes = part.slice(range.start as usize..range.end as usize);
    let swapped = blockwise.head.open_block(second, bytes).unwrap_err();
    assert!(matches!(swapped, Error::Block { part: Kind::Index, block: 1, .. }));
}

#[test]
fn s5_the_filter_is_wrong_about_absent_ids_in_one_of_fifty_at_most() {
    let (_, builder) = large(ObjectFormat::Sha1, 5_000);
    let index = Reader::open(PACK, builder.finish().unwrap()).unwrap();
    let wrong = (3_000_000..3_010_000)
        .filter(|seed| index.maybe_contains(&id(ObjectFormat::Sha1, *seed)))
        .count();
    assert!(wrong < 200, "{wrong} of 10,000");
    assert!(!index.maybe_contains(&id(ObjectFormat::Sha256, 0)));
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
    let other = PackId([1; 16]);
    let refused = Reader::open(other, bytes).unwrap_err();
    assert_eq!(refused, Error::OtherPack { part: Kind::Index, pack: other, found: PACK });
}

#[test]
fn a_block_that_contradicts_the_head_is_damaged_whatever_its_checksum() {
    let whole = example();
    let head = Head::open(PACK, &whole).unwrap();
    let open = |number: u32, at: usize, bytes: &[u8]| {
        let range = head.block_range(BlockNumber(number)).unwrap();
        let mut block = whole[range.start as usize..range.end as usize - 4].to_vec();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        let sum = block::block_sum(&head.prefix, BlockNumber(number), &block);
        block.extend(sum.to_be_bytes());
        head.open_block(BlockNumber(number), block.into())
    };
    assert!(open(0, 20, &[0, 0, 0, 1]).is_ok(), "as it was");
    let impossible: [(u32, usize, &[u8]); 8] = [
        (0, 0, &[0]),              // not the id that the head says
        (0, 70, &[0]),             // ids that fall
        (0, 20, &[0, 0, 0, 4]),    // an ordinal that is not there
        (0, 40, &[5]),             // no kind of object
        (0, 41, &[4]),             // an unknown flag
        (0, 50, &[0, 0, 0, 4]),    // a base that is not there
        (0, 50, &[0x80, 0, 0, 1]), // an external base that is not there
        (1, 0, &[0, 0, 0, 3]),     // a rank that is not there
    ];
    for (number, at, bytes) in impossible {
        let refused = open(number, at, bytes).unwrap_err();
        assert!(matches!(refused, Error::Block { .. }), "{bytes:?} at {at}");
    }
}

#[test]
fn s8_an_id_or_ordinal_is_indexed_once() {
    let build = |records: &[Record]| {
        let mut builder = Builder::new(PACK, ObjectFormat::Sha1, 4);
        records.iter().try_for_each(|record| builder.add(record))?;
        builder.finish()
    };
    let (one, two) = (record(plain_id(1), 0), record(plain_id(2), 1));
    assert!(build(&[one, two]).is_ok());
    let misused = [
        vec![one, Record { ordinal: Ordinal(3), ..one }],
        vec![one, Record { ordinal: Ordinal(0), ..two }],
        vec![record(plain_id(1), 4)],
        vec![Record { base: Base::Entry(Ordinal(4)), ..one }],
        vec![Record { base: Base::External(External(0)), ..one }],
        vec![record(id(ObjectFormat::Sha256, 1), 0)],
    ];
    for records in misused {
        assert_eq!(build(&records).unwrap_err().kind(), ErrorKind::Bug);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gs_ob_12_a_flipped_bit_of_a_large_index_is_found(
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let bytes = large(ObjectFormat::Sha256, 1_200).1.finish().unwrap();
        let at = at.index(bytes.len());
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << bit;
        let refused = Reader::open(PACK, damaged.into()).unwrap_err();
        prop_assert_eq!(refused.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn the_order_of_adding_does_not_matter(
        order in Just((0u32..300).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let build = |order: &[u32]| {
            let mut builder = Builder::new(PACK, ObjectFormat::Sha1, 300);
            for ordinal in order {
                builder.add(&record(id(ObjectFormat::Sha1, (*ordinal).into()), *ordinal)).unwrap();
            }
            builder.finish().unwrap()
        };
        let sorted: Vec<_> = (0..300).collect();
        prop_assert!(build(&order) == build(&sorted));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Reader::open(PACK, bytes.into()).is_err());
    }
}
