use proptest::prelude::*;

use super::*;
use crate::hash;
use crate::pack::tests::support::{SMALL_CHUNK, scan_in};
use crate::pack::{ScannedEntry, ScannedKind};
use crate::testing::{
    DeltaBuilder, PackBuilder, Trailer, commit, deflate, empty_stored_blocks, id_of, store, tree,
};
use gitstratum_core::{ObjectId, ObjectKind};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn scan(pack: &[u8]) -> Result<Scanned, Error> {
    let whole = scan_in(SHA1, pack, &Limits::default(), usize::MAX);
    let pieces = scan_in(SHA1, pack, &Limits::default(), SMALL_CHUNK);
    let texts = [&whole, &pieces].map(|outcome| outcome.as_ref().err().map(ToString::to_string));
    let [one, other] = texts;
    // A stream cut short differs only in how much of it was seen.
    assert_eq!(one.is_some(), other.is_some());
    whole
}

fn refusal(pack: &[u8]) -> Error {
    scan(pack).unwrap_err()
}

fn blob(content: &[u8]) -> PackBuilder {
    PackBuilder::new(SHA1).object(ObjectKind::Blob, content)
}

#[test]
fn every_entry_is_found_with_its_border_and_its_id() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let large = vec![b'x'; 200_000];
        let tree = tree(&[("100644", b"a", id_of(format, ObjectKind::Blob, b"a"))]);
        let delta = DeltaBuilder::between(&large, b"xxx end");
        let base = id_of(format, ObjectKind::Blob, b"outside");
        let pack = PackBuilder::new(format)
            .object(ObjectKind::Blob, &large)
            .object(ObjectKind::Tree, &tree)
            .ofs_delta(0, &delta)
            .ref_delta(base, &delta)
            .build();
        let scanned = scan_in(format, &pack, &Limits::default(), SMALL_CHUNK).unwrap();
        let entries: Vec<ScannedEntry> =
            scanned.entries.ordinals().map(|ordinal| scanned.entries.get(ordinal)).collect();
        let digest = hash::digest(format, ObjectKind::Blob, &large).unwrap();
        let (id, blake3) = (digest.id, digest.blake3);
        assert_eq!(entries[0].kind, ScannedKind::Base { kind: ObjectKind::Blob, id, blake3 });
        assert_eq!((entries[0].offset, entries[0].size), (12, 200_000));
        assert_eq!(entries[2].kind, ScannedKind::OfsDelta { base: 0, base_offset: 12 });
        assert_eq!(entries[3].kind, ScannedKind::RefDelta { base });
        for pair in entries.windows(2) {
            assert_eq!(pair[0].offset + pair[0].packed_len, pair[1].offset);
        }
        let last = entries[3].offset + entries[3].packed_len;
        assert_eq!(last as usize + format.id_len(), pack.len());
        assert_eq!(scanned.trailer, &pack[last as usize..]);
        assert_eq!(scanned.pack_len, pack.len() as u64);
    }
}

#[test]
fn s1_borders_are_known_while_the_stream_arrives() {
    let pack = blob(b"one").object(ObjectKind::Blob, b"two").build();
    let scanned = scan(&pack).unwrap();
    let second = scanned.entries.offset(1);
    let mut scanner = Scanner::new(SHA1, Limits::default());
    scanner.push(&pack[..second as usize + 1]).unwrap();
    assert_eq!((scanner.border(), scanner.position()), (second, second + 1));
    assert!(!scanner.is_complete());
    scanner.push(&pack[second as usize + 1..]).unwrap();
    assert!(scanner.is_complete());
    let entries = scanner.entries();
    for position in 0..pack.len() as u64 {
        let border = entries.border_before(position);
        let is_border = [12, second, entries.end(1)].contains(&border);
        assert!(border <= position && (is_border || position < 12), "{position}: {border}");
    }
    assert_eq!(entries.border_before(u64::MAX), entries.end(1));
}

#[test]
fn an_empty_pack_is_complete_at_its_trailer() {
    let scanned = scan(&PackBuilder::new(SHA1).build()).unwrap();
    assert!(scanned.entries.is_empty());
}

#[test]
fn bad_input_040_magic_and_version_are_checked() {
    assert!(matches!(refusal(&blob(b"a").magic(*b"PAK!").build()), Error::Magic { .. }));
    for version in [0, 1, 4, 9] {
        let error = refusal(&blob(b"a").version(version).build());
        assert!(matches!(error, Error::Version { found } if found == version));
    }
    assert_eq!(scan(&blob(b"a").version(3).build()).unwrap().version, 3);
}

