use gitstratum_core::ErrorKind;
use proptest::prelude::*;

use super::*;

const MIB: usize = 1024 * 1024;

fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at / 7) as u8).collect::<Vec<_>>().into()
}

#[test]
fn s3_small_parts_ride_and_large_ones_lie_apart() {
    let small = vec![(Kind::Index, bytes(5 * MIB)), (Kind::Table, bytes(3 * MIB))];
    let Placement::Ride(portions) = place(small.clone()) else { panic!("8 MiB ride") };
    assert_eq!(portions.len(), 2);
    assert!(portions.iter().all(|portion| (portion.number, portion.of) == (0, 1)));

    let mut large = small;
    large.push((Kind::Graph, bytes(1)));
    let Placement::Apart(segments) = place(large) else { panic!("more do not") };
    assert_eq!(segments.len(), 1);
    assert_eq!(segments[0].len(), 3);
}

#[test]
fn a_part_that_ends_with_its_segment_leaves_the_next_one_to_others() {
    let segments =
        place_apart(vec![(Kind::Index, bytes(PIECE_BYTES_MAX)), (Kind::Graph, bytes(5))]);
    let shape: Vec<Vec<_>> = segments
        .iter()
        .map(|segment| segment.iter().map(|p| (p.kind, p.number, p.of)).collect())
        .collect();
    assert_eq!(shape, [vec![(Kind::Index, 0, 1)], vec![(Kind::Graph, 0, 1)]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pieces_put_together_are_the_part(lens in prop::collection::vec(1usize..80 * MIB, 1..4)) {
        let kinds = [Kind::Index, Kind::Graph, Kind::Table];
        let parts: Vec<_> = kinds.into_iter().zip(lens.iter().map(|len| bytes(*len))).collect();
        let segments = place_apart(parts.clone());
        for (at, segment) in segments.iter().enumerate() {
            let len: usize = segment.iter().map(|portion| portion.bytes.len()).sum();
            prop_assert!(len <= PIECE_BYTES_MAX);
            prop_assert!(at + 1 == segments.len() || len == PIECE_BYTES_MAX);
        }
        for (kind, whole) in parts {
            let pieces: Vec<_> =
                segments.iter().flatten().filter(|portion| portion.kind == kind).collect();
            for (number, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(usize::from(piece.number), number);
                prop_assert_eq!(usize::from(piece.of), pieces.len());
                prop_assert!(!piece.bytes.is_empty());
            }
            let joined = join(pieces.iter().map(|piece| piece.bytes.clone()).collect());
            prop_assert!(joined == whole);
        }
    }
}

#[test]
fn damage_is_corrupt_and_a_newer_version_is_not() {
    let pack = gitstratum_core::PackId([7; 16]);
    let format = gitstratum_core::ObjectFormat::Sha1;
    let prefix = Prefix { part: Kind::Graph, pack, format, fields: [0; 9] };
    let mut newer = prefix.encode();
    newer[4] = 2;
    let damaged = Prefix::decode(Kind::Graph, pack, &newer).unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Corrupt);
    let sum = crc32c::crc32c(&newer[..PREFIX_BYTES - 4]);
    newer[PREFIX_BYTES - 4..].copy_from_slice(&sum.to_be_bytes());
    let newer = Prefix::decode(Kind::Graph, pack, &newer).unwrap_err();
    assert_eq!(newer, Error::Unsupported { part: Kind::Graph, pack, what: "version", value: 2 });
    assert_eq!(newer.kind(), ErrorKind::Invalid);
    assert!(Prefix::decode(Kind::Table, pack, &prefix.encode()).is_err());
}
