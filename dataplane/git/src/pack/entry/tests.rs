use proptest::prelude::*;

use super::*;

fn written(header: Header) -> Vec<u8> {
    let mut out = Vec::new();
    header.write(&mut out);
    out
}

fn any_header(format: ObjectFormat) -> impl Strategy<Value = Header> {
    let id = proptest::collection::vec(any::<u8>(), format.id_len());
    let kind = prop_oneof![
        (1_u8..=4).prop_map(|n| EntryKind::Base(ObjectKind::from_pack_type(n).unwrap())),
        any::<u64>().prop_map(|distance| EntryKind::OfsDelta { distance }),
        id.prop_map(move |id| EntryKind::RefDelta {
            base: ObjectId::from_bytes(format, &id).unwrap()
        }),
    ];
    (kind, any::<u64>(), 0_u32..64)
        .prop_map(|(kind, size, shift)| Header { kind, size: size >> shift })
}

#[test]
fn known_headers_have_their_known_bytes() {
    let blob = Header { kind: EntryKind::Base(ObjectKind::Blob), size: 5 };
    assert_eq!(written(blob), [0x35]);
    let tree = Header { kind: EntryKind::Base(ObjectKind::Tree), size: 300 };
    assert_eq!(written(tree), [0xac, 0x12]);
    let delta = Header { kind: EntryKind::OfsDelta { distance: 128 }, size: 1 };
    assert_eq!(written(delta), [0x61, 0x80, 0x00]);
}

#[test]
fn bad_input_043_types_0_and_5_do_not_exist() {
    for number in [0, 5] {
        let error = Header::parse(ObjectFormat::Sha1, &[number << 4]).unwrap_err();
        assert_eq!(error, HeaderError::UnknownType(number));
    }
}

#[test]
fn bad_input_044_a_size_beyond_64_bits_is_refused() {
    let mut bytes = vec![0xbf; 10];
    bytes.push(0x7f);
    assert_eq!(Header::parse(ObjectFormat::Sha1, &bytes), Err(HeaderError::SizeOverflow));
}

#[test]
fn bad_input_048_a_distance_beyond_64_bits_is_refused() {
    let mut bytes = vec![0x61];
    bytes.extend([0xff; 10]);
    assert_eq!(Header::parse(ObjectFormat::Sha1, &bytes), Err(HeaderError::DistanceOverflow));
}

proptest! {
    #[test]
    fn headers_round_trip_and_every_prefix_asks_for_more(
        (format, header) in prop_oneof![Just(ObjectFormat::Sha1), Just(ObjectFormat::Sha256)]
            .prop_flat_map(|format| (Just(format), any_header(format)))
    ) {
        let mut bytes = written(header);
        prop_assert!(bytes.len() <= Header::LEN_MAX);
        prop_assert_eq!(Header::parse(format, &bytes), Ok(Some((header, bytes.len()))));
        let len = bytes.len();
        bytes.extend([0xff; 3]);
        prop_assert_eq!(Header::parse(format, &bytes), Ok(Some((header, len))));
        for short in 0..len {
            prop_assert_eq!(Header::parse(format, &bytes[..short]), Ok(None));
        }
    }

    #[test]
    fn parsing_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let parsed = Header::parse(ObjectFormat::Sha256, &bytes);
        if let Ok(Some((_, len))) = parsed {
            prop_assert!(len <= bytes.len());
        }
    }
}