#[test]
fn bad_input_041_a_wrong_count_is_refused() {
    // The entry behind the last counted one is read as the trailer.
    let few = blob(b"a").object(ObjectKind::Blob, &[b'b'; 40]).count(1).build();
    assert!(matches!(refusal(&few), Error::Trailer { .. } | Error::TrailingBytes));
    let many = blob(b"a").count(2).build();
    assert!(scan(&many).is_err());
    let cut = blob(b"a").count(2).trailer(Trailer::Missing).build();
    assert!(matches!(refusal(&cut), Error::Truncated { .. }));
}

#[test]
fn bad_input_042_a_huge_count_allocates_nothing() {
    let pack = PackBuilder::new(SHA1).count(u32::MAX).trailer(Trailer::Missing).build();
    assert!(matches!(refusal(&pack), Error::TooManyObjects { count: u32::MAX, .. }));
    let limits = Limits { objects_max: u32::MAX, ..Limits::default() };
    let error = scan_in(SHA1, &pack, &limits, SMALL_CHUNK).unwrap_err();
    assert!(matches!(error, Error::Truncated { position: 12, .. }));
}

#[test]
fn bad_input_043_unknown_types_are_refused() {
    for number in [0_u8, 5] {
        let pack = PackBuilder::new(SHA1).raw(vec![number << 4], deflate(b"")).build();
        assert!(matches!(refusal(&pack), Error::EntryHeader { offset: 12, .. }));
    }
}

#[test]
fn bad_input_044_a_size_lie_is_refused_before_anything_is_held() {
    let pack =
        PackBuilder::new(SHA1).object_claiming(ObjectKind::Blob, 1 << 60, deflate(b"tiny")).build();
    assert!(matches!(refusal(&pack), Error::ObjectTooLarge { size, .. } if size == 1 << 60));
    let limits = Limits::default();
    let just_too_large = limits.commit_bytes_max + 1;
    let pack = PackBuilder::new(SHA1)
        .object_claiming(ObjectKind::Commit, just_too_large, deflate(b"tiny"))
        .build();
    assert!(matches!(refusal(&pack), Error::ObjectTooLarge { offset: 12, .. }));
}

#[test]
fn bad_input_045_more_or_less_than_declared_is_refused() {
    for len in [0, 1, 5, 70_000, 200_000_usize] {
        let body = deflate(&vec![1; len]);
        for stated in [len.wrapping_sub(1), len + 1] {
            let pack = PackBuilder::new(SHA1)
                .object_claiming(ObjectKind::Blob, stated as u64, body.clone())
                .build();
            if stated != usize::MAX {
                assert!(matches!(refusal(&pack), Error::InflatedSize { offset: 12, .. }));
            }
        }
    }
}

#[test]
fn bad_input_046_the_inflate_budget_is_exact() {
    let bomb = vec![0; 500_000];
    let pack =
        (0..4).fold(PackBuilder::new(SHA1), |pack, _| pack.object(ObjectKind::Blob, &bomb)).build();
    let limits = |inflated_bytes_max| Limits { inflated_bytes_max, ..Limits::default() };
    assert!(scan_in(SHA1, &pack, &limits(2_000_000), 100).is_ok());
    let error = scan_in(SHA1, &pack, &limits(1_999_999), 100).unwrap_err();
    assert!(matches!(error, Error::InflateBudget { limit: 1_999_999 }));
}

#[test]
fn bad_input_047_odd_zlib_streams_are_refused_or_read() {
    // A preset dictionary is announced by bit 5 of the second byte.
    let dictionary = vec![0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1];
    let mut bad_adler = deflate(b"content");
    *bad_adler.last_mut().unwrap() ^= 1;
    for body in [dictionary, bad_adler, b"no zlib at all".to_vec()] {
        let pack = PackBuilder::new(SHA1).object_claiming(ObjectKind::Blob, 7, body).build();
        assert!(matches!(refusal(&pack), Error::Inflate { offset: 12, .. }));
    }
    for (size, body) in [(7, store(b"content")), (0, empty_stored_blocks(10_000))] {
        let pack = PackBuilder::new(SHA1).object_claiming(ObjectKind::Blob, size, body).build();
        assert_eq!(scan(&pack).unwrap().entries.len(), 1);
    }
}

#[test]
fn bad_input_048_a_base_must_start_an_earlier_entry() {
    let delta = DeltaBuilder::between(b"base", b"base!");
    let second = 12 + blob(b"base").build().len() as u64 - 12 - 20;
    for distance in [0, 1, second - 11, second - 13, second + 1, 1 << 40, u64::MAX] {
        let pack = blob(b"base").ofs_delta_at(distance, &delta).build();
        let error = refusal(&pack);
        assert!(matches!(error, Error::DeltaBase { distance: found, .. } if found == distance));
    }
    assert!(scan(&blob(b"base").ofs_delta_at(second - 12, &delta).build()).is_ok());
}

