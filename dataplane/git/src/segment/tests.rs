use bytes::Bytes;
use gitstratum_core::{
    ClusterId, ErrorKind, ObjectFormat, PackId, PartitionId, PushNumber, RepoId, SegmentId,
    SessionId,
};
use proptest::prelude::*;

use super::*;
use crate::part::Portion;
use crate::part::example::{bytes_of, flips};

const ID: SegmentId = SegmentId([0x33; 16]);

fn header(segment: SegmentId) -> Header {
    Header {
        cluster: ClusterId([0x11; 16]),
        repo: RepoId::allocate(1, 2),
        network: RepoId::allocate(1, 2),
        pack: PackId([0x22; 16]),
        segment,
        partition: PartitionId(5),
        origin: Origin::Push { session: SessionId(7), number: PushNumber(9) },
        cipher: Cipher::None,
        key: KeyId::default(),
        object_format: ObjectFormat::Sha1,
        kind: Kind::Pack,
        pack_offset: 12,
    }
}

fn portion(kind: part::Kind, bytes: &[u8]) -> Portion {
    Portion { kind, number: 0, of: 1, bytes: Bytes::copy_from_slice(bytes) }
}

/// The bytes of a segment, and what its writer says of it.
fn written(header: Header, entries: &[u8], parts: Vec<Portion>) -> (Bytes, Sealed) {
    let (mut writer, first) = Writer::new(header);
    let mut all = first.to_vec();
    for entry in entries.chunks(777) {
        all.extend(writer.write(Bytes::copy_from_slice(entry)).unwrap());
    }
    let sealed = writer.finish(parts).unwrap();
    sealed.tail.iter().for_each(|bytes| all.extend(bytes));
    assert_eq!(all.len() as u64, sealed.total_len);
    assert_eq!(sealed.total_len, total_bytes(sealed.body_len, sealed.pieces.len()));
    (all.into(), sealed)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn verify(segment: SegmentId, bytes: &[u8], chunk: usize) -> Result<Layout, Error> {
    let mut verifier = Verifier::new(segment);
    for chunk in bytes.chunks(chunk) {
        verifier.update(chunk)?;
    }
    verifier.finish()
}

/// Opens and reads as an object node does: first and last bytes, then the cover.
fn read(segment: SegmentId, bytes: &Bytes, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
    let tail = &bytes[bytes.len().saturating_sub(FOOTER_BYTES_MAX)..];
    let head = &bytes[..bytes.len().min(HEADER_BYTES)];
    let layout = Layout::open(segment, bytes.len() as u64, head, tail)?;
    let cover = layout.cover(range.clone())?;
    layout.verify_and_slice(range, bytes.slice(cover.start as usize..cover.end as usize))
}

#[test]
fn s49_the_pages_example_is_what_is_written_and_read() {
    let page = bytes_of(include_str!("../../../../docs/formats/segment.md"));
    let (bytes, sealed) =
        written(header(ID), b"entries", vec![portion(part::Kind::Graph, b"part")]);
    assert_eq!(page, bytes);
    assert_eq!(sealed.pieces[0].piece, part::Piece { segment: ID, offset: 7, len: 4 });
    let layout = Layout::open_whole(ID, &page).unwrap();
    assert_eq!(*layout.header(), header(ID));
    assert_eq!((layout.entries_len(), layout.body_len()), (7, 11));
    assert_eq!(layout.pack_range(), 12..19);
    assert_eq!(layout.pieces()[0].kind, part::Kind::Graph);
    assert_eq!(read(ID, &page.into(), 0..11).unwrap(), "entriespart");
}

#[test]
fn every_header_comes_back() {
    let mut claim = header(ID);
    claim.origin = Origin::Claim(ClaimNumber(4));
    claim.object_format = ObjectFormat::Sha256;
    claim.kind = Kind::Lfs;
    claim.key = KeyId([9; 16]);
    claim.network = RepoId(77);
    for header in [header(ID), claim] {
        assert_eq!(Header::decode(ID, &header.encode()), Ok(header));
    }
}

#[test]
fn s3_every_flipped_bit_of_a_small_segment_is_found() {
    let (bytes, _) = written(header(ID), b"entries", vec![portion(part::Kind::Index, b"part")]);
    for damaged in flips(&bytes) {
        let damaged = Bytes::from(damaged);
        assert!(verify(ID, &damaged, 50).is_err());
        assert!(read(ID, &damaged, 0..11).is_err());
    }
}

#[test]
fn a_segment_cut_short_or_grown_is_found() {
    let (bytes, _) = written(header(ID), &noise(300), vec![portion(part::Kind::Index, b"part")]);
    for len in 0..bytes.len() {
        assert_eq!(verify(ID, &bytes[..len], 64).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(Layout::open_whole(ID, &bytes[..len]).is_err());
    }
    let mut grown = bytes.to_vec();
    grown.insert(200, 0);
    assert!(verify(ID, &grown, 64).is_err());
    assert!(Layout::open_whole(ID, &grown).is_err());
    let (full, _) = written(header(ID), &noise(BLOCK_BYTES), vec![]);
    let (body, footer) = full.split_at(HEADER_BYTES + BLOCK_BYTES);
    let longer = [body, &noise(BLOCK_BYTES), footer].concat();
    assert_eq!(verify(ID, &longer, 4_096).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(Layout::open_whole(ID, &longer).is_err());
    let twice = [&bytes[..], &bytes[..]].concat();
    assert!(verify(ID, &twice, 64).is_err());
    assert!(Layout::open_whole(ID, &twice).is_err());
}

#[test]
fn s3_right_bytes_of_another_segment_are_found() {
    let other = SegmentId([0x34; 16]);
    let (bytes, _) = written(header(other), &noise(100_000), vec![]);
    let swapped = Error::Other { segment: ID, found: other };
    assert_eq!(verify(ID, &bytes, 1_000), Err(swapped.clone()));
    assert_eq!(Layout::open_whole(ID, &bytes), Err(swapped));

    let (mine, _) = written(header(ID), &noise(100_000), vec![]);
    let grafted = Bytes::from([&mine[..HEADER_BYTES], &bytes[HEADER_BYTES..]].concat());
    assert_eq!(verify(ID, &grafted, 1_000).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(Layout::open_whole(ID, &grafted).is_err());
}

#[test]
fn s3_a_blocks_checksum_is_bound_to_its_segment_and_place() {
    let sum = checksum::block_sum(ID, 0, b"bytes");
    assert_ne!(sum, checksum::block_sum(SegmentId([0x34; 16]), 0, b"bytes"));
    assert_ne!(sum, checksum::block_sum(ID, 1, b"bytes"));
}

#[test]
fn s3_blocks_that_changed_places_are_found() {
    let (bytes, _) = written(header(ID), &noise(3 * BLOCK_BYTES), vec![]);
    let (first, second) = (HEADER_BYTES, HEADER_BYTES + BLOCK_BYTES);
    let mut swapped = bytes.to_vec();
    swapped[first..second].copy_from_slice(&bytes[second..second + BLOCK_BYTES]);
    swapped[second..second + BLOCK_BYTES].copy_from_slice(&bytes[first..second]);
    let swapped = Bytes::from(swapped);
    assert_eq!(verify(ID, &swapped, 4_096), Err(Error::Block { segment: ID, block: 0 }));
    let body = BLOCK_BYTES as u64;
    assert_eq!(read(ID, &swapped, body..body + 1), Err(Error::Block { segment: ID, block: 1 }));
    assert!(read(ID, &swapped, 2 * body..3 * body).is_ok());
}

#[test]
fn damage_is_corrupt_and_a_newer_version_is_not() {
    let mut newer = header(ID).encode();
    newer[8] = 2;
    assert_eq!(Header::decode(ID, &newer).unwrap_err().kind(), ErrorKind::Corrupt);
    let sum = crc32c::crc32c(&newer[..HEADER_BYTES - 4]);
    newer[HEADER_BYTES - 4..].copy_from_slice(&sum.to_be_bytes());
    let newer = Header::decode(ID, &newer).unwrap_err();
    assert_eq!(newer, Error::Unsupported { segment: ID, what: "version", value: 2 });
    assert_eq!(newer.kind(), ErrorKind::Invalid);
}

#[test]
fn a_read_outside_of_the_body_or_of_too_few_bytes_is_refused() {
    let (bytes, _) = written(header(ID), &noise(1_000), vec![]);
    let layout = Layout::open_whole(ID, &bytes).unwrap();
    assert_eq!(layout.cover(990..1_001).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(layout.cover(0..u64::MAX).is_err());
    let short = layout.verify_and_slice(0..10, bytes.slice(160..170)).unwrap_err();
    assert_eq!(short, Error::Read { segment: ID, expected: 1_000, found: 10 });
    assert!(read(ID, &bytes, 1_000..1_000).unwrap().is_empty());
}

#[test]
fn s1_a_segment_takes_32_mib_of_entries_and_8_of_parts() {
    let (mut writer, _) = Writer::new(header(ID));
    let mib = Bytes::from(vec![0; 1024 * 1024]);
    for _ in 0..32 {
        writer.write(mib.clone()).unwrap();
    }
    assert_eq!(writer.room(), 0);
    assert!(matches!(writer.write(mib.slice(..1)), Err(Error::TooLarge { .. })));
    let parts = portion(part::Kind::Index, &vec![1; part::RIDE_BYTES_MAX]);
    let sealed = writer.finish(vec![parts]).unwrap();
    assert_eq!(sealed.body_len, BODY_BYTES_MAX as u64);
    assert!(sealed.total_len <= SEGMENT_BYTES_MAX as u64);

    let (writer, _) = Writer::new(header(ID));
    let apart = portion(part::Kind::Index, &vec![1; part::PIECE_BYTES_MAX]);
    assert_eq!(writer.finish(vec![apart]).unwrap().entries_len, 0);
    let (writer, _) = Writer::new(header(ID));
    let too_much = portion(part::Kind::Index, &vec![1; part::PIECE_BYTES_MAX + 1]);
    assert!(matches!(writer.finish(vec![too_much]), Err(Error::TooLarge { .. })));
}

#[test]
fn a_stream_longer_than_any_segment_is_refused_early() {
    let mut verifier = Verifier::new(ID);
    verifier.update(&header(ID).encode()).unwrap();
    assert_eq!(verifier.header(), Some(&header(ID)));
    let mib = vec![0; 1024 * 1024];
    let refused = (0..64).find_map(|_| verifier.update(&mib).err());
    assert!(matches!(refused, Some(Error::TooLarge { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_reads_back_whatever_the_chunking(
        entries in 0usize..300_000,
        parts in 0usize..100_000,
        chunk in 1usize..100_000,
        cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let (entries, parts) = (noise(entries), noise(parts));
        let (bytes, sealed) =
            written(header(ID), &entries, vec![portion(part::Kind::Table, &parts)]);
        let layout = verify(ID, &bytes, chunk).unwrap();
        prop_assert_eq!(&layout, &Layout::open_whole(ID, &bytes).unwrap());
        prop_assert_eq!(layout.total_len(), sealed.total_len);
        let body = [entries, parts].concat();
        let (a, b) = (cut.0.index(body.len() + 1), cut.1.index(body.len() + 1));
        let range = a.min(b)..a.max(b);
        let found = read(ID, &bytes, range.start as u64..range.end as u64).unwrap();
        prop_assert!(found == body[range]);
    }

    #[test]
    fn gs_ob_12_a_flipped_bit_is_found_on_open_or_on_the_read_of_its_block(
        entries in 1usize..300_000,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        chunk in 1usize..100_000,
    ) {
        let entries = noise(entries);
        let (bytes, _) = written(header(ID), &entries, vec![]);
        let at = at.index(bytes.len());
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << bit;
        let damaged = Bytes::from(damaged);
        prop_assert_eq!(verify(ID, &damaged, chunk).unwrap_err().kind(), ErrorKind::Corrupt);
        let in_body = (HEADER_BYTES..HEADER_BYTES + entries.len()).contains(&at);
        prop_assert_eq!(Layout::open_whole(ID, &damaged).is_ok(), in_body);
        if in_body {
            let offset = (at - HEADER_BYTES) as u64;
            let block = (offset / BLOCK_BYTES as u64) as u32;
            let refused = Err(Error::Block { segment: ID, block });
            prop_assert_eq!(read(ID, &damaged, offset..offset + 1), refused);
            for other in (0..entries.len().div_ceil(BLOCK_BYTES)).filter(|n| *n != block as usize) {
                let start = (other * BLOCK_BYTES) as u64;
                prop_assert!(read(ID, &damaged, start..start + 1).is_ok());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(verify(ID, &bytes, 100).is_err());
        prop_assert!(Layout::open_whole(ID, &bytes).is_err());
    }
}