#[test]
fn bad_input_052_promised_results_are_counted_before_they_are_made() {
    let base = vec![b'b'; 1000];
    let delta = DeltaBuilder::new(1000, 90 << 20).copy(0, 1000).build();
    let pack = (0..4).fold(blob(&base), |pack, _| pack.ofs_delta(0, &delta)).build();
    let limits = Limits { resolved_bytes_max: 300 << 20, ..Limits::default() };
    let error = scan_in(SHA1, &pack, &limits, 100).unwrap_err();
    assert!(matches!(error, Error::ResolveBudget { .. }));
    let huge = DeltaBuilder::new(1000, 1 << 40).copy(0, 1000).build();
    let error = refusal(&blob(&base).ofs_delta(0, &huge).build());
    assert!(matches!(error, Error::ObjectTooLarge { size, .. } if size == 1 << 40));
}

#[test]
fn bad_input_058_trailers_and_trailing_bytes_are_checked() {
    let wrong = blob(b"a").trailer(Trailer::Wrong).build();
    assert!(matches!(refusal(&wrong), Error::Trailer { .. }));
    let trailing = blob(b"a").trailing(b"x").build();
    assert!(matches!(refusal(&trailing), Error::TrailingBytes));
    let pack = blob(b"a").build();
    let mut scanner = Scanner::new(SHA1, Limits::default());
    scanner.push(&pack).unwrap();
    scanner.push(b"").unwrap();
    assert!(matches!(scanner.push(b"x"), Err(Error::TrailingBytes)));
}

#[test]
fn bad_input_059_the_object_count_is_limited() {
    let pack = blob(b"a").object(ObjectKind::Blob, b"b").build();
    let limits = |objects_max| Limits { objects_max, ..Limits::default() };
    assert!(scan_in(SHA1, &pack, &limits(2), 1).is_ok());
    let error = scan_in(SHA1, &pack, &limits(1), 1).unwrap_err();
    assert!(matches!(error, Error::TooManyObjects { count: 2, limit: 1 }));
    let default = PackBuilder::new(SHA1).count(4_000_001).build();
    assert!(matches!(refusal(&default), Error::TooManyObjects { limit: 4_000_000, .. }));
}

#[test]
fn the_pack_size_is_limited() {
    let pack = blob(b"a").build();
    let limits = |pack_bytes_max| Limits { pack_bytes_max, ..Limits::default() };
    assert!(scan_in(SHA1, &pack, &limits(pack.len() as u64), 5).is_ok());
    let error = scan_in(SHA1, &pack, &limits(pack.len() as u64 - 1), 5).unwrap_err();
    assert!(matches!(error, Error::PackTooLarge { .. }));
}

fn sample() -> Vec<u8> {
    let root = tree(&[("100644", b"a", id_of(SHA1, ObjectKind::Blob, b"hello"))]);
    let root_id = id_of(SHA1, ObjectKind::Tree, &root);
    PackBuilder::new(SHA1)
        .object(ObjectKind::Blob, b"hello")
        .object(ObjectKind::Tree, &root)
        .object(ObjectKind::Commit, &commit(&root_id, &[], "m"))
        .ofs_delta(0, &DeltaBuilder::between(b"hello", b"help"))
        .ref_delta(ObjectId::null(SHA1), &DeltaBuilder::between(b"hello", b"hell"))
        .build()
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_entries(chunk in 1_usize..400) {
        let pack = sample();
        let whole = scan_in(SHA1, &pack, &Limits::default(), usize::MAX).unwrap();
        let pieces = scan_in(SHA1, &pack, &Limits::default(), chunk).unwrap();
        for ordinal in whole.entries.ordinals() {
            prop_assert_eq!(whole.entries.get(ordinal), pieces.entries.get(ordinal));
        }
    }

    #[test]
    fn changed_packs_are_refused_and_never_panic(
        flips in proptest::collection::vec((0_usize..400, 1_u8..), 1..6),
    ) {
        let mut pack = sample();
        let before = pack.clone();
        for (place, change) in flips {
            let place = place % pack.len();
            pack[place] ^= change;
        }
        prop_assume!(pack != before);
        prop_assert!(scan_in(SHA1, &pack, &Limits::default(), 9).is_err());
    }

    #[test]
    fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x03".to_vec();
        pack.extend_from_slice(&bytes);
        prop_assert!(scan_in(SHA1, &pack, &Limits::default(), 11).is_err());
    }
}
